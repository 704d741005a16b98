//! Whom to deal with: an off-chain identity in hex digits, and perhaps where it is reached.

use std::fmt;
use std::str::FromStr;

use perun_protocol::PublicKey;

/// A device or node: `<66 hex digits>` or `<66 hex digits>@host:port`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contact {
    /// Its off-chain identity.
    pub key: PublicKey,
    /// Where it is dialled, if it does not dial us.
    pub address: Option<String>,
}

/// A text is no contact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoContact;

/// Bytes as hex digits; with a precision only so many of the bytes, and an ellipsis.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl FromStr for Contact {
    type Err = NoContact;

    fn from_str(text: &str) -> Result<Self, NoContact> {
        let (key, address) = match text.split_once('@') {
            Some((key, address)) => (key, Some(address)),
            None => (text, None),
        };
        let is_host_and_port = |address: &str| {
            let parts = address.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !address.is_none_or(is_host_and_port) {
            return Err(NoContact);
        }
        let bytes = bytes(key).ok_or(NoContact)?;
        let key = PublicKey::from_bytes(bytes).filter(PublicKey::is_on_curve);
        Ok(Self {
            key: key.ok_or(NoContact)?,
            address: address.map(str::to_owned),
        })
    }
}

/// Exactly `N` bytes in hex digits.
pub(super) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |ascii: u8| char::from(ascii).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(bytes)
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(self.key.as_bytes()).fmt(f)?;
        match &self.address {
            Some(address) => write!(f, "@{address}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = f.precision().unwrap_or(self.0.len()).min(self.0.len());
        let (shown, hidden) = self.0.split_at(shown);
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        match hidden {
            [] => Ok(()),
            _ => write!(f, "…"),
        }
    }
}

impl fmt::Display for NoContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected 66 hex digits of a public key, perhaps with @host:port"
        )
    }
}

impl std::error::Error for NoContact {}

#[cfg(test)]
mod tests {
    use super::*;
    use perun_protocol::{SecretKey, Signer as _};

    #[test]
    fn contacts_are_read_as_they_are_written() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap().public_key();
        for address in [
            None,
            Some("10.0.0.2:1337".to_owned()),
            Some("[::1]:1".to_owned()),
        ] {
            let contact = Contact { key, address };
            assert_eq!(contact.to_string().parse(), Ok(contact));
        }
    }

    #[test]
    fn what_is_no_contact_is_refused() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap().public_key();
        let key = Hex(key.as_bytes()).to_string();
        for text in [
            "",
            "02ab",
            &key[1..],
            &format!("{key}00"),
            &format!("{key}@"),
            &format!("{key}@host"),
            &format!("{key}@:1337"),
            &format!("{key}@host:99999"),
            &key.replace(char::is_numeric, "x"),
            &"00".repeat(33),
            &format!("02{}", "ff".repeat(32)),
        ] {
            assert_eq!(text.parse::<Contact>(), Err(NoContact), "{text:?}");
        }
    }
}
