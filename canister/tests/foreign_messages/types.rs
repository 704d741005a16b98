//! Types of messages, changed as those of another client might be, and values of them.

use candid::types::{Type, TypeInner};

/// Decides: zero is always what is expected.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }
}

/// A type, written out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ty {
    Null,
    Bool,
    Nat,
    Int,
    /// Opcode and width of a number.
    Fixed(u8, usize),
    Text,
    Reserved,
    Empty,
    Principal,
    Opt(Box<Ty>),
    Vec(Box<Ty>),
    Record(Vec<(u32, Ty)>),
    Variant(Vec<(u32, Ty)>),
    Func,
    Service,
    Future,
}

pub const NAT8: Ty = Ty::Fixed(0x7b, 1);

impl Ty {
    /// The same type as Candid's crate has it.
    pub fn of(ty: &Type) -> Self {
        let fields = |fields: &[candid::types::Field]| {
            let fields = fields.iter();
            fields
                .map(|field| (field.id.get_id(), Self::of(&field.ty)))
                .collect()
        };
        match ty.as_ref() {
            TypeInner::Null => Self::Null,
            TypeInner::Nat => Self::Nat,
            TypeInner::Nat8 => NAT8,
            TypeInner::Nat16 => Self::Fixed(0x7a, 2),
            TypeInner::Nat32 => Self::Fixed(0x79, 4),
            TypeInner::Nat64 => Self::Fixed(0x78, 8),
            TypeInner::Int16 => Self::Fixed(0x76, 2),
            TypeInner::Text => Self::Text,
            TypeInner::Principal => Self::Principal,
            TypeInner::Opt(inner) => Self::Opt(Self::of(inner).into()),
            TypeInner::Vec(item) => Self::Vec(Self::of(item).into()),
            TypeInner::Record(all) => Self::Record(fields(all)),
            TypeInner::Variant(all) => Self::Variant(fields(all)),
            other => unreachable!("no message that is decoded has {other:?}"),
        }
    }

    /// Another type, or the same.
    pub fn changed(&self, choices: &mut Choices<'_>) -> Self {
        if choices.once_in(16) {
            return match choices.below(4) {
                0 => Self::Opt(self.changed(choices).into()),
                1 => match self {
                    Self::Opt(inner) => inner.changed(choices),
                    _ => Self::Opt(Self::Opt(self.clone().into()).into()),
                },
                2 => Self::Reserved,
                _ => Self::any(choices, 3),
            };
        }
        match self {
            Self::Opt(inner) => Self::Opt(inner.changed(choices).into()),
            Self::Vec(item) => Self::Vec(item.changed(choices).into()),
            Self::Record(fields) => Self::Record(changed(fields, choices)),
            Self::Variant(cases) => Self::Variant(changed(cases, choices)),
            Self::Principal if choices.once_in(16) => Self::Service,
            _ => self.clone(),
        }
    }

    fn any(choices: &mut Choices<'_>, depth: u8) -> Self {
        let inner = |choices: &mut Choices<'_>| Self::any(choices, depth - 1);
        match choices.below(if depth == 0 { 14 } else { 18 }) {
            0 => Self::Null,
            1 => Self::Bool,
            2 => Self::Nat,
            3 => Self::Int,
            4 => NAT8,
            5 => Self::Fixed(0x76, 2),
            6 => Self::Fixed(0x72, 8),
            7 => Self::Text,
            8 => Self::Reserved,
            9 => Self::Empty,
            10 => Self::Principal,
            11 => Self::Func,
            12 => Self::Service,
            13 => Self::Future,
            14 => Self::Opt(inner(choices).into()),
            15 => Self::Vec(inner(choices).into()),
            16 => Self::Record(changed(
                &[(1, inner(choices)), (9, inner(choices))],
                choices,
            )),
            _ => Self::Variant(changed(
                &[(1, inner(choices)), (9, inner(choices))],
                choices,
            )),
        }
    }
}

fn changed(fields: &[(u32, Ty)], choices: &mut Choices<'_>) -> Vec<(u32, Ty)> {
    let mut changed: Vec<_> = fields.to_vec();
    for (_, field) in &mut changed {
        *field = field.changed(choices);
    }
    if choices.once_in(8) && !changed.is_empty() {
        changed.remove(choices.below(changed.len()));
    }
    if choices.once_in(4) {
        let hash = u32::from_le_bytes([(); 4].map(|()| choices.byte()));
        changed.push((hash, Ty::any(choices, 2)));
    }
    changed.sort_by_key(|(hash, _)| *hash);
    changed.dedup_by_key(|(hash, _)| *hash);
    changed
}
