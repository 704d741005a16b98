//! Instants and lengths of time. Only the adjudicator's clock decides anything.

use core::fmt;

/// An instant on the adjudicator's clock: nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// `nanos` nanoseconds after 1970-01-01 UTC.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after 1970-01-01 UTC.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This instant moved later by `nanos`; the end of time (year 2554) if it would lie beyond,
    /// so that an extreme duration can only lengthen a window, never settle at once.
    pub const fn saturating_add_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this instant, 0 if `earlier` is not earlier.
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}

/// How long a registered state can be refuted, in seconds:
/// [`ChallengeDuration::MIN`]`..=`[`ChallengeDuration::MAX`].
///
/// An adjudicator narrows these bounds further.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChallengeDuration(u32);

impl ChallengeDuration {
    /// One second: without a window nobody could refute.
    pub const MIN: Self = Self(1);
    /// One year: longer locks of money are taken for a mistake.
    pub const MAX: Self = Self(365 * 24 * 60 * 60);

    /// `None` outside of [`ChallengeDuration::MIN`]`..=`[`ChallengeDuration::MAX`].
    pub const fn from_secs(secs: u32) -> Option<Self> {
        if secs < Self::MIN.0 || secs > Self::MAX.0 {
            return None;
        }
        Some(Self(secs))
    }

    /// Whole seconds.
    pub const fn secs(self) -> u32 {
        self.0
    }

    /// The same length in nanoseconds; fits, since the longest is a year.
    pub const fn nanos(self) -> u64 {
        self.0 as u64 * 1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::{ChallengeDuration, Timestamp};

    #[test]
    fn a_window_has_a_length() {
        assert_eq!(ChallengeDuration::from_secs(0), None);
        assert_eq!(ChallengeDuration::from_secs(u32::MAX), None);
        assert_eq!(ChallengeDuration::MAX.nanos(), 31_536_000_000_000_000);
    }

    #[test]
    fn the_end_of_time_is_no_wrap() {
        let late = Timestamp::from_nanos(u64::MAX - 1);
        assert_eq!(late.saturating_add_nanos(5).nanos(), u64::MAX);
        assert_eq!(Timestamp::from_nanos(3).nanos_since(late), 0);
    }
}
