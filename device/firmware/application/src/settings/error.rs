//! What is wrong with settings, and where.

use core::fmt;

/// Settings are refused. The text is that of the settings, so that nothing needs to be copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SettingsError<'a> {
    /// The line, counted from 1; `None` if it is one that isn't there.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: Fault<'a>,
}

/// What is wrong with settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault<'a> {
    /// The line is no `key = value`.
    NoPair(&'a str),
    /// There is no such key.
    UnknownKey(&'a str),
    /// The key came before and may come only once.
    Repeated(&'a str),
    /// The key came too often, or what it names is too much together with lines before.
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// So many may be there.
        most: usize,
    },
    /// The value is not what the key needs.
    Value {
        /// The key.
        key: &'a str,
        /// What its value should be.
        wanted: &'static str,
        /// What it is.
        found: &'a str,
    },
    /// The key doesn't make sense without another.
    Without {
        /// The key.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The key is needed.
    Missing(&'static str),
}

impl fmt::Display for SettingsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "settings, line {line}: {}", self.fault),
            None => write!(f, "settings: {}", self.fault),
        }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPair(line) => write!(f, "`{line}` is no `key = value`"),
            Self::UnknownKey(key) => write!(f, "there is no key `{key}`"),
            Self::Repeated(key) => write!(f, "`{key}` can be given only once"),
            Self::TooMany { what, most } => write!(f, "there can be at most {most} {what}"),
            Self::Value { key, wanted, found } => {
                write!(f, "`{key}` must be {wanted}, not `{found}`")
            }
            Self::Without { key, other } => write!(f, "`{key}` needs `{other}`, too"),
            Self::Missing(key) => write!(f, "`{key}` is missing"),
        }
    }
}

impl core::error::Error for SettingsError<'_> {}
