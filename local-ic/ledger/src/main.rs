//! The ledger canister: reads caller and time, parses, calls the rules, replies.

use std::cell::RefCell;

use candid::{CandidType, DecoderConfig, Nat, Principal, candid_method};
use ic_cdk::{api, init, post_upgrade, query, update};
use icrc_ledger_types::{
    icrc::generic_metadata_value::MetadataValue,
    icrc1::{
        account::Account,
        transfer::{self, TransferArg, TransferError},
    },
    icrc2::{
        allowance::{self, AllowanceArgs},
        approve::{ApproveArgs, ApproveError},
        transfer_from::{TransferFromArgs, TransferFromError},
    },
    icrc3::{
        archive::{GetArchivesArgs, GetArchivesResult},
        blocks::{GetBlocksRequest, GetBlocksResult, ICRC3DataCertificate, SupportedBlockType},
    },
};
use local_ic_ledger::{
    account::AccountIdentifier,
    block::Memo,
    classic,
    ledger::{Approval, Ledger, Transfer},
    memory::StableMemory,
    settings::LedgerArg,
    standards::{self, Standard},
};
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// The interface, where wallets and tools look for it.
#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    reason = "the compiler calls every link section unsafe; this one only adds metadata"
)]
#[unsafe(link_section = "icp:public candid:service")]
pub static CANDID: [u8; include_bytes!("../../../candid/ledger.did").len()] =
    *include_bytes!("../../../candid/ledger.did");

/// Candid's measure of work, about one for each byte and value. Far more than any request needs
/// and an installation with thousands of initial balances, far less than a message may take.
const DECODING_QUOTA: usize = 10_000_000;
/// The same for values that the method does not know; the default of `ic_cdk`.
const SKIPPING_QUOTA: usize = 10_000;

thread_local! {
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

fn read<R>(rules: impl FnOnce(&Ledger) -> R) -> R {
    LEDGER.with_borrow(|ledger| rules(ledger.as_ref().expect("opened by init or post_upgrade")))
}

/// Whatever changed, the certified tip follows in the same message.
fn change<R>(rules: impl FnOnce(&mut Ledger) -> R) -> R {
    LEDGER.with_borrow_mut(|ledger| {
        let ledger = ledger.as_mut().expect("opened by init or post_upgrade");
        let result = rules(ledger);
        api::certified_data_set(ledger.tip_tree().digest());
        result
    })
}

fn start(ledger: Result<Ledger, local_ic_ledger::settings::SettingsError>) {
    match ledger {
        Ok(ledger) => LEDGER.set(Some(ledger)),
        // Undoes the installation or upgrade.
        Err(error) => ic_cdk::trap(error.to_string()),
    }
    change(|_| ());
}

#[init(decode_with = "argument", hidden = true)]
#[candid_method(init)]
fn init(arg: LedgerArg) {
    start(Ledger::install(StableMemory::default(), &arg, api::time()));
}

#[post_upgrade(decode_with = "argument")]
fn post_upgrade(arg: Option<LedgerArg>) {
    start(Ledger::upgrade(StableMemory::default(), arg.as_ref()));
}

#[query]
fn icrc1_name() -> String {
    read(|ledger| ledger.settings().token_name.clone())
}

#[query]
fn icrc1_symbol() -> String {
    read(|ledger| ledger.settings().token_symbol.clone())
}

#[query]
fn icrc1_decimals() -> u8 {
    read(|ledger| ledger.settings().decimals)
}

#[query]
fn icrc1_fee() -> Nat {
    read(|ledger| ledger.settings().transfer_fee.into())
}

#[query]
fn icrc1_metadata() -> Vec<(String, MetadataValue)> {
    read(|ledger| standards::metadata(ledger.settings()))
}

#[query]
fn icrc1_minting_account() -> Option<Account> {
    read(|ledger| Some(ledger.settings().minting_account))
}

#[query]
fn icrc1_total_supply() -> Nat {
    read(|ledger| ledger.total_supply().into())
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn icrc1_balance_of(account: Account) -> Nat {
    read(|ledger| ledger.balance(&AccountIdentifier::of(&account)).into())
}

#[query]
fn icrc1_supported_standards() -> Vec<Standard> {
    standards::supported()
}

#[query]
fn icrc10_supported_standards() -> Vec<Standard> {
    standards::supported()
}

#[update(decode_with = "argument", hidden = true)]
#[candid_method(update)]
fn icrc1_transfer(arg: TransferArg) -> Result<Nat, TransferError> {
    let transfer = Transfer {
        from: account_of_caller(arg.from_subaccount),
        to: arg.to,
        spender: None,
        amount: arg.amount,
        fee: arg.fee,
        memo: arg.memo.map(memo),
        created_at_ns: arg.created_at_time,
    };
    let block = change(|ledger| ledger.transfer(transfer, api::time()))?;
    Ok(Nat::from(block))
}

#[update(decode_with = "argument", hidden = true)]
#[candid_method(update)]
fn icrc2_transfer_from(arg: TransferFromArgs) -> Result<Nat, TransferFromError> {
    let transfer = Transfer {
        from: arg.from,
        to: arg.to,
        spender: Some(account_of_caller(arg.spender_subaccount)),
        amount: arg.amount,
        fee: arg.fee,
        memo: arg.memo.map(memo),
        created_at_ns: arg.created_at_time,
    };
    let block = change(|ledger| ledger.transfer(transfer, api::time()))?;
    Ok(Nat::from(block))
}

#[update(decode_with = "argument", hidden = true)]
#[candid_method(update)]
fn icrc2_approve(arg: ApproveArgs) -> Result<Nat, ApproveError> {
    let approval = Approval {
        from: account_of_caller(arg.from_subaccount),
        spender: arg.spender,
        amount: arg.amount,
        expected_allowance: arg.expected_allowance,
        expires_at_ns: arg.expires_at,
        fee: arg.fee,
        memo: arg.memo.map(memo),
        created_at_ns: arg.created_at_time,
    };
    let block = change(|ledger| ledger.approve(approval, api::time()))?;
    Ok(Nat::from(block))
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn icrc2_allowance(arg: AllowanceArgs) -> allowance::Allowance {
    let allowance = read(|ledger| ledger.allowance(&arg.account, &arg.spender, api::time()));
    allowance::Allowance {
        allowance: allowance.amount.into(),
        expires_at: allowance.expires_at_ns,
    }
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn icrc3_get_blocks(ranges: Vec<GetBlocksRequest>) -> GetBlocksResult {
    read(|ledger| ledger.icrc3_blocks(&ranges))
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn icrc3_get_archives(_arg: GetArchivesArgs) -> GetArchivesResult {
    Vec::new()
}

#[query]
fn icrc3_get_tip_certificate() -> Option<ICRC3DataCertificate> {
    // There is none in update calls.
    let certificate = api::data_certificate()?;
    let tree = read(Ledger::tip_tree);
    let hash_tree = serde_cbor::to_vec(&tree).expect("a vector takes every byte");
    Some(ICRC3DataCertificate {
        certificate: ByteBuf::from(certificate),
        hash_tree: ByteBuf::from(hash_tree),
    })
}

#[query]
fn icrc3_supported_block_types() -> Vec<SupportedBlockType> {
    standards::block_types()
}

#[update(decode_with = "argument", hidden = true)]
#[candid_method(update)]
fn transfer(args: classic::TransferArgs) -> classic::TransferResult {
    let caller = api::msg_caller();
    if caller == Principal::anonymous() {
        // As on the ICP ledger; the ICRC calls treat it like any other principal.
        ic_cdk::trap("the anonymous principal cannot use transfer");
    }
    let block = change(|ledger| {
        let transfer = args
            .into_transfer(caller, ledger)
            .unwrap_or_else(|error| ic_cdk::trap(error.to_string()));
        ledger.transfer(transfer, api::time())
    });
    block.map_err(|refusal| {
        // The classic error has no word for it, so the call is rejected.
        classic::TransferError::try_from(refusal).unwrap_or_else(|text| ic_cdk::trap(text))
    })
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn account_balance(args: classic::AccountBalanceArgs) -> classic::Tokens {
    let account = AccountIdentifier::from_slice(&args.account)
        .unwrap_or_else(|error| ic_cdk::trap(error.to_string()));
    read(|ledger| ledger.balance(&account))
        .try_into()
        .unwrap_or_else(|error: classic::TooLarge| ic_cdk::trap(error.to_string()))
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn account_identifier(account: Account) -> ByteBuf {
    ByteBuf::from(AccountIdentifier::of(&account).as_slice().to_vec())
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn query_blocks(args: classic::GetBlocksArgs) -> classic::QueryBlocksResponse {
    read(|ledger| classic::QueryBlocksResponse {
        chain_length: ledger.chain_length(),
        certificate: api::data_certificate().map(ByteBuf::from),
        blocks: ledger
            .blocks(args.start, args.length)
            .map(|(_, block)| classic::Block::from(&block))
            .collect(),
        first_block_index: args.start,
        archived_blocks: Vec::new(),
    })
}

#[query]
fn archives() -> classic::Archives {
    classic::Archives {
        archives: Vec::new(),
    }
}

#[query(decode_with = "argument", hidden = true)]
#[candid_method(query)]
fn transfer_fee(_arg: classic::TransferFeeArg) -> classic::TransferFee {
    let fee = read(|ledger| ledger.settings().transfer_fee);
    classic::TransferFee {
        transfer_fee: fee
            .try_into()
            .unwrap_or_else(|error: classic::TooLarge| ic_cdk::trap(error.to_string())),
    }
}

#[query]
fn symbol() -> classic::Symbol {
    classic::Symbol {
        symbol: icrc1_symbol(),
    }
}

#[query]
fn name() -> classic::Name {
    classic::Name { name: icrc1_name() }
}

#[query]
fn decimals() -> classic::Decimals {
    classic::Decimals {
        decimals: icrc1_decimals().into(),
    }
}

/// Reads a method's argument. Unlike the default it says what is wrong with it, and bounds the
/// work that a message full of nested or superfluous values makes. (As `ic_cdk` tells Candid that
/// such a method takes bytes, those above hide from it and use `candid_method` themselves.)
fn argument<T: CandidType + for<'a> Deserialize<'a>>(bytes: Vec<u8>) -> T {
    // No argument is written as no bytes at all by some tools.
    let bytes = if bytes.is_empty() {
        b"DIDL\x00\x00".to_vec()
    } else {
        bytes
    };
    let mut limits = DecoderConfig::new();
    limits.set_decoding_quota(DECODING_QUOTA);
    limits.set_skipping_quota(SKIPPING_QUOTA);
    candid::utils::decode_one_with_config(&bytes, &limits).unwrap_or_else(|error| {
        ic_cdk::trap(format!(
            "the argument does not fit the method's Candid type, in which subaccounts have 32 \
             bytes: {error}"
        ))
    })
}

fn account_of_caller(subaccount: Option<[u8; 32]>) -> Account {
    Account {
        owner: api::msg_caller(),
        subaccount,
    }
}

fn memo(memo: transfer::Memo) -> Memo {
    Memo::Bytes(memo.0.into_vec())
}

fn main() {}

#[cfg(test)]
mod tests {
    use candid_parser::utils::{CandidSource, service_compatible, service_equal};

    use super::*;

    candid::export_service!();

    const PROMISE: &str = include_str!("../../../candid/ledger.did");

    #[test]
    fn the_code_keeps_what_the_did_file_promises() {
        let code = __export_service();
        let code = || CandidSource::Text(&code);
        let promise = || CandidSource::Text(PROMISE);
        service_compatible(code(), promise()).expect("clients of the .did can use the code");
        service_compatible(promise(), code()).expect("the .did leaves nothing out");
        service_equal(code(), promise()).expect("the types are the same, the argument too");
    }
}
