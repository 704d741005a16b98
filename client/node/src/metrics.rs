//! Figures for operators, in the text format of Prometheus.
//!
//! ```text
//!  sessions, calls ──count──> Metrics <──reads, when asked── /metrics
//!  history ──each payment───────^                             │
//!                               └── channels, margins <───────┘ of the node, as they are then
//! ```
//!
//! What happens is counted where it happens, by an atomic addition; a payment when it is recorded, which
//! happens once to each. What is, is looked at when somebody asks.

mod calls;
mod ending;
mod serve;
mod snapshot;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub use self::calls::{Calls, CallsLayer};

use self::snapshot::Snapshot;
use crate::Error;
use crate::api::pb::ErrorCode;

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

/// The figures of one session. Cheap to clone; clones are the same figures.
#[derive(Clone, Debug)]
pub struct SessionMetrics {
    received: Counter,
    sent: Counter,
    refused: Counter,
    disputes: Counter,
    missed: Counter,
    counts: Counts,
    session: String,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    payments: Family<PaymentLabels, Counter>,
    amounts: Family<AmountLabels, Counter<f64, AtomicU64>>,
    refused: Family<SessionLabels, Counter>,
    disputes: Family<SessionLabels, Counter>,
    missed: Family<SessionLabels, Counter>,
    errors: Errors,
}

/// What failed.
#[derive(Clone, Debug, Default)]
struct Errors(Family<ErrorLabels, Counter>);

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
        let calls = calls::Figures::register(&mut registry, counts.errors.clone());
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
        }
    }

    /// A stream has told an error and goes on. Those that end a call are counted by the layer.
    pub fn failed(&self, error: &Error) {
        self.shared.counts.errors.failed(error.code());
    }

    /// The layer of a server whose calls are counted. For `tonic::transport::Server::layer`.
    pub fn layer(&self) -> CallsLayer {
        CallsLayer::new(self.shared.calls.clone())
    }
}

impl SessionMetrics {
    /// A payment was recorded, of so much in whole tokens: that is not exact, and to be looked at only.
    pub fn paid(&self, direction: Direction, currency: &str, tokens: f64) {
        match direction {
            Direction::Received => self.received.inc(),
            Direction::Sent => self.sent.inc(),
        };
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

    /// Something failed that nobody has asked for.
    pub fn failed(&self, error: &Error) {
        self.counts.errors.failed(error.code());
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
        let errors =
            "Errors that calls were answered with, or that sessions met, by perun-node's codes";
        registry.register("errors", errors, self.errors.0.clone());
    }
}

impl Errors {
    fn failed(&self, code: ErrorCode) {
        let code = code.as_str_name();
        self.0.get_or_create(&ErrorLabels { code }).inc();
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
