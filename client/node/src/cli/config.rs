//! The command line's own configuration: `~/.config/perun/perun.yaml`, which need not be there.
//!
//! ```yaml
//! node: 127.0.0.1:50001
//! session: alice
//! # Whatever moves more than this has to be confirmed, or needs --yes.
//! confirmAbove: { ICP: "1.5" }
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::decimal::Decimal;
use super::failure::Failure;
use crate::private_file;

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where the node listens.
    pub node: Option<String>,
    /// The user, by name.
    pub session: Option<String>,
    /// Above which amounts it is asked, by currency.
    pub confirm_above: BTreeMap<String, String>,
}

impl Config {
    /// Reads the file of this user, or the one that `PERUN_CONFIG` names.
    pub fn load() -> Result<Self, Failure> {
        match std::env::var_os("PERUN_CONFIG") {
            Some(file) => Self::read(Path::new(&file), true),
            None => match folder("XDG_CONFIG_HOME", ".config") {
                Some(folder) => Self::read(&folder.join("perun.yaml"), false),
                None => Ok(Self::default()),
            },
        }
    }

    fn read(file: &Path, has_to_exist: bool) -> Result<Self, Failure> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !has_to_exist => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::own(file.display(), error)),
        };
        if private_file::is_writable_by_everybody(file) {
            return Err(Failure::Usage(format!(
                "{} can be changed by everybody on this machine, who could so move your money: take that \
                 right away (chmod o-w)",
                file.display()
            )));
        }
        Self::parse(&text).map_err(|cause| Failure::Usage(format!("{}: {cause}", file.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim().starts_with('#'))
        {
            return Ok(Self::default());
        }
        let config: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        for (currency, amount) in &config.confirm_above {
            let _: Decimal = amount
                .parse()
                .map_err(|error| format!("confirmAbove of {currency}: {error}"))?;
        }
        Ok(config)
    }

    /// Whether it is asked about anything.
    pub fn has_limits(&self) -> bool {
        !self.confirm_above.is_empty()
    }

    /// Above which amount of a currency it is asked, if there is such a limit.
    pub fn limit(&self, currency: &str) -> Option<Decimal> {
        let amount = self.confirm_above.get(currency)?;
        Some(amount.parse().expect("checked when it was read"))
    }
}

/// A folder of this program's, below the one that a variable names or a default in the home folder.
pub fn folder(variable: &str, default: &str) -> Option<PathBuf> {
    let base = std::env::var_os(variable)
        .filter(|base| !base.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(default)))?;
    Some(base.join("perun"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read() {
        let text = "node: 10.0.0.1:1\nsession: alice\nconfirmAbove: { ICP: \"1.5\" }\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.session.as_deref(), Some("alice"));
        assert_eq!(config.limit("ICP"), Some("1.5".parse().unwrap()));
        assert_eq!(config.limit("ckBTC"), None);
        assert_eq!(Config::parse("# nothing\n"), Ok(Config::default()));
    }

    #[test]
    fn mistakes_are_not_overlooked() {
        assert!(Config::parse("confirmabove: { ICP: \"1\" }").is_err());
        assert!(Config::parse("confirmAbove: { ICP: much }").is_err());
    }
}
