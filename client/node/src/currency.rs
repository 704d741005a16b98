//! Currencies: the ledgers that a node knows, by symbol or canister id, and exact amounts.
//!
//! What a ledger says about itself is foreign input. A symbol names one ledger only, the first that
//! has it; none can pass for another's canister id. A ledger whose symbol is no good, or is taken, is
//! named by its canister id.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use candid::Principal;
use perun_client::{CallError, Ledger, Token};
use perun_protocol::{Amount, AssetId};

use crate::error::ContractError;
use crate::{Error, Resource};

const MAX_SYMBOL_LENGTH: usize = 32;

/// A ledger's token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Currency {
    /// What names it: the ledger's symbol, or its canister id.
    pub symbol: String,
    /// The ledger's canister id.
    pub ledger: Principal,
    /// The asset that channels hold.
    pub asset: AssetId,
    /// How amounts are written, with [`Currency::symbol`].
    pub token: Token,
    /// What a transfer costs.
    pub fee: Amount,
}

impl Currency {
    /// The amount that a text in whole tokens means, zero among them.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] of "amount".
    pub fn parse(&self, text: &str) -> Result<Amount, Error> {
        let parsed = self.token.parse(text);
        parsed.map_err(|error| Error::invalid("amount", text, format!("{}: {error}", self.symbol)))
    }

    /// An amount in whole tokens, exact and without the symbol, as [`Currency::parse`] reads it.
    pub fn show(&self, amount: Amount) -> String {
        let mut shown = self.token.show(amount);
        let end = shown.find(' ').unwrap_or(shown.len());
        shown.truncate(end);
        shown
    }
}

/// The currencies of a node.
pub struct Currencies {
    /// Where the ledgers are, for what is told when one does not answer.
    chain_url: String,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// In the order of their registration.
    all: Vec<Arc<Currency>>,
    by_name: HashMap<String, Arc<Currency>>,
    by_asset: HashMap<AssetId, Arc<Currency>>,
}

impl Currencies {
    /// None yet. Ledgers are reached at `chain_url`.
    pub fn new(chain_url: impl Into<String>) -> Self {
        Self {
            chain_url: chain_url.into(),
            known: RwLock::default(),
        }
    }

    /// Makes a ledger's token a currency, as the ledger describes it.
    ///
    /// # Errors
    /// [`Error::Exists`] if it is one, [`Error::ChainNotReachable`] and [`Error::InvalidContracts`]
    /// if the ledger does not tell.
    pub async fn register(&self, ledger: &Ledger) -> Result<Arc<Currency>, Error> {
        let id = ledger.id();
        let asset = asset_of(id)?;
        if let Some(known) = self.of_asset(&asset) {
            return Err(Error::exists(Resource::Currency, known.symbol.clone()));
        }
        let failed = |error: CallError<_>| self.failure(id, &error);
        let token = ledger.token().await.map_err(failed)?;
        let fee = ledger.fee().await.map_err(failed)?;
        self.insert(id, asset, token, fee)
    }

    /// The currency with this symbol or canister id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn named(&self, name: &str) -> Result<Arc<Currency>, Error> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let named = known.by_name.get(name).cloned();
        named.ok_or_else(|| Error::not_found(Resource::Currency, name))
    }

    /// The currency that is this asset.
    pub fn of_asset(&self, asset: &AssetId) -> Option<Arc<Currency>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_asset.get(asset).cloned()
    }

    /// All of them, in the order of their registration.
    pub fn all(&self) -> Vec<Arc<Currency>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.all.clone()
    }

    fn insert(
        &self,
        ledger: Principal,
        asset: AssetId,
        told: Token,
        fee: Amount,
    ) -> Result<Arc<Currency>, Error> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have asked the ledger at the same time.
        if let Some(known) = known.by_asset.get(&asset) {
            return Err(Error::exists(Resource::Currency, known.symbol.clone()));
        }
        let id = ledger.to_text();
        let symbol = match symbol_of(&told.symbol) {
            Some(symbol) if !known.by_name.contains_key(symbol) => symbol.to_owned(),
            Some(symbol) => {
                tracing::warn!(%symbol, ledger = %id, "another ledger has this symbol: this one is named by its canister id");
                id.clone()
            }
            None => {
                tracing::warn!(symbol = ?told.symbol, ledger = %id, "this is no symbol: the ledger is named by its canister id");
                id.clone()
            }
        };
        let token = Token {
            symbol: symbol.clone(),
            decimals: told.decimals,
        };
        let currency = Arc::new(Currency {
            symbol: symbol.clone(),
            ledger,
            asset,
            token,
            fee,
        });
        known.all.push(Arc::clone(&currency));
        known.by_asset.insert(asset, Arc::clone(&currency));
        known.by_name.insert(symbol, Arc::clone(&currency));
        known.by_name.insert(id, Arc::clone(&currency));
        Ok(currency)
    }

    fn failure(&self, ledger: Principal, error: &CallError<std::convert::Infallible>) -> Error {
        match error {
            CallError::Transport { .. } => Error::ChainNotReachable {
                url: self.chain_url.clone(),
                cause: error.to_string(),
            },
            CallError::Refused(never) | CallError::Unresolved(never) => match *never {},
            CallError::Nonsense(_) => Error::InvalidContracts {
                contracts: vec![ContractError {
                    name: "ledger",
                    address: ledger.to_text(),
                    error: error.to_string(),
                }],
            },
        }
    }
}

/// The asset that a ledger's token is.
fn asset_of(ledger: Principal) -> Result<AssetId, Error> {
    let principal = perun_canister_api::convert::principal(ledger);
    let principal = principal.ok_or_else(|| {
        Error::invalid(
            "token",
            ledger.to_text(),
            "the management canister is no ledger",
        )
    })?;
    Ok(AssetId::Icrc(principal))
}

/// The symbol, if it can be one: short and visible, and no canister id.
fn symbol_of(told: &str) -> Option<&str> {
    let is_good = (1..=MAX_SYMBOL_LENGTH).contains(&told.len())
        && told.bytes().all(|byte| byte.is_ascii_graphic())
        && Principal::from_text(told).is_err();
    is_good.then_some(told)
}

impl fmt::Debug for Currencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbols = self.all();
        let symbols = symbols.iter().map(|currency| &currency.symbol);
        f.debug_list().entries(symbols).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger(number: u8) -> Principal {
        Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1])
    }

    fn insert(currencies: &Currencies, number: u8, symbol: &str) -> Result<Arc<Currency>, Error> {
        let id = ledger(number);
        let token = Token {
            symbol: symbol.to_owned(),
            decimals: 8,
        };
        currencies.insert(id, asset_of(id)?, token, Amount::new(10_000))
    }

    #[test]
    fn a_currency_is_found_by_symbol_id_and_asset() {
        let currencies = Currencies::new("http://localhost");
        let icp = insert(&currencies, 1, "ICP").unwrap();
        let gold = insert(&currencies, 2, "GLD").unwrap();
        assert_eq!(currencies.named("ICP").unwrap(), icp);
        assert_eq!(currencies.named(&ledger(2).to_text()).unwrap(), gold);
        assert_eq!(currencies.of_asset(&icp.asset), Some(Arc::clone(&icp)));
        assert_eq!(currencies.all(), [icp, gold]);
        let missing = Error::not_found(Resource::Currency, "icp");
        assert_eq!(currencies.named("icp"), Err(missing));
    }

    #[test]
    fn a_ledger_is_registered_once() {
        let currencies = Currencies::new("http://localhost");
        insert(&currencies, 1, "ICP").unwrap();
        let exists = Error::exists(Resource::Currency, "ICP");
        assert_eq!(insert(&currencies, 1, "OTHER"), Err(exists));
        assert_eq!(currencies.all().len(), 1);
    }

    #[test]
    fn a_symbol_names_the_first_ledger_that_has_it() {
        let currencies = Currencies::new("http://localhost");
        let first = insert(&currencies, 1, "ICP").unwrap();
        let second = insert(&currencies, 2, "ICP").unwrap();
        assert_eq!(currencies.named("ICP").unwrap(), first);
        assert_eq!(second.symbol, ledger(2).to_text());
        assert_eq!(currencies.named(&second.symbol).unwrap(), second);
    }

    #[test]
    fn what_is_no_symbol_is_not_shown() {
        let currencies = Currencies::new("http://localhost");
        let long = "A".repeat(33);
        let others_id = ledger(99).to_text();
        let upper = others_id.to_uppercase();
        let bad = [
            "",
            "A B",
            "A\n",
            "\u{1b}[31mICP",
            "ICP\u{202e}",
            "İCP",
            &long,
            &others_id,
            &upper,
        ];
        for (number, symbol) in bad.into_iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            let currency = insert(&currencies, number, symbol).unwrap();
            assert_eq!(currency.symbol, ledger(number).to_text(), "{symbol:?}");
            assert_eq!(currency.token.symbol, currency.symbol);
        }
        let most = "$".repeat(32);
        assert_eq!(insert(&currencies, 50, &most).unwrap().symbol, most);
    }

    #[test]
    fn amounts_are_exact_and_wrong_ones_are_named() {
        let currencies = Currencies::new("http://localhost");
        let icp = insert(&currencies, 1, "ICP").unwrap();
        assert_eq!(icp.parse("0"), Ok(Amount::ZERO));
        assert_eq!(icp.parse("0.0001"), Ok(Amount::new(10_000)));
        assert_eq!(icp.show(Amount::new(10_000)), "0.0001");
        for text in ["", "1e3", "-1", "0.000000001", "1 ICP"] {
            match icp.parse(text) {
                Err(Error::InvalidArgument { name, value, .. }) => {
                    assert_eq!((name, value.as_str()), ("amount", text));
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_management_canister_is_no_ledger() {
        let refused = asset_of(Principal::management_canister());
        assert!(matches!(
            refused,
            Err(Error::InvalidArgument { name: "token", .. })
        ));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_parsed_again(units: u128, decimals in 0u8..=60, symbol: String) {
            let currencies = Currencies::new("");
            let id = ledger(1);
            let token = Token { symbol, decimals };
            let currency = currencies.insert(id, asset_of(id).unwrap(), token, Amount::ZERO).unwrap();
            let amount = Amount::new(units);
            prop_assert_eq!(currency.parse(&currency.show(amount)), Ok(amount));
        }
    }
}
