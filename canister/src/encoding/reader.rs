//! Reads values of exactly the expected types.
//!
//! Candid sorts the fields of records and the cases of variants by the hash of their names; otherwise
//! values stand in the order of the type, one behind the other.

use std::fmt;

use candid::idl_hash;
use serde::Deserialize;
use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::bytes::{Bytes, unsigned};

/// The only arrays that there are; of this length there are no tuples.
const SUBACCOUNT_BYTES: usize = 32;

/// Reads one value that takes all bytes, `None` if there is none.
pub fn read<T: for<'a> Deserialize<'a>>(values: &[u8]) -> Option<T> {
    let mut values = Values(Bytes(values));
    let value = T::deserialize(&mut values).ok()?;
    values.0.0.is_empty().then_some(value)
}

/// Types that no request and no answer has.
macro_rules! odd {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Odd> {
            Err(Odd)
        }
    )*};
}

/// Numbers of a fixed width.
macro_rules! fixed {
    ($($method:ident $visit:ident $number:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
            visitor.$visit(<$number>::from_le_bytes(self.0.array().ok_or(Odd)?))
        }
    )*};
}

/// The values that are still to be read.
struct Values<'de>(Bytes<'de>);

/// The values are not what is expected.
#[derive(Debug)]
struct Odd;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values of other types")
    }
}

impl std::error::Error for Odd {}

impl de::Error for Odd {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }

    // The same without a sentence that nobody reads.
    fn invalid_length(_: usize, _: &dyn de::Expected) -> Self {
        Self
    }

    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self
    }

    fn invalid_value(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn missing_field(_: &'static str) -> Self {
        Self
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self
    }
}

impl<'de> Values<'de> {
    fn length(&mut self) -> Result<usize, Odd> {
        self.0.length().ok_or(Odd)
    }

    fn blob(&mut self) -> Result<&'de [u8], Odd> {
        self.0.blob().ok_or(Odd)
    }

    fn flag(&mut self) -> Result<bool, Odd> {
        match self.0.byte() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(Odd),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Values<'de> {
    type Error = Odd;

    fn is_human_readable(&self) -> bool {
        false
    }

    /// Of all types that are read here, only [`candid::Nat`] asks for this.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let bytes = self.0.number().ok_or(Odd)?;
        match unsigned(bytes).and_then(|number| u64::try_from(number).ok()) {
            Some(number) => visitor.visit_u64(number),
            None => visitor.visit_byte_buf(large(bytes)),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let bytes = self.0.number().ok_or(Odd)?;
        visitor.visit_u128(unsigned(bytes).ok_or(Odd)?)
    }

    fixed! {
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_i16 visit_i16 i16
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        let text = str::from_utf8(self.blob()?).map_err(|_| Odd)?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        visitor.visit_borrowed_bytes(self.blob()?)
    }

    /// Only [`candid::Principal`] asks for this; a byte in front says that it is not hidden.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self.flag()? {
            true => self.deserialize_byte_buf(visitor),
            false => Err(Odd),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Odd> {
        match self.flag()? {
            false => visitor.visit_none(),
            true => visitor.visit_some(self),
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

    /// A subaccount, which has its length in front, or a tuple, which is a record.
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Odd> {
        if length == SUBACCOUNT_BYTES && self.length()? != length {
            return Err(Odd);
        }
        visitor.visit_seq(Items {
            values: self,
            left: length,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        let places = by_hash(fields);
        visitor.visit_map(Fields {
            values: self,
            places: &places,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        cases: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Odd> {
        let index = self.length()?;
        let (_, place) = *by_hash(cases).get(index).ok_or(Odd)?;
        visitor.visit_enum(Case {
            values: self,
            place,
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Odd> {
        // Names are not in the values: `Fields` and `Case` give them.
        Err(Odd)
    }

    odd! {
        deserialize_bool deserialize_i8 deserialize_i32 deserialize_i64
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str
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

/// A number of more than 64 bits, as [`candid::Nat`] takes it: behind a mark, the lowest byte first.
fn large(leb128: &[u8]) -> Vec<u8> {
    const MARK: u8 = 1;
    let mut bytes = vec![MARK];
    let (mut number, mut bits) = (0_u16, 0);
    for byte in leb128 {
        number |= u16::from(byte & 0x7f) << bits;
        bits += 7;
        if bits >= 8 {
            bytes.push(number as u8);
            number >>= 8;
            bits -= 8;
        }
    }
    bytes.push(number as u8);
    bytes
}

/// The places of names, in the order in which Candid has them.
fn by_hash(names: &[&str]) -> Vec<(u32, u32)> {
    let places = names.iter().zip(0..);
    let mut places: Vec<_> = places
        .map(|(name, place)| (idl_hash(name), place))
        .collect();
    places.sort_unstable();
    places
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
    places: &'a [(u32, u32)],
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Odd;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Odd> {
        let Some(((_, place), rest)) = self.places.split_first() else {
            return Ok(None);
        };
        self.places = rest;
        seed.deserialize(by_place(*place)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Odd> {
        seed.deserialize(&mut *self.values)
    }
}

/// A name by its place among those of its record or variant.
fn by_place(place: u32) -> U32Deserializer<Odd> {
    place.into_deserializer()
}

/// A variant.
struct Case<'a, 'de> {
    values: &'a mut Values<'de>,
    place: u32,
}

impl<'de> EnumAccess<'de> for Case<'_, 'de> {
    type Error = Odd;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Odd> {
        Ok((seed.deserialize(by_place(self.place))?, self))
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
        self.values.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests;
