//! What the adjudicator answers, as valid values: checked once, on the way in.

use perun_canister_api::{self as api, Phase, convert};
use perun_protocol::dispute::Rank;
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{
    Account, Amount, AssetId, Balances, Params, PartIdx, SignedState, Timestamp,
    UnverifiedSignedState,
};

use crate::WrongAnswer;

/// What is held for a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holdings {
    /// How far the channel is.
    pub phase: Phase,
    /// The deposits until the channel is concluded, what is still to be paid from then on.
    pub amounts: Balances,
    /// For each asset: what has left for a receiver and is not known to have arrived.
    pub in_flight: Vec<Amount>,
}

impl Holdings {
    /// What is held of `asset` for `part`, nothing if the channel has no such place.
    pub fn of(&self, params: &Params, asset: &AssetId, part: PartIdx) -> Amount {
        let asset = params.asset_idx(asset);
        asset
            .and_then(|asset| self.amounts.at(asset, part))
            .unwrap_or_default()
    }
}

/// What is registered for a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registered {
    /// How new it is.
    pub rank: Rank,
    /// The state, none for a refund claim, and none of a channel that was paid out so long ago that the
    /// adjudicator keeps its rank only. Its signatures were verified here too.
    pub signed_state: Option<SignedState>,
    /// From this instant on it can no longer be refuted. It may move later, never earlier.
    pub timeout: Timestamp,
    /// Whether the channel is concluded: then payouts are fixed.
    pub concluded: bool,
}

/// A concluded channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conclusion {
    /// What is still to be paid.
    pub remainders: Balances,
}

/// A deposit that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DepositReceipt {
    /// What it added to the participant's holding.
    pub credited: Amount,
    /// What was held of the asset for the participant since.
    pub holding: Amount,
    /// The ledger's block with the transfer; none if its answer was lost and the balance showed
    /// that it happened.
    pub block: Option<u128>,
}

/// A payout that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WithdrawReceipt {
    /// What the receiver got: the remainder less the fee.
    pub paid: Amount,
    /// The ledger's fee.
    pub fee: Amount,
    /// The ledger's block with the transfer; none if its answer was lost and the balance showed
    /// that it happened.
    pub block: Option<u128>,
}

/// Where to pay a deposit to, and how much.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DepositAccount {
    /// The account; it follows from the channel's params.
    pub account: Account,
    /// What to pay: the share and one fee, which the sweep costs.
    pub amount: Amount,
    /// The ledger's fee as the adjudicator knows it.
    pub fee: Amount,
}

impl DepositReceipt {
    pub(crate) fn new(receipt: &api::DepositReceipt) -> Self {
        Self {
            credited: Amount::new(receipt.credited),
            holding: Amount::new(receipt.holding),
            block: receipt.block,
        }
    }
}

impl WithdrawReceipt {
    pub(crate) fn new(receipt: &api::WithdrawReceipt) -> Self {
        Self {
            paid: Amount::new(receipt.paid),
            fee: Amount::new(receipt.fee),
            block: receipt.block,
        }
    }
}

impl Holdings {
    pub(crate) fn new(params: &Params, holdings: &api::Holdings) -> Result<Self, WrongAnswer> {
        let amounts = balances(params, &holdings.amounts)?;
        if holdings.in_flight.len() != params.assets().len() {
            return Err(wrong_shape(params));
        }
        let in_flight = holdings.in_flight.iter().copied().map(Amount::new);
        Ok(Self {
            phase: holdings.phase,
            amounts,
            in_flight: in_flight.collect(),
        })
    }
}

impl Registered {
    pub(crate) fn new(params: &Params, registered: &api::Registered) -> Result<Self, WrongAnswer> {
        let rank = Rank::from(registered.rank);
        let bytes = registered.signed_state.as_ref();
        let signed_state = bytes.map(|bytes| {
            let signed = UnverifiedSignedState::decode(bytes).map_err(WrongAnswer::State)?;
            signed.verify(params).map_err(WrongAnswer::Signatures)
        });
        let signed_state = signed_state.transpose()?;
        // Of a channel that was finished long ago, the state is not kept.
        let is_forgotten = registered.concluded && signed_state.is_none();
        if Rank::of(signed_state.as_ref().map(SignedState::state)) != rank && !is_forgotten {
            return Err(WrongAnswer::RankMismatch);
        }
        Ok(Self {
            rank,
            signed_state,
            timeout: Timestamp::from_nanos(registered.timeout_ns),
            concluded: registered.concluded,
        })
    }
}

impl Conclusion {
    pub(crate) fn new(params: &Params, conclusion: &api::Conclusion) -> Result<Self, WrongAnswer> {
        let remainders = balances(params, &conclusion.remainders)?;
        Ok(Self { remainders })
    }
}

impl DepositAccount {
    pub(crate) fn new(answer: &api::DepositAccount) -> Result<Self, WrongAnswer> {
        Ok(Self {
            account: account(&answer.account)?,
            amount: Amount::new(answer.amount),
            fee: Amount::new(answer.fee),
        })
    }
}

/// One amount for each asset and participant of the channel.
fn balances(params: &Params, rows: &[Vec<u128>]) -> Result<Balances, WrongAnswer> {
    let parts = params.participants().len();
    if rows.len() != params.assets().len() || rows.iter().any(|row| row.len() != parts) {
        return Err(wrong_shape(params));
    }
    table(rows)
}

/// A table of any shape, for events of channels whose params are not at hand.
pub(crate) fn table(rows: &[Vec<u128>]) -> Result<Balances, WrongAnswer> {
    let parts = rows.first().map_or(0, Vec::len);
    if let Some(other) = rows.iter().find(|row| row.len() != parts) {
        return Err(WrongAnswer::Shape {
            assets: rows.len(),
            parts: other.len(),
        });
    }
    let amounts = rows.iter().flatten().copied().map(Amount::new);
    Balances::new(parts, amounts.collect()).map_err(WrongAnswer::Balances)
}

pub(crate) fn account(plain: &api::Account) -> Result<Account, WrongAnswer> {
    convert::account(plain).ok_or(WrongAnswer::EmptyPrincipal)
}

pub(crate) fn asset(plain: api::Asset) -> Result<AssetId, WrongAnswer> {
    convert::asset(plain).ok_or(WrongAnswer::EmptyPrincipal)
}

fn wrong_shape(params: &Params) -> WrongAnswer {
    WrongAnswer::Shape {
        assets: params.assets().len(),
        parts: params.participants().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perun_protocol::{
        ChallengeDuration, Nonce, Principal, SecretKey, Signer as _, State, Version,
    };
    use serde_bytes::ByteBuf;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_bytes(&[number; 32]).unwrap()
    }

    fn params() -> Params {
        let ledger = Principal::from_slice(&[1]).unwrap();
        Params::new(
            Nonce::from_bytes([7; 32]),
            vec![key(1).participant(), key(2).participant()],
            vec![AssetId::Icrc(ledger)],
            ChallengeDuration::from_secs(60).unwrap(),
            Principal::from_slice(&[2]).unwrap(),
        )
        .unwrap()
    }

    fn holdings(amounts: Vec<Vec<u128>>, in_flight: Vec<u128>) -> Result<Holdings, WrongAnswer> {
        let plain = api::Holdings {
            phase: Phase::Open,
            amounts,
            in_flight,
        };
        Holdings::new(&params(), &plain)
    }

    fn registered(rank: api::Rank, signers: [u8; 2]) -> Result<Registered, WrongAnswer> {
        let params = params();
        let table = Balances::new(2, vec![Amount::new(1), Amount::new(2)]).unwrap();
        let state = State::new(params.id(), Version::new(5), table.clone(), table).unwrap();
        let digest = state.digest();
        let signed = UnverifiedSignedState {
            signatures: signers.map(|number| key(number).sign(&digest)).to_vec(),
            state,
        };
        let plain = api::Registered {
            rank,
            signed_state: Some(ByteBuf::from(signed.encode())),
            timeout_ns: 9,
            concluded: false,
        };
        Registered::new(&params, &plain)
    }

    #[test]
    fn holdings_have_the_channels_shape() {
        let good = holdings(vec![vec![3, 4]], vec![0]).unwrap();
        let asset = params().assets()[0];
        assert_eq!(good.of(&params(), &asset, PartIdx::new(1)), Amount::new(4));
        assert_eq!(good.of(&params(), &asset, PartIdx::new(2)), Amount::ZERO);
        let wrong = WrongAnswer::Shape {
            assets: 1,
            parts: 2,
        };
        for (amounts, in_flight) in [
            (vec![], vec![0]),
            (vec![vec![3]], vec![0]),
            (vec![vec![3, 4], vec![5, 6]], vec![0]),
            (vec![vec![3, 4]], vec![]),
        ] {
            assert_eq!(holdings(amounts, in_flight), Err(wrong.clone()));
        }
    }

    #[test]
    fn holdings_add_up_within_128_bits() {
        let refused = holdings(vec![vec![u128::MAX, 1]], vec![0]);
        assert!(matches!(refused, Err(WrongAnswer::Balances(_))));
    }

    #[test]
    fn a_registered_state_is_verified_here_too() {
        let good = registered(api::Rank::State(5), [1, 2]).unwrap();
        assert_eq!(good.rank, Rank::State(Version::new(5)));
        let forged = registered(api::Rank::State(5), [1, 3]);
        assert!(matches!(forged, Err(WrongAnswer::Signatures(_))));
    }

    #[test]
    fn the_rank_told_is_that_of_the_state_shown() {
        for rank in [api::Rank::State(6), api::Rank::Refund] {
            assert_eq!(registered(rank, [1, 2]), Err(WrongAnswer::RankMismatch));
        }
    }

    #[test]
    fn tables_of_unequal_rows_are_none() {
        let refused = table(&[vec![1, 2], vec![3]]);
        assert!(matches!(refused, Err(WrongAnswer::Shape { .. })));
        assert!(matches!(table(&[]), Err(WrongAnswer::Balances(_))));
    }
}
