//! Why a peer says no: a code for programs, a text for people.

use alloc::string::String;
use core::fmt;

use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// The longest text, in bytes of UTF-8.
pub const MAX_TEXT_LENGTH: usize = 256;

/// Why a peer says no.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RejectCode {
    /// Its user or policy does not want it.
    Declined,
    /// Its user did not answer in time.
    TimedOut,
    /// It is about a channel that it does not know (any more).
    UnknownChannel,
    /// It is about a proposal that it does not know (any more).
    UnknownProposal,
    /// It has too much to do at present.
    Busy,
    /// The message contradicts the protocol: a bug, or worse.
    Misbehaved,
    /// The adjudicator was not seen in time, so that it does not know whether the channel is
    /// funded and undisputed. It may be over soon.
    ViewStale,
    /// The deposits are not (all) there yet.
    NotFunded,
    /// Something is registered at the adjudicator, or the channel is being closed.
    Disputed,
    /// It does not have the turn to propose.
    NotYourTurn,
    /// It builds on a state that is not the newest; the sides should sync.
    WrongBase,
    /// The params, amounts or deadlines proposed are not acceptable.
    BadTerms,
    /// All of its watchers lag behind, so that it must not accept anything.
    WatchersLag,
    /// A code that only newer software knows.
    Other(u16),
}

/// A code and what there is to say about it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Reason {
    /// For programs.
    pub code: RejectCode,
    /// For people.
    pub text: Text,
}

/// A text of at most [`MAX_TEXT_LENGTH`] bytes, from a stranger: show it, never act on it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Text(String);

impl Text {
    /// As much of `text` as fits.
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(MAX_TEXT_LENGTH);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Reason {
    /// A reason with its text.
    pub fn new(code: RejectCode, text: &str) -> Self {
        Self {
            code,
            text: Text::new(text),
        }
    }
}

impl RejectCode {
    const KNOWN: [(u16, Self); 13] = [
        (1, Self::Declined),
        (2, Self::TimedOut),
        (3, Self::UnknownChannel),
        (4, Self::UnknownProposal),
        (5, Self::Busy),
        (6, Self::Misbehaved),
        (7, Self::ViewStale),
        (8, Self::NotFunded),
        (9, Self::Disputed),
        (10, Self::NotYourTurn),
        (11, Self::WrongBase),
        (12, Self::BadTerms),
        (13, Self::WatchersLag),
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

impl<C> Encode<C> for RejectCode {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        encoder.u16(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RejectCode {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        decoder.u16().map(Self::from_number)
    }
}

impl<C> Encode<C> for Text {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        encoder.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Text {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        decoder.str().map(Self::new)
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "declined",
            Self::TimedOut => "no answer in time",
            Self::UnknownChannel => "unknown channel",
            Self::UnknownProposal => "unknown proposal",
            Self::Busy => "busy",
            Self::Misbehaved => "against the protocol",
            Self::ViewStale => "the adjudicator was not seen in time",
            Self::NotFunded => "not funded yet",
            Self::Disputed => "in dispute or closing",
            Self::NotYourTurn => "not your turn",
            Self::WrongBase => "does not build on the newest state",
            Self::BadTerms => "terms not acceptable",
            Self::WatchersLag => "all watchers lag behind",
            Self::Other(number) => return write!(f, "code {number}"),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if self.text.is_empty() {
            return Ok(());
        }
        // Whatever a stranger wrote stays on one line and recognisable as a quotation.
        write!(f, " ({:?})", self.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_number_and_back() {
        for number in 0..20 {
            assert_eq!(RejectCode::from_number(number).number(), number);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = Text::new(&"ä".repeat(129));
        assert_eq!(text.as_str(), "ä".repeat(128));
        let odd = Text::new(&alloc::format!("a{}", "ä".repeat(128)));
        assert_eq!(odd.as_str().len(), 255);
    }
}
