//! How long to wait before dialling again.

use embassy_time::Duration;

/// A pause that doubles from [`Pause::FIRST`] to [`Pause::LONGEST`].
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(16);

    pub(crate) const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// The pause that is due now; the next one is longer.
    pub(crate) fn next(&mut self) -> Duration {
        let due = self.0;
        self.0 = (due * 2).min(Self::LONGEST);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pause = Pause::new();
        assert_eq!(pause.next(), Duration::from_millis(250));
        assert_eq!(pause.next(), Duration::from_millis(500));
        for _ in 0..10 {
            pause.next();
        }
        assert_eq!(pause.next(), Duration::from_secs(16));
    }
}
