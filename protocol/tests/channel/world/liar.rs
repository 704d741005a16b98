//! What a dishonest peer can make, since it holds its key and everything that was ever sent to it.

use perun_protocol::payment::{PAYMENT_APP, Payment, Tally};
use perun_protocol::signature::{Signer, Verifier};
use perun_protocol::wire::{Message, Sync, Update, UpdateAcceptance, Witness};
use perun_protocol::{
    Allocation, Amount, Balances, SignedState, State, UnverifiedSignedState, Version,
};

use super::{BOTH, World, batch, part};

/// The state that `payer` makes of `base` by these payments.
pub fn successor(
    base: &State,
    has_app: bool,
    payer: usize,
    version: Version,
    payments: &[Payment],
    is_final: bool,
) -> State {
    let paid = batch(payments);
    let amounts = base.allocation().balances.iter();
    let amounts = amounts.map(|(asset, owner, before)| {
        let total = paid.total(asset).units();
        Amount::new(if owner == part(payer) {
            before.units() - total
        } else {
            before.units() + total
        })
    });
    let data = if has_app {
        Tally::of(base).unwrap().after(part(payer), &paid).encode()
    } else {
        base.app_data().to_vec()
    };
    let allocation = Allocation {
        balances: Balances::new(2, amounts.collect()).unwrap(),
        locked: vec![],
    };
    let funding = base.funding().clone();
    State::from_parts(base.channel(), version, allocation, funding, data, is_final).unwrap()
}

impl<S: Signer + Clone, V: Verifier> World<S, V> {
    fn has_app(&self) -> bool {
        self.channel(0).params().app() == PAYMENT_APP
    }

    /// A state of one asset that nobody ever agreed on in the open, signed by both keys.
    pub fn sign_both(&self, version: Version, balances: [u128; 2]) -> SignedState {
        let amounts = balances.map(Amount::new).to_vec();
        let initial = &self.channel(0).setup().initial;
        let state = State::from_parts(
            initial.channel(),
            version,
            Allocation {
                balances: Balances::new(2, amounts).unwrap(),
                locked: vec![],
            },
            initial.funding().clone(),
            initial.app_data().to_vec(),
            false,
        );
        let state = state.unwrap();
        let signatures = BOTH.map(|side| self.sides[side].signer.sign(&state.digest()));
        let signatures = signatures.to_vec();
        let unverified = UnverifiedSignedState { state, signatures };
        let params = self.channel(0).params();
        unverified.verify_for::<V>(params.id(), params).unwrap()
    }

    /// What a side would say in a sync.
    pub fn sync_of(&self, side: usize) -> Sync {
        let channel = self.channel(side);
        Sync {
            channel: channel.id(),
            turn: channel.turn().0,
            newest: UnverifiedSignedState::from(channel.newest().unwrap().clone()),
            pending: None,
            witness: None,
            signed_through: channel.highest_signed(),
            wants_answer: false,
            offered: None,
        }
    }

    /// Shows a signed state to a side, as its peer does in a sync.
    pub fn show(&mut self, to: usize, signed: SignedState) {
        let sync = Sync {
            newest: signed.into(),
            ..self.sync_of(1 - to)
        };
        self.receive(to, Message::Sync(Box::new(sync)));
    }

    /// Shows a side its own proposal, as if it had been refused.
    pub fn witness(&self, state: State, of: usize) -> Witness {
        let signatures = vec![self.sides[of].signer.sign(&state.digest())];
        Witness {
            proposed: UnverifiedSignedState { state, signatures },
        }
    }

    /// A good proposal by a side, on top of the other one's newest state.
    pub fn update_by(
        &self,
        by: usize,
        version: Version,
        skipped: u64,
        turn: u64,
        payments: &[Payment],
    ) -> Update {
        let base = self.newest(1 - by).state();
        let next = successor(base, self.has_app(), by, version, payments, false);
        Update {
            channel: base.channel(),
            version,
            skipped,
            turn,
            is_final: false,
            passes_turn: false,
            payments: batch(payments),
            signature: self.sides[by].signer.sign(&next.digest()),
        }
    }

    /// The state that a side has proposed, completed by the other one in secret.
    pub fn complete_in_secret(&self, state: &State) -> SignedState {
        let signatures = BOTH.map(|side| self.sides[side].signer.sign(&state.digest()));
        let unverified = UnverifiedSignedState {
            state: state.clone(),
            signatures: signatures.to_vec(),
        };
        let params = self.channel(0).params();
        unverified.verify_for::<V>(params.id(), params).unwrap()
    }

    /// A side's acceptance of any state.
    pub fn acceptance_by(&self, by: usize, state: &State) -> UpdateAcceptance {
        UpdateAcceptance {
            channel: state.channel(),
            version: state.version(),
            part: part(by),
            signature: self.sides[by].signer.sign(&state.digest()),
            asks_turn: false,
        }
    }
}
