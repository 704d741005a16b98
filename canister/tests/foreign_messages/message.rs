//! Messages of any types, as bytes.

use crate::types::{Choices, NAT8, Ty};

/// A message with arguments of these types and any values.
pub fn message(arguments: &[Ty], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut table = Table::default();
    let references: Vec<_> = arguments.iter().map(|ty| table.reference(ty)).collect();
    let mut bytes = b"DIDL".to_vec();
    leb128(&mut bytes, table.0.len() as u128, 0);
    bytes.extend(table.0.concat());
    leb128(&mut bytes, references.len() as u128, 0);
    bytes.extend(references.concat());
    for ty in arguments {
        value(&mut bytes, ty, choices);
    }
    bytes
}

/// The entries of a table.
#[derive(Default)]
struct Table(Vec<Vec<u8>>);

impl Table {
    /// How a type is named where it is used.
    fn reference(&mut self, ty: &Ty) -> Vec<u8> {
        let entry = match ty {
            Ty::Null => return vec![0x7f],
            Ty::Bool => return vec![0x7e],
            Ty::Nat => return vec![0x7d],
            Ty::Int => return vec![0x7c],
            Ty::Fixed(opcode, _) => return vec![*opcode],
            Ty::Text => return vec![0x71],
            Ty::Reserved => return vec![0x70],
            Ty::Empty => return vec![0x6f],
            Ty::Principal => return vec![0x68],
            Ty::Opt(inner) => [vec![0x6e], self.reference(inner)].concat(),
            Ty::Vec(item) => [vec![0x6d], self.reference(item)].concat(),
            Ty::Record(fields) => self.fields(0x6c, fields),
            Ty::Variant(cases) => self.fields(0x6b, cases),
            Ty::Func => vec![0x6a, 1, 0x71, 0, 1, 1],
            Ty::Service => {
                let func = self.reference(&Ty::Func);
                [vec![0x69, 1, 1, b'm'], func].concat()
            }
            Ty::Future => vec![0x60, 2, 7, 7],
        };
        self.0.push(entry);
        let mut reference = Vec::new();
        signed_leb128(&mut reference, self.0.len() as i64 - 1);
        reference
    }

    fn fields(&mut self, opcode: u8, fields: &[(u32, Ty)]) -> Vec<u8> {
        let mut entry = vec![opcode];
        leb128(&mut entry, fields.len() as u128, 0);
        for (hash, ty) in fields {
            leb128(&mut entry, (*hash).into(), 0);
            let reference = self.reference(ty);
            entry.extend(reference);
        }
        entry
    }
}

fn value(bytes: &mut Vec<u8>, ty: &Ty, choices: &mut Choices<'_>) {
    match ty {
        Ty::Null | Ty::Reserved | Ty::Empty => (),
        Ty::Bool => bytes.push(choices.byte() & 1),
        Ty::Nat | Ty::Int => {
            let number = u128::from(choices.byte()) << choices.below(121);
            leb128(bytes, number, if choices.once_in(8) { 3 } else { 0 });
            if choices.once_in(32) {
                // More than 128 bits.
                *bytes.last_mut().unwrap() |= 0x80;
                bytes.extend([0xff; 20]);
                bytes.push(1);
            }
        }
        Ty::Fixed(_, width) => bytes.extend((0..*width).map(|_| choices.byte())),
        Ty::Text => {
            let texts: [&[u8]; 4] = [b"", b"GET", "ä→".as_bytes(), b"\xff"];
            let text = texts[if choices.once_in(32) {
                3
            } else {
                choices.below(3)
            }];
            leb128(bytes, text.len() as u128, 0);
            bytes.extend(text);
        }
        Ty::Principal => principal(bytes, choices),
        Ty::Opt(inner) => match choices.once_in(4) {
            true => bytes.push(0),
            false => {
                bytes.push(1);
                value(bytes, inner, choices);
            }
        },
        Ty::Vec(item) if **item == NAT8 => {
            let length = [32, 0, 1, 31][choices.below(4)];
            leb128(bytes, length, if choices.once_in(8) { 2 } else { 0 });
            bytes.extend((0..length).map(|_| choices.byte()));
        }
        Ty::Vec(item) => {
            // Where a blob is expected, Candid's decoder judges an empty vector of something else by
            // the Rust type, ours by its Candid type.
            let length = 1 + choices.below(3);
            leb128(bytes, length as u128, 0);
            (0..length).for_each(|_| value(bytes, item, choices));
        }
        Ty::Record(fields) => fields.iter().for_each(|(_, ty)| value(bytes, ty, choices)),
        Ty::Variant(cases) => {
            let case = choices.below(cases.len() + usize::from(cases.is_empty()));
            leb128(bytes, case as u128, 0);
            if let Some((_, ty)) = cases.get(case) {
                value(bytes, ty, choices);
            }
        }
        Ty::Func => {
            bytes.push(1);
            principal(bytes, choices);
            bytes.extend([1, b'm']);
        }
        Ty::Service => principal(bytes, choices),
        Ty::Future => bytes.extend([2, 0, 7, 7]),
    }
}

fn principal(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let length = match choices.once_in(64) {
        true => 30,
        false => [10, 0, 29][choices.below(3)],
    };
    bytes.extend([1, length]);
    bytes.extend((0..length).map(|_| choices.byte()));
}

/// A number, with so many zeros in front.
fn leb128(bytes: &mut Vec<u8>, mut number: u128, zeros: usize) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8 | if zeros > 0 { 0x80 } else { 0 });
    bytes.extend((0..zeros).map(|left| if left + 1 == zeros { 0 } else { 0x80 }));
}

fn signed_leb128(bytes: &mut Vec<u8>, mut number: i64) {
    while number > 0x3f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
