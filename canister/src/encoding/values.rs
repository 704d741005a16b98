//! The values of a message whose types are known to be exactly those of the Rust type.
//!
//! Candid sorts the fields of records and the cases of variants by the hash of their names; otherwise
//! values stand in the order of the type, one behind the other. What is odd in any way gives `None`:
//! then it is decoded as Candid has it, and that decides.

use std::fmt;
use std::vec;

use candid::idl_hash;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// The only arrays that are decoded here.
const SUBACCOUNT_BYTES: usize = 32;

/// Decodes one value that takes all bytes.
pub fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    let mut values = Values(bytes);
    let value = T::deserialize(&mut values).ok()?;
    values.0.is_empty().then_some(value)
}

/// Types that no request and no answer has.
macro_rules! odd {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Odd> {
            Err(Odd)
        }
    )*};
}

/// The bytes that are still to be read.
struct Values<'de>(&'de [u8]);

/// Something is odd.
#[derive(Debug)]
struct Odd;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that is left to Candid")
    }
}

impl std::error::Error for Odd {}

impl de::Error for Odd {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Values<'de> {
    fn bytes(&mut self, length: usize) -> Result<&'de [u8], Odd> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Odd)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Odd> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Odd)?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// A number in LEB128 of at most 18 bytes.
    fn leb128(&mut self) -> Result<u128, Odd> {
        let mut number = 0;
        for shift in (0..126).step_by(7) {
            let [byte] = self.array()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Odd)
    }

    fn length(&mut self) -> Result<usize, Odd> {
        usize::try_from(self.leb128()?).map_err(|_| Odd)
    }
}

impl<'de> Deserializer<'de> for &mut Values<'de> {
    type Error = Odd;

    fn is_human_readable(&self) -> bool {
        false
    }

    /// Of all types that are decoded here, only [`candid::Nat`] asks for this.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let number = u64::try_from(self.leb128()?).map_err(|_| Odd)?;
        visitor.visit_u64(number)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        visitor.visit_u128(self.leb128()?)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let [byte] = self.array()?;
        visitor.visit_u8(byte)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        visitor.visit_u32(u32::from_le_bytes(self.array()?))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        visitor.visit_u64(u64::from_le_bytes(self.array()?))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let length = self.length()?;
        let text = str::from_utf8(self.bytes(length)?).map_err(|_| Odd)?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let length = self.length()?;
        visitor.visit_borrowed_bytes(self.bytes(length)?)
    }

    /// Only [`candid::Principal`] asks for this; a byte in front says that it is not hidden.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self.array()? {
            [1] => self.deserialize_byte_buf(visitor),
            _ => Err(Odd),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self.array()? {
            [0] => visitor.visit_none(),
            [1] => visitor.visit_some(self),
            _ => Err(Odd),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Odd> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let left = self.length()?;
        visitor.visit_seq(Items { values: self, left })
    }

    /// A subaccount.
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Odd> {
        // A tuple of Candid is a record, without a length in front; of this length only subaccounts are.
        let left = self.length()?;
        match left == length && length == SUBACCOUNT_BYTES {
            true => visitor.visit_seq(Items { values: self, left }),
            false => Err(Odd),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        visitor.visit_map(Fields {
            values: self,
            names: by_hash(fields).into_iter(),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        cases: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        let index = self.length()?;
        let name = *by_hash(cases).get(index).ok_or(Odd)?;
        visitor.visit_enum(Case { values: self, name })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Odd> {
        // Names are not in the values: `Fields` and `Case` give them.
        Err(Odd)
    }

    odd! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u16 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_unit deserialize_map deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: V,
    ) -> Result<V::Value, Odd> {
        Err(Odd)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Odd> {
        Err(Odd)
    }
}

/// Names in the order in which Candid has them.
fn by_hash(names: &'static [&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    names.sort_by_cached_key(|name| idl_hash(name));
    names
}

/// Values one behind the other.
struct Items<'a, 'de> {
    values: &'a mut Values<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Odd;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Odd> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.values).map(Some)
    }
}

/// A record.
struct Fields<'a, 'de> {
    values: &'a mut Values<'de>,
    names: vec::IntoIter<&'static str>,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Odd;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Odd> {
        let name = self.names.next();
        name.map(|name| seed.deserialize(name.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Odd> {
        seed.deserialize(&mut *self.values)
    }
}

/// A variant.
struct Case<'a, 'de> {
    values: &'a mut Values<'de>,
    name: &'static str,
}

impl<'de> EnumAccess<'de> for Case<'_, 'de> {
    type Error = Odd;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Odd> {
        let name: StrDeserializer<'_, Odd> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Case<'_, 'de> {
    type Error = Odd;

    fn unit_variant(self) -> Result<(), Odd> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Odd> {
        seed.deserialize(self.values)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Odd> {
        Err(Odd)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        self.values.deserialize_struct(self.name, fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use candid::{CandidType, Nat, Principal, encode_one};
    use icrc_ledger_types::icrc2::allowance::Allowance;
    use icrc_ledger_types::icrc2::transfer_from::TransferFromError;
    use perun_canister_api::{
        Account, Asset, ChannelRequest, Claim, ConcludeRequest, DepositRequest, DepositSource,
        DisputeRequest, EventsRequest, WithdrawRequest,
    };
    use serde_bytes::ByteBuf;

    use super::*;

    /// Where the values begin: behind what messages of one type share, which has the same length for
    /// all.
    fn check<T>(value: T)
    where
        T: CandidType + for<'a> Deserialize<'a> + fmt::Debug + PartialEq,
    {
        let message = encode_one(&value).expect("it encodes");
        let mut values = candid::ser::ValueSerializer::new();
        value.idl_serialize(&mut values).expect("it encodes");
        let values = values.get_result();
        assert!(message.ends_with(values));
        assert_eq!(decode::<T>(values).as_ref(), Some(&value));
        for length in 0..values.len() {
            assert_eq!(
                decode::<T>(&values[..length]),
                None,
                "{length} bytes of {value:?}"
            );
        }
        assert_eq!(
            decode::<T>(&[values, &[0]].concat()),
            None,
            "{value:?} and a byte"
        );
    }

    #[test]
    fn requests_and_answers_decode_as_they_are_encoded() {
        let ledger = Principal::from_slice(&[1, 2, 3]);
        let blob = |length| ByteBuf::from(vec![7; length]);
        let deposit = |source| DepositRequest {
            params: blob(200),
            part: 3,
            asset: Asset::Icrc(ledger),
            source,
        };
        check(deposit(DepositSource::DepositAccount));
        for expected_holding in [None, Some(0), Some(1 << 100)] {
            check(deposit(DepositSource::Approval {
                from_subaccount: expected_holding.map(|_| [9; 32]),
                amount: 300,
                expected_holding,
            }));
        }
        let claims = [
            Claim::State(blob(400)),
            Claim::Refund {
                channel: blob(32),
                part: 1,
                signature: blob(64),
            },
        ];
        claims
            .into_iter()
            .for_each(|claim| check(DisputeRequest { claim }));
        for final_state in [None, Some(blob(0))] {
            check(ConcludeRequest {
                channel: blob(32),
                final_state,
            });
        }
        check(ChannelRequest { channel: blob(32) });
        check(EventsRequest {
            channel: None,
            start: u64::MAX,
            length: 100,
        });
        for subaccount in [None, Some([5; 32])] {
            check(WithdrawRequest {
                channel: blob(32),
                asset: Asset::Icrc(ledger),
                part: 0,
                receiver: Account {
                    owner: ledger,
                    subaccount,
                },
                signature: blob(64),
            });
        }
        let number = Nat::from(u64::MAX);
        check(Allowance {
            allowance: number.clone(),
            expires_at: Some(1),
        });
        check(Ok::<_, TransferFromError>(number.clone()));
        let errors = [
            TransferFromError::TooOld,
            TransferFromError::BadFee {
                expected_fee: number.clone(),
            },
            TransferFromError::GenericError {
                error_code: number,
                message: "so it is".into(),
            },
        ];
        errors
            .into_iter()
            .for_each(|error| check(Err::<Nat, _>(error)));
    }

    #[test]
    fn what_is_odd_is_left_to_candid() {
        assert_eq!(decode::<Nat>(&[0x80; 40]), None);
        assert_eq!(decode::<u128>(&[0xff; 19]), None);
        assert_eq!(decode::<Option<u8>>(&[2, 0]), None);
        assert_eq!(decode::<String>(&[1, 0xff]), None);
        assert_eq!(decode::<Principal>(&[0]), None);
        assert_eq!(decode::<[u8; 2]>(&[1, 7]), None);
        assert_eq!(decode::<Claim>(&[2]), None);
        assert_eq!(decode::<Vec<u8>>(&[0xff, 0xff, 0xff, 0xff, 0x0f]), None);
    }
}
