//! How an adjudicator is set up: the ledgers it serves and the challenge durations it accepts.
//!
//! Invariant: nothing that was once allowed ceases to be, so no upgrade can strand a channel.

use core::fmt;

use candid::Principal;
use perun_canister_api::{InitArgs, ParamsError, UpgradeArgs};
use perun_protocol::{AssetId, AssetIdx, ChallengeDuration, ChannelKind, Params};

use crate::text::PrincipalText;

/// At most so many ledgers; each is called by the canister, so each is chosen with care.
pub const MAX_LEDGERS: usize = 64;

/// A valid set-up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    pub(crate) ledgers: Vec<Principal>,
    pub(crate) min_challenge_duration: ChallengeDuration,
    pub(crate) max_challenge_duration: ChallengeDuration,
}

/// Why a set-up is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConfigError {
    /// The number of ledgers is not in `1..=`[`MAX_LEDGERS`].
    LedgerCount {
        /// How many were given.
        count: usize,
    },
    /// A ledger is named twice.
    DuplicateLedger {
        /// The ledger.
        ledger: Principal,
    },
    /// This principal can be no ledger: the management canister, the anonymous principal, or the
    /// adjudicator itself.
    NoLedger {
        /// The principal.
        ledger: Principal,
    },
    /// A challenge duration is outside of what the protocol allows, or the shortest is longer than
    /// the longest.
    ChallengeDuration {
        /// The shortest, in seconds.
        min_s: u32,
        /// The longest, in seconds.
        max_s: u32,
    },
    /// An upgrade would narrow the challenge durations.
    Narrowed,
}

impl Config {
    /// The set-up of a first installation as canister `me`.
    pub fn new(args: InitArgs, me: Principal) -> Result<Self, ConfigError> {
        let (min_s, max_s) = (args.min_challenge_duration_s, args.max_challenge_duration_s);
        let (min_challenge_duration, max_challenge_duration) = durations(min_s, max_s)?;
        check_ledgers(&args.ledgers, me)?;
        Ok(Self {
            ledgers: args.ledgers,
            min_challenge_duration,
            max_challenge_duration,
        })
    }

    /// The set-up after an upgrade, which only widens.
    pub fn widened(&self, args: UpgradeArgs, me: Principal) -> Result<Self, ConfigError> {
        let min_s = args.min_challenge_duration_s;
        let max_s = args.max_challenge_duration_s;
        let (min_challenge_duration, max_challenge_duration) = durations(
            min_s.unwrap_or(self.min_challenge_duration.secs()),
            max_s.unwrap_or(self.max_challenge_duration.secs()),
        )?;
        if min_challenge_duration > self.min_challenge_duration
            || max_challenge_duration < self.max_challenge_duration
        {
            return Err(ConfigError::Narrowed);
        }
        let ledgers = [self.ledgers.clone(), args.add_ledgers].concat();
        check_ledgers(&ledgers, me)?;
        Ok(Self {
            ledgers,
            min_challenge_duration,
            max_challenge_duration,
        })
    }

    /// The ledgers that are served.
    pub fn ledgers(&self) -> &[Principal] {
        &self.ledgers
    }

    /// How often the timer ticks while a window is open: 32 times in the shortest window, but
    /// neither more often than every second nor less often than every half minute. A silence that
    /// is too short to be a gap is therefore at most a sixteenth of any window of half a minute or
    /// more.
    pub fn tick_ns(&self) -> u64 {
        (self.min_challenge_duration.nanos() / 32).clamp(1_000_000_000, 30_000_000_000)
    }

    /// How long before an upgrade it is to be announced: the longest challenge and a week. Whoever
    /// disputes on the first day is paid before.
    pub fn exit_window_s(&self) -> u64 {
        const WEEK_S: u64 = 7 * 86_400;
        u64::from(self.max_challenge_duration.secs()) + WEEK_S
    }

    /// Checks the rules that this adjudicator adds to those of the protocol. `me` is its name.
    pub fn check(&self, params: &Params, me: Principal) -> Result<(), ParamsError> {
        if params.adjudicator().as_slice() != me.as_slice() {
            return Err(ParamsError::WrongAdjudicator);
        }
        if params.kind() != ChannelKind::Ledger {
            return Err(ParamsError::NotALedgerChannel);
        }
        let given = params.challenge_duration();
        if given < self.min_challenge_duration || given > self.max_challenge_duration {
            return Err(ParamsError::ChallengeDuration {
                given_s: given.secs(),
                min_s: self.min_challenge_duration.secs(),
                max_s: self.max_challenge_duration.secs(),
            });
        }
        for (index, asset) in params.assets().iter().enumerate() {
            if self.ledger(asset).is_none() {
                let index = AssetIdx::new(index as u8).number();
                return Err(ParamsError::LedgerNotServed { index });
            }
        }
        Ok(())
    }

    /// The ledger of an asset, `None` if it is not served.
    pub fn ledger(&self, asset: &AssetId) -> Option<Principal> {
        let AssetId::Icrc(ledger) = asset;
        let served = self.ledgers.iter();
        served
            .copied()
            .find(|served| served.as_slice() == ledger.as_slice())
    }
}

fn durations(
    min_s: u32,
    max_s: u32,
) -> Result<(ChallengeDuration, ChallengeDuration), ConfigError> {
    let min = ChallengeDuration::from_secs(min_s);
    let max = ChallengeDuration::from_secs(max_s);
    match (min, max) {
        (Some(min), Some(max)) if min <= max => Ok((min, max)),
        _ => Err(ConfigError::ChallengeDuration { min_s, max_s }),
    }
}

fn check_ledgers(ledgers: &[Principal], me: Principal) -> Result<(), ConfigError> {
    let count = ledgers.len();
    if !(1..=MAX_LEDGERS).contains(&count) {
        return Err(ConfigError::LedgerCount { count });
    }
    for (index, &ledger) in ledgers.iter().enumerate() {
        let is_no_ledger = [Principal::management_canister(), Principal::anonymous(), me];
        if is_no_ledger.contains(&ledger) {
            return Err(ConfigError::NoLedger { ledger });
        }
        if ledgers[..index].contains(&ledger) {
            return Err(ConfigError::DuplicateLedger { ledger });
        }
    }
    Ok(())
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LedgerCount { count } => {
                write!(f, "name 1 to {MAX_LEDGERS} ledgers, not {count}")
            }
            Self::DuplicateLedger { ledger } => {
                write!(f, "ledger {} is named twice", PrincipalText(ledger))
            }
            Self::NoLedger { ledger } => {
                write!(f, "{} can be no ledger", PrincipalText(ledger))
            }
            Self::ChallengeDuration { min_s, max_s } => write!(
                f,
                "challenge durations of {min_s} to {max_s} s: they are 1 s to {} s, \
                 the shortest first",
                ChallengeDuration::MAX.secs()
            ),
            Self::Narrowed => write!(
                f,
                "an upgrade may only shorten the shortest and lengthen the longest challenge \
                 duration"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Principal = Principal::from_slice(&[9]);

    fn ledger(number: u8) -> Principal {
        Principal::from_slice(&[number, 1])
    }

    fn args() -> InitArgs {
        InitArgs {
            ledgers: vec![ledger(1)],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 600,
        }
    }

    #[test]
    fn a_set_up_is_checked() {
        assert!(Config::new(args(), ME).is_ok());
        let with_ledgers = |ledgers| Config::new(InitArgs { ledgers, ..args() }, ME);
        let count = |count| Err(ConfigError::LedgerCount { count });
        assert_eq!(with_ledgers(vec![]), count(0));
        assert_eq!(with_ledgers((0..65).map(ledger).collect()), count(65));
        let ledger_twice = ConfigError::DuplicateLedger { ledger: ledger(1) };
        assert_eq!(with_ledgers(vec![ledger(1); 2]), Err(ledger_twice));
        for ledger in [ME, Principal::anonymous(), Principal::management_canister()] {
            assert_eq!(
                with_ledgers(vec![ledger]),
                Err(ConfigError::NoLedger { ledger })
            );
        }
        for (min_s, max_s) in [(0, 60), (60, 59), (60, u32::MAX)] {
            let args = InitArgs {
                min_challenge_duration_s: min_s,
                max_challenge_duration_s: max_s,
                ..args()
            };
            let refused = Err(ConfigError::ChallengeDuration { min_s, max_s });
            assert_eq!(Config::new(args, ME), refused);
        }
    }

    #[test]
    fn an_upgrade_only_widens() {
        let config = Config::new(args(), ME).unwrap();
        let wider = UpgradeArgs {
            add_ledgers: vec![ledger(2)],
            min_challenge_duration_s: Some(30),
            max_challenge_duration_s: Some(601),
        };
        let widened = config.widened(wider, ME).unwrap();
        assert_eq!(widened.ledgers, vec![ledger(1), ledger(2)]);
        assert_eq!(widened.min_challenge_duration.secs(), 30);
        for (min, max) in [(Some(61), None), (None, Some(599))] {
            let narrower = UpgradeArgs {
                add_ledgers: vec![],
                min_challenge_duration_s: min,
                max_challenge_duration_s: max,
            };
            assert_eq!(config.widened(narrower, ME), Err(ConfigError::Narrowed));
        }
        assert_eq!(config.widened(UpgradeArgs::default(), ME), Ok(config));
    }

    #[test]
    fn the_timer_ticks_32_times_in_the_shortest_window() {
        for (shortest_s, tick_ms) in [
            (1, 1_000),
            (32, 1_000),
            (60, 1_875),
            (320, 10_000),
            (960, 30_000),
            (961, 30_000),
        ] {
            let args = InitArgs {
                min_challenge_duration_s: shortest_s,
                max_challenge_duration_s: 86_400,
                ..args()
            };
            let config = Config::new(args, ME).unwrap();
            assert_eq!(config.tick_ns(), tick_ms * 1_000_000, "{shortest_s} s");
        }
    }

    #[test]
    fn what_is_wrong_with_a_set_up_is_said() {
        let ledger = Principal::anonymous();
        for (error, said) in [
            (
                ConfigError::LedgerCount { count: 65 },
                "name 1 to 64 ledgers, not 65",
            ),
            (
                ConfigError::DuplicateLedger { ledger },
                "ledger 2vxsx-fae is named twice",
            ),
            (
                ConfigError::NoLedger { ledger },
                "2vxsx-fae can be no ledger",
            ),
            (
                ConfigError::ChallengeDuration { min_s: 7, max_s: 6 },
                "challenge durations of 7 to 6 s: they are 1 s to 31536000 s, the shortest first",
            ),
            (
                ConfigError::Narrowed,
                "an upgrade may only shorten the shortest and lengthen the longest challenge duration",
            ),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }
}
