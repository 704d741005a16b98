//! Answers of one node that prove themselves: the subnet has signed what the canister certifies.
//!
//! ```text
//!  certificate ── the subnet's signature, its time, this canister's 32 bytes
//!       │                                              ║ must be equal
//!  witness ────── a hash tree with that root: the log's tip, a registration or its absence
//!       │                                              ║ must follow from
//!  answer ─────── events chained to the tip, the signed state
//! ```
//!
//! Nothing of an answer is used that does not follow from the signature; a node that lies is found out
//! ([`Unproven`]). What it can do is not to answer, or to show what was so some minutes ago, and the
//! certificate's time says when.

use std::fmt;

use candid::{Nat, Principal};
use ic_agent::hash_tree::{HashTree, LookupResult, SubtreeLookupResult};
use ic_agent::{Agent, Certificate};
use perun_canister_api::{self as api, BlockHash, block_hash};
use perun_protocol::{ChannelId, Timestamp};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

/// Why the answer of one node proves nothing.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unproven {
    /// There is no certificate or no witness with it.
    NotCertified,
    /// The certificate or the witness is no CBOR of that kind.
    Malformed {
        /// The decoder's words.
        reason: String,
    },
    /// The certificate is not the subnet's, not about this canister, or too old.
    Certificate {
        /// What is wrong with it.
        reason: String,
    },
    /// The witness is not of what was certified.
    Witness,
    /// The witness does not show what the answer is about.
    NotShown {
        /// What is missing.
        what: &'static str,
    },
    /// The log is longer or shorter than what was certified, or the page does not reach its end.
    Length {
        /// How many events were certified.
        certified: u64,
        /// How many the answer tells of.
        told: u64,
    },
    /// The events are not the ones of which the last is certified.
    Chain {
        /// The last of them.
        index: u64,
    },
    /// An event is missing, or out of place.
    Gap {
        /// Which was expected.
        index: u64,
    },
    /// What is registered is not what was certified.
    Registration,
}

/// What a certificate and its witness prove.
pub(crate) struct Proof {
    /// When it was so.
    pub(crate) time: Timestamp,
    tree: HashTree<Vec<u8>>,
}

impl Proof {
    /// Verifies a certificate for `canister` and the witness that goes with it.
    pub(crate) fn verify(
        agent: &Agent,
        canister: Principal,
        certificate: Option<&ByteBuf>,
        witness: Option<&ByteBuf>,
    ) -> Result<Self, Unproven> {
        let (Some(certificate), Some(witness)) = (certificate, witness) else {
            return Err(Unproven::NotCertified);
        };
        let certificate: Certificate = decode(certificate)?;
        let tree: HashTree<Vec<u8>> = decode(witness)?;
        let verified = agent.verify(&certificate, canister);
        verified.map_err(|error| Unproven::Certificate {
            reason: error.to_string(),
        })?;
        let path = [
            b"canister".as_slice(),
            canister.as_slice(),
            b"certified_data",
        ];
        let LookupResult::Found(root) = certificate.tree.lookup_path(path) else {
            return Err(Unproven::NotShown {
                what: "the canister's certified data",
            });
        };
        if *root != tree.digest() {
            return Err(Unproven::Witness);
        }
        let LookupResult::Found(mut time) = certificate.tree.lookup_path([b"time".as_slice()])
        else {
            return Err(Unproven::NotShown { what: "the time" });
        };
        let time = Nat::decode(&mut time)
            .ok()
            .and_then(|time| u64::try_from(time.0).ok());
        let time = time.ok_or(Unproven::NotShown { what: "the time" })?;
        Ok(Self {
            time: Timestamp::from_nanos(time),
            tree,
        })
    }

    /// How long the event log is, and the hash of its last block.
    fn tip(&self) -> Result<Option<(u64, BlockHash)>, Unproven> {
        let what = "the log's tip";
        let (index, hash) = (self.leaf("last_block_index"), self.leaf("last_block_hash"));
        match (index, hash) {
            (LookupResult::Absent, LookupResult::Absent) => Ok(None),
            (LookupResult::Found(mut index), LookupResult::Found(hash)) => {
                let index = Nat::decode(&mut index).ok();
                let index = index.and_then(|index| u64::try_from(index.0).ok());
                let tip = index.zip(hash.try_into().ok());
                tip.map(Some).ok_or(Unproven::NotShown { what })
            }
            _ => Err(Unproven::NotShown { what }),
        }
    }

    /// Checks that a page of all events from `start` on is the log's end.
    pub(crate) fn check_page(&self, page: &api::EventsPage, start: u64) -> Result<(), Unproven> {
        let tip = self.tip()?;
        let length = tip.map_or(0, |(index, _)| index.saturating_add(1));
        let end = start.saturating_add(page.events.len() as u64);
        if page.total != length || (end != length && !(page.events.is_empty() && start > length)) {
            return Err(Unproven::Length {
                certified: length,
                told: page.total.min(end),
            });
        }
        let (Some(last), Some((index, certified))) = (page.events.last(), tip) else {
            return Ok(());
        };
        let parent = page
            .parent
            .as_ref()
            .map(|parent| BlockHash::try_from(parent.as_slice()));
        let mut hash = match parent {
            None => None,
            Some(Ok(parent)) => Some(parent),
            Some(Err(_)) => return Err(Unproven::Chain { index }),
        };
        for (index, record) in (start..).zip(&page.events) {
            if record.index != index {
                return Err(Unproven::Gap { index });
            }
            hash = Some(block_hash(record, hash.as_ref()));
        }
        match hash == Some(certified) && last.index == index {
            true => Ok(()),
            false => Err(Unproven::Chain { index }),
        }
    }

    /// Checks what is told of a registration that is not concluded, and gives its timeout; `None` if it
    /// is proven that there is none.
    pub(crate) fn check_registration(
        &self,
        channel: ChannelId,
        told: Option<&api::Registered>,
    ) -> Result<Option<Timestamp>, Unproven> {
        let path = [b"registrations".as_slice(), channel.as_bytes()];
        let certified = match self.tree.lookup_path(path) {
            LookupResult::Found(certified) => certified,
            LookupResult::Absent if self.shows_registrations() => return Ok(None),
            _ => {
                return Err(Unproven::NotShown {
                    what: "the registration",
                });
            }
        };
        let told = told.filter(|told| !told.concluded);
        let told = told.ok_or(Unproven::Registration)?;
        let mut expected = match &told.signed_state {
            None => vec![0],
            Some(signed) => {
                let mut bytes = vec![1];
                bytes.extend(Sha256::digest(signed));
                bytes
            }
        };
        let (claim, deadline) = certified.split_at(expected.len().min(certified.len()));
        let deadline = <[u8; 8]>::try_from(deadline).map_err(|_| Unproven::Registration)?;
        expected.truncate(claim.len());
        if claim != expected {
            return Err(Unproven::Registration);
        }
        let LookupResult::Found(gaps) = self.leaf("clock") else {
            return Err(Unproven::NotShown { what: "the clock" });
        };
        let gaps =
            <[u8; 8]>::try_from(gaps).map_err(|_| Unproven::NotShown { what: "the clock" })?;
        let deadline = Timestamp::from_nanos(u64::from_be_bytes(deadline));
        Ok(Some(
            deadline.saturating_add_nanos(u64::from_be_bytes(gaps)),
        ))
    }

    fn leaf(&self, name: &'static str) -> LookupResult<'_> {
        self.tree.lookup_path([name.as_bytes()])
    }

    fn shows_registrations(&self) -> bool {
        let path = [b"registrations".as_slice()];
        matches!(
            self.tree.lookup_subtree(path),
            SubtreeLookupResult::Found(_)
        )
    }
}

fn decode<T: DeserializeOwned>(bytes: &ByteBuf) -> Result<T, Unproven> {
    serde_cbor::from_slice(bytes).map_err(|error| Unproven::Malformed {
        reason: error.to_string(),
    })
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCertified => write!(f, "it is not certified"),
            Self::Malformed { reason } => write!(f, "its certificate does not decode: {reason}"),
            Self::Certificate { reason } => write!(f, "its certificate is not good: {reason}"),
            Self::Witness => write!(f, "its witness is not of what was certified"),
            Self::NotShown { what } => write!(f, "its witness does not show {what}"),
            Self::Length { certified, told } => write!(
                f,
                "{certified} events were certified, and it tells of {told}"
            ),
            Self::Chain { index } => write!(f, "its events do not lead to event {index}"),
            Self::Gap { index } => write!(f, "event {index} is missing in it"),
            Self::Registration => write!(f, "what is registered is not what was certified"),
        }
    }
}

impl std::error::Error for Unproven {}
