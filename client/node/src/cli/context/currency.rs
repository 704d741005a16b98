//! Which currency a command is about.

use super::Context;
use crate::api::v1;
use crate::cli::args::CurrencyArgs;
use crate::cli::failure::Failure;

/// A ledger.
#[derive(Clone, Debug)]
pub struct Currency {
    /// What it is called.
    pub symbol: String,
    /// Its canister id.
    pub ledger: String,
}

impl Context {
    /// The currency that is meant, by its symbol.
    pub async fn currency(&mut self, args: &CurrencyArgs) -> Result<String, Failure> {
        let mut currencies = self.currencies().await?;
        if let Some(name) = &args.currency {
            let is_it = |one: &Currency| [&one.symbol, &one.ledger].contains(&name);
            if !currencies.iter().any(is_it) {
                // It may be new.
                self.forget_currencies();
                currencies = self.currencies().await?;
            }
            let by_id = currencies.iter().find(|currency| currency.ledger == *name);
            // What is not known here may be to the node, which says what it is not.
            return Ok(by_id.map_or_else(|| name.clone(), |currency| currency.symbol.clone()));
        }
        match &currencies[..] {
            [only] => Ok(only.symbol.clone()),
            [] => Err(Failure::Usage(
                "the node knows no currency: `perun chain register LEDGER` adds one".into(),
            )),
            several => {
                let symbols: Vec<&str> = several.iter().map(|one| one.symbol.as_str()).collect();
                let symbols = symbols.join(", ");
                Err(Failure::Usage(format!(
                    "which currency? Name one by --currency: {symbols}"
                )))
            }
        }
    }

    async fn currencies(&mut self) -> Result<Vec<Currency>, Failure> {
        if let Some(currencies) = &self.currencies {
            return Ok(currencies.clone());
        }
        let node = self.node().await?;
        let currencies: Vec<Currency> = if node.is_plaintext {
            let config = node.config().await?;
            vec![Currency {
                symbol: config.asset_eth.clone(),
                ledger: config.asset_eth,
            }]
        } else {
            let info = node.info().await?;
            let currency = |currency: v1::info_response::Currency| Currency {
                symbol: currency.symbol,
                ledger: currency.ledger,
            };
            info.currencies.into_iter().map(currency).collect()
        };
        Ok(self.currencies.insert(currencies).clone())
    }

    /// Forgets which currencies there are, because there is one more.
    pub fn forget_currencies(&mut self) {
        self.currencies = None;
    }
}
