//! Attempts without a good token, counted by address.
//!
//! A token can't be guessed, so this protects no secret: it keeps whoever tries from filling the log.
//! Good tokens are let in from any address, at any time: nobody is locked out by what a neighbour does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use super::traffic::Rate;

/// So many addresses are remembered.
const MAX_ADDRESSES: usize = 4096;
/// So many attempts at once, and then one a second.
const BURST: u32 = 20;

/// Attempts without a good token.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<IpAddr, Rate>>);

impl Strangers {
    /// Counts an attempt. Whether it is worth an answer of its own, and a line of the log.
    pub(super) fn are_few(&self, address: IpAddr, now_ns: u64) -> bool {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(address);
        if rates.len() >= MAX_ADDRESSES && !rates.contains_key(&network) {
            rates.retain(|_, rate| !rate.is_idle(now_ns));
            if rates.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let rate = rates.entry(network).or_default();
        rate.allows(now_ns, 1, BURST)
    }
}

/// Whoever has one address of IPv6 has 2^64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn an_address_tries_so_often_and_no_more() {
        let strangers = Strangers::default();
        let address = |text: &str| text.parse().unwrap();
        let few = |text: &str, now_ns| {
            let few = (0..100).filter(|_| strangers.are_few(address(text), now_ns));
            few.count()
        };
        assert_eq!(few("192.0.2.1", 0), 20);
        assert_eq!(few("192.0.2.1", SECOND), 1);
        assert_eq!(few("192.0.2.2", SECOND), 20);
        assert_eq!(few("2001:db8::1", 0), 20);
        assert_eq!(few("2001:db8::ffff", 0), 0);
        assert_eq!(few("::ffff:192.0.2.2", SECOND), 0);
    }

    #[test]
    fn many_addresses_take_no_more_memory() {
        let strangers = Strangers::default();
        for bits in 0..100_000 {
            strangers.are_few(std::net::Ipv4Addr::from_bits(bits).into(), 0);
        }
        assert_eq!(strangers.0.lock().unwrap().len(), MAX_ADDRESSES);
        // Those who have been quiet make room.
        assert!(strangers.are_few([203, 0, 113, 1].into(), 2 * SECOND));
    }
}
