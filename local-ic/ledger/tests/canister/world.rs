//! A replica with one ledger, on which Alice has 1000 and Bob 500.

use candid::{
    CandidType, Decode, Encode, Principal,
    utils::{ArgumentEncoder, encode_args},
};
use icrc_ledger_types::icrc1::{account::Account, transfer::TransferArg};
use local_ic::{Config, Reject, RejectCode, Replica};
use local_ic_ledger::settings::{InitArgs, LedgerArg, UpgradeArgs};
use serde::Deserialize;

pub const FEE: u128 = 10;

pub struct World {
    pub replica: Replica,
    pub ledger: Principal,
    pub wasm: Vec<u8>,
}

impl World {
    pub fn new() -> Self {
        Self::with(init_args())
    }

    pub fn with(args: InitArgs) -> Self {
        let wasm = local_ic::canister_wasm("ledger").expect("build.sh builds it");
        let mut replica = Replica::new(Config::default());
        let ledger = replica.create_canister(controller());
        let arg = Encode!(&LedgerArg::Init(args)).expect("it is encodable");
        replica.install(ledger, &wasm, arg).expect("it installs");
        Self {
            replica,
            ledger,
            wasm,
        }
    }

    pub fn upgrade(&mut self, changes: UpgradeArgs) {
        let arg = Encode!(&LedgerArg::Upgrade(Some(changes))).unwrap();
        self.upgrade_raw(arg).expect("it upgrades");
    }

    pub fn upgrade_raw(&mut self, arg: Vec<u8>) -> Result<(), Reject> {
        self.replica.upgrade(self.ledger, &self.wasm, arg)
    }

    pub fn try_update<T: Answer>(
        &mut self,
        caller: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> Result<T, Reject> {
        let arg = encode_args(args).expect("it is encodable");
        let reply = self.replica.update(caller, self.ledger, method, arg)?;
        Ok(Decode!(&reply, T).expect("the client understands the ledger"))
    }

    pub fn update<T: Answer>(
        &mut self,
        caller: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> T {
        self.try_update(caller, method, args)
            .unwrap_or_else(|reject| panic!("{method}: {}", reject.message))
    }

    pub fn try_query<T: Answer>(
        &mut self,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> Result<T, Reject> {
        let arg = encode_args(args).expect("it is encodable");
        let reply = self
            .replica
            .query(Principal::anonymous(), self.ledger, method, arg)?;
        Ok(Decode!(&reply, T).expect("the client understands the ledger"))
    }

    pub fn query<T: Answer>(&mut self, method: &str, args: impl ArgumentEncoder) -> T {
        self.try_query(method, args)
            .unwrap_or_else(|reject| panic!("{method}: {}", reject.message))
    }

    pub fn balance(&mut self, account: Account) -> u128 {
        self.query("icrc1_balance_of", (account,))
    }
}

/// What can be read from a reply.
pub trait Answer: CandidType + for<'a> Deserialize<'a> {}
impl<T: CandidType + for<'a> Deserialize<'a>> Answer for T {}

pub fn init_args() -> InitArgs {
    InitArgs {
        minting_account: Account::from(controller()),
        initial_balances: vec![(alice(), 1000), (bob(), 500)],
        transfer_fee: FEE,
        token_symbol: "TST".into(),
        token_name: "Test token".into(),
        decimals: Some(6),
        transaction_window_seconds: None,
        max_transactions_in_window: None,
    }
}

pub fn controller() -> Principal {
    Principal::self_authenticating([9; 32])
}

pub fn alice() -> Account {
    Account::from(Principal::self_authenticating([1; 32]))
}

pub fn bob() -> Account {
    Account::from(Principal::self_authenticating([2; 32]))
}

pub fn shop() -> Account {
    Account::from(Principal::self_authenticating([3; 32]))
}

pub fn transfer_arg(to: Account, amount: u128) -> TransferArg {
    TransferArg {
        from_subaccount: None,
        to,
        fee: None,
        created_at_time: None,
        memo: None,
        amount: amount.into(),
    }
}

/// The words of a call that the canister rejected on purpose.
pub fn words<T: std::fmt::Debug>(result: Result<T, Reject>) -> String {
    let reject = result.expect_err("it must be rejected");
    assert_eq!(reject.code, RejectCode::CanisterError);
    reject.message
}
