//! The bytes of each kind of record: channels, journal entries, events, clock, set-up.

use candid::Principal;
use perun_protocol::dispute::Rank;
use perun_protocol::encoding::{DecodeError, Reader};
use perun_protocol::{
    Account, Amount, AssetId, AssetIdx, Balances, ChallengeDuration, ChannelId, Params, PartIdx,
    Timestamp, UnverifiedSignedState, Version,
};

use super::Record;
use crate::channel::{Channel, Phase, RegisteredClaim};
use crate::clock::{Clock, Uptime};
use crate::config::Config;
use crate::event::{Change, Event};
use crate::journal::{Entry, Kind};

impl Record for RegisteredClaim {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Refund => out.push(0),
            Self::State(signed) => {
                out.push(1);
                signed.put(out);
            }
            Self::Digest { version, digest } => {
                out.push(2);
                version.number().put(out);
                digest.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Refund),
            1 => UnverifiedSignedState::take(reader).map(Self::State),
            2 => Ok(Self::Digest {
                version: Version::new(u64::take(reader)?),
                digest: Record::take(reader)?,
            }),
            tag => Err(DecodeError::UnknownTag { of: "claim", tag }),
        }
    }
}

impl Record for Phase {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open { holdings } => {
                out.push(0);
                holdings.put(out);
            }
            Self::Registered {
                held,
                late,
                claim,
                timeout,
            } => {
                out.push(1);
                held.put(out);
                late.put(out);
                claim.put(out);
                timeout.put(out);
            }
            Self::Concluded {
                remainders,
                claim,
                timeout,
            } => {
                out.push(2);
                remainders.put(out);
                claim.put(out);
                timeout.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Open {
                holdings: Balances::take(reader)?,
            }),
            1 => Ok(Self::Registered {
                held: Balances::take(reader)?,
                late: Balances::take(reader)?,
                claim: RegisteredClaim::take(reader)?,
                timeout: Uptime::take(reader)?,
            }),
            2 => Ok(Self::Concluded {
                remainders: Balances::take(reader)?,
                claim: RegisteredClaim::take(reader)?,
                timeout: Timestamp::take(reader)?,
            }),
            tag => Err(DecodeError::UnknownTag { of: "phase", tag }),
        }
    }
}

impl Record for Channel {
    fn put(&self, out: &mut Vec<u8>) {
        self.params.put(out);
        self.phase.put(out);
        self.last_event.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            params: Params::take(reader)?,
            phase: Phase::take(reader)?,
            last_event: Record::take(reader)?,
        })
    }
}

impl Record for Kind {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Pull { from, params } => {
                out.push(0);
                from.put(out);
                params.put(out);
            }
            Self::Sweep { params } => {
                out.push(1);
                params.put(out);
            }
            Self::Payout { receiver } => {
                out.push(2);
                receiver.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Pull {
                from: Account::take(reader)?,
                params: Params::take(reader)?,
            }),
            1 => Ok(Self::Sweep {
                params: Params::take(reader)?,
            }),
            2 => Ok(Self::Payout {
                receiver: Account::take(reader)?,
            }),
            tag => Err(DecodeError::UnknownTag {
                of: "journal entry",
                tag,
            }),
        }
    }
}

impl Record for Entry {
    fn put(&self, out: &mut Vec<u8>) {
        self.channel.put(out);
        self.asset.put(out);
        self.part.put(out);
        self.ledger.put(out);
        self.amount.put(out);
        self.fee.put(out);
        self.created_at.put(out);
        self.sends.put(out);
        self.last_sent.put(out);
        self.kind.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel: ChannelId::take(reader)?,
            asset: AssetIdx::take(reader)?,
            part: PartIdx::take(reader)?,
            ledger: Principal::take(reader)?,
            amount: Amount::take(reader)?,
            fee: Amount::take(reader)?,
            created_at: Timestamp::take(reader)?,
            sends: u32::take(reader)?,
            last_sent: Timestamp::take(reader)?,
            kind: Kind::take(reader)?,
        })
    }
}

impl Record for Change {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Deposited {
                asset,
                part,
                amount,
                holding,
                block,
            } => {
                out.push(0);
                asset.put(out);
                part.put(out);
                amount.put(out);
                holding.put(out);
                block.put(out);
            }
            Self::Registered {
                rank,
                digest,
                timeout,
            } => {
                out.push(1);
                rank.put(out);
                digest.put(out);
                timeout.put(out);
            }
            Self::Refuted {
                rank,
                digest,
                timeout,
            } => {
                out.push(2);
                rank.put(out);
                digest.put(out);
                timeout.put(out);
            }
            Self::Concluded { outcome } => {
                out.push(3);
                outcome.put(out);
            }
            Self::Withdrawn {
                asset,
                part,
                receiver,
                paid,
                fee,
                block,
            } => {
                out.push(4);
                asset.put(out);
                part.put(out);
                receiver.put(out);
                paid.put(out);
                fee.put(out);
                block.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Deposited {
                asset: AssetId::take(reader)?,
                part: PartIdx::take(reader)?,
                amount: Amount::take(reader)?,
                holding: Amount::take(reader)?,
                block: Record::take(reader)?,
            }),
            1 => Ok(Self::Registered {
                rank: Rank::take(reader)?,
                digest: Record::take(reader)?,
                timeout: Timestamp::take(reader)?,
            }),
            2 => Ok(Self::Refuted {
                rank: Rank::take(reader)?,
                digest: Record::take(reader)?,
                timeout: Timestamp::take(reader)?,
            }),
            3 => Ok(Self::Concluded {
                outcome: Balances::take(reader)?,
            }),
            4 => Ok(Self::Withdrawn {
                asset: AssetId::take(reader)?,
                part: PartIdx::take(reader)?,
                receiver: Account::take(reader)?,
                paid: Amount::take(reader)?,
                fee: Amount::take(reader)?,
                block: Record::take(reader)?,
            }),
            tag => Err(DecodeError::UnknownTag { of: "event", tag }),
        }
    }
}

impl Record for Event {
    fn put(&self, out: &mut Vec<u8>) {
        self.at.put(out);
        self.channel.put(out);
        self.change.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            at: Timestamp::take(reader)?,
            channel: ChannelId::take(reader)?,
            change: Change::take(reader)?,
        })
    }
}

impl Record for Clock {
    fn put(&self, out: &mut Vec<u8>) {
        self.gaps_ns.put(out);
        self.last_seen.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            gaps_ns: u64::take(reader)?,
            last_seen: Timestamp::take(reader)?,
        })
    }
}

impl Record for Config {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.ledgers.len() as u8);
        self.ledgers.iter().for_each(|ledger| ledger.put(out));
        self.min_challenge_duration.put(out);
        self.max_challenge_duration.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ledgers = (0..reader.byte()?).map(|_| Principal::take(reader));
        Ok(Self {
            ledgers: ledgers.collect::<Result<_, _>>()?,
            min_challenge_duration: ChallengeDuration::take(reader)?,
            max_challenge_duration: ChallengeDuration::take(reader)?,
        })
    }
}
