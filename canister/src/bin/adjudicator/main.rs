//! The adjudicator canister: reads caller and time, asks the rules, calls ledgers, replies.
//!
//! No method exists for tests. What decodes is answered with `Ok` or a named error; what does not is
//! rejected with a text. The rules are in the library; here nothing is decided about money.

mod certificate;
mod cycles;
mod ledger;
mod logs;
mod state;

use candid::{Deserialize, candid_method};
use ic_cdk::api::{
    CanisterStatusCode, canister_self, canister_status, data_certificate, msg_arg_data, msg_caller,
    msg_method_name,
};
use ic_cdk::{init, inspect_message, post_upgrade, pre_upgrade, query, update};
use ic_stable_structures::DefaultMemoryImpl;
use icrc_ledger_types::icrc3::archive::{GetArchivesArgs, GetArchivesResult};
use icrc_ledger_types::icrc3::blocks::{
    GetBlocksRequest, GetBlocksResult, ICRC3DataCertificate, SupportedBlockType,
};
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::ConsentMessageRequest;
use icrc_ledger_types::icrc21::responses::ConsentInfo;
use perun_canister::answers::MAX_REQUEST_BYTES;
use perun_canister::batch::MAX_BATCH_BYTES;
use perun_canister::consent::{MAX_CONSENT_BYTES, SupportedStandard};
use perun_canister::encoding::{self, Message, encode};
use perun_canister::http::{HttpRequest, HttpResponse, Surroundings};
use perun_canister::{Adjudicator, blocks, consent, flow};
use perun_canister_api::{
    ChannelRequest, ConcludeError, ConcludeRequest, Conclusion, DepositAccount,
    DepositAccountError, DepositAccountRequest, DepositError, DepositReceipt, DepositRequest,
    DisputeError, DisputeManyError, DisputeRequest, DisputeResult, EventsError, EventsPage,
    EventsRequest, HoldingsAnswer, Info, InitArgs, QueryError, Registered, Runway, RunwayError,
    StateAnswer, UpgradeArgs, WithdrawError, WithdrawReceipt, WithdrawRequest,
};

use crate::state::{Canister, mutate, now, read};

#[init(decode_with = "decode", hidden)]
#[candid_method(init)]
fn init(args: InitArgs) {
    let adjudicator = Adjudicator::install(DefaultMemoryImpl::default(), canister_self(), args);
    match adjudicator {
        Ok(adjudicator) => state::set(adjudicator),
        Err(error) => ic_cdk::trap(format!("init argument: {error}")),
    }
    logs::began("installed");
    cycles::watch();
}

/// Refuses to be upgraded while it runs. It saves nothing; but the answer to a call that the old
/// code made would be handled by the new code with a pointer into the old code's memory, and be
/// taken for the answer to another call. A stopped canister waits for no answer, and since all
/// calls wait a bounded time, stopping takes five minutes at most.
#[pre_upgrade]
fn pre_upgrade() {
    if canister_status() != CanisterStatusCode::Stopped {
        ic_cdk::trap("stop the canister before upgrading it, and never skip this check");
    }
}

#[post_upgrade(decode_with = "decode_upgrade", hidden)]
fn post_upgrade(args: Option<UpgradeArgs>) {
    let adjudicator = Adjudicator::upgrade(DefaultMemoryImpl::default(), canister_self(), args);
    match adjudicator {
        Ok(adjudicator) => state::set(adjudicator),
        Err(error) => ic_cdk::trap(format!("upgrade argument: {error}")),
    }
    logs::began("upgraded");
    cycles::watch();
}

/// Refuses messages that do not decode before they cost anything, and before they come into the log:
/// what traps is written there, but not what traps here. Calls of canisters, which pay for them, and
/// queries do not come by here: every check stands in its method too.
#[inspect_message]
fn inspect_message() {
    let argument = msg_arg_data();
    match msg_method_name().as_str() {
        "deposit" => drop(decode::<DepositRequest>(argument)),
        "dispute" => drop(decode::<DisputeRequest>(argument)),
        "dispute_many" => drop(decode_many::<Vec<DisputeRequest>>(argument)),
        "conclude" => drop(decode::<ConcludeRequest>(argument)),
        "withdraw" => drop(decode::<WithdrawRequest>(argument)),
        "deposit_account" => drop(decode::<DepositAccountRequest>(argument)),
        "query_holdings" | "query_state" => drop(decode::<ChannelRequest>(argument)),
        "query_events" => drop(decode::<EventsRequest>(argument)),
        "icrc3_get_blocks" => drop(decode::<Vec<GetBlocksRequest>>(argument)),
        "icrc3_get_archives" => drop(decode::<GetArchivesArgs>(argument)),
        "icrc21_canister_call_consent_message" => {
            drop(decode_consent::<ConsentMessageRequest>(argument));
        }
        "http_request" => drop(decode::<HttpRequest>(argument)),
        // The others have no argument, and look at none.
        _ if argument.len() > MAX_REQUEST_BYTES => {
            ic_cdk::trap(format!("at most {MAX_REQUEST_BYTES} bytes are taken"));
        }
        _ => (),
    }
    ic_cdk::api::accept_message();
}

/// Decodes the argument of a method.
///
/// A method that decodes or encodes so is `hidden` from the framework's description of the interface,
/// which would show a blob, and described by `candid_method` instead.
fn decode<T>(bytes: Vec<u8>) -> T
where
    T: Message + for<'a> Deserialize<'a>,
{
    decode_within(&bytes, MAX_REQUEST_BYTES)
}

/// Likewise, for an upgrade. Where no argument is given, tools send no message, not an empty one.
fn decode_upgrade(bytes: Vec<u8>) -> Option<UpgradeArgs> {
    match bytes.is_empty() {
        true => None,
        false => decode(bytes),
    }
}

/// Likewise, for many requests in one.
fn decode_many<T>(bytes: Vec<u8>) -> T
where
    T: Message + for<'a> Deserialize<'a>,
{
    decode_within(&bytes, MAX_BATCH_BYTES)
}

/// Likewise, for a request to explain many requests in one.
fn decode_consent<T>(bytes: Vec<u8>) -> T
where
    T: Message + for<'a> Deserialize<'a>,
{
    decode_within(&bytes, MAX_CONSENT_BYTES)
}

fn decode_within<T>(bytes: &[u8], max_bytes: usize) -> T
where
    T: Message + for<'a> Deserialize<'a>,
{
    encoding::decode(bytes, max_bytes).unwrap_or_else(|error| ic_cdk::trap(error))
}

/// Takes a deposit for a participant.
#[update(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(update)]
async fn deposit(request: DepositRequest) -> Result<DepositReceipt, DepositError> {
    flow::deposit(&Canister, msg_caller(), request).await
}

/// Hands in a claim: it is registered, or refutes what is.
#[update(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(update)]
fn dispute(request: DisputeRequest) -> Result<Registered, DisputeError> {
    mutate(|adjudicator, now| adjudicator.dispute(&request, now))
}

/// Hands in many claims, each of which is judged as if it had come alone.
#[update(decode_with = "decode_many", encode_with = "encode", hidden)]
#[candid_method(update)]
fn dispute_many(requests: Vec<DisputeRequest>) -> Result<Vec<DisputeResult>, DisputeManyError> {
    mutate(|adjudicator, now| adjudicator.dispute_many(&requests, now))
}

/// Concludes a channel.
#[update(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(update)]
fn conclude(request: ConcludeRequest) -> Result<Conclusion, ConcludeError> {
    mutate(|adjudicator, now| adjudicator.conclude(&request, now))
}

/// Pays a participant's remainder to the receiver that it authorised.
#[update(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(update)]
async fn withdraw(request: WithdrawRequest) -> Result<WithdrawReceipt, WithdrawError> {
    flow::withdraw(&Canister, request).await
}

/// Tells where to pay a deposit to, and how much.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn deposit_account(request: DepositAccountRequest) -> Result<DepositAccount, DepositAccountError> {
    read(|adjudicator| adjudicator.deposit_account(&request))
}

/// Tells what is held for a channel.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn query_holdings(request: ChannelRequest) -> Result<HoldingsAnswer, QueryError> {
    read(|adjudicator| adjudicator.holdings(&request))
}

/// Tells what is registered for a channel.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn query_state(request: ChannelRequest) -> Result<StateAnswer, QueryError> {
    read(|adjudicator| {
        let (id, answer) = adjudicator.state(&request, now())?;
        let (certificate, witness) = certificate::with(|| adjudicator.registration_witness(id));
        Ok(StateAnswer {
            certificate,
            witness,
            ..answer
        })
    })
}

/// Gives a page of the event log.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn query_events(request: EventsRequest) -> Result<EventsPage, EventsError> {
    read(|adjudicator| {
        let page = adjudicator.events(&request, now())?;
        let (certificate, witness) = certificate::with(|| adjudicator.tip_witness());
        Ok(EventsPage {
            certificate,
            witness,
            ..page
        })
    })
}

/// Gives the blocks of these ranges, as many as fit into one answer.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn icrc3_get_blocks(ranges: Vec<GetBlocksRequest>) -> GetBlocksResult {
    read(|adjudicator| adjudicator.blocks(&ranges))
}

/// Tells where older blocks are: all are here.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn icrc3_get_archives(_: GetArchivesArgs) -> GetArchivesResult {
    Vec::new()
}

/// Proves which block is the last. None in update calls, and as long as there is no block.
#[query(encode_with = "encode", hidden)]
#[candid_method(query)]
fn icrc3_get_tip_certificate() -> Option<ICRC3DataCertificate> {
    read(|adjudicator| {
        if !adjudicator.has_blocks() {
            return None;
        }
        let (certificate, witness) = certificate::with(|| adjudicator.tip_witness());
        Some(ICRC3DataCertificate {
            certificate: certificate?,
            hash_tree: witness?,
        })
    })
}

/// Tells what types of blocks there are.
#[query(encode_with = "encode", hidden)]
#[candid_method(query)]
fn icrc3_supported_block_types() -> Vec<SupportedBlockType> {
    blocks::supported_types()
}

/// Says in words what a call would do. An update call, as the standard has it: many nodes agree on
/// what a person agrees to.
#[update(decode_with = "decode_consent", encode_with = "encode", hidden)]
#[candid_method(update)]
fn icrc21_canister_call_consent_message(
    request: ConsentMessageRequest,
) -> Result<ConsentInfo, Icrc21Error> {
    read(|adjudicator| adjudicator.consent(&request, now()))
}

/// Tells which standards the canister keeps.
#[query(encode_with = "encode", hidden)]
#[candid_method(query)]
fn icrc10_supported_standards() -> Vec<SupportedStandard> {
    consent::supported_standards()
}

/// Tells how the adjudicator is set up.
#[query(encode_with = "encode", hidden)]
#[candid_method(query)]
fn info() -> Info {
    read(|adjudicator| adjudicator.info(now()))
}

/// Tells controllers how long the cycles last.
#[update(encode_with = "encode", hidden)]
#[candid_method(update)]
async fn cycles_runway() -> Result<Runway, RunwayError> {
    cycles::runway(msg_caller()).await
}

/// Answers browsers and monitors.
#[query(decode_with = "decode", encode_with = "encode", hidden)]
#[candid_method(query)]
fn http_request(request: HttpRequest) -> HttpResponse {
    let surroundings = Surroundings {
        now: now(),
        certificate: data_certificate(),
        stable_bytes: ic_cdk::stable::stable_size() * PAGE_BYTES,
        heap_bytes: heap_pages() * PAGE_BYTES,
    };
    read(|adjudicator| adjudicator.answer_http(&request, &surroundings))
}

/// The size of a page of WebAssembly's memory.
const PAGE_BYTES: u64 = 64 * 1024;

#[cfg(target_family = "wasm")]
fn heap_pages() -> u64 {
    core::arch::wasm32::memory_size::<0>() as u64
}

#[cfg(not(target_family = "wasm"))]
fn heap_pages() -> u64 {
    0
}

/// The interface, where tools look for it.
#[cfg(target_family = "wasm")]
mod metadata {
    const CANDID: &[u8] = include_bytes!("../../../../candid/adjudicator.did");

    // A link section is the only way to put metadata into a module; it places bytes and runs
    // nothing. Not `#[used]`, which would keep the same bytes in the memory, too.
    #[allow(dead_code, unsafe_code)]
    #[unsafe(link_section = "icp:public candid:service")]
    static CANDID_SERVICE: [u8; CANDID.len()] =
        *include_bytes!("../../../../candid/adjudicator.did");
}

fn main() {}

#[cfg(test)]
mod tests {
    use super::*;

    candid::export_service!();

    /// `candid/adjudicator.did` is the promise: the code keeps it, and promises nothing more.
    #[test]
    fn the_code_keeps_the_promised_interface() {
        use candid_parser::utils::{CandidSource, service_equal};
        let promised = concat!(env!("CARGO_MANIFEST_DIR"), "/../candid/adjudicator.did");
        let code = __export_service();
        let promised = std::fs::read_to_string(promised).expect("candid/adjudicator.did exists");
        if let Err(error) = service_equal(CandidSource::Text(&code), CandidSource::Text(&promised))
        {
            panic!("{error}\n\nThe code's interface is:\n\n{code}");
        }
    }
}
