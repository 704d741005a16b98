//! Values in settings. Each reader gives `None` for what it can't read.

use core::net::SocketAddrV4;

use embassy_net::{Ipv4Address, Ipv4Cidr};
use perun_protocol::{Account, Amount, Principal, PublicKey};

use super::{Address, Contact};

/// `<66 hex digits>` or `<66 hex digits>@10.0.0.1:1337`.
pub(super) fn contact(text: &str) -> Option<Contact> {
    let (key, address) = match text.split_once('@') {
        Some((key, address)) => (key, Some(address.trim().parse::<SocketAddrV4>().ok()?)),
        None => (text, None),
    };
    // A key that nobody can have is a typing error.
    let key = PublicKey::from_bytes(bytes(key.trim())?).filter(PublicKey::is_on_curve)?;
    Some(Contact { key, address })
}

/// Hex digits of a principal's bytes.
pub(super) fn principal(text: &str) -> Option<Principal> {
    let mut name = [0; perun_protocol::MAX_PRINCIPAL_LENGTH];
    let name = name.get_mut(..text.len() / 2)?;
    fill(name, text)?;
    Principal::from_slice(name).ok()
}

/// `principal` or `principal.subaccount`.
pub(super) fn account(text: &str) -> Option<Account> {
    match text.split_once('.') {
        None => principal(text).map(Account::of),
        Some((owner, subaccount)) => Some(Account {
            owner: principal(owner)?,
            subaccount: bytes(subaccount)?,
        }),
    }
}

/// A whole number of units.
pub(super) fn amount(text: &str) -> Option<Amount> {
    number(text).map(Amount::new)
}

/// `ours/theirs`.
pub(super) fn balance(text: &str) -> Option<[Amount; 2]> {
    let (ours, theirs) = text.split_once('/')?;
    Some([amount(ours.trim())?, amount(theirs.trim())?])
}

/// `yes` or `no`.
pub(super) fn choice(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// `dhcp`, `10.0.0.2/24` or `10.0.0.2/24 10.0.0.1`.
pub(super) fn address(text: &str) -> Option<Address> {
    if text == "dhcp" {
        return Some(Address::Dhcp);
    }
    let mut words = text.split_whitespace();
    let (own, prefix) = words.next()?.split_once('/')?;
    let prefix = number(prefix).filter(|prefix| *prefix <= 32)?;
    let address = Ipv4Cidr::new(own.parse().ok()?, prefix);
    let gateway = words
        .next()
        .map(str::parse::<Ipv4Address>)
        .transpose()
        .ok()?;
    if words.next().is_some() {
        return None;
    }
    Some(Address::Fixed { address, gateway })
}

/// Decimal digits, and nothing else: the standard parser takes a sign.
pub(super) fn number<T: core::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Exactly `N` bytes in hex digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes, text)?;
    Some(bytes)
}

/// Reads hex digits that are exactly as many as fill `bytes`.
fn fill(bytes: &mut [u8], text: &str) -> Option<()> {
    let (digits, odd) = text.as_bytes().as_chunks::<2>();
    if digits.len() != bytes.len() || !odd.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(digits) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(())
}

fn digit(ascii: u8) -> Option<u8> {
    char::from(ascii).to_digit(16).map(|digit| digit as u8)
}
