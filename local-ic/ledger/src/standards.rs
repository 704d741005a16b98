//! What the ledger tells about itself: standards, block types, metadata.

use candid::CandidType;
use icrc_ledger_types::{
    icrc::generic_metadata_value::MetadataValue, icrc3::blocks::SupportedBlockType,
};
use serde::Deserialize;

use crate::{ledger::MAX_MEMO_LENGTH, settings::Settings};

const ICRC_1: &str = "https://github.com/dfinity/ICRC-1/tree/main/standards/ICRC-1";
const ICRC_2: &str = "https://github.com/dfinity/ICRC-1/tree/main/standards/ICRC-2";
const ICRC_3: &str = "https://github.com/dfinity/ICRC-1/tree/main/standards/ICRC-3";
const ICRC_10: &str = "https://github.com/dfinity/ICRC/blob/main/ICRCs/ICRC-10/ICRC-10.md";

/// A standard the ledger follows.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Standard {
    /// For example "ICRC-1".
    pub name: String,
    /// Where it is written.
    pub url: String,
}

/// The standards the ledger follows.
pub fn supported() -> Vec<Standard> {
    [
        ("ICRC-1", ICRC_1),
        ("ICRC-2", ICRC_2),
        ("ICRC-3", ICRC_3),
        ("ICRC-10", ICRC_10),
    ]
    .map(|(name, url)| Standard {
        name: name.into(),
        url: url.into(),
    })
    .into()
}

/// The kinds of blocks, by the names that ICRC-3 gives to those which have no `btype` field.
pub fn block_types() -> Vec<SupportedBlockType> {
    [
        ("1burn", ICRC_1),
        ("1mint", ICRC_1),
        ("1xfer", ICRC_1),
        ("2approve", ICRC_2),
        ("2burn", ICRC_2),
        ("2xfer", ICRC_2),
    ]
    .map(|(block_type, url)| SupportedBlockType {
        block_type: block_type.into(),
        url: url.into(),
    })
    .into()
}

/// The entries of `icrc1_metadata`.
pub fn metadata(settings: &Settings) -> Vec<(String, MetadataValue)> {
    vec![
        (
            "icrc1:name".into(),
            MetadataValue::Text(settings.token_name.clone()),
        ),
        (
            "icrc1:symbol".into(),
            MetadataValue::Text(settings.token_symbol.clone()),
        ),
        (
            "icrc1:decimals".into(),
            MetadataValue::Nat(settings.decimals.into()),
        ),
        (
            "icrc1:fee".into(),
            MetadataValue::Nat(settings.transfer_fee.into()),
        ),
        (
            "icrc1:max_memo_length".into(),
            MetadataValue::Nat(MAX_MEMO_LENGTH.into()),
        ),
    ]
}
