//! Whether an adjudicator serves a channel: to be asked before anybody pays, because what is paid
//! into the deposit account of a channel that the adjudicator refuses could not be taken out again.

use std::convert::Infallible;
use std::fmt;

use candid::Principal;
use perun_canister_api::{INTERFACE, Info, convert};
use perun_protocol::{AssetId, ChallengeDuration, ChannelKind, Params, ParamsError};

use crate::CallError;

/// Why an adjudicator and a channel do not fit each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unsuitable {
    /// The adjudicator has another interface than this client.
    Interface {
        /// What it has.
        found: u16,
        /// What this client speaks.
        expected: u16,
    },
    /// The params name another adjudicator.
    WrongAdjudicator {
        /// The one that was asked.
        asked: Principal,
        /// The one that the params name.
        named: Principal,
    },
    /// The adjudicator does not serve this ledger.
    LedgerNotServed {
        /// The ledger.
        ledger: Principal,
        /// Those that it serves.
        served: Vec<Principal>,
    },
    /// The challenge duration is outside of the adjudicator's bounds, in seconds.
    ChallengeDuration {
        /// What it is.
        given_s: u32,
        /// The least that the adjudicator accepts.
        min_s: u32,
        /// The most that the adjudicator accepts.
        max_s: u32,
    },
    /// Sub- and virtual channels hold no deposits.
    NotALedgerChannel,
    /// The params break a rule of the protocol: a participant's key is none.
    InvalidParams(ParamsError),
}

/// Why it is not known that an adjudicator serves a channel.
#[derive(Debug)]
pub enum CheckError {
    /// It does not.
    Unsuitable(Unsuitable),
    /// It could not be asked.
    Call(CallError<Infallible>),
}

/// Checks everything that the adjudicator `id` with this `info` will check when it takes the first
/// deposit.
pub(crate) fn check(id: Principal, info: &Info, params: &Params) -> Result<(), Unsuitable> {
    let duration = params.challenge_duration();
    check_terms(id, info, params.adjudicator(), params.assets(), duration)?;
    if params.kind() != ChannelKind::Ledger {
        return Err(Unsuitable::NotALedgerChannel);
    }
    params.check_keys().map_err(Unsuitable::InvalidParams)
}

/// Checks as much of it as can be said before the participants are known.
pub(crate) fn check_terms(
    id: Principal,
    info: &Info,
    adjudicator: perun_protocol::Principal,
    assets: &[AssetId],
    challenge_duration: ChallengeDuration,
) -> Result<(), Unsuitable> {
    if info.interface != INTERFACE {
        return Err(Unsuitable::Interface {
            found: info.interface,
            expected: INTERFACE,
        });
    }
    let named = convert::principal_to_candid(&adjudicator);
    if named != id {
        return Err(Unsuitable::WrongAdjudicator { asked: id, named });
    }
    let given_s = challenge_duration.secs();
    let (min_s, max_s) = (info.min_challenge_duration_s, info.max_challenge_duration_s);
    if !(min_s..=max_s).contains(&given_s) {
        return Err(Unsuitable::ChallengeDuration {
            given_s,
            min_s,
            max_s,
        });
    }
    let served = || info.ledgers.iter().map(|served| served.ledger);
    for AssetId::Icrc(ledger) in assets {
        let ledger = convert::principal_to_candid(ledger);
        if !served().any(|served| served == ledger) {
            return Err(Unsuitable::LedgerNotServed {
                ledger,
                served: served().collect(),
            });
        }
    }
    Ok(())
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface { found, expected } => write!(
                f,
                "the adjudicator has interface {found}, this program speaks {expected}"
            ),
            Self::WrongAdjudicator { asked, named } => {
                write!(f, "the channel's adjudicator is {named}, not {asked}")
            }
            Self::LedgerNotServed { ledger, served } => {
                write!(
                    f,
                    "the adjudicator does not serve the ledger {ledger}; it serves"
                )?;
                served.iter().try_for_each(|served| write!(f, " {served}"))
            }
            Self::ChallengeDuration {
                given_s,
                min_s,
                max_s,
            } => write!(
                f,
                "a challenge duration of {given_s} s; the adjudicator accepts {min_s} to {max_s} s"
            ),
            Self::NotALedgerChannel => write!(f, "sub- and virtual channels hold no deposits"),
            Self::InvalidParams(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unsuitable {}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsuitable(error) => error.fmt(f),
            Self::Call(error) => write!(f, "the adjudicator cannot be asked: {error}"),
        }
    }
}

impl std::error::Error for CheckError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unsuitable(error) => Some(error),
            Self::Call(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perun_canister_api::{LedgerInfo, Policy};
    use perun_protocol::{ChallengeDuration, Nonce, PublicKey, SecretKey};

    const ADJUDICATOR: &[u8] = &[2];
    const LEDGER: &[u8] = &[1];

    fn info() -> Info {
        Info {
            version: "0.1.0".into(),
            interface: INTERFACE,
            ledgers: vec![LedgerInfo {
                ledger: Principal::from_slice(LEDGER),
                fee: None,
            }],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 120,
            tick_interval_s: 1,
            max_participants: 16,
            max_assets: 8,
            max_request_bytes: 0,
            max_events: 0,
            channels: 0,
            events: 0,
            journal: 0,
            now_ns: 0,
            policy: Policy::default(),
        }
    }

    fn params_with(ledger: &[u8], duration_s: u32, adjudicator: &[u8]) -> Params {
        let participant = |number| {
            let key = SecretKey::from_bytes(&[number; 32]);
            key.unwrap().participant()
        };
        let name = |bytes| perun_protocol::Principal::from_slice(bytes).unwrap();
        Params::new(
            Nonce::from_bytes([0; 32]),
            vec![participant(1), participant(2)],
            vec![AssetId::Icrc(name(ledger))],
            ChallengeDuration::from_secs(duration_s).unwrap(),
            name(adjudicator),
        )
        .unwrap()
    }

    fn checked(info: &Info, params: &Params) -> Result<(), Unsuitable> {
        check(Principal::from_slice(ADJUDICATOR), info, params)
    }

    #[test]
    fn a_channel_that_is_served_passes() {
        for duration_s in [60, 120] {
            let params = params_with(LEDGER, duration_s, ADJUDICATOR);
            assert_eq!(checked(&info(), &params), Ok(()));
        }
    }

    #[test]
    fn each_misfit_is_named() {
        let good = params_with(LEDGER, 60, ADJUDICATOR);
        let newer = Info {
            interface: INTERFACE + 1,
            ..info()
        };
        let interface = Unsuitable::Interface {
            found: INTERFACE + 1,
            expected: INTERFACE,
        };
        assert_eq!(checked(&newer, &good), Err(interface));

        let elsewhere = params_with(LEDGER, 60, &[9]);
        let refused = checked(&info(), &elsewhere);
        assert!(matches!(refused, Err(Unsuitable::WrongAdjudicator { .. })));

        let other_token = params_with(&[8], 60, ADJUDICATOR);
        let refused = checked(&info(), &other_token);
        assert!(matches!(refused, Err(Unsuitable::LedgerNotServed { .. })));

        for duration_s in [59, 121] {
            let refused = checked(&info(), &params_with(LEDGER, duration_s, ADJUDICATOR));
            let outside = Unsuitable::ChallengeDuration {
                given_s: duration_s,
                min_s: 60,
                max_s: 120,
            };
            assert_eq!(refused, Err(outside));
        }

        let sub = good.clone().with_kind(ChannelKind::Sub);
        assert_eq!(checked(&info(), &sub), Err(Unsuitable::NotALedgerChannel));
    }

    #[test]
    fn nobody_pays_for_a_participant_who_can_never_sign() {
        // x = 5 lies on no point of the curve.
        let mut bytes = [0; 33];
        (bytes[0], bytes[32]) = (2, 5);
        let no_point = PublicKey::from_bytes(bytes).unwrap();
        assert!(!no_point.is_on_curve());
        let good = params_with(LEDGER, 60, ADJUDICATOR);
        let params = Params::new(
            good.nonce(),
            vec![
                good.participants()[0],
                perun_protocol::Participant::Secp256k1(no_point),
            ],
            good.assets().to_vec(),
            good.challenge_duration(),
            good.adjudicator(),
        );
        let refused = checked(&info(), &params.unwrap());
        assert!(matches!(refused, Err(Unsuitable::InvalidParams(_))));
    }
}
