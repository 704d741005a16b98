//! What is kept of a token.

use std::collections::BTreeSet;

use candid::Principal;
use perun_protocol::Amount;
use serde::{Deserialize, Serialize};

use super::{NewToken, Scope};
use crate::Error;

const MAX_LABEL_CHARS: usize = 64;
const MAX_LIMITS: usize = 32;

/// What is kept of a token. Its secret is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(super) hash: [u8; 32],
    pub(super) label: String,
    pub(crate) scope: Scope,
    pub(crate) session: Option<String>,
    pub(super) limits: Vec<(Principal, Amount)>,
    pub(super) made_s: u64,
    pub(crate) expiry_s: Option<u64>,
    pub(super) is_revoked: bool,
}

/// As it lies on the disk. Amounts are texts: not every JSON reader takes 128 bits.
#[derive(Deserialize, Serialize)]
struct Stored {
    hash: String,
    label: String,
    scope: Scope,
    session: Option<String>,
    limits: Vec<(String, String)>,
    made_s: u64,
    expiry_s: Option<u64>,
    is_revoked: bool,
}

impl Record {
    /// Refuses a token that makes no sense.
    pub(super) fn new(
        new: NewToken,
        id: String,
        hash: [u8; 32],
        now_s: u64,
    ) -> Result<Self, Error> {
        let NewToken {
            label,
            scope,
            session,
            limits,
            valid_s,
        } = new;
        if label.chars().count() > MAX_LABEL_CHARS || label.chars().any(char::is_control) {
            let requirement = format!("it is one line of at most {MAX_LABEL_CHARS} characters");
            return Err(Error::invalid("label", label, requirement));
        }
        if scope == Scope::Admin && session.is_some() {
            let session = session.unwrap_or_default();
            let requirement = "an administrator may use all sessions";
            return Err(Error::invalid("session", session, requirement));
        }
        let is_named = |session: &String| {
            let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=MAX_LABEL_CHARS).contains(&session.len()) && session.chars().all(is_good)
        };
        if let Some(session) = session.as_ref().filter(|session| !is_named(session)) {
            let requirement = "a session's name has letters, digits, \"-\" and \"_\", 64 at most";
            return Err(Error::invalid("session", session, requirement));
        }
        if scope != Scope::Spend && !limits.is_empty() {
            let requirement = "only a token of scope spend has limits";
            return Err(Error::invalid("limits", scope.to_string(), requirement));
        }
        let ledgers: BTreeSet<_> = limits.iter().map(|(ledger, _)| *ledger).collect();
        if limits.len() > MAX_LIMITS || ledgers.len() != limits.len() {
            let requirement = format!("one for each currency, {MAX_LIMITS} at most");
            return Err(Error::invalid(
                "limits",
                limits.len().to_string(),
                requirement,
            ));
        }
        let expiry_s = match valid_s {
            Some(valid_s) => Some(now_s.checked_add(valid_s).ok_or_else(|| {
                Error::invalid("valid_s", valid_s.to_string(), "time does not go so far")
            })?),
            None => None,
        };
        Ok(Self {
            id,
            hash,
            label,
            scope,
            session,
            limits,
            made_s: now_s,
            expiry_s,
            is_revoked: false,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let limits = self.limits.iter();
        let stored = Stored {
            hash: hex::encode(self.hash),
            label: self.label.clone(),
            scope: self.scope,
            session: self.session.clone(),
            limits: limits
                .map(|(ledger, amount)| (ledger.to_text(), amount.units().to_string()))
                .collect(),
            made_s: self.made_s,
            expiry_s: self.expiry_s,
            is_revoked: self.is_revoked,
        };
        serde_json::to_vec(&stored).expect("texts and numbers are JSON")
    }

    /// `None` if these are not the bytes of a record.
    pub(super) fn from_bytes(id: &str, bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let mut hash = [0; 32];
        hex::decode_to_slice(stored.hash, &mut hash).ok()?;
        let limit = |(ledger, amount): (String, String)| {
            let ledger = Principal::from_text(ledger).ok()?;
            Some((ledger, Amount::new(amount.parse().ok()?)))
        };
        let limits: Option<Vec<_>> = stored.limits.into_iter().map(limit).collect();
        Some(Self {
            id: id.to_owned(),
            hash,
            label: stored.label,
            scope: stored.scope,
            session: stored.session,
            limits: limits?,
            made_s: stored.made_s,
            expiry_s: stored.expiry_s,
            is_revoked: stored.is_revoked,
        })
    }
}
