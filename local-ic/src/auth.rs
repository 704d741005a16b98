//! Who sent a request: envelopes, signatures, delegations, expiry.
//!
//! ```text
//! sender = H(sender_pubkey)
//!            sender_pubkey --delegation--> pubkey 1 --delegation--> pubkey 2 --signs--> request id
//! ```
//!
//! An [`Authenticated`] request exists only if every link of that chain was verified, so whoever
//! receives one never asks again. What remains to its receiver is whether the sender may do what
//! it asks for.
//!
//! **Which clock.** Agents set the expiry by the clock of their machine, while the replica's time
//! can be moved by hand, so neither alone is right. A time is taken as not yet over if either
//! clock says so, and as not too far ahead if either clock says so ([`Window`]). Moving time
//! therefore never locks out an agent, nor does a client that follows the replica's time.

mod public_key;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use candid::Principal;
use ic_transport_types::{
    DelegationPermissions, Envelope, EnvelopeContent, RequestId, SignedDelegation,
};

use self::public_key::{KeyError, PublicKey};

/// How far ahead of the clock a request may expire (the Internet Computer's five minutes).
pub(crate) const MAX_INGRESS_TTL: Duration = Duration::from_secs(5 * 60);
/// Added to [`MAX_INGRESS_TTL`], because the agent's clock may be ahead.
pub(crate) const PERMITTED_DRIFT: Duration = Duration::from_secs(60);
/// The longest delegation chain.
pub(crate) const MAX_DELEGATIONS: usize = 20;
/// The most targets one delegation may name.
pub(crate) const MAX_TARGETS: usize = 1_000;
/// The longest nonce, bytes.
pub(crate) const MAX_NONCE: usize = 32;

/// The times that count as "now", both ends included, in ns since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    earliest_ns: u64,
    latest_ns: u64,
}

impl Window {
    /// Spans the machine's clock and the replica's time, whichever is ahead.
    pub(crate) fn new(machine_ns: u64, replica_ns: u64) -> Self {
        Self {
            earliest_ns: machine_ns.min(replica_ns),
            latest_ns: machine_ns.max(replica_ns),
        }
    }

    fn check_ingress_expiry(&self, expiry_ns: u64) -> Result<(), AuthError> {
        if expiry_ns <= self.earliest_ns {
            return Err(AuthError::Expired {
                expiry_ns,
                now_ns: self.earliest_ns,
            });
        }
        let ahead = MAX_INGRESS_TTL + PERMITTED_DRIFT;
        let limit_ns = self.latest_ns.saturating_add(ahead.as_nanos() as u64);
        if expiry_ns > limit_ns {
            return Err(AuthError::ExpiryTooFarAhead {
                expiry_ns,
                limit_ns,
            });
        }
        Ok(())
    }
}

/// A request whose sender is proven.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) content: EnvelopeContent,
    pub(crate) request_id: RequestId,
    /// `None`: any canister. Otherwise the only ones that the delegations allow.
    pub(crate) targets: Option<BTreeSet<Principal>>,
}

impl Authenticated {
    /// Whether the delegations let this request touch `canister`.
    pub(crate) fn may_target(&self, canister: &Principal) -> bool {
        self.targets
            .as_ref()
            .is_none_or(|targets| targets.contains(canister))
    }
}

/// Verifies everything about `envelope` that does not depend on the state of the network.
pub(crate) fn authenticate(
    envelope: Envelope<'_>,
    window: Window,
) -> Result<Authenticated, AuthError> {
    let content = envelope.content.into_owned();
    window.check_ingress_expiry(content.ingress_expiry())?;
    check_bounds(&content)?;

    let request_id = content.to_request_id();
    let sender = *content.sender();
    let delegations = envelope.sender_delegation.unwrap_or_default();

    if sender == Principal::anonymous() {
        if envelope.sender_pubkey.is_some()
            || envelope.sender_sig.is_some()
            || !delegations.is_empty()
        {
            return Err(AuthError::AnonymousWithSignature);
        }
        return Ok(Authenticated {
            content,
            request_id,
            targets: None,
        });
    }

    let pubkey = envelope
        .sender_pubkey
        .ok_or(AuthError::MissingKey { sender })?;
    let signature = envelope
        .sender_sig
        .ok_or(AuthError::MissingSignature { sender })?;
    let owner = Principal::self_authenticating(&pubkey);
    if owner != sender {
        return Err(AuthError::ForeignKey { sender, owner });
    }

    let read_only = !matches!(content, EnvelopeContent::Call { .. });
    let chain = verify_chain(&pubkey, &delegations, window, read_only)?;
    PublicKey::from_der(chain.last_key)
        .and_then(|key| key.verify(&request_id.signable(), &signature))
        .map_err(AuthError::Request)?;

    let authenticated = Authenticated {
        content,
        request_id,
        targets: chain.targets,
    };
    if let EnvelopeContent::Call { canister_id, .. } | EnvelopeContent::Query { canister_id, .. } =
        &authenticated.content
        && !authenticated.may_target(canister_id)
    {
        return Err(AuthError::NotATarget {
            canister: *canister_id,
        });
    }
    Ok(authenticated)
}

/// Bounds and fields that no signature is needed to judge.
fn check_bounds(content: &EnvelopeContent) -> Result<(), AuthError> {
    let (EnvelopeContent::Call {
        nonce, sender_info, ..
    }
    | EnvelopeContent::Query {
        nonce, sender_info, ..
    }) = content
    else {
        return Ok(());
    };
    if let Some(nonce) = nonce
        && nonce.len() > MAX_NONCE
    {
        return Err(AuthError::NonceTooLong { len: nonce.len() });
    }
    if sender_info.is_some() {
        return Err(AuthError::SenderInfo);
    }
    Ok(())
}

/// What a verified delegation chain allows.
struct Chain<'a> {
    /// The key that must have signed the request.
    last_key: &'a [u8],
    targets: Option<BTreeSet<Principal>>,
}

fn verify_chain<'a>(
    first_key: &'a [u8],
    delegations: &'a [SignedDelegation],
    window: Window,
    read_only: bool,
) -> Result<Chain<'a>, AuthError> {
    if delegations.len() > MAX_DELEGATIONS {
        return Err(AuthError::TooManyDelegations {
            count: delegations.len(),
        });
    }
    let mut chain = Chain {
        last_key: first_key,
        targets: None,
    };
    let mut seen = BTreeSet::from([first_key]);
    for (
        index,
        SignedDelegation {
            delegation,
            signature,
        },
    ) in delegations.iter().enumerate()
    {
        if delegation.expiration < window.earliest_ns {
            return Err(AuthError::DelegationExpired {
                index,
                expiration_ns: delegation.expiration,
                now_ns: window.earliest_ns,
            });
        }
        if !seen.insert(&delegation.pubkey) {
            return Err(AuthError::DelegationCycle { index });
        }
        if delegation.permissions == Some(DelegationPermissions::Queries) && !read_only {
            return Err(AuthError::QueriesOnly { index });
        }
        if let Some(targets) = &delegation.targets {
            if targets.len() > MAX_TARGETS {
                return Err(AuthError::TooManyTargets {
                    index,
                    count: targets.len(),
                });
            }
            // Restrictions only add up: a later link never widens what an earlier one allows.
            let named: BTreeSet<Principal> = targets.iter().copied().collect();
            chain.targets = Some(match chain.targets {
                None => named,
                Some(allowed) => allowed.intersection(&named).copied().collect(),
            });
        }
        PublicKey::from_der(chain.last_key)
            .and_then(|key| key.verify(&delegation.signable(), signature))
            .map_err(|error| AuthError::Delegation { index, error })?;
        chain.last_key = &delegation.pubkey;
    }
    Ok(chain)
}

/// Why a request is not let in. Always its sender's fault; the network is unchanged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AuthError {
    Expired {
        expiry_ns: u64,
        now_ns: u64,
    },
    ExpiryTooFarAhead {
        expiry_ns: u64,
        limit_ns: u64,
    },
    NonceTooLong {
        len: usize,
    },
    SenderInfo,
    AnonymousWithSignature,
    MissingKey {
        sender: Principal,
    },
    MissingSignature {
        sender: Principal,
    },
    ForeignKey {
        sender: Principal,
        owner: Principal,
    },
    Request(KeyError),
    TooManyDelegations {
        count: usize,
    },
    TooManyTargets {
        index: usize,
        count: usize,
    },
    DelegationExpired {
        index: usize,
        expiration_ns: u64,
        now_ns: u64,
    },
    DelegationCycle {
        index: usize,
    },
    Delegation {
        index: usize,
        error: KeyError,
    },
    QueriesOnly {
        index: usize,
    },
    NotATarget {
        canister: Principal,
    },
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { expiry_ns, now_ns } => {
                write!(
                    f,
                    "the request expired: ingress_expiry {expiry_ns} ns, now {now_ns} ns"
                )
            }
            Self::ExpiryTooFarAhead {
                expiry_ns,
                limit_ns,
            } => write!(
                f,
                "ingress_expiry {expiry_ns} ns is too far ahead: the latest accepted is {limit_ns} ns"
            ),
            Self::NonceTooLong { len } => {
                write!(
                    f,
                    "the nonce has {len} bytes, at most {MAX_NONCE} are allowed"
                )
            }
            Self::SenderInfo => f.write_str("sender_info is not supported by this local network"),
            Self::AnonymousWithSignature => f.write_str(
                "the anonymous sender must come without sender_pubkey, sender_sig and delegation",
            ),
            Self::MissingKey { sender } => {
                write!(
                    f,
                    "sender {sender} is not anonymous, so sender_pubkey is required"
                )
            }
            Self::MissingSignature { sender } => {
                write!(
                    f,
                    "sender {sender} is not anonymous, so sender_sig is required"
                )
            }
            Self::ForeignKey { sender, owner } => {
                write!(
                    f,
                    "sender_pubkey belongs to {owner}, not to the sender {sender}"
                )
            }
            Self::Request(error) => write!(f, "request signature: {error}"),
            Self::TooManyDelegations { count } => {
                write!(
                    f,
                    "{count} delegations, at most {MAX_DELEGATIONS} are allowed"
                )
            }
            Self::TooManyTargets { index, count } => write!(
                f,
                "delegation {index} names {count} targets, at most {MAX_TARGETS} are allowed"
            ),
            Self::DelegationExpired {
                index,
                expiration_ns,
                now_ns,
            } => write!(
                f,
                "delegation {index} expired: expiration {expiration_ns} ns, now {now_ns} ns"
            ),
            Self::DelegationCycle { index } => {
                write!(
                    f,
                    "delegation {index} leads back to a key that is already in the chain"
                )
            }
            Self::Delegation { index, error } => {
                write!(f, "signature of delegation {index}: {error}")
            }
            Self::QueriesOnly { index } => write!(
                f,
                "delegation {index} permits queries and read_state only, but this is a call"
            ),
            Self::NotATarget { canister } => {
                write!(
                    f,
                    "canister {canister} is not among the targets of the delegations"
                )
            }
        }
    }
}

impl std::error::Error for AuthError {}

#[cfg(test)]
mod tests;
