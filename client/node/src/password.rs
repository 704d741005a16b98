//! Secrets in text, and where passwords come from.

use std::path::{Path, PathBuf};
use std::{env, fmt};

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::Error;
use crate::private_file;

/// No password file has more bytes.
const MAX_BYTES: u64 = 4096;

/// A text that nobody else should see: never shown, and overwritten when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Where a password is.
#[derive(Clone, Debug)]
pub enum PasswordSource {
    /// Here: typed at a prompt, or sent with a call.
    Given(Secret),
    /// In a file, up to the end of its line.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
    /// In a configuration file, which is better not readable by others ([`warn_of_readers`]).
    Plain(Secret),
}

impl PasswordSource {
    /// The password. A file that others may read is warned of.
    pub fn read(&self) -> Result<Secret, Error> {
        match self {
            Self::Given(password) | Self::Plain(password) => Ok(password.clone()),
            Self::File(path) => read_file(path),
            Self::Env(name) => env::var(name).map(Secret::new).map_err(|error| {
                let reason = match error {
                    env::VarError::NotPresent => "this environment variable is not set",
                    env::VarError::NotUnicode(_) => "this environment variable is no text",
                };
                Error::InvalidConfig {
                    name: "password".into(),
                    value: name.clone(),
                    reason: reason.into(),
                }
            }),
        }
    }
}

/// Warns if others than the owner may read this file, which has a secret in it: "password".
pub fn warn_of_readers(path: &Path, secret: &str) {
    if private_file::is_readable_by_others(path) {
        let path = path.display();
        tracing::warn!(%path, "others may read this file, and it has a {secret} in it: chmod 600");
    }
}

fn read_file(path: &Path) -> Result<Secret, Error> {
    let invalid = |reason: String| Error::InvalidConfig {
        name: "password file".into(),
        value: path.display().to_string(),
        reason,
    };
    let bytes = private_file::read(path, MAX_BYTES).map_err(|error| invalid(error.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    warn_of_readers(path, "password");
    let text = str::from_utf8(&bytes).map_err(|_| invalid("it is not UTF-8 text".into()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_password_file_ends_with_its_line() {
        let scratch = Scratch::new();
        let path = scratch.path().join("password");
        for (contents, password) in [
            ("hunter22", "hunter22"),
            ("hunter22\n", "hunter22"),
            ("hunter22\r\n", "hunter22"),
            (" two \n\n", " two \n"),
            ("", ""),
        ] {
            fs::write(&path, contents).unwrap();
            let read = PasswordSource::File(path.clone()).read().unwrap();
            assert_eq!(read.expose(), password, "{contents:?}");
        }
    }

    #[test]
    fn what_is_no_password_file_is_named() {
        let scratch = Scratch::new();
        let path = scratch.path().join("password");
        let refused = |path: &Path| {
            let error = PasswordSource::File(path.to_owned()).read().unwrap_err();
            error.to_string()
        };
        assert!(refused(&path).contains(path.to_str().unwrap()));
        fs::write(&path, [b'x'; 5000]).unwrap();
        assert!(refused(&path).contains("more than 4096 bytes"));
        fs::write(&path, [0xff]).unwrap();
        assert!(refused(&path).contains("not UTF-8"));
        let unset = PasswordSource::Env("PERUN_NO_SUCH_VARIABLE".into());
        let error = unset.read().unwrap_err().to_string();
        assert!(error.contains("PERUN_NO_SUCH_VARIABLE"), "{error}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let source = PasswordSource::Given(Secret::new("hunter22"));
        assert!(!format!("{source:?}").contains("hunter22"));
    }
}
