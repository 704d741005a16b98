//! Why a node says no to a device: a code for programs, a text for people.

use core::fmt;

use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::wire::Text;
use crate::{ChannelId, PartIdx};

/// Refuses a request of the device's.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct RemoteRejection {
    /// The channel of the request.
    #[n(0)]
    pub channel: ChannelId,
    /// Who asked.
    #[n(1)]
    pub part: PartIdx,
    /// The type number of what is refused.
    #[n(2)]
    pub about: u16,
    /// Why.
    #[n(3)]
    pub code: RemoteCode,
    /// Why, in words.
    #[n(4)]
    #[cbor(skip_if = "Text::is_empty")]
    pub text: Text,
}

/// Why a node says no.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RemoteCode {
    /// It does not serve this device.
    NotServed,
    /// The device would exceed what is allowed to it.
    LimitReached,
    /// It does not watch this channel: params and authorisations are needed.
    UnknownChannel,
    /// The request contradicts itself: a wrong signature, part or shape.
    BadRequest,
    /// It holds a newer state already, which it shows when asked.
    Outdated,
    /// Nothing can be made durable there at present.
    NotStored,
    /// The adjudicator cannot be reached from there at present.
    AdjudicatorUnreachable,
    /// The deposit was refused by the ledger or the adjudicator.
    FundingFailed,
    /// The time to deposit, or the channel, is over.
    TooLate,
    /// It has too much to do at present.
    Busy,
    /// A code that only newer software knows.
    Other(u16),
}

impl RemoteCode {
    const KNOWN: [(u16, Self); 10] = [
        (1, Self::NotServed),
        (2, Self::LimitReached),
        (3, Self::UnknownChannel),
        (4, Self::BadRequest),
        (5, Self::Outdated),
        (6, Self::NotStored),
        (7, Self::AdjudicatorUnreachable),
        (8, Self::FundingFailed),
        (9, Self::TooLate),
        (10, Self::Busy),
    ];

    /// The number that travels.
    pub fn number(self) -> u16 {
        if let Self::Other(number) = self {
            return number;
        }
        let known = Self::KNOWN.iter().find(|(_, code)| *code == self);
        known.expect("every other code is in the table").0
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Self {
        let known = Self::KNOWN.iter().find(|(known, _)| *known == number);
        known.map_or(Self::Other(number), |(_, code)| *code)
    }
}

impl<C> Encode<C> for RemoteCode {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        encoder.u16(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RemoteCode {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        decoder.u16().map(Self::from_number)
    }
}

impl fmt::Display for RemoteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotServed => "this device is not served",
            Self::LimitReached => "a limit is reached",
            Self::UnknownChannel => "unknown channel",
            Self::BadRequest => "the request contradicts itself",
            Self::Outdated => "a newer state is held",
            Self::NotStored => "nothing can be stored",
            Self::AdjudicatorUnreachable => "the adjudicator is not reached",
            Self::FundingFailed => "the deposit failed",
            Self::TooLate => "too late",
            Self::Busy => "busy",
            Self::Other(number) => return write!(f, "code {number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_number_and_back() {
        for number in 0..20 {
            assert_eq!(RemoteCode::from_number(number).number(), number);
        }
    }
}
