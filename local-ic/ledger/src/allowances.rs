//! Who may spend how much of whose money, and until when.
//!
//! An expired allowance counts as none at once; its entry is removed a little later, by
//! [`Allowances::prune`], so that the cost of a transaction does not depend on how many expire.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use crate::{
    account::AccountIdentifier,
    amount::Amount,
    memory::{self, Layout, StableMap, StableSet},
};

/// What a spender may still spend, fees included.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allowance {
    /// How much.
    pub amount: Amount,
    /// From this instant on (ns since 1970) nothing; `None` means it does not expire.
    pub expires_at_ns: Option<u64>,
}

/// All allowances. A missing one is one of zero.
pub struct Allowances {
    by_pair: StableMap<Pair, Allowance>,
    by_expiry: StableSet<[u8; 72]>,
}

/// Owner and spender, 32 bytes each.
type Pair = [u8; 64];

impl Allowances {
    /// Opens the allowances in stable memory; an empty memory has none.
    pub fn open(layout: &Layout) -> Self {
        Self {
            by_pair: StableMap::init(layout.memory(memory::ALLOWANCES)),
            by_expiry: StableSet::init(layout.memory(memory::EXPIRIES)),
        }
    }

    /// What `spender` may spend from `owner` at `now_ns`.
    pub fn allowance(
        &self,
        owner: &AccountIdentifier,
        spender: &AccountIdentifier,
        now_ns: u64,
    ) -> Allowance {
        match self.by_pair.get(&pair(owner, spender)) {
            Some(allowance) if !allowance.is_expired(now_ns) => allowance,
            _ => Allowance::default(),
        }
    }

    /// Replaces the allowance of `spender` from `owner`.
    pub fn set(
        &mut self,
        owner: &AccountIdentifier,
        spender: &AccountIdentifier,
        allowance: Allowance,
    ) {
        let pair = pair(owner, spender);
        let previous = if allowance.amount.is_zero() {
            self.by_pair.remove(&pair)
        } else {
            self.by_pair.insert(pair, allowance)
        };
        if let Some(expires_at_ns) = previous.and_then(|previous| previous.expires_at_ns) {
            self.by_expiry.remove(&expiry(expires_at_ns, &pair));
        }
        if let (false, Some(expires_at_ns)) = (allowance.amount.is_zero(), allowance.expires_at_ns)
        {
            self.by_expiry.insert(expiry(expires_at_ns, &pair));
        }
    }

    /// Lowers the allowance by `amount`; it keeps its expiry.
    ///
    /// # Panics
    /// If `amount` exceeds [`Allowances::allowance`].
    pub fn spend(
        &mut self,
        owner: &AccountIdentifier,
        spender: &AccountIdentifier,
        amount: Amount,
        now_ns: u64,
    ) {
        let allowance = self.allowance(owner, spender, now_ns);
        let rest = allowance
            .amount
            .checked_sub(amount)
            .expect("allowances are checked before they are spent");
        self.set(
            owner,
            spender,
            Allowance {
                amount: rest,
                ..allowance
            },
        );
    }

    /// Removes at most `limit` expired entries.
    pub fn prune(&mut self, now_ns: u64, limit: usize) {
        for _ in 0..limit {
            match self.by_expiry.first() {
                Some(first) if expires_at_ns(&first) <= now_ns => {
                    self.by_expiry.remove(&first);
                    self.by_pair.remove(&pair_of(&first));
                }
                _ => return,
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> (u64, u64) {
        (self.by_pair.len(), self.by_expiry.len())
    }
}

impl Allowance {
    fn is_expired(&self, now_ns: u64) -> bool {
        self.expires_at_ns.is_some_and(|expiry| expiry <= now_ns)
    }
}

fn pair(owner: &AccountIdentifier, spender: &AccountIdentifier) -> Pair {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(owner.as_slice());
    pair[32..].copy_from_slice(spender.as_slice());
    pair
}

// Big-endian, so that the set is sorted by time.
fn expiry(expires_at_ns: u64, pair: &Pair) -> [u8; 72] {
    let mut key = [0; 72];
    key[..8].copy_from_slice(&expires_at_ns.to_be_bytes());
    key[8..].copy_from_slice(pair);
    key
}

fn expires_at_ns(key: &[u8; 72]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().expect("a key begins with eight bytes"))
}

fn pair_of(key: &[u8; 72]) -> Pair {
    key[8..].try_into().expect("a key ends with a pair")
}

/// Amount, whether it expires, when.
impl Storable for Allowance {
    const BOUND: Bound = Bound::Bounded {
        max_size: 25,
        is_fixed_size: true,
    };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned((*self).into_bytes())
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25);
        bytes.extend_from_slice(&u128::from(self.amount).to_be_bytes());
        bytes.push(u8::from(self.expires_at_ns.is_some()));
        bytes.extend_from_slice(&self.expires_at_ns.unwrap_or(0).to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let bytes: [u8; 25] = bytes
            .as_ref()
            .try_into()
            .expect("only whole allowances are stored");
        let amount = u128::from_be_bytes(bytes[..16].try_into().expect("16 of 25 bytes"));
        let expiry = u64::from_be_bytes(bytes[17..].try_into().expect("8 of 25 bytes"));
        Self {
            amount: Amount::new(amount),
            expires_at_ns: (bytes[16] == 1).then_some(expiry),
        }
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use icrc_ledger_types::icrc1::account::Account;

    use super::*;
    use crate::memory::StableMemory;

    fn someone(seed: u8) -> AccountIdentifier {
        AccountIdentifier::of(&Account::from(Principal::self_authenticating([seed; 32])))
    }

    fn until(amount: u128, expires_at_ns: u64) -> Allowance {
        Allowance {
            amount: Amount::new(amount),
            expires_at_ns: Some(expires_at_ns),
        }
    }

    fn empty() -> Allowances {
        Allowances::open(&Layout::new(StableMemory::default()))
    }

    #[test]
    fn an_allowance_ends_at_its_expiry() {
        let mut allowances = empty();
        allowances.set(&someone(1), &someone(2), until(5, 100));
        assert_eq!(
            allowances.allowance(&someone(1), &someone(2), 99),
            until(5, 100)
        );
        assert_eq!(
            allowances.allowance(&someone(1), &someone(2), 100),
            Allowance::default()
        );
        // It was given to one spender, not to the other direction.
        assert_eq!(
            allowances.allowance(&someone(2), &someone(1), 99),
            Allowance::default()
        );
    }

    #[test]
    fn spending_keeps_the_expiry_and_ends_with_no_entry() {
        let mut allowances = empty();
        allowances.set(&someone(1), &someone(2), until(5, 100));
        allowances.spend(&someone(1), &someone(2), Amount::new(3), 50);
        assert_eq!(
            allowances.allowance(&someone(1), &someone(2), 50),
            until(2, 100)
        );
        allowances.spend(&someone(1), &someone(2), Amount::new(2), 50);
        assert_eq!(allowances.entries(), (0, 0));
    }

    #[test]
    fn a_replaced_allowance_leaves_no_old_expiry_behind() {
        let mut allowances = empty();
        allowances.set(&someone(1), &someone(2), until(5, 100));
        allowances.set(&someone(1), &someone(2), until(6, 200));
        assert_eq!(allowances.entries(), (1, 1));
        allowances.prune(150, 10);
        assert_eq!(
            allowances.allowance(&someone(1), &someone(2), 150),
            until(6, 200)
        );
        let forever = Allowance {
            amount: Amount::new(6),
            expires_at_ns: None,
        };
        allowances.set(&someone(1), &someone(2), forever);
        assert_eq!(allowances.entries(), (1, 0));
        assert_eq!(
            allowances.allowance(&someone(1), &someone(2), u64::MAX),
            forever
        );
    }

    #[test]
    fn pruning_removes_the_expired_ones_a_few_at_a_time() {
        let mut allowances = empty();
        for spender in 2..7 {
            allowances.set(&someone(1), &someone(spender), until(5, spender.into()));
        }
        allowances.prune(5, 2);
        assert_eq!(allowances.entries(), (3, 3));
        allowances.prune(5, 10);
        assert_eq!(allowances.entries(), (1, 1));
    }
}
