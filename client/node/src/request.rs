//! Payment requests as text: whom to pay, how much of what, and what for, signed by the payee.
//!
//! ```text
//! perunreq1… = bech32m of   version u8 = 1, payee 33 B, ledger (length u8, bytes),
//!                           0 | 1 and amount u128, expiry i64 (s since 1970), nonce 16 B,
//!                           memo (length u16, UTF-8), signature 64 B
//! ```
//!
//! The signature is over the bytes before it, in the domain [`Domain::RequestText`]. That digest is
//! the memo of the payment that answers the request, so both sides can tell which one it paid. All
//! letters may be upper case, which makes a smaller QR code.
//!
//! Invariant: a request has one text, and a text that is changed anywhere is none. Whether it has
//! expired is for the caller to judge; whether it was paid, for the history.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use candid::Principal;
use perun_protocol::encoding::{Canonical as _, DecodeError, Domain, Reader, digest};
use perun_protocol::signature::{Libsecp256k1, Verifier as _};
use perun_protocol::{Amount, PublicKey, Signature, Signer};

use crate::Error;

/// What the texts begin with, before the "1" of bech32.
pub const PREFIX: &str = "perunreq";

/// The longest text: what bech32m still finds errors in for certain.
pub const MAX_TEXT_LENGTH: usize = 1023;

/// The longest memo, in bytes of UTF-8.
pub const MAX_MEMO_LENGTH: usize = 256;

const HRP: Hrp = Hrp::parse_unchecked(PREFIX);
const VERSION: u8 = 1;
/// How much of a text an error shows.
const SHOWN: usize = 40;

/// Asks for a payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaymentRequest {
    /// Who asks, and is to be paid: an off-chain identity.
    pub payee: PublicKey,
    /// The ledger of the token.
    pub ledger: Principal,
    /// How much, never nothing; `None` lets the payer decide.
    pub amount: Option<Amount>,
    /// What for.
    pub memo: String,
    /// Until when a payment makes sense, in seconds since 1970.
    pub expires_at_s: i64,
    /// What makes it differ from another request for the same.
    pub nonce: [u8; 16],
}

impl PaymentRequest {
    /// A new one, unlike all others.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there can be no such request.
    pub fn new(
        payee: PublicKey,
        ledger: Principal,
        amount: Option<Amount>,
        memo: &str,
        expires_at_s: i64,
    ) -> Result<Self, Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        let request = Self {
            payee,
            ledger,
            amount,
            memo: memo.to_owned(),
            expires_at_s,
            nonce,
        };
        request.check()?;
        Ok(request)
    }

    /// The text. `signer` is the payee.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there can be no such request.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, Error> {
        self.check()?;
        if signer.public_key() != self.payee {
            return Err(Error::internal("a payee signs for itself only"));
        }
        let mut bytes = self.encode();
        let signature = signer.sign(&digest(Domain::RequestText, &bytes));
        signature.encode_to(&mut bytes);
        Ok(to_text(&bytes))
    }

    /// The request that a text is; its signature is good.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] of "text".
    pub fn read(text: &str) -> Result<Self, Error> {
        Self::parse(text).map_err(|wrong| {
            let shown = text.chars().take(SHOWN).collect::<String>();
            Error::invalid("text", shown, wrong)
        })
    }

    /// The memo of the payment that answers it.
    pub fn digest(&self) -> [u8; 32] {
        digest(Domain::RequestText, &self.encode())
    }

    fn check(&self) -> Result<(), Error> {
        check_memo(&self.memo)?;
        if self.amount.is_some_and(Amount::is_zero) {
            return Err(Error::invalid("amount", "0", "nothing cannot be asked for"));
        }
        if perun_canister_api::convert::principal(self.ledger).is_none() {
            let ledger = self.ledger.to_text();
            return Err(Error::invalid("token", ledger, "it is no ledger"));
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.payee.as_bytes());
        let ledger = self.ledger.as_slice();
        bytes.push(u8::try_from(ledger.len()).expect("a principal has at most 29 bytes"));
        bytes.extend(ledger);
        match self.amount {
            None => bytes.push(0),
            Some(amount) => {
                bytes.push(1);
                amount.encode_to(&mut bytes);
            }
        }
        bytes.extend(self.expires_at_s.to_be_bytes());
        bytes.extend(self.nonce);
        // A longer memo than any request has does not pass for a shorter one.
        let length = u16::try_from(self.memo.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.memo.as_bytes());
        bytes
    }

    fn parse(text: &str) -> Result<Self, String> {
        let bytes = from_text(text)?;
        let (&version, _) = bytes.split_first().ok_or("it is empty")?;
        if version != VERSION {
            return Err(format!(
                "it has format {version}, this program knows {VERSION}"
            ));
        }
        let split = bytes.split_last_chunk::<64>();
        let (signed, signature) = split.ok_or("it is too short")?;
        let request = Self::decode(signed).map_err(|error| error.to_string())??;
        request.check().map_err(|error| error.to_string())?;
        let digest = digest(Domain::RequestText, signed);
        let signature = Signature::from_bytes(*signature);
        if !Libsecp256k1::verify(&request.payee, &digest, &signature) {
            return Err("it is not signed by its payee".to_owned());
        }
        Ok(request)
    }

    /// What was signed. The outer error is of the layout, the inner one of a value.
    fn decode(signed: &[u8]) -> Result<Result<Self, &'static str>, DecodeError> {
        let mut reader = Reader::new(signed);
        let _version = reader.byte()?;
        let payee = PublicKey::from_bytes(reader.array()?);
        let length = reader.byte()?.into();
        let ledger = Principal::try_from_slice(reader.bytes(length)?);
        let amount = match reader.byte()? {
            0 => None,
            1 => Some(Amount::decode_from(&mut reader)?),
            tag => return Err(DecodeError::UnknownTag { of: "amount", tag }),
        };
        let expires_at_s = i64::from_be_bytes(reader.array()?);
        let nonce = reader.array()?;
        let length = u16::from_be_bytes(reader.array()?).into();
        let memo = String::from_utf8(reader.bytes(length)?.to_vec());
        reader.finish()?;
        let (Some(payee), Ok(ledger), Ok(memo)) = (payee, ledger, memo) else {
            return Ok(Err("its payee, ledger or memo is none"));
        };
        Ok(Ok(Self {
            payee,
            ledger,
            amount,
            memo,
            expires_at_s,
            nonce,
        }))
    }
}

/// Whether a text can be the memo of a request or payment: short, and nothing in it moves a terminal's
/// cursor or changes the order in which the rest is read.
///
/// # Errors
/// [`Error::InvalidArgument`] of "memo".
pub fn check_memo(memo: &str) -> Result<(), Error> {
    let rule = if memo.len() > MAX_MEMO_LENGTH {
        "a memo has at most 256 bytes"
    } else if memo.chars().any(is_unseen) {
        "a memo has no control characters"
    } else {
        return Ok(());
    };
    let shown = memo.chars().take(SHOWN).collect::<String>();
    Err(Error::invalid("memo", shown, rule))
}

/// Control characters, line and paragraph separators, and what embeds, overrides or isolates a
/// direction of writing.
fn is_unseen(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn to_text(bytes: &[u8]) -> String {
    bech32::encode_lower::<Bech32m>(HRP, bytes).expect("a request is within bech32's length")
}

fn from_text(text: &str) -> Result<Vec<u8>, String> {
    if text.len() > MAX_TEXT_LENGTH {
        return Err(format!(
            "a request has at most {MAX_TEXT_LENGTH} characters"
        ));
    }
    let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|error| {
        format!("it is no bech32m text, or was changed or cut on its way: {error}")
    })?;
    if checked.hrp() != HRP {
        return Err(format!("a request begins with {PREFIX}1"));
    }
    let bytes: Vec<u8> = checked.byte_iter().collect();
    // Bits that fill the last letter could differ, and make another text of the same request.
    if !to_text(&bytes).eq_ignore_ascii_case(text) {
        return Err("its last letter before the checksum is wrong".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
