//! The adjudicator, as far as channels can tell: the real rules over plain tables.

use perun_protocol::channel::AdjudicatorCall;
use perun_protocol::dispute::{Claim, DisputeError, Rank, Registration, outcome, register};
use perun_protocol::view::{Status, View};
use perun_protocol::{
    Amount, AssetId, AssetIdx, Balances, ChallengeDuration, Params, PartIdx, SignedState, Timestamp,
};

use super::{part, receiver};

/// One channel at its adjudicator.
#[derive(Clone, Debug)]
pub struct Adjudicator {
    assets: Vec<AssetId>,
    duration: ChallengeDuration,
    /// What each may deposit: set by a story to keep somebody from it.
    pub refuses_deposits_of: Option<PartIdx>,
    holdings: Balances,
    registered: Option<Registered>,
    remainders: Option<Balances>,
    in_flight: Vec<Amount>,
    /// Shares up to this are kept.
    pub fee: Amount,
    /// What left with an unknown outcome and may come back.
    pub loses_answers: bool,
    /// For each asset what each has got.
    paid: Vec<[Amount; 2]>,
    /// How much has happened so far.
    pub changes: u64,
    /// Claims that were refused.
    pub refused: Vec<DisputeError>,
}

#[derive(Clone, Debug)]
struct Registered {
    registration: Registration,
    signed: Option<SignedState>,
    held: Balances,
}

impl Adjudicator {
    pub fn new(params: &Params) -> Self {
        let assets = params.assets().to_vec();
        Self {
            duration: params.challenge_duration(),
            refuses_deposits_of: None,
            holdings: Balances::zero(assets.len(), 2).unwrap(),
            registered: None,
            remainders: None,
            in_flight: vec![Amount::ZERO; assets.len()],
            fee: Amount::ZERO,
            loses_answers: false,
            paid: vec![[Amount::ZERO; 2]; assets.len()],
            changes: 0,
            refused: vec![],
            assets,
        }
    }

    pub fn view(&self, now: Timestamp) -> View {
        let status = if let Some(remainders) = &self.remainders {
            Status::Concluded {
                remainders: remainders.clone(),
                in_flight: self.in_flight.clone(),
            }
        } else if let Some(registered) = &self.registered {
            Status::Registered {
                rank: registered.registration.rank,
                signed: registered.signed.clone(),
                timeout: registered.registration.timeout,
                holdings: self.holdings.clone(),
            }
        } else {
            Status::Open {
                holdings: self.holdings.clone(),
            }
        };
        View { at: now, status }
    }

    pub fn carry_out(&mut self, now: Timestamp, caller: PartIdx, call: &AdjudicatorCall) {
        match call {
            AdjudicatorCall::Observe => {}
            AdjudicatorCall::Fund => panic!("the amount is for the world to say"),
            AdjudicatorCall::Dispute(signed) => self.dispute(now, signed),
            AdjudicatorCall::ConcludeFinal(signed) => {
                self.dispute(now, signed);
                self.conclude(now);
            }
            AdjudicatorCall::Conclude => self.conclude(now),
            AdjudicatorCall::Withdraw(auths) => {
                self.conclude(now);
                for signed in auths {
                    let auth = signed.auth();
                    assert_eq!(auth.part, caller);
                    assert_eq!(auth.receiver, receiver(caller.index()));
                    let index = self.assets.iter().position(|asset| *asset == auth.asset);
                    self.pay(AssetIdx::new(index.unwrap() as u8), auth.part);
                }
            }
        }
    }

    /// What a participant pays in.
    pub fn deposit(&mut self, asset: u8, of: PartIdx, amount: Amount) {
        if self.refuses_deposits_of == Some(of) || amount.is_zero() || self.remainders.is_some() {
            return;
        }
        let place = AssetIdx::new(asset);
        self.holdings.checked_add_at(place, of, amount).unwrap();
        self.changes += 1;
    }

    pub fn dispute(&mut self, now: Timestamp, signed: &SignedState) {
        let claim = Claim::State(signed.clone());
        let standing = self.registered.as_ref();
        let held = standing
            .map_or(&self.holdings, |standing| &standing.held)
            .clone();
        let standing = standing.map(|standing| &standing.registration);
        match register(standing, &claim, &held, self.duration, now) {
            Ok(registration) => {
                self.registered = Some(Registered {
                    registration,
                    signed: Some(signed.clone()),
                    held,
                });
                self.changes += 1;
            }
            Err(error) => self.refused.push(error),
        }
    }

    pub fn conclude(&mut self, now: Timestamp) {
        let Some(registered) = &self.registered else {
            return;
        };
        if self.remainders.is_some() || registered.registration.timeout > now {
            return;
        }
        let state = registered.signed.as_ref().map(SignedState::state);
        let mut payout = outcome(state, &registered.held);
        // What came after the registration is its participant's.
        for (asset, part, amount) in self.holdings.iter() {
            let before = registered.held.at(asset, part).unwrap();
            let late = amount.checked_sub(before).unwrap();
            payout.checked_add_at(asset, part, late).unwrap();
        }
        self.remainders = Some(payout);
        self.changes += 1;
    }

    fn pay(&mut self, asset: AssetIdx, part: PartIdx) {
        let Some(remainders) = &mut self.remainders else {
            return;
        };
        if remainders.at(asset, part).unwrap() <= self.fee {
            return;
        }
        let share = remainders.take_at(asset, part).unwrap();
        self.changes += 1;
        if self.loses_answers {
            let flying = &mut self.in_flight[asset.index()];
            *flying = flying.checked_add(share).unwrap();
            return;
        }
        let paid = &mut self.paid[asset.index()][part.index()];
        *paid = paid.checked_add(share).unwrap();
    }

    /// What was in flight has arrived at this participant's receiver.
    pub fn land(&mut self, part: PartIdx) {
        for (index, flying) in self.in_flight.iter_mut().enumerate() {
            let paid = &mut self.paid[index][part.index()];
            *paid = paid.checked_add(std::mem::take(flying)).unwrap();
        }
        self.changes += 1;
    }

    /// What was in flight comes back as this participant's remainder.
    pub fn bounce(&mut self, part: PartIdx) {
        for index in 0..self.assets.len() {
            let share = std::mem::take(&mut self.in_flight[index]);
            let remainders = self.remainders.as_mut().unwrap();
            let place = AssetIdx::new(index as u8);
            remainders.checked_add_at(place, part, share).unwrap();
        }
        self.changes += 1;
    }

    /// The canister did not run for so long: the window moves.
    pub fn gap(&mut self, nanos: u64) {
        if let Some(registered) = &mut self.registered {
            let timeout = &mut registered.registration.timeout;
            *timeout = timeout.saturating_add_nanos(nanos);
            self.changes += 1;
        }
    }

    /// The assets of which a share is too small to be paid.
    pub fn kept_of(&self, part: PartIdx) -> Vec<AssetIdx> {
        let Some(remainders) = &self.remainders else {
            return vec![];
        };
        let places = remainders.iter();
        let kept =
            places.filter(|(_, of, left)| *of == part && !left.is_zero() && *left <= self.fee);
        kept.map(|(asset, _, _)| asset).collect()
    }

    pub fn holdings(&self) -> &Balances {
        &self.holdings
    }

    pub fn registered(&self) -> Option<Rank> {
        Some(self.registered.as_ref()?.registration.rank)
    }

    pub fn timeout(&self) -> Option<Timestamp> {
        Some(self.registered.as_ref()?.registration.timeout)
    }

    pub fn is_concluded(&self) -> bool {
        self.remainders.is_some()
    }

    /// What the ledger of an asset has paid to a side.
    pub fn paid(&self, asset: usize, side: usize) -> u128 {
        self.paid[asset][side].units()
    }

    /// What a state rests on and is not there yet, of one participant.
    pub fn missing(&self, needed: &Balances, of: usize) -> Vec<(u8, Amount)> {
        let places = needed.iter().filter(|(_, owner, _)| *owner == part(of));
        let missing = places.map(|(asset, owner, needed)| {
            let held = self.holdings.at(asset, owner).unwrap();
            (asset.number(), needed.checked_sub(held).unwrap_or_default())
        });
        missing.collect()
    }
}
