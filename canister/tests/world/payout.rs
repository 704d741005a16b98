//! A payout that something may happen to on its way.

use icrc_ledger_types::icrc1::account::Account;
use local_ic::{Fault, RejectCode, RuleId, Target};
use perun_canister_api::{
    DepositError, DepositReceipt, DepositRequest, Event, WithdrawError, WithdrawReceipt,
    WithdrawRequest,
};

use super::{FEE, TestChannel, World, user};

impl World {
    /// Lets something happen to the adjudicator's next transfers on the first ledger.
    pub fn strike_transfers(&mut self, times: u64, fault: Fault) -> RuleId {
        let transfers = Target::call()
            .from(self.adjudicator)
            .to(self.ledgers[0])
            .method("icrc1_transfer");
        self.ic.faults().add(transfers.times(times), fault)
    }

    /// A withdrawal that may be refused or trap.
    pub fn try_withdraw(&mut self, request: WithdrawRequest) {
        let _ = self.try_call_as::<_, Result<WithdrawReceipt, WithdrawError>>(
            user(0),
            "withdraw",
            request,
        );
    }

    /// A deposit that may be refused or trap.
    pub fn try_deposit(&mut self, request: DepositRequest) {
        let _ = self.try_call_as::<_, Result<DepositReceipt, DepositError>>(
            user(0),
            "deposit",
            request,
        );
    }
}

/// The call never reaches the callee, and the caller gets this code.
pub fn rejected(code: RejectCode) -> Fault {
    Fault::RejectBefore {
        code,
        message: "on purpose".into(),
    }
}

/// A channel that owes 100 to each.
pub fn concluded(world: &mut World) -> TestChannel {
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100, 100], &[100, 100]))
        .unwrap();
    channel
}

/// Alice's receiver got her 100, once; Bob's 100 are still there.
pub fn assert_paid_once(world: &mut World, channel: &TestChannel) {
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
    assert_eq!(world.funds(channel, 0), 100);
    assert_eq!(world.holdings(channel).unwrap().amounts, [[0, 100]]);
    assert_eq!(world.holdings(channel).unwrap().in_flight, [0]);
    assert_eq!(world.info().journal, 0);
    let events = world.events(channel);
    let payouts = events
        .iter()
        .filter(|record| matches!(record.event, Event::Withdrawn { .. }));
    assert_eq!(payouts.count(), 1);
}
