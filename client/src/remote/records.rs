//! What the service must not forget, and when it is durable.
//!
//! Progress is passed on through a channel that anybody can wait at, so that nothing of the service
//! runs in the store's thread.

use std::sync::Arc;

use perun_protocol::remote::RemoteCode;
use tokio::sync::watch;

use super::requests::Refused;
use crate::store::{ClientWrite, Observer, Store, StoreError, Ticket, Urgency};

/// With more bytes than this waiting for the disk, nothing new is taken.
const MAX_BACKLOG: usize = 8 * 1024 * 1024;

/// The store, and how far it is.
pub(crate) struct Records {
    store: Arc<dyn Store>,
    progress: watch::Sender<Progress>,
}

/// Nothing will become durable any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotStored;

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    durable: Ticket,
    has_failed: bool,
}

struct Reporter(watch::Sender<Progress>);

impl Records {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let progress = watch::Sender::new(Progress::default());
        store.set_observer(Arc::new(Reporter(progress.clone())));
        Self { store, progress }
    }

    /// Replaces a named record.
    pub(crate) fn put(&self, name: String, value: Vec<u8>) -> Ticket {
        self.write((name, Some(value)), Urgency::Now)
    }

    /// Replaces a record that costs nothing but time if it is lost.
    pub(crate) fn put_later(&self, name: String, value: Vec<u8>) -> Ticket {
        self.write((name, Some(value)), Urgency::Later)
    }

    /// Deletes a record.
    pub(crate) fn delete(&self, name: String) -> Ticket {
        self.write((name, None), Urgency::Later)
    }

    fn write(&self, entry: (String, Option<Vec<u8>>), urgency: Urgency) -> Ticket {
        self.store.write_client(ClientWrite {
            entries: vec![entry],
            urgency,
            ..ClientWrite::default()
        })
    }

    pub(super) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.store.durable()
    }

    /// Whether anything new can be written at present.
    pub(super) fn check(&self) -> Result<(), Refused> {
        if self.progress.borrow().has_failed {
            return Err((RemoteCode::NotStored, ""));
        }
        if self.store.backlog() > MAX_BACKLOG {
            return Err((RemoteCode::Busy, ""));
        }
        Ok(())
    }

    /// Waits until nothing will become durable any more.
    pub(crate) async fn failed(&self) {
        let mut progress = self.progress.subscribe();
        // It cannot be closed: the sender is here.
        let _ = progress.wait_for(|progress| progress.has_failed).await;
    }

    /// Waits until a write is durable.
    pub(crate) async fn durable(&self, ticket: Ticket) -> Result<(), NotStored> {
        let mut progress = self.progress.subscribe();
        loop {
            // Of a store to which everything is durable at once nothing is heard.
            if self.is_durable(ticket) {
                return Ok(());
            }
            let now = *progress.borrow_and_update();
            if now.durable >= ticket {
                return Ok(());
            }
            if now.has_failed || progress.changed().await.is_err() {
                return Err(NotStored);
            }
        }
    }

    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

impl Observer for Reporter {
    fn durable(&self, ticket: Ticket) {
        self.0
            .send_modify(|progress| progress.durable = progress.durable.max(ticket));
    }

    fn failed(&self, error: &StoreError) {
        tracing::error!("nothing can be stored any more: {error}");
        self.0.send_modify(|progress| progress.has_failed = true);
    }
}
