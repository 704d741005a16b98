//! Figures for Prometheus: what an operator watches, and nothing that helps an attacker. The cycles
//! balance is absent on purpose: it would tell how long to go on draining. `cycles_runway` tells it to
//! controllers.

use std::fmt::Write as _;

use perun_canister_api::INTERFACE;

use crate::Adjudicator;
use crate::http::Surroundings;
use crate::journal::{JournalNumber, Kind};

/// So many of the oldest ledger calls are looked at.
const ENTRIES_LOOKED_AT: usize = 1_000;

impl Adjudicator {
    /// The figures, in Prometheus' text format.
    pub(crate) fn metrics(&self, around: &Surroundings) -> String {
        let entries = self.store.entries(JournalNumber(0), ENTRIES_LOOKED_AT);
        let payouts = entries
            .iter()
            .filter(|(_, entry)| matches!(entry.kind, Kind::Payout { .. }));
        // A first answer takes seconds; what was sent twice had none.
        let unknown = entries.iter().filter(|(_, entry)| entry.sends > 1);
        let oldest_ns = entries
            .first()
            .map_or(0, |(_, entry)| around.now.nanos_since(entry.created_at));
        let clock = self.store.clock();

        let mut out = Figures::default();
        let version = env!("CARGO_PKG_VERSION");
        out.add(
            "info",
            "The code's version and that of its interface.",
            &format!("{{version=\"{version}\",interface=\"{INTERFACE}\"}}"),
            1,
        );
        let mut gauge = |name, help, value| out.add(name, help, "", value);
        gauge(
            "channels",
            "Channels that a deposit has arrived for.",
            self.store.channel_count(),
        );
        gauge(
            "open_disputes",
            "Registrations that can still be refuted.",
            self.store.window_count(),
        );
        gauge(
            "unfinished_registrations",
            "Registrations that are not concluded.",
            self.store.registrations.len(),
        );
        gauge(
            "ledger_calls",
            "Ledger calls that are under way, or whose outcome is unknown.",
            self.store.entry_count(),
        );
        gauge(
            "payouts_pending",
            "Those of the oldest 1000 of them that are payouts.",
            payouts.count() as u64,
        );
        gauge(
            "unknown_outcomes",
            "Those of the oldest 1000 of them that were sent again.",
            unknown.count() as u64,
        );
        gauge(
            "oldest_ledger_call_seconds",
            "The age of the oldest of them.",
            oldest_ns / 1_000_000_000,
        );
        gauge("events", "Events in the log.", self.store.log.len());
        gauge(
            "event_log_bytes",
            "What the log takes of the stable memory.",
            self.stable_bytes().log,
        );
        gauge(
            "ledgers",
            "Ledgers served.",
            self.config().ledgers().len() as u64,
        );
        gauge(
            "stable_memory_bytes",
            "The size of the stable memory.",
            around.stable_bytes,
        );
        gauge(
            "heap_memory_bytes",
            "The size of the heap.",
            around.heap_bytes,
        );
        gauge(
            "last_seen_timestamp_seconds",
            "The last sign of life that counts for disputes.",
            clock.last_seen.nanos() / 1_000_000_000,
        );
        gauge(
            "gaps_seconds",
            "Time that did not count for disputes, since the canister did not run.",
            clock.gaps_ns / 1_000_000_000,
        );
        gauge(
            "time_seconds",
            "The canister's time.",
            around.now.nanos() / 1_000_000_000,
        );
        out.0
    }
}

#[derive(Default)]
struct Figures(String);

impl Figures {
    fn add(&mut self, name: &str, help: &str, labels: &str, value: u64) {
        let name = format!("perun_adjudicator_{name}");
        write!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}\n"
        )
        .expect("a string takes every text");
    }
}
