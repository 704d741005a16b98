//! A message of other types than the expected ones, made one of the expected types, as the subtyping of
//! Candid has it. So every client is understood that follows the interface, an older and a newer one as
//! well.
//!
//! | expected | found |
//! |---|---|
//! | `opt` | the same; none from `null` and `reserved`; some from any other type that fits, none from one that does not |
//! | `vec` | `vec` |
//! | `record` | `record`: fields that are not expected are skipped; `opt` and `null` may be missing |
//! | `variant` | `variant`, if the case is an expected one |
//! | `principal` | `principal`, `service` |
//! | any other | the same; no message that is decoded here has `int`, `reserved`, `func` or `service` |
//!
//! As in Candid's own decoder, that a type does not fit counts where a value of it is met.

use std::fmt;

use super::bytes::Bytes;
use super::types::{Entry, Primitive, Shape, Type, Types};

/// Values that nest deeper are refused.
const MAX_DEPTH: u32 = 32;
/// A message may take so many steps…
const STEPS: usize = 1_000;
/// … and so many for each byte of its values. A value is a step, and those that take no byte are many
/// for one byte.
const STEPS_PER_BYTE: usize = 4;

/// Why a message is not understood.
#[derive(Clone, Copy, Debug)]
pub enum Refused {
    /// The message itself is damaged, or exceeds a bound.
    Malformed(&'static str),
    /// A type does not fit where it was found.
    Mismatch {
        expected: &'static str,
        found: &'static str,
        /// The hash of the innermost field's or case's name.
        at: Option<u32>,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => f.write_str(reason),
            Self::Mismatch {
                expected,
                found,
                at,
            } => {
                write!(f, "expected {expected}, found {found}")?;
                match at {
                    Some(hash) => write!(f, " (the name's hash is {hash})"),
                    None => Ok(()),
                }
            }
        }
    }
}

const ENDS: Refused =
    Refused::Malformed("its values are cut off, or a length in them is too large");

/// The value of a message's first argument, encoded as one of the type that the table `expected` begins
/// with.
pub fn coerce(message: &[u8], expected: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut values = Bytes(message);
    let found = Types::read(&mut values).map_err(Refused::Malformed)?;
    let expected = Types::read(&mut Bytes(expected)).map_err(Refused::Malformed)?;
    let mut coercion = Coercion {
        found: &found,
        expected: &expected,
        steps: STEPS + STEPS_PER_BYTE * values.0.len(),
        coerced: Vec::with_capacity(values.0.len()),
        values,
    };
    let mut arguments = found.arguments.iter();
    for wanted in &expected.arguments {
        match arguments.next() {
            Some(argument) => coercion.value(*argument, *wanted, 0)?,
            None => coercion.nothing(*wanted, 0)?,
        }
    }
    for argument in arguments {
        coercion.skip(*argument, 0)?;
    }
    match coercion.values.0 {
        [] => Ok(coercion.coerced),
        _ => Err(Refused::Malformed("bytes stand behind its values")),
    }
}

struct Coercion<'a> {
    found: &'a Types,
    expected: &'a Types,
    values: Bytes<'a>,
    coerced: Vec<u8>,
    steps: usize,
}

impl<'a> Coercion<'a> {
    fn step(&mut self, depth: u32) -> Result<(), Refused> {
        if depth > MAX_DEPTH {
            return Err(Refused::Malformed("its values nest too deeply"));
        }
        let left = self.steps.checked_sub(1);
        self.steps = left.ok_or(Refused::Malformed("it takes too much work"))?;
        Ok(())
    }

    fn mismatch(&self, found: &'static str, expected: Type) -> Refused {
        let expected = self.expected.name(expected);
        Refused::Mismatch {
            expected,
            found,
            at: None,
        }
    }

    /// Reads a value of the type `found` and writes it as one of the type `expected`.
    fn value(&mut self, found: Type, expected: Type, depth: u32) -> Result<(), Refused> {
        self.step(depth)?;
        let mismatch = self.mismatch(self.found.name(found), expected);
        let inside = depth + 1;
        match (self.expected.shape(expected), self.found.shape(found)) {
            (Shape::Primitive(wanted), Shape::Primitive(primitive)) if wanted == primitive => {
                self.copy(found, inside)
            }
            (Shape::Primitive(Primitive::Principal), Shape::Entry(Entry::Service)) => {
                self.copy(found, inside)
            }
            (Shape::Entry(Entry::Opt(wanted)), shape) => match shape {
                Shape::Primitive(Primitive::Null | Primitive::Reserved) => {
                    self.coerced.push(0);
                    Ok(())
                }
                Shape::Entry(Entry::Opt(inner)) => match self.flag()? {
                    false => {
                        self.coerced.push(0);
                        Ok(())
                    }
                    true => self.some(*inner, *wanted, inside),
                },
                _ => self.some(found, *wanted, inside),
            },
            (Shape::Entry(Entry::Vec(wanted)), Shape::Entry(Entry::Vec(item))) => {
                const BYTE: Type = Type::Primitive(Primitive::NAT8);
                match (*wanted == BYTE, *item == BYTE) {
                    (true, true) => self.copy(found, inside),
                    // Not even an empty one.
                    (true, false) => Err(mismatch),
                    (false, _) => {
                        let length = self.values.length().ok_or(ENDS)?;
                        self.write_length(length);
                        (0..length).try_for_each(|_| self.value(*item, *wanted, inside))
                    }
                }
            }
            (Shape::Entry(Entry::Record(wanted)), Shape::Entry(Entry::Record(fields))) => {
                self.record(fields, wanted, inside)
            }
            (Shape::Entry(Entry::Variant(wanted)), Shape::Entry(Entry::Variant(cases))) => {
                let (hash, found) = self.case(cases)?;
                let place = wanted.binary_search_by_key(&hash, |(hash, _)| *hash);
                let place = place.map_err(|_| Refused::Mismatch {
                    expected: "another case",
                    found: "one that there is not",
                    at: Some(hash),
                })?;
                self.write_length(place);
                self.value(found, wanted[place].1, inside)
                    .map_err(|refused| refused.at(hash))
            }
            _ => Err(mismatch),
        }
    }

    fn record(
        &mut self,
        found: &[(u32, Type)],
        expected: &[(u32, Type)],
        depth: u32,
    ) -> Result<(), Refused> {
        let mut found = found.iter().peekable();
        for (hash, wanted) in expected {
            while let Some((_, unknown)) = found.next_if(|(found, _)| found < hash) {
                self.skip(*unknown, depth)?;
            }
            let coerced = match found.next_if(|(found, _)| found == hash) {
                Some((_, field)) => self.value(*field, *wanted, depth),
                None => self.nothing(*wanted, depth),
            };
            coerced.map_err(|refused| refused.at(*hash))?;
        }
        for (_, unknown) in found {
            self.skip(*unknown, depth)?;
        }
        Ok(())
    }

    /// What is there for a value that is not.
    fn nothing(&mut self, expected: Type, depth: u32) -> Result<(), Refused> {
        let coerced = self.value(Type::Primitive(Primitive::Null), expected, depth);
        coerced.map_err(|refused| match refused {
            Refused::Mismatch { .. } => self.mismatch("nothing", expected),
            Refused::Malformed(_) => refused,
        })
    }

    /// A value that is there, or none if its type does not fit.
    fn some(&mut self, found: Type, expected: Type, depth: u32) -> Result<(), Refused> {
        let (values, length) = (self.values, self.coerced.len());
        self.coerced.push(1);
        match self.value(found, expected, depth) {
            Err(Refused::Mismatch { .. }) => {
                self.values = values;
                self.coerced.truncate(length);
                self.coerced.push(0);
                self.skip(found, depth)
            }
            coerced => coerced,
        }
    }

    /// Reads a value and writes it as it is.
    fn copy(&mut self, found: Type, depth: u32) -> Result<(), Refused> {
        let before = self.values.0;
        self.skip(found, depth)?;
        let length = before.len() - self.values.0.len();
        self.coerced.extend(&before[..length]);
        Ok(())
    }

    /// Reads a value.
    fn skip(&mut self, found: Type, depth: u32) -> Result<(), Refused> {
        self.step(depth)?;
        let inside = depth + 1;
        match self.found.shape(found) {
            Shape::Primitive(primitive) => self.skip_primitive(primitive),
            Shape::Entry(entry) => match entry {
                Entry::Opt(inner) => match self.flag()? {
                    true => self.skip(*inner, inside),
                    false => Ok(()),
                },
                Entry::Vec(Type::Primitive(Primitive::Fixed { width, .. })) => {
                    let length = self.values.length().ok_or(ENDS)?;
                    self.take(length.checked_mul(*width).ok_or(ENDS)?).map(drop)
                }
                Entry::Vec(item) => {
                    let length = self.values.length().ok_or(ENDS)?;
                    (0..length).try_for_each(|_| self.skip(*item, inside))
                }
                Entry::Record(fields) => fields
                    .iter()
                    .try_for_each(|(_, field)| self.skip(*field, inside)),
                Entry::Variant(cases) => {
                    let (_, found) = self.case(cases)?;
                    self.skip(found, inside)
                }
                Entry::Service => self.skip_principal(),
                Entry::Func => {
                    if !self.flag()? {
                        return Err(OPAQUE);
                    }
                    self.skip_principal()?;
                    self.values.blob().map(drop).ok_or(ENDS)
                }
                Entry::Future => {
                    let length = self.values.length().ok_or(ENDS)?;
                    self.values.length().ok_or(ENDS)?;
                    self.take(length).map(drop)
                }
            },
        }
    }

    fn skip_primitive(&mut self, primitive: Primitive) -> Result<(), Refused> {
        match primitive {
            Primitive::Null | Primitive::Reserved => Ok(()),
            Primitive::Bool => self.flag().map(drop),
            Primitive::Nat | Primitive::Int => self.values.number().map(drop).ok_or(ENDS),
            Primitive::Fixed { width, .. } => self.take(width).map(drop),
            Primitive::Text => {
                let bytes = self.values.blob().ok_or(ENDS)?;
                match str::from_utf8(bytes) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(Refused::Malformed("a text is no UTF-8")),
                }
            }
            Primitive::Empty => Err(Refused::Malformed("there is a value of the type empty")),
            Primitive::Principal => self.skip_principal(),
        }
    }

    fn skip_principal(&mut self) -> Result<(), Refused> {
        const MAX_BYTES: usize = 29;
        if !self.flag()? {
            return Err(OPAQUE);
        }
        match self.values.blob().ok_or(ENDS)?.len() {
            ..=MAX_BYTES => Ok(()),
            _ => Err(Refused::Malformed("a principal is longer than 29 bytes")),
        }
    }

    /// Reads which case it is: the hash of its name, and its type.
    fn case(&mut self, cases: &'a [(u32, Type)]) -> Result<(u32, Type), Refused> {
        let case = self.values.leb128().ok_or(ENDS)?;
        let case = usize::try_from(case).ok().and_then(|case| cases.get(case));
        let none = Refused::Malformed("a variant is of a case that its type has not");
        case.copied().ok_or(none)
    }

    fn flag(&mut self) -> Result<bool, Refused> {
        match self.values.byte().ok_or(ENDS)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Refused::Malformed("a byte is neither 0 nor 1")),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        self.values.take(length).ok_or(ENDS)
    }

    fn write_length(&mut self, length: usize) {
        super::writer::leb128(&mut self.coerced, length as u128);
    }
}

const OPAQUE: Refused = Refused::Malformed("a reference is opaque");

impl Refused {
    /// The same, in the field or case with a name of this hash.
    fn at(self, hash: u32) -> Self {
        match self {
            Self::Mismatch {
                expected,
                found,
                at,
            } => Self::Mismatch {
                expected,
                found,
                at: at.or(Some(hash)),
            },
            Self::Malformed(_) => self,
        }
    }
}
