//! Writes values. Their types are data (`tables`), so nothing is asked of a type but its values.

use std::fmt;

use candid::types::{Compound, Serializer};
use candid::{CandidType, Int, Nat};

/// Values, one behind the other.
pub struct Writer(pub Vec<u8>);

/// What cannot be written: no message has it.
#[derive(Debug)]
pub struct Unwritable;

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a type that no message has")
    }
}

impl std::error::Error for Unwritable {}

impl serde::ser::Error for Unwritable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Writes a number in LEB128.
pub fn leb128(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Unwritable> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn number(&mut self, number: u128) -> Result<(), Unwritable> {
        leb128(&mut self.0, number);
        Ok(())
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<(), Unwritable> {
        self.number(bytes.len() as u128)?;
        self.write(bytes)
    }
}

/// Numbers of a fixed width.
macro_rules! fixed {
    ($($method:ident $number:ty)*) => {$(
        fn $method(self, number: $number) -> Result<(), Unwritable> {
            self.write(&number.to_le_bytes())
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Error = Unwritable;
    type Compound = Parts<'a>;

    fixed! {
        serialize_nat8 u8 serialize_nat16 u16 serialize_nat32 u32 serialize_nat64 u64
        serialize_int8 i8 serialize_int16 i16 serialize_int32 i32 serialize_int64 i64
        serialize_float32 f32 serialize_float64 f64
    }

    fn serialize_bool(self, bool: bool) -> Result<(), Unwritable> {
        self.write(&[bool.into()])
    }

    fn serialize_nat(self, number: &Nat) -> Result<(), Unwritable> {
        // All amounts, fees and positions are that small.
        let number = u128::try_from(&number.0).map_err(|_| Unwritable)?;
        self.number(number)
    }

    fn serialize_u128(self, number: u128) -> Result<(), Unwritable> {
        self.number(number)
    }

    fn serialize_int(self, _: &Int) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_i128(self, _: i128) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_text(self, text: &str) -> Result<(), Unwritable> {
        self.blob(text.as_bytes())
    }

    fn serialize_null(self, (): ()) -> Result<(), Unwritable> {
        Ok(())
    }

    fn serialize_empty(self) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_option<T>(self, some: Option<&T>) -> Result<(), Unwritable>
    where
        T: CandidType + ?Sized,
    {
        self.write(&[some.is_some().into()])?;
        some.map_or(Ok(()), |value| value.idl_serialize(self))
    }

    fn serialize_struct(self) -> Result<Parts<'a>, Unwritable> {
        Ok(Parts(self))
    }

    fn serialize_vec(self, length: usize) -> Result<Parts<'a>, Unwritable> {
        self.number(length as u128)?;
        Ok(Parts(self))
    }

    fn serialize_blob(self, blob: &[u8]) -> Result<(), Unwritable> {
        self.blob(blob)
    }

    fn serialize_variant(self, case: u64) -> Result<Parts<'a>, Unwritable> {
        self.number(case.into())?;
        Ok(Parts(self))
    }

    fn serialize_principal(self, principal: &[u8]) -> Result<(), Unwritable> {
        self.write(&[1])?;
        self.blob(principal)
    }

    fn serialize_function(self, _: &[u8], _: &str) -> Result<(), Unwritable> {
        Err(Unwritable)
    }
}

/// The parts of a record, vector or variant.
pub struct Parts<'a>(&'a mut Writer);

impl Compound for Parts<'_> {
    type Error = Unwritable;

    fn serialize_element<T>(&mut self, value: &T) -> Result<(), Unwritable>
    where
        T: CandidType + ?Sized,
    {
        value.idl_serialize(&mut *self.0)
    }

    fn serialize_blob(&mut self, blob: &[u8]) -> Result<(), Unwritable> {
        self.0.blob(blob)
    }

    fn try_write_raw_elements(&mut self, bytes: &[u8]) -> Result<bool, Unwritable> {
        self.0.write(bytes)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_message_has_is_not_written() {
        type Write = fn(&mut Writer) -> Result<(), Unwritable>;
        let refused: [Write; 5] = [
            |writer| writer.serialize_int(&Int::from(1)),
            |writer| writer.serialize_i128(1),
            |writer| writer.serialize_empty(),
            |writer| writer.serialize_function(&[1], "f"),
            |writer| writer.serialize_nat(&(Nat::from(u128::MAX) + Nat::from(1_u8))),
        ];
        for write in refused {
            let mut writer = Writer(Vec::new());
            assert!(write(&mut writer).is_err());
            assert!(writer.0.is_empty());
        }
    }

    #[test]
    fn a_blob_in_a_record_has_its_length_before_it() {
        let mut writer = Writer(Vec::new());
        let mut parts = writer.serialize_struct().unwrap();
        parts.serialize_blob(&[7, 8]).unwrap();
        assert_eq!(writer.0, [2, 7, 8]);
    }
}
