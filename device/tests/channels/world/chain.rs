//! The adjudicator as far as channels see it, in memory.

use std::collections::HashMap;

use perun_protocol::dispute::{Rank, outcome};
use perun_protocol::view::{Status, View};
use perun_protocol::{
    Account, Amount, Balances, ChannelId, Params, PartIdx, SignedState, SignedWithdrawalAuth,
    Timestamp,
};

#[derive(Default)]
pub struct Chain {
    channels: HashMap<ChannelId, OnChain>,
    pub paid: Vec<(Account, Amount)>,
}

struct OnChain {
    holdings: Balances,
    registered: Option<(SignedState, Timestamp)>,
    remainders: Option<Balances>,
}

impl Chain {
    fn channel(&mut self, params: &Params) -> &mut OnChain {
        let nothing = Balances::zero(params.assets().len(), params.participants().len());
        let channel = self.channels.entry(params.id());
        channel.or_insert_with(|| OnChain {
            holdings: nothing.unwrap(),
            registered: None,
            remainders: None,
        })
    }

    pub fn fund(&mut self, params: &Params, part: PartIdx, funding: &Balances) {
        let channel = self.channel(params);
        for (asset, of, amount) in funding.iter() {
            let missing = amount.checked_sub(channel.holdings.at(asset, of).unwrap());
            if of == part && channel.registered.is_none() {
                let missing = missing.unwrap_or_default();
                channel
                    .holdings
                    .checked_add_at(asset, part, missing)
                    .unwrap();
            }
        }
    }

    pub fn dispute(&mut self, params: &Params, signed: &SignedState, now: Timestamp) {
        let duration = u64::from(params.challenge_duration().secs()) * 1_000_000_000;
        let channel = self.channel(params);
        if channel.remainders.is_some() {
            return;
        }
        if signed.state().is_final() {
            channel.remainders = Some(outcome(Some(signed.state()), &channel.holdings));
            return;
        }
        match &mut channel.registered {
            Some((registered, timeout)) => {
                if registered.version() < signed.version() && now < *timeout {
                    *registered = signed.clone();
                }
            }
            None => {
                let timeout = now.saturating_add_nanos(duration);
                channel.registered = Some((signed.clone(), timeout));
            }
        }
    }

    pub fn withdraw(&mut self, params: &Params, auths: &[SignedWithdrawalAuth], now: Timestamp) {
        self.channel(params);
        let Self { channels, paid } = self;
        let channel = channels.get_mut(&params.id()).unwrap();
        if channel.remainders.is_none()
            && let Some((registered, timeout)) = &channel.registered
            && *timeout <= now
        {
            channel.remainders = Some(outcome(Some(registered.state()), &channel.holdings));
        }
        let Some(remainders) = &mut channel.remainders else {
            return;
        };
        for auth in auths {
            let auth = auth.auth();
            let asset = params.asset_idx(&auth.asset).unwrap();
            let amount = remainders.take_at(asset, auth.part).unwrap();
            if !amount.is_zero() {
                paid.push((auth.receiver, amount));
            }
        }
    }

    pub fn view(&mut self, params: &Params, at: Timestamp) -> View {
        let channel = self.channel(params);
        let status = match (&channel.remainders, &channel.registered) {
            (Some(remainders), _) => Status::Concluded {
                remainders: remainders.clone(),
                in_flight: vec![Amount::ZERO; params.assets().len()],
            },
            (None, Some((signed, timeout))) => Status::Registered {
                rank: Rank::State(signed.version()),
                signed: Some(signed.clone()),
                timeout: *timeout,
                holdings: channel.holdings.clone(),
            },
            (None, None) => Status::Open {
                holdings: channel.holdings.clone(),
            },
        };
        View { at, status }
    }

    pub fn paid_to(&self, receiver: &Account) -> u128 {
        let paid = self.paid.iter().filter(|(to, _)| to == receiver);
        paid.map(|(_, amount)| amount.units()).sum()
    }
}
