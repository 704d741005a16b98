//! Figures for operators, in the text format of Prometheus.
//!
//! ```text
//!  sessions, calls ──count──> Metrics <──reads, when asked── /metrics
//!                               ^                             │
//!                               └── channels, margins <───────┘ of the node, as they are then
//! ```
//!
//! What happens is counted where it happens, by an atomic addition. What is, is looked at when somebody
//! asks.

mod calls;
mod serve;
mod snapshot;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use perun_protocol::ChannelId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub use self::calls::{Calls, CallsLayer};

use self::snapshot::Snapshot;
use crate::Error;

/// The figures of a node. Cheap to clone; clones are the same figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    counts: Counts,
    calls: calls::Figures,
    /// Held while somebody reads: it is made anew for each reader.
    snapshot: Mutex<Snapshot>,
}

/// The figures of one session.
#[derive(Debug)]
pub struct SessionMetrics {
    received: Counter,
    sent: Counter,
    refused: Counter,
    disputes: Counter,
    missed: Counter,
    counts: Counts,
    session: String,
    /// The number of the last payment that was counted, of each channel.
    settled: Mutex<HashMap<ChannelId, u64>>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    payments: Family<PaymentLabels, Counter>,
    amounts: Family<AmountLabels, Counter<f64, AtomicU64>>,
    refused: Family<SessionLabels, Counter>,
    disputes: Family<SessionLabels, Counter>,
    missed: Family<SessionLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
}

/// Which way a payment goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// To the session's user.
    Received,
    /// By the session's user.
    Sent,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SessionLabels {
    session: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PaymentLabels {
    session: String,
    direction: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AmountLabels {
    session: String,
    direction: &'static str,
    currency: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ErrorLabels {
    code: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ChannelLabels {
    session: String,
    phase: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("perun");
        let counts = Counts::default();
        counts.register(&mut registry);
        let calls = calls::Figures::register(&mut registry);
        let snapshot = Mutex::new(Snapshot::register(&mut registry));
        let shared = Shared {
            registry,
            counts,
            calls,
            snapshot,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The figures of the session with this name, which go on where they were.
    pub fn session(&self, name: &str) -> SessionMetrics {
        let counts = &self.shared.counts;
        let session = SessionLabels {
            session: name.to_owned(),
        };
        let payments = |direction: Direction| {
            let labels = PaymentLabels {
                session: name.to_owned(),
                direction: direction.name(),
            };
            counts.payments.get_or_create_owned(&labels)
        };
        SessionMetrics {
            received: payments(Direction::Received),
            sent: payments(Direction::Sent),
            refused: counts.refused.get_or_create_owned(&session),
            disputes: counts.disputes.get_or_create_owned(&session),
            missed: counts.missed.get_or_create_owned(&session),
            counts: counts.clone(),
            session: name.to_owned(),
            settled: Mutex::default(),
        }
    }

    /// Something failed.
    pub fn failed(&self, error: &Error) {
        self.shared.counts.failed(error);
    }

    /// The layer of a server whose calls are counted. For `tonic::transport::Server::layer`.
    pub fn layer(&self) -> CallsLayer {
        CallsLayer::new(self.shared.calls.clone())
    }
}

impl SessionMetrics {
    /// So many payments were received.
    pub fn received(&self, count: u64) {
        self.received.inc_by(count);
    }

    /// The payments of a channel up to this number were agreed to, counted from 1 since the session was
    /// opened.
    pub fn sent(&self, channel: &ChannelId, through: u64) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let before = settled.entry(*channel).or_default();
        self.sent.inc_by(through.saturating_sub(*before));
        *before = through.max(*before);
    }

    /// So much of a currency was paid, in whole tokens. Not exact: it is to be looked at only.
    pub fn moved(&self, direction: Direction, currency: &str, tokens: f64) {
        let labels = AmountLabels {
            session: self.session.clone(),
            direction: direction.name(),
            currency: currency.to_owned(),
        };
        // A counter never falls.
        let amount = self.counts.amounts.get_or_create(&labels);
        amount.inc_by(tokens.max(0.0));
    }

    /// So many payments of ours were not agreed to.
    pub fn refused(&self, count: u64) {
        self.refused.inc_by(count);
    }

    /// Something was registered at the adjudicator.
    pub fn disputed(&self) {
        self.disputes.inc();
    }

    /// So many notifications of the client were not read in time.
    pub fn missed(&self, count: u64) {
        self.missed.inc_by(count);
    }

    /// Something failed.
    pub fn failed(&self, error: &Error) {
        self.counts.failed(error);
    }

    /// A channel is over: nothing more is counted of it.
    pub fn closed(&self, channel: &ChannelId) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.remove(channel);
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

impl Counts {
    fn register(&self, registry: &mut Registry) {
        let payments = "Payments that both sides agreed to";
        registry.register("payments", payments, self.payments.clone());
        let amounts = "What was paid, in whole tokens";
        registry.register("paid_tokens", amounts, self.amounts.clone());
        let refused = "Payments that a peer did not agree to";
        registry.register("payments_refused", refused, self.refused.clone());
        let disputes = "Claims that were seen registered at the adjudicator";
        registry.register("disputes", disputes, self.disputes.clone());
        let missed = "Notifications of a client that were not read in time";
        registry.register("events_missed", missed, self.missed.clone());
        let errors = "What failed, by perun-node's codes";
        registry.register("errors", errors, self.errors.clone());
    }

    fn failed(&self, error: &Error) {
        let code = error.code().as_str_name();
        self.errors.get_or_create(&ErrorLabels { code }).inc();
    }
}

/// A gauge that can be any number.
type Seconds = Gauge<f64, AtomicU64>;

/// Seconds, in a registry.
fn seconds() -> Unit {
    Unit::Seconds
}

#[cfg(test)]
mod tests;
