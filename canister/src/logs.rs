//! Lines for the canister's log, which its operators read (`fetch_canister_logs`).
//!
//! ```text
//! INFO upgraded version="0.1.0" interface=3 channels=12
//! WARN gap length_s=340 total_s=340
//! WARN ledger_refused journal=7 ledger=... attempt=1 amount=50 reason="..." left_out=3
//! ```
//!
//! A level, what happened, and facts about it; amounts are no secret, since the event log has them.
//! There is a line only for what an operator should look at, and no stranger can fill the log: what a
//! caller can bring about is said at most once a minute, with how often it was left out. What breaks an
//! invariant traps, and the system logs traps itself. So it does if a message does not decode; but that
//! of a user is not accepted by any honest node, and a canister pays for each.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use perun_protocol::Timestamp;

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// As it should be.
    Info,
    /// Look at it.
    Warn,
}

/// A line.
pub fn line(level: Level, event: &str, facts: &[(&str, &dyn fmt::Display)]) -> String {
    let level = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
    };
    let mut line = format!("{level} {event}");
    for (name, value) in facts {
        let value = value.to_string();
        let is_word = !value.is_empty()
            && value
                .chars()
                .all(|sign| sign.is_ascii_graphic() && sign != '"');
        match is_word {
            true => write!(line, " {name}={value}"),
            // A ledger's words are quoted, so that they can pass for no other fact and no other line.
            false => write!(line, " {name}={value:?}"),
        }
        .expect("a string takes every text");
    }
    line
}

/// Lets one line a minute pass.
#[derive(Default)]
pub struct Throttle {
    last: Cell<Option<Timestamp>>,
    left_out: Cell<u64>,
}

/// The pause between two lines of a kind.
const PAUSE_NS: u64 = 60_000_000_000;

impl Throttle {
    /// Whether a line may pass at `now`, and how many did not since the last.
    pub fn pass(&self, now: Timestamp) -> Option<u64> {
        let is_early = |last| now.nanos_since(last) < PAUSE_NS;
        if self.last.get().is_some_and(is_early) {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.left_out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_level_a_name_and_facts() {
        let facts: [(&str, &dyn fmt::Display); 3] = [
            ("length_s", &340),
            ("reason", &"out of order\nWARN forged=\"1\""),
            ("nothing", &""),
        ];
        assert_eq!(
            line(Level::Warn, "gap", &facts),
            r#"WARN gap length_s=340 reason="out of order\nWARN forged=\"1\"" nothing="""#
        );
        assert_eq!(line(Level::Info, "installed", &[]), "INFO installed");
    }

    #[test]
    fn one_line_a_minute_passes_and_the_others_are_counted() {
        let at = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let throttle = Throttle::default();
        assert_eq!(throttle.pass(at(100)), Some(0));
        assert_eq!(throttle.pass(at(100)), None);
        assert_eq!(throttle.pass(at(159)), None);
        assert_eq!(throttle.pass(at(160)), Some(2));
        assert_eq!(throttle.pass(at(161)), None);
        assert_eq!(throttle.pass(at(400)), Some(1));
    }
}
