//! A token in memory.

use std::fmt;
use std::sync::Mutex;

use tokio::sync::watch;

use super::TokenInfo;
use super::record::Record;
use super::spent::Windows;
use crate::Error;
use crate::access::Traffic;
use crate::lock::lock;

/// A token, and what is done with it.
pub(crate) struct Token {
    pub(crate) record: Record,
    pub(super) windows: Mutex<Windows>,
    pub(super) is_revoked: watch::Sender<bool>,
    /// The calls that are made with it.
    pub(crate) traffic: Traffic,
}

impl Token {
    pub(super) fn new(record: Record, windows: Windows) -> Self {
        Self {
            windows: Mutex::new(windows),
            is_revoked: watch::Sender::new(record.is_revoked),
            traffic: Traffic::default(),
            record,
        }
    }

    /// Refuses a token that was revoked, or has expired.
    pub(crate) fn check_is_good(&self, now_s: u64) -> Result<(), Error> {
        let id = &self.record.id;
        let message = if *self.is_revoked.borrow() {
            format!("the token {id} was revoked")
        } else if self
            .record
            .expiry_s
            .is_some_and(|expiry_s| expiry_s <= now_s)
        {
            format!("the token {id} has expired")
        } else {
            return Ok(());
        };
        Err(Error::Unauthenticated { message })
    }

    /// Ends when the token is revoked.
    pub(crate) async fn revoked(&self) {
        let mut is_revoked = self.is_revoked.subscribe();
        // It lives as long as this future.
        let _ = is_revoked.wait_for(|is_revoked| *is_revoked).await;
    }

    pub(super) fn is_over(&self, now_s: u64) -> bool {
        self.check_is_good(now_s).is_err()
    }

    pub(super) fn info(&self, now_s: u64) -> TokenInfo {
        let record = self.record.clone();
        TokenInfo {
            id: record.id,
            label: record.label,
            scope: record.scope,
            session: record.session,
            limits: record.limits,
            spent: lock(&self.windows).spent(now_s),
            expiry_s: record.expiry_s,
            is_revoked: *self.is_revoked.borrow(),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.record).finish()
    }
}
