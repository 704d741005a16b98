//! What an installation or an upgrade decides.

use std::{borrow::Cow, fmt};

use candid::CandidType;
use ic_stable_structures::{Storable, storable::Bound};
use icrc_ledger_types::icrc1::account::Account;
use minicbor::{Decode, Encode};
use serde::Deserialize;

use crate::amount::Amount;

const DEFAULT_DECIMALS: u8 = 8;
/// What the ledgers in use have.
const DEFAULT_WINDOW_SECONDS: u64 = 24 * 60 * 60;
/// What the ledgers in use have.
const DEFAULT_MAX_TRANSACTIONS_IN_WINDOW: u64 = 3_000_000;
/// Symbol and name are part of many answers; nobody needs longer ones.
const MAX_TEXT_LENGTH: usize = 256;

/// The argument of install and upgrade, in the form of the ICRC ledgers in use.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum LedgerArg {
    /// For an installation.
    Init(InitArgs),
    /// For an upgrade, where the argument may also be missing.
    Upgrade(Option<UpgradeArgs>),
}

/// What a new ledger is.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct InitArgs {
    /// Transfers from it make tokens, transfers to it burn them.
    pub minting_account: Account,
    /// Minted at once, in this order, one block each.
    pub initial_balances: Vec<(Account, u128)>,
    /// The fee of a transfer or an approval, in the smallest unit. It is burnt.
    pub transfer_fee: u128,
    /// For example "ICP".
    pub token_symbol: String,
    /// For example "Internet Computer".
    pub token_name: String,
    /// How many digits follow the point when a balance is shown; 8 by default.
    pub decimals: Option<u8>,
    /// How long requests are remembered, in seconds; a day by default.
    pub transaction_window_seconds: Option<u64>,
    /// So many requests are remembered at most, then `TemporarilyUnavailable` is the answer;
    /// 3,000,000 by default.
    pub max_transactions_in_window: Option<u64>,
}

/// What an upgrade changes. Missing fields stay as they are.
#[derive(CandidType, Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct UpgradeArgs {
    /// The fee from now on, in the smallest unit.
    pub transfer_fee: Option<u128>,
}

/// The settings in force.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct Settings {
    /// Transfers from it make tokens, transfers to it burn them.
    #[n(0)]
    pub minting_account: Account,
    /// The fee of a transfer or an approval.
    #[n(1)]
    pub transfer_fee: Amount,
    /// The token's symbol.
    #[n(2)]
    pub token_symbol: String,
    /// The token's name.
    #[n(3)]
    pub token_name: String,
    /// How many digits follow the point.
    #[n(4)]
    pub decimals: u8,
    /// How long requests are remembered, ns.
    #[n(5)]
    pub transaction_window_ns: u64,
    /// How many requests are remembered at most.
    #[n(6)]
    pub max_transactions_in_window: u64,
}

impl Settings {
    /// Checks what an installation asks for.
    ///
    /// # Errors
    /// [`SettingsError`] names the field that makes no sense.
    pub fn new(args: &InitArgs) -> Result<Self, SettingsError> {
        check_text("token_symbol", &args.token_symbol)?;
        check_text("token_name", &args.token_name)?;
        let transaction_window_ns = args
            .transaction_window_seconds
            .unwrap_or(DEFAULT_WINDOW_SECONDS)
            .checked_mul(1_000_000_000)
            .filter(|window_ns| *window_ns > 0)
            .ok_or(SettingsError::Window)?;
        let max_transactions_in_window = args
            .max_transactions_in_window
            .unwrap_or(DEFAULT_MAX_TRANSACTIONS_IN_WINDOW);
        if max_transactions_in_window == 0 {
            return Err(SettingsError::NoTransactionsInWindow);
        }
        Ok(Self {
            minting_account: args.minting_account,
            transfer_fee: Amount::new(args.transfer_fee),
            token_symbol: args.token_symbol.clone(),
            token_name: args.token_name.clone(),
            decimals: args.decimals.unwrap_or(DEFAULT_DECIMALS),
            transaction_window_ns,
            max_transactions_in_window,
        })
    }

    /// Changes what an upgrade asks for.
    pub fn apply(&mut self, upgrade: &UpgradeArgs) {
        if let Some(transfer_fee) = upgrade.transfer_fee {
            self.transfer_fee = Amount::new(transfer_fee);
        }
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), SettingsError> {
    if text.is_empty() || text.len() > MAX_TEXT_LENGTH {
        return Err(SettingsError::Text {
            field,
            length: text.len(),
        });
    }
    Ok(())
}

/// Why a ledger cannot be installed or upgraded so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SettingsError {
    /// A text is empty or too long.
    Text {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// The transaction window is zero or longer than time itself.
    Window,
    /// `max_transactions_in_window` is zero: nothing could ever be transferred.
    NoTransactionsInWindow,
    /// The minting account is given an initial balance, but it never has one.
    MintingAccountWithBalance,
    /// The initial balances' sum is too large.
    SupplyTooLarge,
    /// An installation needs `Init`.
    UpgradeArgAtInstall,
    /// An upgrade needs `Upgrade`, or nothing at all.
    InitArgAtUpgrade,
    /// An upgrade found no ledger in stable memory.
    NothingToUpgrade,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { field, length } => write!(
                f,
                "{field} has {length} bytes; it needs 1 to {MAX_TEXT_LENGTH}"
            ),
            Self::Window => {
                f.write_str("transaction_window_seconds is zero or exceeds 64 bits of nanoseconds")
            }
            Self::NoTransactionsInWindow => f.write_str("max_transactions_in_window is zero"),
            Self::MintingAccountWithBalance => {
                f.write_str("initial_balances contains the minting account, which never has any")
            }
            Self::SupplyTooLarge => f.write_str("the sum of initial_balances exceeds 128 bits"),
            Self::UpgradeArgAtInstall => f.write_str("an installation needs the argument Init"),
            Self::InitArgAtUpgrade => f.write_str("an upgrade needs the argument Upgrade, or none"),
            Self::NothingToUpgrade => {
                f.write_str("there is no ledger in stable memory that could be upgraded")
            }
        }
    }
}

impl std::error::Error for SettingsError {}

/// Nothing before the installation.
#[derive(Clone)]
pub(crate) struct StoredSettings(pub(crate) Option<Settings>);

impl Storable for StoredSettings {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.as_ref().map_or_else(Vec::new, |settings| {
            minicbor::to_vec(settings).expect("a vector takes every byte")
        }))
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(
            (!bytes.is_empty())
                .then(|| minicbor::decode(&bytes).expect("only encoded settings are stored")),
        )
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;

    use super::*;

    fn args() -> InitArgs {
        InitArgs {
            minting_account: Account::from(Principal::management_canister()),
            initial_balances: vec![],
            transfer_fee: 10,
            token_symbol: "TST".into(),
            token_name: "Test token".into(),
            decimals: None,
            transaction_window_seconds: None,
            max_transactions_in_window: None,
        }
    }

    #[test]
    fn what_is_not_said_is_as_on_the_ledgers_in_use() {
        let settings = Settings::new(&args()).unwrap();
        assert_eq!(settings.decimals, 8);
        assert_eq!(settings.transaction_window_ns, 86_400_000_000_000);
        assert_eq!(settings.max_transactions_in_window, 3_000_000);
    }

    #[test]
    fn senseless_settings_are_refused_by_name() {
        let refused = |change: fn(&mut InitArgs)| {
            let mut args = args();
            change(&mut args);
            Settings::new(&args).unwrap_err().to_string()
        };
        assert!(refused(|a| a.token_symbol.clear()).contains("token_symbol"));
        assert!(refused(|a| a.token_name = "x".repeat(257)).contains("token_name has 257"));
        for window in [0, u64::MAX] {
            let mut args = args();
            args.transaction_window_seconds = Some(window);
            assert_eq!(Settings::new(&args), Err(SettingsError::Window));
        }
        assert!(refused(|a| a.max_transactions_in_window = Some(0)).contains("max_transactions"));
    }

    #[test]
    fn settings_survive_being_stored() {
        let stored = StoredSettings(Some(Settings::new(&args()).unwrap()));
        assert_eq!(
            StoredSettings::from_bytes(stored.to_bytes()).0,
            stored.0.clone()
        );
        let nothing = StoredSettings(None);
        assert_eq!(StoredSettings::from_bytes(nothing.to_bytes()).0, None);
    }

    #[test]
    fn an_upgrade_changes_only_what_it_names() {
        let mut settings = Settings::new(&args()).unwrap();
        let before = settings.clone();
        settings.apply(&UpgradeArgs::default());
        assert_eq!(settings, before);
        settings.apply(&UpgradeArgs {
            transfer_fee: Some(11),
        });
        assert_eq!(settings.transfer_fee, Amount::new(11));
        assert_eq!(
            Settings {
                transfer_fee: before.transfer_fee,
                ..settings
            },
            before
        );
    }
}
