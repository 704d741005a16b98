//! What a person is asked to agree to, in words: ICRC-21, for signers that show a call before it is
//! signed.
//!
//! ```text
//!  method, argument ──decode──> request ──> Message (intent, fields, notes) ──> markdown
//!                                                                          └──> fields
//! ```
//!
//! Nothing of a request is repeated but numbers, principals and hashes, so no request can put words
//! into our mouth. The canister knows no token's name or decimals: amounts are told in the ledger's
//! smallest unit, beside the ledger's principal. Signatures are not verified here: the call itself
//! does that.

mod message;
mod methods;

use candid::{CandidType, Deserialize};
use icrc_ledger_types::icrc21::errors::{ErrorInfo, Icrc21Error};
use icrc_ledger_types::icrc21::requests::{ConsentMessageMetadata, ConsentMessageRequest};
use icrc_ledger_types::icrc21::responses::ConsentInfo;
use perun_protocol::Timestamp;

use crate::Adjudicator;
use crate::answers::MAX_REQUEST_BYTES;
use crate::batch::MAX_BATCH_BYTES;
use crate::encoding;

/// The longest request for a message, in bytes: one about the longest batch.
pub const MAX_CONSENT_BYTES: usize = MAX_BATCH_BYTES + 1024;

/// The methods that there are messages for: all that change anything.
pub const METHODS: [&str; 5] = ["deposit", "dispute", "dispute_many", "conclude", "withdraw"];

/// A standard that the canister keeps, as ICRC-10 tells it.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct SupportedStandard {
    /// Its name.
    pub name: String,
    /// Where it is described.
    pub url: String,
}

/// The standards that the canister keeps.
pub fn supported_standards() -> Vec<SupportedStandard> {
    const ICRC: &str = "https://github.com/dfinity/ICRC/blob/main/ICRCs";
    let standards = [
        ("ICRC-3", "https://github.com/dfinity/ICRC-1/blob/main/standards/ICRC-3".into()),
        ("ICRC-10", format!("{ICRC}/ICRC-10/ICRC-10.md")),
        (
            "ICRC-21",
            "https://github.com/dfinity/wg-identity-authentication/blob/main/topics/ICRC-21/icrc_21_consent_msg.md".into(),
        ),
    ];
    let standards = standards.into_iter();
    standards
        .map(|(name, url): (&str, String)| SupportedStandard {
            name: name.into(),
            url,
        })
        .collect()
}

impl Adjudicator {
    /// Says what a call would do.
    pub fn consent(
        &self,
        request: &ConsentMessageRequest,
        now: Timestamp,
    ) -> Result<ConsentInfo, Icrc21Error> {
        let arg = &request.arg;
        let message = match request.method.as_str() {
            "deposit" => self.deposit_message(&decode(arg, MAX_REQUEST_BYTES)?)?,
            "dispute" => self.dispute_message(&decode(arg, MAX_REQUEST_BYTES)?, now)?,
            "dispute_many" => {
                self.dispute_many_message(&decode::<Vec<_>>(arg, MAX_BATCH_BYTES)?, now)?
            }
            "conclude" => self.conclude_message(&decode(arg, MAX_REQUEST_BYTES)?, now)?,
            "withdraw" => self.withdraw_message(&decode(arg, MAX_REQUEST_BYTES)?)?,
            _ => {
                let methods = METHODS.join(", ");
                return Err(unsupported(format!(
                    "there are messages for these methods: {methods}"
                )));
            }
        };
        Ok(ConsentInfo {
            consent_message: message.shown_on(request.user_preferences.device_spec.as_ref()),
            metadata: ConsentMessageMetadata {
                language: "en".into(),
                // Lengths of time are told, no instants.
                utc_offset_minutes: None,
            },
        })
    }
}

/// Decodes a call's argument within the bounds that the call itself has.
fn decode<T>(arg: &[u8], max: usize) -> Result<T, Icrc21Error>
where
    T: encoding::Message + for<'a> Deserialize<'a>,
{
    encoding::decode(arg, max).map_err(unsupported)
}

/// The call is none that there are messages for.
fn unsupported(description: String) -> Icrc21Error {
    Icrc21Error::UnsupportedCanisterCall(ErrorInfo { description })
}

/// The call would be refused, so there is nothing to agree to.
fn unavailable(description: String) -> Icrc21Error {
    Icrc21Error::ConsentMessageUnavailable(ErrorInfo { description })
}
