//! Alice, Bob and a shop at one ledger, with a clock moved by hand.

use candid::Principal;

use super::*;

mod blocks;
mod histories;
mod installing;
mod minting;
mod retrying;
mod spending;
mod transferring;

const FEE: u128 = 10;
const NOON_NS: u64 = 1_700_000_000_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 24 * 3600 * SECOND_NS;

/// A ledger on which Alice has 1000 and Bob 500.
struct World {
    ledger: Ledger,
    memory: StableMemory,
    now_ns: u64,
}

impl World {
    fn new() -> Self {
        Self::with(init_args())
    }

    fn with(args: InitArgs) -> Self {
        let memory = StableMemory::default();
        let ledger = Ledger::install(memory.clone(), &LedgerArg::Init(args), NOON_NS)
            .expect("the arguments are sound");
        Self {
            ledger,
            memory,
            now_ns: NOON_NS,
        }
    }

    fn upgrade(&mut self, transfer_fee: Option<u128>) {
        let arg = LedgerArg::Upgrade(Some(crate::settings::UpgradeArgs { transfer_fee }));
        self.ledger = Ledger::upgrade(self.memory.clone(), Some(&arg)).expect("there is a ledger");
    }

    fn transfer(&mut self, transfer: Transfer) -> Result<u64, Refusal> {
        self.ledger.transfer(transfer, self.now_ns)
    }

    fn approve(&mut self, approval: Approval) -> Result<u64, Refusal> {
        self.ledger.approve(approval, self.now_ns)
    }

    fn balance(&self, account: Account) -> u128 {
        self.ledger.balance(&AccountIdentifier::of(&account)).into()
    }

    fn allowance(&self, owner: Account, spender: Account) -> u128 {
        let allowance = self.ledger.allowance(&owner, &spender, self.now_ns);
        allowance.amount.into()
    }

    fn supply(&self) -> u128 {
        self.ledger.total_supply().into()
    }
}

fn init_args() -> InitArgs {
    InitArgs {
        minting_account: minter(),
        initial_balances: vec![(alice(), 1000), (bob(), 500)],
        transfer_fee: FEE,
        token_symbol: "TST".into(),
        token_name: "Test token".into(),
        decimals: None,
        transaction_window_seconds: None,
        max_transactions_in_window: None,
    }
}

fn person(seed: u8) -> Account {
    Account::from(Principal::self_authenticating([seed; 32]))
}

fn alice() -> Account {
    person(1)
}

fn bob() -> Account {
    person(2)
}

fn shop() -> Account {
    person(3)
}

fn minter() -> Account {
    person(4)
}

fn transfer(from: Account, to: Account, amount: u128) -> Transfer {
    Transfer {
        from,
        to,
        spender: None,
        amount: amount.into(),
        fee: None,
        memo: None,
        created_at_ns: None,
    }
}

fn transfer_from(spender: Account, from: Account, to: Account, amount: u128) -> Transfer {
    Transfer {
        spender: Some(spender),
        ..transfer(from, to, amount)
    }
}

fn approval(from: Account, spender: Account, amount: u128) -> Approval {
    Approval {
        from,
        spender,
        amount: amount.into(),
        expected_allowance: None,
        expires_at_ns: None,
        fee: None,
        memo: None,
        created_at_ns: None,
    }
}

fn refused_for_funds(balance: u128) -> Result<u64, Refusal> {
    Err(Refusal::InsufficientFunds {
        balance: Amount::new(balance),
    })
}

fn refused_for_allowance(allowance: u128) -> Result<u64, Refusal> {
    Err(Refusal::InsufficientAllowance {
        allowance: Amount::new(allowance),
    })
}
