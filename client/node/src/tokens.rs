//! Access tokens: who may do what, and spend how much.
//!
//! ```text
//!  secret ──SHA-256──> token in memory: scope, session, expiry ──> Caller
//!                        │                                           │ spend
//!                        │ file (redb): hashes, never secrets        v
//!                        └<────── minutes of spending, durable ── window of 24 hours
//! ```
//!
//! Invariants:
//! - What is on the disk is never less than what was spent: a crash can only make a limit narrower.
//! - No call reads the disk to learn who calls.

mod file;
mod record;
mod spent;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use candid::Principal;
use perun_protocol::Amount;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::file::File;
use self::record::Record;
pub use self::spent::Entry;
use self::spent::Windows;
pub(crate) use self::token::Token;
use crate::access::Caller;
use crate::lock::lock;
use crate::password::Secret;
use crate::{Error, Resource, clock, private_file};

/// What secrets begin with, so that they are known when they are found where they should not be.
pub const PREFIX: &str = "perun_";

/// How many tokens there are at most.
const MAX_TOKENS: usize = 4096;

/// What a token allows; each allows what those before it do.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See channels, contacts, history and events.
    Read,
    /// Make requests, accept payments and channels that cost nothing.
    Receive,
    /// Pay, deposit and close, within limits.
    Spend,
    /// Everything, without limits.
    Admin,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is called.
    pub label: String,
    /// What it allows.
    pub scope: Scope,
    /// The name of the one session that it may use; `None` for all.
    pub session: Option<String>,
    /// What may be spent of a ledger's token within any 24 hours; nothing of a ledger that is not named.
    pub limits: Vec<(Principal, Amount)>,
    /// How long it is good, in seconds; `None` for ever.
    pub valid_s: Option<u64>,
}

/// A token as it is listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenInfo {
    /// Names it; no secret.
    pub id: String,
    /// What it is called.
    pub label: String,
    /// What it allows.
    pub scope: Scope,
    /// The name of the one session that it may use.
    pub session: Option<String>,
    /// What may be spent within 24 hours.
    pub limits: Vec<(Principal, Amount)>,
    /// What was spent within the last 24 hours, of each of them.
    pub spent: Vec<(Principal, Amount)>,
    /// Until when it is good, in seconds since 1970.
    pub expiry_s: Option<u64>,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// All tokens of a node. Clones are the same tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    file: File,
    by_hash: RwLock<HashMap<[u8; 32], Arc<Token>>>,
    /// Held while the set of tokens changes.
    changing: Mutex<()>,
    clock: Clock,
}

/// Seconds since 1970.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

impl Tokens {
    /// Opens the file, or makes it. One process at a time.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_clock(path, Box::new(now_s))
    }

    fn open_with_clock(path: &Path, clock: Clock) -> Result<Self, Error> {
        let file = File::open(path)?;
        let mut by_hash = HashMap::new();
        for record in file.records()? {
            let windows = Windows::new(&record.limits, file.spent(&record.id)?);
            let token = Arc::new(Token::new(record, windows));
            by_hash.insert(token.record.hash, token);
        }
        Ok(Self(Arc::new(Inner {
            file,
            by_hash: RwLock::new(by_hash),
            changing: Mutex::new(()),
            clock,
        })))
    }

    /// Copies the file as it is at this moment to a new one.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        self.0.file.copy_to(path)
    }

    /// If there is no token yet: makes one for an administrator, and writes its secret to this file,
    /// which only the owner may read. Whether it did.
    pub fn create_first(&self, path: &Path) -> Result<bool, Error> {
        if !self.read().is_empty() {
            return Ok(false);
        }
        let (id, secret) = self.create(NewToken {
            label: "first administrator".into(),
            scope: Scope::Admin,
            session: None,
            limits: Vec::new(),
            valid_s: None,
        })?;
        let line = format!("{}\n", secret.expose());
        if let Err(error) = private_file::replace(path, line.as_bytes()) {
            // Nobody would ever have its secret.
            self.forget(&id)?;
            let path = path.display();
            return Err(Error::internal(format!("writing {path}: {error}")));
        }
        Ok(true)
    }

    /// Makes a token: its id, and its secret, which is nowhere else.
    pub fn create(&self, new: NewToken) -> Result<(String, Secret), Error> {
        let mut random = zeroize::Zeroizing::new([0; 32]);
        let mut id = [0; 8];
        getrandom::fill(&mut *random).map_err(Error::internal)?;
        getrandom::fill(&mut id).map_err(Error::internal)?;
        let secret = Secret::new(format!("{PREFIX}{}", hex::encode(*random)));
        let id = hex::encode(id);
        let record = Record::new(new, id.clone(), hash(secret.expose()), self.now_s())?;

        let _changing = lock(&self.0.changing);
        self.make_room()?;
        self.0.file.put(&record)?;
        let windows = Windows::new(&record.limits, []);
        let token = Arc::new(Token::new(record, windows));
        self.write().insert(token.record.hash, token);
        Ok((id, secret))
    }

    /// All tokens, those that are not good any more too, oldest first.
    pub fn list(&self) -> Vec<TokenInfo> {
        let now_s = self.now_s();
        let mut tokens: Vec<_> = self.read().values().cloned().collect();
        tokens.sort_by(|a, b| {
            let key = |token: &Token| (token.record.made_s, token.record.id.clone());
            key(a).cmp(&key(b))
        });
        tokens.iter().map(|token| token.info(now_s)).collect()
    }

    /// From now on it is refused, and streams that were opened with it end.
    pub fn revoke(&self, id: &str) -> Result<(), Error> {
        let _changing = lock(&self.0.changing);
        let token = self.named(id)?;
        if self.is_last_admin(&token) {
            return Err(Error::FailedPrecondition {
                message: "it is the last good token of an administrator: make another one first"
                    .into(),
            });
        }
        let record = Record {
            is_revoked: true,
            ..token.record.clone()
        };
        // Refused at once, whether or not the disk agrees.
        token.is_revoked.send_replace(true);
        self.0.file.put(&record)
    }

    /// Whose secret it is.
    ///
    /// It is looked up by its hash: how long that takes tells nothing of a secret.
    pub fn authenticate(&self, secret: &str) -> Result<Caller, Error> {
        let token = self.read().get(&hash(secret)).cloned();
        let token = token.ok_or_else(|| Error::Unauthenticated {
            message: "this node does not know the token".into(),
        })?;
        token.check_is_good(self.now_s())?;
        Ok(Caller::bearer(self.clone(), token))
    }

    /// Counts what is spent; durable when it returns.
    pub(crate) fn spend(
        &self,
        token: &Token,
        amounts: &[(Principal, Amount)],
    ) -> Result<Vec<Entry>, Error> {
        let mut windows = lock(&token.windows);
        let entries = windows.take(amounts, self.now_s())?;
        let writes = windows.writes();
        if let Err(error) = self.0.file.write_spent(&token.record.id, &writes) {
            // What was written, if anything, is more than what was spent.
            windows.give_back(&entries);
            return Err(error);
        }
        windows.written(&writes);
        Ok(entries)
    }

    /// The disk follows with the next spending; until then it knows of more than was spent.
    pub(crate) fn refund(&self, token: &Token, entries: &[Entry]) {
        lock(&token.windows).give_back(entries);
    }

    pub(crate) fn now_s(&self) -> u64 {
        (self.0.clock)()
    }

    /// Removes the oldest token that is not good any more, if there are too many.
    fn make_room(&self) -> Result<(), Error> {
        if self.read().len() < MAX_TOKENS {
            return Ok(());
        }
        let now_s = self.now_s();
        let oldest = {
            let tokens = self.read();
            let over = tokens.values().filter(|token| token.is_over(now_s));
            over.min_by_key(|token| token.record.made_s).cloned()
        };
        let oldest = oldest.ok_or_else(|| Error::ResourceExhausted {
            message: format!("there are {MAX_TOKENS} tokens already; revoke some"),
        })?;
        self.forget(&oldest.record.id)
    }

    fn forget(&self, id: &str) -> Result<(), Error> {
        self.0.file.remove(id)?;
        self.write().retain(|_, token| token.record.id != id);
        Ok(())
    }

    /// Without it nobody could make or revoke tokens any more.
    fn is_last_admin(&self, token: &Token) -> bool {
        let now_s = self.now_s();
        let is_good = |token: &Token| {
            let record = &token.record;
            record.scope == Scope::Admin
                && !record.is_revoked
                && record.expiry_s.is_none_or(|expiry_s| expiry_s > now_s)
        };
        let others = self.read();
        let mut others = others
            .values()
            .filter(|other| other.record.id != token.record.id);
        is_good(token) && !others.any(|other| is_good(other))
    }

    fn named(&self, id: &str) -> Result<Arc<Token>, Error> {
        let tokens = self.read();
        let token = tokens.values().find(|token| token.record.id == id);
        token
            .cloned()
            .ok_or_else(|| Error::not_found(Resource::Token, id))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<[u8; 32], Arc<Token>>> {
        let by_hash = &self.0.by_hash;
        by_hash.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<[u8; 32], Arc<Token>>> {
        let by_hash = &self.0.by_hash;
        by_hash.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Receive => "receive",
            Self::Spend => "spend",
            Self::Admin => "admin",
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens ({})", self.read().len())
    }
}

/// What is kept of a secret. It has 256 random bits: nothing slower is needed.
fn hash(secret: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"perun token 1")
        .chain_update(secret)
        .finalize()
        .into()
}

/// A clock before 1970 is wrong; tokens expire late then, and limits still hold.
fn now_s() -> u64 {
    u64::try_from(clock::seconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
