//! The ledger as a whole: what each request does to balances, allowances and blocks.
//!
//! A request is judged in the order of the ledgers in use, which callers that retry rely on:
//! shape and fee, room in the window, age, repetition, and only then allowance and funds. So a
//! repeated request that was executed is answered with `Duplicate` even if the money is gone
//! now, but with `BadFee` if it names a fee that has changed since.

use icrc_ledger_types::{
    icrc1::account::Account,
    icrc3::blocks::{BlockWithId, GetBlocksRequest, GetBlocksResult},
};

use candid::Nat;
use ic_certification::HashTree;
use ic_stable_structures::{Cell, StableCell};

use crate::{
    account::{AccountIdentifier, Directory},
    allowances::{Allowance, Allowances},
    amount::Amount,
    balances::Balances,
    block::{Block, Memo, Operation, Transaction},
    chain::Chain,
    deduplication::Deduplication,
    memory::{self, Layout, Memory, StableMemory},
    refusal::Refusal,
    settings::{InitArgs, LedgerArg, Settings, SettingsError, StoredSettings},
};

mod approve;
mod transfer;

pub use approve::Approval;
pub use transfer::Transfer;

/// The greatest length of a memo in bytes, as on most ledgers in use.
pub const MAX_MEMO_LENGTH: usize = 32;

/// How many blocks one answer contains at most: with the longest memos and all fields it still
/// stays far below the 2 MiB of a reply.
pub const MAX_BLOCKS_PER_REPLY: u64 = 1_000;

/// How many outdated entries one transaction clears away. More than the one it adds, so the
/// rest shrinks; few, so that no transaction is slow.
const PRUNE_LIMIT: usize = 100;

/// A ledger in stable memory.
pub struct Ledger {
    settings: Settings,
    balances: Balances,
    directory: Directory,
    allowances: Allowances,
    deduplication: Deduplication,
    chain: Chain,
}

impl Ledger {
    /// Makes a new ledger in an empty `memory` and mints the initial balances.
    ///
    /// # Errors
    /// [`SettingsError`] if the argument makes no sense; `memory` is then to be thrown away.
    pub fn install(
        memory: StableMemory,
        arg: &LedgerArg,
        now_ns: u64,
    ) -> Result<Self, SettingsError> {
        let LedgerArg::Init(args) = arg else {
            return Err(SettingsError::UpgradeArgAtInstall);
        };
        let settings = Settings::new(args)?;
        let mut ledger = Self::with_settings(&Layout::new(memory), |_| Ok(settings))?;
        ledger.mint_initial_balances(args, now_ns)?;
        Ok(ledger)
    }

    /// Opens the ledger that an earlier version left in `memory`, and changes what `arg` says.
    ///
    /// # Errors
    /// [`SettingsError`] if there is none, or if `arg` is one for an installation.
    pub fn upgrade(memory: StableMemory, arg: Option<&LedgerArg>) -> Result<Self, SettingsError> {
        let changes = match arg {
            None | Some(LedgerArg::Upgrade(None)) => None,
            Some(LedgerArg::Upgrade(Some(changes))) => Some(changes),
            Some(LedgerArg::Init(_)) => return Err(SettingsError::InitArgAtUpgrade),
        };
        Self::with_settings(&Layout::new(memory), |stored| {
            let mut settings = stored.ok_or(SettingsError::NothingToUpgrade)?;
            if let Some(changes) = changes {
                settings.apply(changes);
            }
            Ok(settings)
        })
    }

    fn with_settings(
        layout: &Layout,
        decide: impl FnOnce(Option<Settings>) -> Result<Settings, SettingsError>,
    ) -> Result<Self, SettingsError> {
        let mut stored: StableCell<_, Memory> =
            Cell::init(layout.memory(memory::SETTINGS), StoredSettings(None));
        let settings = decide(stored.get().0.clone())?;
        stored.set(StoredSettings(Some(settings.clone())));
        Ok(Self {
            settings,
            balances: Balances::open(layout),
            directory: Directory::open(layout.memory(memory::DIRECTORY)),
            allowances: Allowances::open(layout),
            deduplication: Deduplication::open(layout),
            chain: Chain::open(layout),
        })
    }

    fn mint_initial_balances(&mut self, args: &InitArgs, now_ns: u64) -> Result<(), SettingsError> {
        let minting = self.minting();
        self.directory.learn(&args.minting_account);
        for (account, amount) in &args.initial_balances {
            if AccountIdentifier::of(account) == minting {
                return Err(SettingsError::MintingAccountWithBalance);
            }
            let operation = Operation::Mint {
                to: *account,
                amount: Amount::new(*amount),
            };
            let transaction = Transaction {
                operation,
                memo: None,
                created_at_ns: None,
            };
            // The one thing that can be wrong here is the sum.
            self.execute(transaction, Amount::ZERO, now_ns)
                .map_err(|_| SettingsError::SupplyTooLarge)?;
        }
        Ok(())
    }

    /// Symbol, fee and the like.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What `account` has.
    pub fn balance(&self, account: &AccountIdentifier) -> Amount {
        self.balances.balance(account)
    }

    /// The sum of all balances.
    pub fn total_supply(&self) -> Amount {
        self.balances.total_supply()
    }

    /// What `spender` may spend from `owner` at `now_ns`.
    pub fn allowance(&self, owner: &Account, spender: &Account, now_ns: u64) -> Allowance {
        self.allowances.allowance(
            &AccountIdentifier::of(owner),
            &AccountIdentifier::of(spender),
            now_ns,
        )
    }

    /// The account with this identifier, or its stand-in as long as nobody has shown it.
    pub fn resolve(&self, identifier: &AccountIdentifier) -> Account {
        self.directory.resolve(identifier)
    }

    /// How many blocks there are.
    pub fn chain_length(&self) -> u64 {
        self.chain.length()
    }

    /// At most `length` blocks from `start` on, and never more than one answer holds.
    pub fn blocks(&self, start: u64, length: u64) -> impl Iterator<Item = (u64, Block)> + '_ {
        let end = start.saturating_add(length.min(MAX_BLOCKS_PER_REPLY));
        self.chain.blocks(start..end)
    }

    /// The blocks of several ranges as ICRC-3 shows them, cut where the answer is full.
    pub fn icrc3_blocks(&self, ranges: &[GetBlocksRequest]) -> GetBlocksResult {
        let mut blocks = Vec::new();
        for range in ranges {
            let room = MAX_BLOCKS_PER_REPLY - blocks.len() as u64;
            // No block has an index beyond 64 bits, and no answer as many blocks.
            let Ok(start) = u64::try_from(&range.start.0) else {
                continue;
            };
            let length = u64::try_from(&range.length.0).unwrap_or(u64::MAX);
            blocks.extend(
                self.blocks(start, length.min(room))
                    .map(|(index, block)| BlockWithId {
                        id: Nat::from(index),
                        block: block.value(),
                    }),
            );
        }
        GetBlocksResult {
            log_length: Nat::from(self.chain_length()),
            blocks,
            archived_blocks: Vec::new(),
        }
    }

    /// The tree whose root hash is certified after every change.
    pub fn tip_tree(&self) -> HashTree {
        self.chain.tip_tree()
    }

    fn minting(&self) -> AccountIdentifier {
        AccountIdentifier::of(&self.settings.minting_account)
    }

    /// Window, funds, then the change itself and its block. `fee` is what it costs, named by the
    /// caller or not.
    fn execute(
        &mut self,
        transaction: Transaction,
        fee: Amount,
        now_ns: u64,
    ) -> Result<u64, Refusal> {
        let window_ns = self.settings.transaction_window_ns;
        self.deduplication.prune(now_ns, window_ns, PRUNE_LIMIT);
        self.allowances.prune(now_ns, PRUNE_LIMIT);

        let mut remembered = None;
        if let Some(created_at_ns) = transaction.created_at_ns {
            if self.deduplication.len() >= self.settings.max_transactions_in_window {
                return Err(Refusal::TemporarilyUnavailable);
            }
            let hash = transaction.hash();
            self.deduplication
                .check(&hash, created_at_ns, now_ns, window_ns)?;
            remembered = Some(hash);
        }
        self.check(&transaction.operation, fee, now_ns)?;

        // Nothing below is refused any more.
        self.commit(&transaction.operation, fee, now_ns);
        let unnamed_fee = match &transaction.operation {
            Operation::Transfer { fee: None, .. } | Operation::Approve { fee: None, .. } => {
                Some(fee)
            }
            _ => None,
        };
        let index = self.chain.append(transaction, unnamed_fee, now_ns);
        if let Some(hash) = remembered {
            self.deduplication.remember(hash, index, now_ns);
        }
        Ok(index)
    }

    fn check(&self, operation: &Operation, fee: Amount, now_ns: u64) -> Result<(), Refusal> {
        match operation {
            Operation::Mint { amount, .. } => self.balances.check_mint(*amount),
            Operation::Burn {
                from,
                spender,
                amount,
            } => self.check_payment(from, spender.as_ref(), Some(*amount), now_ns),
            Operation::Transfer {
                from,
                spender,
                amount,
                ..
            } => self.check_payment(from, spender.as_ref(), amount.checked_add(fee), now_ns),
            Operation::Approve { .. } => self.check_approval(operation, fee, now_ns),
        }
    }

    fn commit(&mut self, operation: &Operation, fee: Amount, now_ns: u64) {
        match operation {
            Operation::Mint { to, amount } => {
                self.directory.learn(to);
                self.balances.give(&AccountIdentifier::of(to), *amount);
            }
            Operation::Burn {
                from,
                spender,
                amount,
            } => self.pay(from, spender.as_ref(), *amount, now_ns),
            Operation::Transfer {
                from,
                to,
                spender,
                amount,
                ..
            } => {
                let total = amount
                    .checked_add(fee)
                    .expect("amount and fee were checked against the balance");
                self.pay(from, spender.as_ref(), total, now_ns);
                self.directory.learn(to);
                self.balances.give(&AccountIdentifier::of(to), *amount);
            }
            Operation::Approve { .. } => self.commit_approval(operation, fee),
        }
    }
}

fn check_memo(memo: Option<&Memo>) -> Result<(), Refusal> {
    match memo {
        Some(Memo::Bytes(bytes)) if bytes.len() > MAX_MEMO_LENGTH => Err(Refusal::MemoTooLong {
            length: bytes.len(),
            limit: MAX_MEMO_LENGTH,
        }),
        _ => Ok(()),
    }
}

/// `None` means the caller leaves the fee to the ledger.
fn check_fee(named: Option<&Nat>, expected_fee: Amount) -> Result<(), Refusal> {
    match named {
        Some(named) if Amount::try_from(named) != Ok(expected_fee) => {
            Err(Refusal::BadFee { expected_fee })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
