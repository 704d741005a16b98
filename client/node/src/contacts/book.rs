//! The contacts of a file, by alias and by identity.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::{fs, io};

use perun_protocol::PublicKey;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::peer::{
    COMM_TYPE, Peer, check_address, check_alias, check_comm_type, parse_identity, show_identity,
};
use crate::Error;

/// The contacts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Book {
    peers: BTreeMap<String, Peer>,
    aliases: HashMap<PublicKey, String>,
}

/// An entry as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    alias: Option<Spanned<String>>,
    comm_address: Spanned<String>,
    comm_type: Option<Spanned<String>>,
    offchain_address: Spanned<String>,
}

/// An entry as it is written.
#[derive(Serialize)]
struct Written<'a> {
    alias: &'a str,
    comm_address: &'a str,
    comm_type: &'static str,
    offchain_address: String,
}

impl Book {
    /// Reads a file; a missing one is an empty book.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(path, "", error)),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        // Nothing but comments is no map to the parser.
        let entries = serde_saphyr::from_str::<Option<BTreeMap<String, Read>>>(text);
        let entries = entries.map_err(|error| match error.location() {
            Some(at) => wrong(path, "", at_line(at.line(), error.without_snippet())),
            None => wrong(path, "", error.without_snippet()),
        })?;
        let mut book = Self::default();
        for (alias, read) in entries.unwrap_or_default() {
            // Where the key stands is not told; its first value stands below it.
            let line = read.comm_address.referenced.line();
            let rule = |rule: &str| at_line(line, format!("the contact {alias:?}: {rule}"));
            check_alias(&alias).map_err(|broken| wrong(path, &alias, rule(broken)))?;
            check(path, read.alias.as_ref(), |inner| {
                let is_same = inner == alias;
                is_same.then_some(()).ok_or("it is not the key above it")
            })?;
            check(path, read.comm_type.as_ref(), check_comm_type)?;
            check(path, Some(&read.comm_address), check_address)?;
            let identity = check(path, Some(&read.offchain_address), parse_identity)?;
            let identity = identity.expect("it was given");
            if let Some(other) = book.aliases.get(&identity) {
                let broken = rule(&format!("it has the identity of {other:?}"));
                return Err(wrong(path, &alias, broken));
            }
            book.insert(Peer {
                alias,
                identity,
                address: read.comm_address.value,
            });
        }
        Ok(book)
    }

    pub(super) fn to_yaml(&self) -> String {
        let entries: BTreeMap<&str, Written<'_>> = self
            .iter()
            .map(|peer| {
                let written = Written {
                    alias: &peer.alias,
                    comm_address: &peer.address,
                    comm_type: COMM_TYPE,
                    offchain_address: show_identity(&peer.identity),
                };
                (peer.alias.as_str(), written)
            })
            .collect();
        serde_saphyr::to_string(&entries).expect("a map of texts is YAML")
    }

    pub(super) fn named(&self, alias: &str) -> Option<&Peer> {
        self.peers.get(alias)
    }

    pub(super) fn of_identity(&self, identity: &PublicKey) -> Option<&Peer> {
        self.peers.get(self.aliases.get(identity)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Neither its alias nor its identity is in the book.
    pub(super) fn insert(&mut self, peer: Peer) {
        self.aliases.insert(peer.identity, peer.alias.clone());
        self.peers.insert(peer.alias.clone(), peer);
    }

    pub(super) fn remove(&mut self, alias: &str) -> Option<Peer> {
        let peer = self.peers.remove(alias)?;
        self.aliases.remove(&peer.identity);
        Some(peer)
    }
}

/// What `rule` makes of a value, if there is one.
fn check<T>(
    path: &Path,
    value: Option<&Spanned<String>>,
    rule: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<Option<T>, Error> {
    let checked = value.map(|spanned| {
        let line = spanned.referenced.line();
        rule(&spanned.value).map_err(|broken| wrong(path, &spanned.value, at_line(line, broken)))
    });
    checked.transpose()
}

fn at_line(line: u64, reason: impl ToString) -> String {
    format!("line {line}: {}", reason.to_string())
}

fn wrong(path: &Path, value: &str, reason: impl ToString) -> Error {
    Error::InvalidConfig {
        name: path.display().to_string(),
        value: value.to_owned(),
        reason: reason.to_string(),
    }
}
