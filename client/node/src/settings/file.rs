//! The file `node.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::keys::{self, Kind};
use crate::{Error, private_file};

/// No such file is larger.
const MAX_BYTES: u64 = 1024 * 1024;

/// Names of perun-node that mean nothing here.
const ETHEREUM: [&str; 3] = ["chainid", "asseteth", "asseterc20s"];

/// What a file says: each value as it is written.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) values: BTreeMap<&'static str, Vec<String>>,
}

pub(super) fn read(path: &Path) -> Result<File, Error> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let invalid = |reason: String| Error::InvalidConfig {
        name: "config".into(),
        value: path.display().to_string(),
        reason,
    };
    let bytes = private_file::read(&path, MAX_BYTES).map_err(|error| invalid(error.to_string()))?;
    let text = str::from_utf8(&bytes).map_err(|_| invalid("it is not UTF-8 text".into()))?;
    let values = parse(text).map_err(invalid)?;
    Ok(File { path, values })
}

/// Of a file that is not there, nothing.
pub(super) fn read_if_there(path: &Path) -> Result<File, Error> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(File::default()),
        _ => read(path),
    }
}

fn parse(text: &str) -> Result<BTreeMap<&'static str, Vec<String>>, String> {
    // A file of comments only.
    let is_empty = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    };
    if text.lines().all(is_empty) {
        return Ok(BTreeMap::new());
    }
    let document: Document = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    Ok(document.0)
}

struct Document(BTreeMap<&'static str, Vec<String>>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines like \"listen: 127.0.0.1:50001\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let key = keys::named(&name).ok_or_else(|| de::Error::custom(unknown(&name)))?;
            let texts = match key.kind {
                Kind::FlagOnly => {
                    let reason = format!("{name}: only a flag or {} can say that", key.env);
                    return Err(de::Error::custom(reason));
                }
                Kind::Many => map.next_value_seed(Texts)?,
                // As it is written: a hash of digits is no number.
                Kind::One | Kind::OneOr(_) => {
                    let text: Option<String> = map.next_value()?;
                    text.into_iter().collect()
                }
            };
            if values.insert(key.name, texts).is_some() {
                return Err(de::Error::custom(format!("{} is there twice", key.name)));
            }
        }
        Ok(Document(values))
    }
}

/// A list of texts; or one text, with commas between.
struct Texts;

impl<'de> DeserializeSeed<'de> for Texts {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(text.split(',').map(|text| text.trim().to_owned()).collect())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_none<E: de::Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

fn unknown(name: &str) -> String {
    if ETHEREUM.contains(&keys::plain(name).as_str()) {
        return format!(
            "{name} is of Ethereum, and has no meaning here; remove it: currencies are the ledgers \
             that the adjudicator serves"
        );
    }
    match keys::nearest(name) {
        Some(nearest) => format!("there is no setting {name:?}; did you mean {nearest:?}?"),
        None => format!("there is no setting {name:?}"),
    }
}
