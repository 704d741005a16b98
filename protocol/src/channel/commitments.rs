//! The states that signatures were given for: the only place where the machine signs states.
//!
//! Invariant: no participant ever signs two different states of one version. Every version signed is
//! above every version signed before, what is signed is stored before it leaves, and after a start
//! nothing is signed until the peer has shown how far it is.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use crate::signature::Signer;
use crate::wire::{Update, Witness};
use crate::{Amount, PartIdx, Signature, SignedState, State, UnverifiedSignedState, Version};

/// How far above everything known a restored old copy goes on: further than it could have got in
/// the time that it does not know of.
const LEAP: u64 = 1 << 32;
/// How far ahead of the newest a version can be that an honest peer proposes: after a leap, and
/// some that were burnt.
pub(super) const MAX_AHEAD: u64 = 2 * LEAP;

/// The states that signatures were given for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Commitments {
    /// The newest state that all have signed; `None` while version 0 is being signed.
    current: Option<SignedState>,
    /// The newest version that we have signed.
    highest_signed: Option<Version>,
    /// What we have signed and the peer has not answered.
    pending: Option<Box<Pending>>,
    /// Own proposals that were refused: the peer can still complete them.
    burnt: Option<Burnt>,
    /// The peer's newest proposal that we have refused.
    refused: Option<Box<Proposed>>,
    /// The peer signs nothing up to this version any more, as it said last.
    peer_signed: Option<Version>,
}

/// A state with its proposer's signature.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Proposed {
    pub(super) state: State,
    pub(super) signature: Signature,
}

/// Own proposals that were refused, and can be enforced until a state newer than all of them is
/// signed by all.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub(super) struct Burnt {
    /// The newest of them.
    #[n(0)]
    through: Version,
    /// The least that they would leave us of each asset.
    #[n(1)]
    least: Vec<Amount>,
}

/// Our proposal under way.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Pending {
    pub(super) state: State,
    /// As it was sent, and is sent again.
    pub(super) update: Update,
}

/// What became of our proposal.
pub(super) struct Resolved {
    pub(super) update: Update,
    pub(super) is_agreed: bool,
}

impl Commitments {
    /// Nothing is signed yet.
    pub(super) fn none() -> Self {
        Self {
            current: None,
            highest_signed: None,
            pending: None,
            burnt: None,
            refused: None,
            peer_signed: None,
        }
    }

    pub(super) fn restored(
        current: Option<SignedState>,
        highest_signed: Option<Version>,
        pending: Option<Pending>,
        burnt: Option<Burnt>,
        refused: Option<Proposed>,
    ) -> Self {
        Self {
            current,
            highest_signed,
            pending: pending.map(Box::new),
            burnt,
            refused: refused.map(Box::new),
            peer_signed: None,
        }
    }

    pub(super) fn current(&self) -> Option<&SignedState> {
        self.current.as_ref()
    }

    pub(super) fn pending(&self) -> Option<&Pending> {
        self.pending.as_deref()
    }

    pub(super) fn highest_signed(&self) -> Option<Version> {
        self.highest_signed
    }

    pub(super) fn refused(&self) -> Option<&Proposed> {
        self.refused.as_deref()
    }

    pub(super) fn burnt(&self) -> Option<&Burnt> {
        self.burnt.as_ref()
    }

    /// Whether the peer's proposal of this version was refused, or superseded by one that was.
    pub(super) fn is_refused(&self, version: Version) -> bool {
        self.refused()
            .is_some_and(|refused| version <= refused.state.version())
    }

    /// The next version that nobody has signed, as far as we know; `None` when the counter is spent.
    pub(super) fn next_version(&self) -> Option<Version> {
        let current = self.current.as_ref().map(SignedState::version);
        let refused = self.refused.as_ref().map(|refused| refused.state.version());
        let highest = [current, self.highest_signed, refused, self.peer_signed];
        highest.into_iter().flatten().max()?.next()
    }

    /// Signs version 0. Signing it again gives the same signature.
    pub(super) fn sign_initial(&mut self, signer: &impl Signer, initial: &State) -> Signature {
        self.sign(signer, initial)
    }

    /// Completes version 0 with both signatures.
    pub(super) fn open(&mut self, signed: SignedState) {
        self.current = Some(signed);
    }

    /// Signs our proposal. It is pending until the peer has answered.
    pub(super) fn propose(&mut self, signer: &impl Signer, state: State, mut update: Update) {
        update.signature = self.sign(signer, &state);
        self.pending = Some(Box::new(Pending { state, update }));
    }

    /// Signs the peer's proposal, which makes it the current state.
    pub(super) fn countersign(&mut self, signer: &impl Signer, ours: PartIdx, theirs: Proposed) {
        let signature = self.sign(signer, &theirs.state);
        let signed = both(ours, signature, theirs.signature, theirs.state);
        self.replace(signed);
    }

    /// Completes our proposal with the peer's signature, already verified; it is the current state
    /// now.
    pub(super) fn complete(&mut self, ours: PartIdx, theirs: Signature) -> Update {
        let pending = self.pending.take().expect("the caller has looked");
        let Pending { state, update } = *pending;
        self.replace(both(ours, update.signature, theirs, state));
        update
    }

    /// Gives our proposal up: its version is burnt. The peer holds our signature on it, so what it
    /// would leave us is remembered until a newer state is signed by all.
    pub(super) fn burn(&mut self, ours: PartIdx) -> Update {
        let Pending { state, update } = *self.pending.take().expect("the caller has looked");
        let mut least = own_column(&state, ours);
        let mut through = state.version();
        if let Some(before) = self.burnt.take() {
            through = through.max(before.through);
            lower(&mut least, before.least);
        }
        self.burnt = Some(Burnt { through, least });
        update
    }

    /// The peer says that it will sign nothing up to `version`, unless it has. What is absurd is
    /// not listened to.
    pub(super) fn hear_peer_signed(&mut self, version: Version) {
        let current = self
            .current
            .as_ref()
            .map_or(0, |current| current.version().number());
        if version.number().saturating_sub(current) <= MAX_AHEAD / 2 + MAX_AHEAD / 4 {
            self.peer_signed = self.peer_signed.max(Some(version));
        }
    }

    /// Remembers a proposal of the peer that we refuse.
    pub(super) fn refuse(&mut self, theirs: Proposed) {
        if !self.is_refused(theirs.state.version()) {
            self.refused = Some(Box::new(theirs));
        }
    }

    /// Takes over a newer state that all have signed, wherever it comes from. Our own proposal, if
    /// it is not newer, is resolved by it.
    pub(super) fn adopt(&mut self, signed: SignedState) -> Option<Resolved> {
        let is_newer = self
            .current
            .as_ref()
            .is_none_or(|current| current.version() < signed.version());
        if !is_newer {
            return None;
        }
        let resolved = match self.pending.take() {
            Some(pending) if pending.state.version() <= signed.version() => Some(Resolved {
                is_agreed: pending.state == *signed.state(),
                update: pending.update,
            }),
            newer => {
                self.pending = newer;
                None
            }
        };
        self.highest_signed = self.highest_signed.max(Some(signed.version()));
        self.replace(signed);
        resolved
    }

    /// Goes on far above `shown`, which proves that this copy has forgotten what it signed.
    pub(super) fn leap(&mut self, shown: Version) {
        let above = Version::new(shown.number().saturating_add(LEAP));
        self.highest_signed = self.highest_signed.max(Some(above));
    }

    /// What is ours for certain, whatever the peer does: the least that any state leaves us which
    /// can be enforced.
    pub(super) fn secured(&self, ours: PartIdx) -> Vec<Amount> {
        let Some(current) = &self.current else {
            return Vec::new();
        };
        let mut least = own_column(current.state(), ours);
        if let Some(pending) = &self.pending {
            lower(&mut least, own_column(&pending.state, ours));
        }
        if let Some(burnt) = &self.burnt {
            lower(&mut least, burnt.least.iter().copied());
        }
        least
    }

    fn sign(&mut self, signer: &impl Signer, state: &State) -> Signature {
        let version = Some(state.version());
        let is_initial = state.version() == Version::INITIAL && self.current.is_none();
        assert!(
            version > self.highest_signed || is_initial,
            "nothing is signed at or below a version signed before"
        );
        self.highest_signed = version;
        signer.sign(&state.digest())
    }

    fn replace(&mut self, signed: SignedState) {
        let version = signed.version();
        self.current = Some(signed);
        self.burnt = self.burnt.take().filter(|burnt| burnt.through > version);
        self.refused = self
            .refused
            .take()
            .filter(|refused| refused.state.version() > version);
    }
}

/// Lowers each amount to the other one, if that is less.
fn lower(least: &mut [Amount], others: impl IntoIterator<Item = Amount>) {
    for (least, other) in least.iter_mut().zip(others) {
        *least = other.min(*least);
    }
}

/// What one participant has in a state, asset after asset.
pub(super) fn own_column(state: &State, part: PartIdx) -> Vec<Amount> {
    let rows = state.allocation().balances.rows();
    rows.map(|row| row[part.index()]).collect()
}

/// A state of two with both signatures.
pub(super) fn both(
    ours: PartIdx,
    our_signature: Signature,
    their_signature: Signature,
    state: State,
) -> SignedState {
    let mut signatures = vec![their_signature; 2];
    signatures[ours.index()] = our_signature;
    SignedState::from_verified(state, signatures)
}

impl Proposed {
    pub(super) fn to_witness(&self) -> Witness {
        let proposed = UnverifiedSignedState {
            state: self.state.clone(),
            signatures: vec![self.signature],
        };
        Witness { proposed }
    }

    pub(super) fn from_witness(witness: Witness) -> Option<Self> {
        let UnverifiedSignedState { state, signatures } = witness.proposed;
        let [signature] = signatures.try_into().ok()?;
        Some(Self { state, signature })
    }
}
