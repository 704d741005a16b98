//! The types that a message begins with: a table, and the types of its arguments.
//!
//! ```text
//! DIDL  count  entry…  count  type…
//!              \ opt, vec, record, variant, func, service
//! ```

use super::bytes::Bytes;

/// The types of a longer table are not read.
const MAX_BYTES: usize = 8 * 1024;

/// Types of one message.
pub struct Types {
    table: Vec<Entry>,
    /// Those of the arguments.
    pub arguments: Vec<Type>,
}

/// A type: one of Candid's own, or an entry of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Type {
    Primitive(Primitive),
    Entry(usize),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Primitive {
    Null,
    Bool,
    Nat,
    Int,
    /// A number of so many bytes; two are the same type if their place is, that in [`PRIMITIVES`].
    Fixed {
        place: u8,
        width: usize,
    },
    Text,
    Reserved,
    Empty,
    Principal,
}

/// Fields or cases: the hash of a name, growing, and its type.
type Fields = Vec<(u32, Type)>;

pub enum Entry {
    Opt(Type),
    Vec(Type),
    Record(Fields),
    Variant(Fields),
    Func,
    Service,
    Future,
}

/// What a type is.
#[derive(Clone, Copy)]
pub enum Shape<'a> {
    Primitive(Primitive),
    Entry(&'a Entry),
}

/// What is wrong with a table.
type Wrong = &'static str;

const ENDS: Wrong = "its types are cut off, or a number in them is too large";

impl Types {
    /// Reads the types at the beginning of a message, and leaves what is behind them.
    pub fn read(message: &mut Bytes<'_>) -> Result<Self, Wrong> {
        let mut bytes = Bytes(&message.0[..message.0.len().min(MAX_BYTES)]);
        let types = Self::parse(&mut bytes).map_err(|wrong| match message.0.len() > MAX_BYTES {
            true if wrong == ENDS => "its types take more than 8 KiB",
            _ => wrong,
        })?;
        let read = message.0.len().min(MAX_BYTES) - bytes.0.len();
        message.take(read);
        Ok(types)
    }

    fn parse(bytes: &mut Bytes<'_>) -> Result<Self, Wrong> {
        if bytes.take(4) != Some(b"DIDL") {
            return Err("it does not begin with DIDL");
        }
        let length = bytes.leb128().ok_or(ENDS)?;
        let mut methods = Vec::new();
        let mut table = Vec::new();
        for _ in 0..length {
            table.push(entry(bytes, length, &mut methods)?);
        }
        let is_func = |method: &Type| matches!(method, Type::Entry(index) if matches!(table.get(*index), Some(Entry::Func)));
        if !methods.iter().all(is_func) {
            return Err("a method of a service is no function");
        }
        let arguments = list(bytes, length)?;
        Ok(Self { table, arguments })
    }

    pub fn shape(&self, of: Type) -> Shape<'_> {
        match of {
            Type::Primitive(primitive) => Shape::Primitive(primitive),
            Type::Entry(index) => Shape::Entry(&self.table[index]),
        }
    }

    /// What a type is called.
    pub fn name(&self, of: Type) -> &'static str {
        match self.shape(of) {
            Shape::Primitive(primitive) => primitive.name(),
            Shape::Entry(Entry::Opt(_)) => "opt",
            Shape::Entry(Entry::Vec(_)) => "vec",
            Shape::Entry(Entry::Record(_)) => "record",
            Shape::Entry(Entry::Variant(_)) => "variant",
            Shape::Entry(Entry::Func) => "func",
            Shape::Entry(Entry::Service) => "service",
            Shape::Entry(Entry::Future) => "a type of the future",
        }
    }
}

/// The types with opcodes -1, -2, …
const PRIMITIVES: [(&str, Primitive); 17] = [
    ("null", Primitive::Null),
    ("bool", Primitive::Bool),
    ("nat", Primitive::Nat),
    ("int", Primitive::Int),
    ("nat8", Primitive::fixed(4, 1)),
    ("nat16", Primitive::fixed(5, 2)),
    ("nat32", Primitive::fixed(6, 4)),
    ("nat64", Primitive::fixed(7, 8)),
    ("int8", Primitive::fixed(8, 1)),
    ("int16", Primitive::fixed(9, 2)),
    ("int32", Primitive::fixed(10, 4)),
    ("int64", Primitive::fixed(11, 8)),
    ("float32", Primitive::fixed(12, 4)),
    ("float64", Primitive::fixed(13, 8)),
    ("text", Primitive::Text),
    ("reserved", Primitive::Reserved),
    ("empty", Primitive::Empty),
];
const PRINCIPAL: i64 = -24;

impl Primitive {
    pub const NAT8: Self = Self::fixed(4, 1);

    const fn fixed(place: u8, width: usize) -> Self {
        Self::Fixed { place, width }
    }

    fn name(self) -> &'static str {
        let named = PRIMITIVES.iter().find(|(_, primitive)| *primitive == self);
        named.map_or("principal", |(name, _)| name)
    }
}

fn entry(bytes: &mut Bytes<'_>, length: u64, methods: &mut Vec<Type>) -> Result<Entry, Wrong> {
    let before = bytes.0.len();
    let opcode = bytes.signed_leb128().ok_or(ENDS)?;
    let is_short = before - bytes.0.len() == 1;
    Ok(match opcode {
        -18 if is_short => Entry::Opt(one(bytes, length)?),
        -19 if is_short => Entry::Vec(one(bytes, length)?),
        -20 if is_short => Entry::Record(fields(bytes, length)?),
        -21 if is_short => Entry::Variant(fields(bytes, length)?),
        -22 if is_short => {
            list(bytes, length)?;
            list(bytes, length)?;
            match bytes.array().ok_or(ENDS)? {
                [0] => (),
                [1] if matches!(bytes.byte().ok_or(ENDS)?, 1..=3) => (),
                _ => return Err("a function has an annotation that there is not"),
            }
            Entry::Func
        }
        -23 if is_short => {
            let mut last = None;
            for _ in 0..bytes.leb128().ok_or(ENDS)? {
                let name = bytes
                    .leb128()
                    .and_then(|length| usize::try_from(length).ok());
                let name = bytes.take(name.ok_or(ENDS)?).ok_or(ENDS)?;
                let name = str::from_utf8(name).map_err(|_| "a method's name is no UTF-8")?;
                if last.replace(name).is_some_and(|last| last >= name) {
                    return Err("methods are not in order");
                }
                methods.push(one(bytes, length)?);
            }
            Entry::Service
        }
        ..=-25 => {
            let data = bytes
                .leb128()
                .and_then(|length| usize::try_from(length).ok());
            bytes.take(data.ok_or(ENDS)?).ok_or(ENDS)?;
            Entry::Future
        }
        _ => return Err("an entry is no type that stands in a table"),
    })
}

fn fields(bytes: &mut Bytes<'_>, length: u64) -> Result<Fields, Wrong> {
    let count = bytes.leb128().ok_or(ENDS)?;
    let count = u32::try_from(count).map_err(|_| "a record has too many fields")?;
    let mut fields: Fields = Vec::new();
    for _ in 0..count {
        let hash = bytes.leb128().ok_or(ENDS)?;
        let hash = u32::try_from(hash).map_err(|_| "the hash of a name exceeds 32 bits")?;
        if fields.last().is_some_and(|(last, _)| *last >= hash) {
            return Err("fields are not in order");
        }
        fields.push((hash, one(bytes, length)?));
    }
    Ok(fields)
}

fn list(bytes: &mut Bytes<'_>, length: u64) -> Result<Vec<Type>, Wrong> {
    let count = bytes.leb128().ok_or(ENDS)?;
    let mut types = Vec::new();
    for _ in 0..count {
        types.push(one(bytes, length)?);
    }
    Ok(types)
}

fn one(bytes: &mut Bytes<'_>, length: u64) -> Result<Type, Wrong> {
    let opcode = bytes.signed_leb128().ok_or(ENDS)?;
    if let Ok(index) = u64::try_from(opcode) {
        return match index < length {
            // The table is no longer than the message.
            true => Ok(Type::Entry(index as usize)),
            false => Err("a type is not in the table"),
        };
    }
    let place = usize::try_from(-1 - opcode).unwrap_or(usize::MAX);
    match PRIMITIVES.get(place) {
        Some((_, primitive)) => Ok(Type::Primitive(*primitive)),
        None if opcode == PRINCIPAL => Ok(Type::Primitive(Primitive::Principal)),
        None => Err("there is no such type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_a_fixed_width_says_its_place() {
        for (place, (name, primitive)) in PRIMITIVES.into_iter().enumerate() {
            if let Primitive::Fixed { place: said, .. } = primitive {
                assert_eq!(usize::from(said), place, "{name}");
            }
        }
    }
}
