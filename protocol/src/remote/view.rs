//! Views on their way to a device: what a watcher says that it saw.

use alloc::vec::Vec;
use core::fmt;

use minicbor::{Decode, Encode};

use crate::dispute::Rank;
use crate::signature::{K256, Verifier};
use crate::view::{Status, View};
use crate::wire::fields::short_table;
use crate::{
    Amount, Balances, Params, SignedState, SignedStateError, Timestamp, UnverifiedSignedState,
    Version,
};

/// A view in somebody else's words. Shapes and signatures can be checked
/// ([`UnverifiedView::verify`]); that it was seen has to be believed.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct UnverifiedView {
    /// The adjudicator's time, not later than when anything of this was seen.
    #[n(0)]
    pub at: Timestamp,
    /// How far the channel was.
    #[n(1)]
    pub status: UnverifiedStatus,
}

/// What a [`Status`] is before it is verified.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub enum UnverifiedStatus {
    /// Nothing is registered.
    #[n(0)]
    Open {
        /// The deposits.
        #[n(0)]
        #[cbor(with = "short_table")]
        holdings: Balances,
    },
    /// A claim is registered.
    #[n(1)]
    Registered {
        /// How new the claim is.
        #[n(0)]
        rank: Rank,
        /// The state. Left out for a refund claim, and for a state of the version that the device
        /// has.
        #[n(1)]
        signed: Option<UnverifiedSignedState>,
        /// From this instant on it can no longer be refuted.
        #[n(2)]
        timeout: Timestamp,
        /// The deposits.
        #[n(3)]
        #[cbor(with = "short_table")]
        holdings: Balances,
    },
    /// Payouts are fixed.
    #[n(2)]
    Concluded {
        /// What is still to be paid.
        #[n(0)]
        #[cbor(with = "short_table")]
        remainders: Balances,
        /// For each asset: what is on its way.
        #[n(1)]
        in_flight: Vec<Amount>,
    },
}

/// Why somebody's words are no view of a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ViewError {
    /// A table or list has another shape than the channel.
    WrongShape,
    /// The registered state is not of the rank said, or is left out although it is not ours.
    WrongState {
        /// The rank said.
        rank: Rank,
    },
    /// The registered state is not signed by all.
    Signed(SignedStateError),
}

impl UnverifiedView {
    /// The words for `view`, for a device whose newest state is of version `knows`: that state it
    /// need not be sent.
    pub fn of(view: &View, knows: Option<Version>) -> Self {
        let status = match &view.status {
            Status::Open { holdings } => UnverifiedStatus::Open {
                holdings: holdings.clone(),
            },
            Status::Registered {
                rank,
                signed,
                timeout,
                holdings,
            } => {
                let unknown = signed
                    .as_ref()
                    .filter(|signed| Some(signed.version()) != knows);
                UnverifiedStatus::Registered {
                    rank: *rank,
                    signed: unknown.cloned().map(UnverifiedSignedState::from),
                    timeout: *timeout,
                    holdings: holdings.clone(),
                }
            }
            Status::Concluded {
                remainders,
                in_flight,
            } => UnverifiedStatus::Concluded {
                remainders: remainders.clone(),
                in_flight: in_flight.clone(),
            },
        };
        Self {
            at: view.at,
            status,
        }
    }

    /// The view, if its shapes are those of `params` and the registered state is signed by all.
    /// `own` is the newest state at hand: if that is what is registered, it was left out.
    pub fn verify(self, params: &Params, own: Option<&SignedState>) -> Result<View, ViewError> {
        self.verify_with::<K256>(params, own)
    }

    /// Like [`UnverifiedView::verify`], with the verifier of choice.
    pub fn verify_with<V: Verifier>(
        self,
        params: &Params,
        own: Option<&SignedState>,
    ) -> Result<View, ViewError> {
        let assets = params.assets().len();
        let check_shape = |table: &Balances| {
            let fits = table.assets() == assets && table.parts() == params.participants().len();
            fits.then_some(()).ok_or(ViewError::WrongShape)
        };
        let status = match self.status {
            UnverifiedStatus::Open { holdings } => {
                check_shape(&holdings)?;
                Status::Open { holdings }
            }
            UnverifiedStatus::Registered {
                rank,
                signed,
                timeout,
                holdings,
            } => {
                check_shape(&holdings)?;
                Status::Registered {
                    rank,
                    signed: verify_registered::<V>(rank, signed, params, own)?,
                    timeout,
                    holdings,
                }
            }
            UnverifiedStatus::Concluded {
                remainders,
                in_flight,
            } => {
                check_shape(&remainders)?;
                if in_flight.len() != assets {
                    return Err(ViewError::WrongShape);
                }
                Status::Concluded {
                    remainders,
                    in_flight,
                }
            }
        };
        Ok(View {
            at: self.at,
            status,
        })
    }
}

fn verify_registered<V: Verifier>(
    rank: Rank,
    signed: Option<UnverifiedSignedState>,
    params: &Params,
    own: Option<&SignedState>,
) -> Result<Option<SignedState>, ViewError> {
    let signed = match signed {
        Some(signed) => {
            let verified = signed.verify_for::<V>(params.id(), params);
            Some(verified.map_err(ViewError::Signed)?)
        }
        None => own
            .filter(|own| Rank::State(own.version()) == rank)
            .cloned(),
    };
    if Rank::of(signed.as_ref().map(SignedState::state)) != rank {
        return Err(ViewError::WrongState { rank });
    }
    Ok(signed)
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongShape => write!(f, "the view is one of a channel of another shape"),
            Self::WrongState { rank } => {
                write!(f, "{rank} is said to be registered and is not shown")
            }
            Self::Signed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ViewError {}
