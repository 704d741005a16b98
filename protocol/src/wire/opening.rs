//! Opening a channel: what is proposed, accepted, rejected, and how params follow from it.
//!
//! ```text
//! proposer                                      acceptor
//!    | ---- Proposal (terms, key, nonce share) ---> |
//!    | <--- Acceptance (key, nonce share) --------- |      or ProposalRejection
//!    |   both: nonce = hash of both shares, params, version 0
//!    | <--- UpdateAcceptance of version 0 --------- |
//!    | ---- UpdateAcceptance of version 0 --------> |      only now anybody deposits
//! ```

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use minicbor::{Decode, Encode};

use super::fields::{assets, is_zeros, nested};
use super::rejection::{RejectCode, Text};
use crate::encoding::{Domain, digest};
use crate::payment::{PAYMENT_APP, Tally};
use crate::signature::Digest;
use crate::{
    Allocation, App, AssetId, Balances, ChallengeDuration, Nonce, Params, ParamsError, PartIdx,
    Participant, Principal, State, StateError, Timestamp, Version,
};

/// The digest of a [`Proposal`]: an acceptance names exactly the terms that it accepts.
pub type ProposalId = Digest;

/// 32 fresh random bytes of one side. Never used twice.
pub type NonceShare = [u8; 32];

/// What a channel is to be, as far as it can be said before both sides are known.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Terms {
    /// The canister that is to hold the deposits.
    #[n(0)]
    pub adjudicator: Principal,
    /// The assets.
    #[n(1)]
    #[cbor(with = "assets")]
    pub assets: Vec<AssetId>,
    /// How long a registered state can be refuted.
    #[n(2)]
    pub challenge_duration: ChallengeDuration,
    /// The app.
    #[n(3)]
    pub app: App,
    /// The auxiliary hash, zeros if none.
    #[n(4)]
    #[cbor(with = "minicbor::bytes", skip_if = "is_zeros")]
    pub aux: [u8; 32],
    /// What everybody has in version 0: the proposer is participant 0, the acceptor participant 1.
    #[n(5)]
    pub balances: Balances,
    /// What everybody deposits; per asset as much together as the balances.
    #[n(6)]
    pub funding: Balances,
    /// Until when everybody deposits, on the adjudicator's clock. If a deposit is missing then,
    /// all others go back.
    #[n(7)]
    pub fund_by: Timestamp,
}

/// Proposes a channel.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Proposal {
    /// What it is to be.
    #[n(0)]
    pub terms: Terms,
    /// The proposer in it.
    #[n(1)]
    pub participant: Participant,
    /// The proposer's share of the nonce.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub nonce_share: NonceShare,
    /// Until when version 0 must be signed by both, on the adjudicator's clock.
    #[n(3)]
    pub expires_at: Timestamp,
}

/// Accepts a [`Proposal`].
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Acceptance {
    /// What is accepted.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub proposal: ProposalId,
    /// Who accepts: the position in the channel.
    #[n(1)]
    pub part: PartIdx,
    /// Who that is.
    #[n(2)]
    pub participant: Participant,
    /// Its share of the nonce.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub nonce_share: NonceShare,
}

/// Rejects a [`Proposal`], or says that it is not known.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct ProposalRejection {
    /// What is rejected.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub proposal: ProposalId,
    /// Why.
    #[n(1)]
    pub code: RejectCode,
    /// Why, in words.
    #[n(2)]
    #[cbor(skip_if = "Text::is_empty")]
    pub text: Text,
}

/// Why proposal and acceptance make no channel.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProposalError {
    /// The acceptance is of another proposal.
    WrongProposal,
    /// The acceptor is not participant 1.
    WrongPart {
        /// What it claims to be.
        part: PartIdx,
    },
    /// Params cannot be made of it: too many assets, or one of them or a participant twice.
    Params(ParamsError),
    /// The balances are not of two participants and as many assets as the terms name, or they and
    /// the funding do not agree.
    State(StateError),
    /// The balances are of another number of assets or participants than the channel.
    WrongShape,
}

impl Proposal {
    /// What names it.
    pub fn id(&self) -> ProposalId {
        digest(Domain::Proposal, &nested(self))
    }

    /// The participant of the acceptor.
    pub const ACCEPTOR: PartIdx = PartIdx::new(1);
    /// The participant of the proposer.
    pub const PROPOSER: PartIdx = PartIdx::new(0);

    /// Params and version 0 that follow from the proposal and its acceptance. Everything that can
    /// be wrong with the two is found here, on either side.
    pub fn channel(&self, acceptance: &Acceptance) -> Result<(Params, State), ProposalError> {
        if acceptance.proposal != self.id() {
            return Err(ProposalError::WrongProposal);
        }
        if acceptance.part != Self::ACCEPTOR {
            let part = acceptance.part;
            return Err(ProposalError::WrongPart { part });
        }
        let Terms {
            adjudicator,
            assets,
            challenge_duration,
            app,
            aux,
            balances,
            funding,
            fund_by: _,
        } = &self.terms;
        let shares = [self.nonce_share, acceptance.nonce_share].concat();
        let params = Params::new(
            Nonce::from_bytes(digest(Domain::Nonce, &shares)),
            vec![self.participant, acceptance.participant],
            assets.clone(),
            *challenge_duration,
            *adjudicator,
        );
        let params = params.map_err(ProposalError::Params)?;
        let params = params.with_app(*app).with_aux(*aux);
        params.check_keys().map_err(ProposalError::Params)?;
        let app_data = if *app == PAYMENT_APP {
            Tally::opening(balances).encode()
        } else {
            Vec::new()
        };
        let allocation = Allocation {
            balances: balances.clone(),
            locked: Vec::new(),
        };
        let state = State::from_parts(
            params.id(),
            Version::INITIAL,
            allocation,
            funding.clone(),
            app_data,
            false,
        );
        let state = state.map_err(ProposalError::State)?;
        if !state.has_shape_of(&params) {
            return Err(ProposalError::WrongShape);
        }
        Ok((params, state))
    }
}

impl fmt::Display for ProposalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongProposal => write!(f, "the acceptance is of another proposal"),
            Self::WrongPart { part } => {
                write!(f, "the acceptor is participant 1, not {part}")
            }
            Self::Params(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::WrongShape => write!(
                f,
                "the balances are of another number of assets or participants than the channel"
            ),
        }
    }
}

impl core::error::Error for ProposalError {}
