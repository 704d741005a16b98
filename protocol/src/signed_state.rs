//! States with every participant's signature: what the adjudicator enforces.

use alloc::vec::Vec;
use core::fmt;

use crate::signature::{K256, Verifier};
use crate::{ChannelId, Params, PartIdx, Signature, State, Version};

/// A state and signatures of which nothing is known yet: what arrives from a stranger or a disk.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UnverifiedSignedState {
    /// The state.
    pub state: State,
    /// The signatures, in the order of the participants. Nothing bounds their number here; more
    /// than [`MAX_PARTICIPANTS`](crate::MAX_PARTICIPANTS) encode to bytes that no decoder accepts.
    pub signatures: Vec<Signature>,
}

/// A state that every participant signed, verified.
///
/// There is no way to make one without verifying, so whoever receives one never asks again.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SignedState {
    state: State,
    signatures: Vec<Signature>,
}

/// Why signatures do not make a [`SignedState`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignedStateError {
    /// The state is one of another channel.
    WrongChannel {
        /// The channel of the params.
        expected: ChannelId,
        /// The channel that the state names.
        found: ChannelId,
    },
    /// The state has another number of assets or participants than the params.
    WrongShape,
    /// There is not one signature per participant.
    SignatureCount {
        /// How many participants there are.
        expected: usize,
        /// How many signatures were given.
        found: usize,
    },
    /// A signature is not the participant's, or not in its one allowed form.
    WrongSignature {
        /// The first participant without a good signature.
        part: PartIdx,
    },
}

impl UnverifiedSignedState {
    /// Checks channel, shape and every signature.
    pub fn verify(self, params: &Params) -> Result<SignedState, SignedStateError> {
        self.verify_for::<K256>(params.id(), params)
    }

    /// Like [`UnverifiedSignedState::verify`] with the verifier of choice, for those who have the
    /// id of `params` at hand: `id` must be `params.id()`.
    pub fn verify_for<V: Verifier>(
        self,
        id: ChannelId,
        params: &Params,
    ) -> Result<SignedState, SignedStateError> {
        let Self { state, signatures } = self;
        if state.channel() != id {
            return Err(SignedStateError::WrongChannel {
                expected: id,
                found: state.channel(),
            });
        }
        if !state.has_shape_of(params) {
            return Err(SignedStateError::WrongShape);
        }
        if signatures.len() != params.participants().len() {
            return Err(SignedStateError::SignatureCount {
                expected: params.participants().len(),
                found: signatures.len(),
            });
        }
        let digest = state.digest();
        for ((part, participant), signature) in params.parts().zip(&signatures) {
            if !participant.verify::<V>(&digest, signature) {
                return Err(SignedStateError::WrongSignature { part });
            }
        }
        Ok(SignedState { state, signatures })
    }
}

impl SignedState {
    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The signatures, in the order of the participants.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The channel of the state.
    pub fn channel(&self) -> ChannelId {
        self.state.channel()
    }

    /// The version of the state.
    pub fn version(&self) -> Version {
        self.state.version()
    }
}

impl From<SignedState> for UnverifiedSignedState {
    fn from(signed: SignedState) -> Self {
        let SignedState { state, signatures } = signed;
        Self { state, signatures }
    }
}

impl fmt::Display for SignedStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongChannel { expected, found } => {
                write!(f, "the state is one of channel {found}, not of {expected}")
            }
            Self::WrongShape => write!(
                f,
                "the state has another number of assets or participants than the channel"
            ),
            Self::SignatureCount { expected, found } => {
                write!(f, "{found} signatures for {expected} participants")
            }
            Self::WrongSignature { part } => {
                write!(f, "the signature of participant {part} is not good")
            }
        }
    }
}

impl core::error::Error for SignedStateError {}
