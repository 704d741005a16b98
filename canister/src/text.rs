//! Principals and accounts as people write them.
//!
//! ```text
//! principal   base32( CRC-32, bytes ), in groups of five
//! account     PRINCIPAL-base32( CRC-32 of principal and subaccount ).SUBACCOUNT
//! ```
//!
//! The libraries that have them bring 30 KB of tables for it; a test compares with them.

use std::fmt;

use candid::Principal;
use perun_canister_api::Account;

/// A principal, as `ICRC-1` and every tool writes it.
pub struct PrincipalText<'a>(pub &'a Principal);

/// An account, as `ICRC-1` has it.
pub struct AccountText<'a>(pub &'a Account);

impl fmt::Display for PrincipalText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GROUP: usize = 5;
        let bytes = self.0.as_slice();
        let checksum = crc32(&[bytes]).to_be_bytes();
        let digits = base32(&[&checksum, bytes].concat());
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for AccountText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { owner, subaccount } = self.0;
        PrincipalText(owner).fmt(f)?;
        let Some(subaccount) = subaccount.filter(|subaccount| *subaccount != [0; 32]) else {
            return Ok(());
        };
        let checksum = crc32(&[owner.as_slice(), &subaccount]).to_be_bytes();
        write!(f, "-{}.", base32(&checksum))?;
        let digits = subaccount.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for digit in digits.skip_while(|digit| *digit == 0) {
            write!(f, "{digit:x}")?;
        }
        Ok(())
    }
}

/// The checksum of Ethernet (CRC-32/ISO-HDLC).
fn crc32(parts: &[&[u8]]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut crc = u32::MAX;
    for byte in parts.concat() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    !crc
}

/// RFC 4648 in small letters, without padding.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::new();
    for five in bytes.chunks(5) {
        let byte = |place: usize| u64::from(five.get(place).copied().unwrap_or(0));
        let bits = (0..5).fold(0, |bits, place| bits << 8 | byte(place));
        let digits = (five.len() * 8).div_ceil(5);
        out.extend((0..digits).map(|digit| {
            let digit = bits >> (35 - 5 * digit) & 31;
            char::from(DIGITS[digit as usize])
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_libraries() {
        for length in 0..=Principal::MAX_LENGTH_IN_BYTES {
            for seed in 0..20_u8 {
                let bytes = (0..length as u8).map(|place| place.wrapping_mul(seed) ^ seed);
                let owner = Principal::from_slice(&bytes.collect::<Vec<_>>());
                assert_eq!(PrincipalText(&owner).to_string(), owner.to_string());
                let subaccounts = [
                    None,
                    Some([0; 32]),
                    Some([seed; 32]),
                    Some({
                        let mut low = [0; 32];
                        low[31 - usize::from(seed)] = seed;
                        low
                    }),
                ];
                for subaccount in subaccounts {
                    let account = Account { owner, subaccount };
                    assert_eq!(AccountText(&account).to_string(), account.to_string());
                }
            }
        }
    }
}
