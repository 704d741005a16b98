//! Accounts, and the 32-byte identifiers by which the classic calls name them.
//!
//! Every balance lies under an [`AccountIdentifier`], so both kinds of calls see the same money.
//! An identifier is a hash: from an account follows its identifier, never the reverse. A classic
//! transfer may therefore pay an account that the ledger has never seen. In blocks it is shown
//! as its *stand-in*, an account whose owner is the reserved principal `hash ‖ 7f`; nobody can
//! sign for such a principal, and the stand-in has the identifier it was made from.

use std::{borrow::Cow, fmt};

use candid::Principal;
use ic_stable_structures::{Storable, storable::Bound};
use icrc_ledger_types::icrc1::account::Account;
use sha2::{Digest, Sha224};

use crate::memory::{Memory, StableMap};

const DOMAIN: &[u8] = b"\x0Aaccount-id";
const CHECKSUM_LENGTH: usize = 4;
/// The last byte of principals that address neither a canister nor a user.
const RESERVED_PRINCIPAL_TAG: u8 = 0x7f;

/// Names an account by hash: CRC-32 of the last 28 bytes, then SHA-224 of owner and subaccount.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountIdentifier([u8; 32]);

impl AccountIdentifier {
    /// The identifier of `account`; a missing subaccount and one of 32 zeros are the same.
    pub fn of(account: &Account) -> Self {
        if let Some(hash) = hash_in_stand_in(account) {
            return Self::with_checksum(hash);
        }
        let mut hasher = Sha224::new();
        hasher.update(DOMAIN);
        hasher.update(account.owner.as_slice());
        hasher.update(account.effective_subaccount());
        Self::with_checksum(hasher.finalize().into())
    }

    /// Reads what a classic call names.
    ///
    /// # Errors
    /// [`BadAccountIdentifier`] if it has not 32 bytes or its check sum is wrong.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadAccountIdentifier> {
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|_| BadAccountIdentifier::Length(bytes.len()))?;
        let mut hash = [0; 28];
        hash.copy_from_slice(&bytes[CHECKSUM_LENGTH..]);
        let identifier = Self::with_checksum(hash);
        if identifier.0 != bytes {
            return Err(BadAccountIdentifier::Checksum);
        }
        Ok(identifier)
    }

    /// Its 32 bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The account shown in blocks while the true one is not known.
    pub fn stand_in(&self) -> Account {
        let mut owner = [RESERVED_PRINCIPAL_TAG; 29];
        owner[..28].copy_from_slice(&self.0[CHECKSUM_LENGTH..]);
        Account::from(Principal::from_slice(&owner))
    }

    fn with_checksum(hash: [u8; 28]) -> Self {
        let mut bytes = [0; 32];
        bytes[..CHECKSUM_LENGTH].copy_from_slice(&crc32fast::hash(&hash).to_be_bytes());
        bytes[CHECKSUM_LENGTH..].copy_from_slice(&hash);
        Self(bytes)
    }
}

fn hash_in_stand_in(account: &Account) -> Option<[u8; 28]> {
    if account.effective_subaccount() != &[0; 32] {
        return None;
    }
    match account.owner.as_slice().split_last() {
        Some((&RESERVED_PRINCIPAL_TAG, hash)) => hash.try_into().ok(),
        _ => None,
    }
}

impl Storable for AccountIdentifier {
    const BOUND: Bound = Bound::Bounded {
        max_size: 32,
        is_fixed_size: true,
    };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(
            bytes
                .as_ref()
                .try_into()
                .expect("only whole identifiers are stored"),
        )
    }
}

/// Bytes that name no account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadAccountIdentifier {
    /// That many bytes instead of 32.
    Length(usize),
    /// The first four bytes are not the CRC-32 of the others: most likely a typing error.
    Checksum,
}

impl fmt::Display for BadAccountIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "an account identifier has 32 bytes, not {length}"),
            Self::Checksum => f.write_str("the check sum of the account identifier is wrong"),
        }
    }
}

impl std::error::Error for BadAccountIdentifier {}

/// Which account belongs to an identifier, for every account that took part in a block.
pub struct Directory(StableMap<AccountIdentifier, KnownAccount>);

impl Directory {
    /// Opens the directory in `memory`; an empty memory is an empty directory.
    pub fn open(memory: Memory) -> Self {
        Self(StableMap::init(memory))
    }

    /// Remembers `account`.
    pub fn learn(&mut self, account: &Account) {
        let identifier = AccountIdentifier::of(account);
        if hash_in_stand_in(account).is_none() && !self.0.contains_key(&identifier) {
            self.0.insert(identifier, KnownAccount(*account));
        }
    }

    /// The account with this identifier, or its stand-in as long as nobody has shown it.
    pub fn resolve(&self, identifier: &AccountIdentifier) -> Account {
        self.0
            .get(identifier)
            .map_or_else(|| identifier.stand_in(), |known| known.0)
    }
}

#[derive(Clone)]
struct KnownAccount(Account);

impl Storable for KnownAccount {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.clone().into_bytes())
    }

    fn into_bytes(self) -> Vec<u8> {
        minicbor::to_vec(self.0).expect("a vector takes every byte")
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(minicbor::decode(&bytes).expect("only encoded accounts are stored"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Layout};

    fn account(seed: u8, subaccount: Option<[u8; 32]>) -> Account {
        Account {
            owner: Principal::self_authenticating([seed; 32]),
            subaccount,
        }
    }

    #[test]
    fn identifiers_are_those_of_the_icp_ledger() {
        for (seed, subaccount) in [(1, [0; 32]), (2, [7; 32])] {
            let account = account(seed, Some(subaccount));
            let theirs = ic_ledger_types::AccountIdentifier::new(
                &account.owner,
                &ic_ledger_types::Subaccount(subaccount),
            );
            assert_eq!(AccountIdentifier::of(&account).as_slice(), theirs.as_ref());
        }
    }

    #[test]
    fn no_subaccount_is_the_subaccount_of_zeros() {
        assert_eq!(
            AccountIdentifier::of(&account(1, None)),
            AccountIdentifier::of(&account(1, Some([0; 32])))
        );
        assert_ne!(
            AccountIdentifier::of(&account(1, None)),
            AccountIdentifier::of(&account(1, Some([1; 32])))
        );
    }

    #[test]
    fn a_mistyped_identifier_is_refused() {
        let identifier = AccountIdentifier::of(&account(1, None));
        let mut bytes = identifier.as_slice().to_vec();
        assert_eq!(AccountIdentifier::from_slice(&bytes), Ok(identifier));
        bytes[9] ^= 1;
        assert_eq!(
            AccountIdentifier::from_slice(&bytes),
            Err(BadAccountIdentifier::Checksum)
        );
        bytes.pop();
        let refused = AccountIdentifier::from_slice(&bytes).unwrap_err();
        assert_eq!(refused, BadAccountIdentifier::Length(31));
        assert!(refused.to_string().contains("not 31"));
    }

    #[test]
    fn a_stand_in_has_the_identifier_it_was_made_from() {
        let identifier = AccountIdentifier::of(&account(3, Some([9; 32])));
        let stand_in = identifier.stand_in();
        assert_eq!(AccountIdentifier::of(&stand_in), identifier);
        // Its subaccounts are ordinary accounts, not the same one again.
        let beside = Account {
            subaccount: Some([1; 32]),
            ..stand_in
        };
        assert_ne!(AccountIdentifier::of(&beside), identifier);
    }

    #[test]
    fn the_directory_shows_the_account_once_it_was_seen() {
        let layout = Layout::new(memory::StableMemory::default());
        let mut directory = Directory::open(layout.memory(memory::DIRECTORY));
        let alice = account(4, None);
        let identifier = AccountIdentifier::of(&alice);

        assert_eq!(directory.resolve(&identifier), identifier.stand_in());
        directory.learn(&identifier.stand_in());
        assert_eq!(directory.resolve(&identifier), identifier.stand_in());
        directory.learn(&alice);
        assert_eq!(directory.resolve(&identifier), alice);
    }
}
