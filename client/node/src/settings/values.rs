//! Each setting as it is written, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use super::file::File;
use super::keys::{Flags, KEYS, Key, Kind};
use crate::Error;

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Environment(&'static str),
    /// This file.
    File(PathBuf),
    /// Nobody has said anything.
    Default,
}

/// A setting as it is written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    /// One, but of those that have any number.
    pub(super) texts: Vec<String>,
    pub(super) origin: Origin,
}

/// All settings as they are written, in the order of the table.
#[derive(Clone, Debug)]
pub(super) struct Values(Vec<Entry>);

impl Values {
    /// Flags and environment over the file over defaults. What is written as nothing is not written.
    pub(super) fn new(flags: &Flags, mut file: File) -> Self {
        let entry = |key: &'static Key| {
            let given = flags.given(key.name).cloned();
            let given = given.or_else(|| {
                let texts = file.values.remove(key.name)?;
                Some((texts, Origin::File(file.path.clone())))
            });
            let is_something = |texts: &Vec<String>| texts.iter().any(|text| !text.is_empty());
            let given = given.filter(|(texts, _)| is_something(texts));
            let (texts, origin) = given.unwrap_or_else(|| {
                let default = Some(key.default.to_owned()).filter(|default| !default.is_empty());
                (default.into_iter().collect(), Origin::Default)
            });
            Entry {
                name: key.name,
                texts,
                origin,
            }
        };
        let keys = KEYS.iter().filter(|key| key.kind != Kind::FlagOnly);
        Self(keys.map(entry).collect())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.name == name)
    }

    /// Reads a value that has a default.
    pub(super) fn one<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let value = self.optional(name, read)?;
        value.ok_or_else(|| Error::InvalidConfig {
            name: name.into(),
            value: String::new(),
            reason: "it has to be set".into(),
        })
    }

    /// Reads a value that may be absent.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let values = self.many(name, read)?;
        Ok(values.into_iter().next())
    }

    /// Reads any number of values.
    pub(super) fn many<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        let entry = self.entry(name).expect("the table has all names");
        let texts = entry.texts.iter().map(|text| text.trim());
        texts
            .filter(|text| !text.is_empty())
            .map(|text| read(text).map_err(|reason| self.invalid(name, text, &reason)))
            .collect()
    }

    /// Reads paths. Those in a file are relative to its folder.
    pub(super) fn paths(&self, name: &str) -> Result<Vec<PathBuf>, Error> {
        let base = match self.entry(name).map(|entry| &entry.origin) {
            Some(Origin::File(file)) => file.parent(),
            _ => None,
        };
        let base = base.unwrap_or(Path::new(""));
        self.many(name, |text| {
            std::path::absolute(base.join(text)).map_err(|error| error.to_string())
        })
    }

    /// A value is wrong.
    pub(super) fn invalid(&self, name: &str, value: &str, reason: &str) -> Error {
        let origin = self.entry(name).map(|entry| &entry.origin);
        let origin = origin.map(|origin| format!(" (from {origin})"));
        Error::InvalidConfig {
            name: name.into(),
            value: value.into(),
            reason: format!("{reason}{}", origin.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("the command line"),
            Self::Environment(name) => write!(f, "{name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
