//! Calls of ICRC ledgers. All wait a bounded time, so that no ledger can keep this canister from
//! being stopped or upgraded.

use candid::{CandidType, Deserialize, Nat, Principal};
use ic_cdk::api::{canister_self, time};
use ic_cdk::call::{Call, CallFailed, RejectCode};
use icrc_ledger_types::icrc1::transfer::{Memo, TransferArg, TransferError};
use icrc_ledger_types::icrc2::allowance::{Allowance, AllowanceArgs};
use icrc_ledger_types::icrc2::transfer_from::{TransferFromArgs, TransferFromError};
use perun_canister::encoding::{Message, decode, encode};
use perun_canister::journal::{Entry, JournalNumber, Kind};
use perun_canister::verdict::Answer;
use perun_canister_api::{LedgerRefusal, convert};
use perun_protocol::{Account, Amount};

use crate::state::read;

/// A longer answer than this makes no sense: the longest is an error with some words. A ledger is
/// trusted with its own tokens, not with this canister.
const MAX_ANSWER_BYTES: usize = 10 * 1024;
/// So many characters of a ledger's words are passed on.
const MAX_WORDS: usize = 256;

/// Sends the transfer of a journal entry, exactly as it is written there.
pub async fn transfer(number: JournalNumber, entry: &Entry) -> Answer {
    let (from, to) = read(|adjudicator| adjudicator.route(entry));
    let to = convert::account_to_candid(&to);
    let amount = Nat::from(entry.amount.units());
    let fee = Some(Nat::from(entry.fee.units()));
    let memo = Some(Memo::from(number.0));
    let created_at_time = Some(entry.created_at.nanos());
    if let Kind::Pull { .. } = entry.kind {
        let args = TransferFromArgs {
            spender_subaccount: None,
            from: convert::account_to_candid(&from),
            to,
            amount,
            fee,
            memo,
            created_at_time,
        };
        let answer = call(entry.ledger, "icrc2_transfer_from", args).await;
        return answer.map_or_else(|lost| lost, from_transfer_from);
    }
    let args = TransferArg {
        from_subaccount: Some(from.subaccount),
        to,
        fee,
        created_at_time,
        memo,
        amount,
    };
    let answer = call(entry.ledger, "icrc1_transfer", args).await;
    answer.map_or_else(|lost| lost, from_transfer)
}

/// The balance of an account; otherwise why it could not be read.
pub async fn balance(ledger: Principal, account: &Account) -> Result<Amount, String> {
    let account = encode(convert::account_to_candid(account));
    amount(Call::bounded_wait(ledger, "icrc1_balance_of").take_raw_args(account)).await
}

/// What the account has approved to this canister; zero if it expired.
pub async fn allowance(ledger: Principal, account: &Account) -> Result<Amount, String> {
    let args = AllowanceArgs {
        account: convert::account_to_candid(account),
        spender: canister_self().into(),
    };
    let call = Call::bounded_wait(ledger, "icrc2_allowance").take_raw_args(encode(args));
    let allowance: Allowance = answer(call).await?;
    let is_expired = allowance.expires_at.is_some_and(|at_ns| at_ns <= time());
    // More than can be expressed is as good as everything.
    let approved = units(&allowance.allowance).unwrap_or(u128::MAX);
    Ok(Amount::new(if is_expired { 0 } else { approved }))
}

/// The ledger's fee; otherwise why it could not be read.
pub async fn fee(ledger: Principal) -> Result<Amount, String> {
    amount(Call::bounded_wait(ledger, "icrc1_fee")).await
}

async fn amount(call: Call<'_, '_>) -> Result<Amount, String> {
    let answer: Nat = answer(call).await?;
    let units = units(&answer).ok_or("the ledger's answer exceeds 128 bits")?;
    Ok(Amount::new(units))
}

async fn answer<T>(call: Call<'_, '_>) -> Result<T, String>
where
    T: Message + for<'a> Deserialize<'a>,
{
    let response = call.await.map_err(|error| shorten(error.to_string()))?;
    decode(&response.into_bytes(), MAX_ANSWER_BYTES).map_err(shorten)
}

/// Calls a transfer method. `Err` is the answer that a failed call amounts to.
async fn call<A, E>(ledger: Principal, method: &str, args: A) -> Result<Result<Nat, E>, Answer>
where
    A: Message + CandidType,
    E: for<'a> Deserialize<'a>,
    Result<Nat, E>: Message,
{
    let response = Call::bounded_wait(ledger, method)
        .take_raw_args(encode(args))
        .await;
    let response = response.map_err(from_failure)?;
    // Words that make no sense may still stand for a transfer.
    decode(&response.into_bytes(), MAX_ANSWER_BYTES).map_err(|_| Answer::Lost)
}

/// A ledger's words, at most [`MAX_WORDS`] characters of them.
fn shorten(words: String) -> String {
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

fn from_failure(failure: CallFailed) -> Answer {
    let message = shorten(failure.to_string());
    let code = match failure {
        CallFailed::CallRejected(rejected) => match rejected.reject_code() {
            Ok(
                RejectCode::SysFatal | RejectCode::SysTransient | RejectCode::DestinationInvalid,
            ) => rejected.raw_reject_code(),
            // The ledger may have run: its answer was lost, or it trapped after a change.
            _ => return Answer::Lost,
        },
        // It was not even sent.
        CallFailed::InsufficientLiquidCycleBalance(_) | CallFailed::CallPerformFailed(_) => 0,
    };
    Answer::NotDelivered(LedgerRefusal::NotDelivered { code, message })
}

fn from_transfer(answer: Result<Nat, TransferError>) -> Answer {
    let refusal = match answer {
        Ok(block) => return Answer::Paid(units(&block)),
        Err(TransferError::Duplicate { duplicate_of }) => {
            return Answer::Duplicate(units(&duplicate_of));
        }
        Err(TransferError::TooOld) => return Answer::TooOld,
        Err(TransferError::BadFee { expected_fee }) => bad_fee(&expected_fee),
        Err(TransferError::InsufficientFunds { balance }) => LedgerRefusal::InsufficientFunds {
            balance: units(&balance).unwrap_or(u128::MAX),
        },
        Err(TransferError::TemporarilyUnavailable) => LedgerRefusal::TemporarilyUnavailable,
        Err(TransferError::BadBurn { min_burn_amount }) => bad_burn(&min_burn_amount),
        Err(TransferError::CreatedInFuture { ledger_time }) => created_in_future(ledger_time),
        Err(TransferError::GenericError {
            error_code,
            message,
        }) => generic(&error_code, &message),
    };
    Answer::Refused(refusal)
}

fn from_transfer_from(answer: Result<Nat, TransferFromError>) -> Answer {
    let refusal = match answer {
        Ok(block) => return Answer::Paid(units(&block)),
        Err(TransferFromError::Duplicate { duplicate_of }) => {
            return Answer::Duplicate(units(&duplicate_of));
        }
        Err(TransferFromError::TooOld) => return Answer::TooOld,
        Err(TransferFromError::BadFee { expected_fee }) => bad_fee(&expected_fee),
        Err(TransferFromError::InsufficientFunds { balance }) => LedgerRefusal::InsufficientFunds {
            balance: units(&balance).unwrap_or(u128::MAX),
        },
        Err(TransferFromError::InsufficientAllowance { allowance }) => {
            LedgerRefusal::InsufficientAllowance {
                allowance: units(&allowance).unwrap_or(u128::MAX),
            }
        }
        Err(TransferFromError::TemporarilyUnavailable) => LedgerRefusal::TemporarilyUnavailable,
        Err(TransferFromError::BadBurn { min_burn_amount }) => bad_burn(&min_burn_amount),
        Err(TransferFromError::CreatedInFuture { ledger_time }) => created_in_future(ledger_time),
        Err(TransferFromError::GenericError {
            error_code,
            message,
        }) => generic(&error_code, &message),
    };
    Answer::Refused(refusal)
}

fn bad_fee(expected_fee: &Nat) -> LedgerRefusal {
    match units(expected_fee) {
        Some(expected_fee) => LedgerRefusal::BadFee { expected_fee },
        None => other("the ledger asks a fee beyond 128 bits".into()),
    }
}

fn bad_burn(least: &Nat) -> LedgerRefusal {
    other(format!("BadBurn, at least {}", number(least)))
}

fn created_in_future(ledger_time_ns: u64) -> LedgerRefusal {
    other(format!(
        "CreatedInFuture, the ledger's time is {ledger_time_ns}"
    ))
}

fn generic(code: &Nat, words: &str) -> LedgerRefusal {
    other(format!("error {}: {words}", number(code)))
}

fn other(message: String) -> LedgerRefusal {
    LedgerRefusal::Other {
        message: shorten(message),
    }
}

/// A number in words. Those that no ledger uses are not worth the code that writes them down.
fn number(nat: &Nat) -> String {
    units(nat).map_or("2^128 or more".into(), |units| units.to_string())
}

fn units(nat: &Nat) -> Option<u128> {
    u128::try_from(&nat.0).ok()
}
