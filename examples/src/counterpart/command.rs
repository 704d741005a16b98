//! What can be said at the control port.

use std::fmt;

use perun_protocol::Amount;

/// What a payment or a request is about if nothing is said.
const AMOUNT: Amount = Amount::new(100);

/// What there is to say.
pub const HELP: &str = "\
h, help                           this
p, propose [device]               propose a channel
u, update [channel] [amount]      pay so many units [100]
r, request [channel] [amount]     ask for so many units [100]
c, close [channel]                close together
f, force-close [channel]          close without the device, by a dispute
s, status                         devices and channels, with their numbers
q, quit                           end this connection
Without a number the last device or the last channel that is not over is meant.";

/// A line that was understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Nothing was said.
    Nothing,
    /// Say what can be said.
    Help,
    /// Propose a channel to a device.
    Propose {
        /// Which one.
        device: Option<usize>,
    },
    /// Pay.
    Pay {
        /// Through which channel.
        channel: Option<usize>,
        /// How much.
        amount: Amount,
    },
    /// Ask for a payment.
    Request {
        /// Through which channel.
        channel: Option<usize>,
        /// How much.
        amount: Amount,
    },
    /// Close together.
    Close {
        /// Which channel.
        channel: Option<usize>,
    },
    /// Close by a dispute.
    ForceClose {
        /// Which channel.
        channel: Option<usize>,
    },
    /// Show devices and channels.
    Status,
    /// End the connection.
    Quit,
}

/// A line that was not understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotUnderstood<'a> {
    /// There is no such command.
    Command(&'a str),
    /// This is no number of a device or channel.
    Index(&'a str),
    /// This is no amount.
    Amount(&'a str),
    /// There is more than the command takes.
    TooMuch(&'a str),
}

impl Command {
    /// What a line says.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(line: &str) -> Result<Self, NotUnderstood<'_>> {
        let mut words = line.split_whitespace();
        let Some(command) = words.next() else {
            return Ok(Self::Nothing);
        };
        let understood = match command {
            "h" | "help" => Self::Help,
            "p" | "propose" => Self::Propose {
                device: index(words.next())?,
            },
            "u" | "update" => Self::Pay {
                channel: index(words.next())?,
                amount: amount(words.next())?,
            },
            "r" | "request" => Self::Request {
                channel: index(words.next())?,
                amount: amount(words.next())?,
            },
            "c" | "close" => Self::Close {
                channel: index(words.next())?,
            },
            "f" | "force-close" => Self::ForceClose {
                channel: index(words.next())?,
            },
            "s" | "status" => Self::Status,
            "q" | "quit" => Self::Quit,
            _ => return Err(NotUnderstood::Command(command)),
        };
        match words.next() {
            Some(word) => Err(NotUnderstood::TooMuch(word)),
            None => Ok(understood),
        }
    }
}

fn index(word: Option<&str>) -> Result<Option<usize>, NotUnderstood<'_>> {
    let Some(word) = word else {
        return Ok(None);
    };
    let index = number(word).ok_or(NotUnderstood::Index(word))?;
    Ok(Some(index))
}

fn amount(word: Option<&str>) -> Result<Amount, NotUnderstood<'_>> {
    let Some(word) = word else {
        return Ok(AMOUNT);
    };
    let amount = number(word).map(Amount::new);
    let amount = amount.filter(|amount| !amount.is_zero());
    amount.ok_or(NotUnderstood::Amount(word))
}

/// Digits and nothing else: the standard parser takes a sign.
fn number<T: std::str::FromStr>(word: &str) -> Option<T> {
    let is_digits = word.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| word.parse().ok()).flatten()
}

impl fmt::Display for NotUnderstood<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(word) => write!(f, "unknown command {word:?}; h shows what there is"),
            Self::Index(word) => write!(
                f,
                "{word:?} is no number of a device or channel; s shows them"
            ),
            Self::Amount(word) => write!(f, "{word:?} is no number of units above 0"),
            Self::TooMuch(word) => write!(f, "{word:?} is too much; h shows what there is"),
        }
    }
}

impl std::error::Error for NotUnderstood<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_each_command() {
        for (short, long) in [
            ("h", "help"),
            ("p 1", "propose 1"),
            ("u 2 7", "update 2 7"),
            ("r", "request"),
            ("c 0", "close 0"),
            ("f", "force-close"),
            ("s", "status"),
            ("q", "quit"),
        ] {
            let command = Command::parse(short).unwrap();
            assert_eq!(Command::parse(&format!("  {long}\r")), Ok(command));
        }
        let channel = Some(2);
        let amount = Amount::new(7);
        assert_eq!(
            Command::parse("u 2 7"),
            Ok(Command::Pay { channel, amount })
        );
        let channel = None;
        let amount = AMOUNT;
        assert_eq!(Command::parse("u"), Ok(Command::Pay { channel, amount }));
        assert_eq!(Command::parse(" "), Ok(Command::Nothing));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        use NotUnderstood::{Amount, Command as Unknown, Index, TooMuch};
        for (line, refusal) in [
            ("x", Unknown("x")),
            ("U", Unknown("U")),
            ("pay 1", Unknown("pay")),
            ("u -1", Index("-1")),
            ("c +1", Index("+1")),
            (
                "c 99999999999999999999999",
                Index("99999999999999999999999"),
            ),
            ("u 0 0", Amount("0")),
            ("u 0 1.5", Amount("1.5")),
            ("r 0 -7", Amount("-7")),
            ("u 0 1 2", TooMuch("2")),
            ("s 1", TooMuch("1")),
        ] {
            assert_eq!(Command::parse(line), Err(refusal), "{line}");
        }
    }
}
