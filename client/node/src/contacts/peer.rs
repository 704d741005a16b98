//! One contact, and what is good as its alias, identity and address.

use std::net::Ipv6Addr;

use perun_protocol::PublicKey;

use crate::Error;
use crate::api::pb;

/// The alias that means the user.
pub const SELF: &str = "self";

/// The only way to communicate.
pub const COMM_TYPE: &str = "tcp";

const MAX_ALIAS_LENGTH: usize = 64;
/// Of a name in the DNS.
const MAX_HOST_LENGTH: usize = 253;

/// Somebody with whom channels can be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// What the user calls it.
    pub alias: String,
    /// Its off-chain identity.
    pub identity: PublicKey,
    /// Where it listens, `host:port`.
    pub address: String,
}

impl Peer {
    /// Whether it can be a contact.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], which names the part.
    pub fn check(&self) -> Result<(), Error> {
        let Self {
            alias,
            identity,
            address,
        } = self;
        check_alias(alias).map_err(|rule| Error::invalid("peerAlias", alias, rule))?;
        check_identity(identity)
            .map_err(|rule| Error::invalid("offChainAddress", show_identity(identity), rule))?;
        check_address(address).map_err(|rule| Error::invalid("commAddress", address, rule))
    }
}

impl TryFrom<&pb::PeerId> for Peer {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidArgument`], which names the field.
    fn try_from(peer: &pb::PeerId) -> Result<Self, Error> {
        let identity = parse_identity(&peer.off_chain_address);
        let identity = identity
            .map_err(|rule| Error::invalid("offChainAddress", &peer.off_chain_address, rule))?;
        check_comm_type(&peer.comm_type)
            .map_err(|rule| Error::invalid("commType", &peer.comm_type, rule))?;
        let peer = Self {
            alias: peer.alias.clone(),
            identity,
            address: peer.comm_address.clone(),
        };
        peer.check()?;
        Ok(peer)
    }
}

impl From<&Peer> for pb::PeerId {
    fn from(peer: &Peer) -> Self {
        Self {
            alias: peer.alias.clone(),
            off_chain_address: show_identity(&peer.identity),
            comm_address: peer.address.clone(),
            comm_type: COMM_TYPE.to_owned(),
        }
    }
}

/// An off-chain identity as text: 66 hex digits.
pub fn show_identity(identity: &PublicKey) -> String {
    hex::encode(identity.as_bytes())
}

/// The identity that a text means, with or without `0x`, in any case. It may be on no curve.
pub fn read_identity(text: &str) -> Option<PublicKey> {
    let prefixed = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let mut bytes = [0; 33];
    hex::decode_to_slice(prefixed.unwrap_or(text), &mut bytes).ok()?;
    PublicKey::from_bytes(bytes)
}

/// The identity of this text, or the rule that it breaks.
pub(super) fn parse_identity(text: &str) -> Result<PublicKey, &'static str> {
    let identity = read_identity(text);
    let identity = identity.ok_or("a compressed secp256k1 key has 66 hex digits")?;
    check_identity(&identity)?;
    Ok(identity)
}

fn check_identity(identity: &PublicKey) -> Result<(), &'static str> {
    if identity.is_on_curve() {
        Ok(())
    } else {
        Err("it is no point of the curve, so nobody has the key to it")
    }
}

pub(super) fn check_comm_type(text: &str) -> Result<(), &'static str> {
    if text == COMM_TYPE {
        Ok(())
    } else {
        Err("peers communicate by tcp only")
    }
}

/// Aliases are typed in shells and shown in terminals: nothing in them is invisible, has to be quoted
/// or is taken for an option.
pub(super) fn check_alias(alias: &str) -> Result<(), &'static str> {
    if alias == SELF {
        return Err("this alias is the user's own");
    }
    if !(1..=MAX_ALIAS_LENGTH).contains(&alias.chars().count()) {
        return Err("an alias has 1 to 64 characters");
    }
    if alias.starts_with('-') {
        return Err("an alias does not begin with a dash, as options do");
    }
    let is_good = |letter: char| letter.is_alphanumeric() || "-_.+@:/=~%".contains(letter);
    if !alias.chars().all(is_good) {
        return Err("an alias has letters, digits, and -_.+@:/=~% only");
    }
    Ok(())
}

/// Whether a text is `host:port`, as far as can be told without asking the network.
pub(super) fn check_address(address: &str) -> Result<(), &'static str> {
    const RULE: &str = "an address is host:port, like 127.0.0.1:5750 or [::1]:5750";
    let (host, port) = address.rsplit_once(':').ok_or(RULE)?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || port.parse::<u16>().map_or(true, |port| port == 0) {
        return Err("an address ends with a port, 1 to 65535");
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(RULE)?;
        return inner.parse::<Ipv6Addr>().map(drop).map_err(|_| RULE);
    }
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOST_LENGTH || !host.bytes().all(is_good) {
        return Err(RULE);
    }
    Ok(())
}
