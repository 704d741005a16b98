//! The screen's own words, those of perunnodetui, as commands of the shell.

/// What a row is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A proposal, by id.
    Proposal(String),
    /// A channel, by id.
    Channel(String),
}

/// What the screen shows below the line where one types.
pub const HELP: &str =
    "open PEER OWN PEER'S · send NO AMOUNT · req NO AMOUNT · acc NO · rej NO · close NO · Esc";

/// The shell's command for these words. `find` knows what a number means.
pub fn command(text: &str, find: impl Fn(u32) -> Option<Target>) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let target = |number: &str| -> Result<Target, String> {
        let known = number.parse().ok().and_then(&find);
        known.ok_or_else(|| format!("no row has the number {number}"))
    };
    let channel = |number: &str| match target(number)? {
        Target::Channel(id) => Ok(id),
        Target::Proposal(_) => Err(format!(
            "row {number} is no channel yet: acc {number}, or rej {number}"
        )),
    };
    // Options follow: --yes, --currency.
    let rest = |from: usize| -> String {
        words
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(|word| format!(" {word}"))
            .collect()
    };
    Ok(match words[..] {
        ["open", peer, own, peers, ..] => format!("channel open {peer} {own} {peers}{}", rest(4)),
        ["send", number, amount, ..] => {
            format!("payment send {} {amount}{}", channel(number)?, rest(3))
        }
        ["req", number, amount, ..] => {
            format!("payment request {} {amount}{}", channel(number)?, rest(3))
        }
        ["close", number, ..] => format!("channel close {}{}", channel(number)?, rest(2)),
        [word @ ("acc" | "rej"), number, ..] => {
            let word = if word == "acc" { "accept" } else { "reject" };
            match target(number)? {
                Target::Proposal(id) => format!("channel {word} {id}{}", rest(2)),
                Target::Channel(id) => format!("payment {word} {id}{}", rest(2)),
            }
        }
        ["open" | "send" | "req" | "acc" | "rej" | "close", ..] => {
            return Err(format!("something is missing: {HELP}"));
        }
        _ => return Err(format!("not a word here: {HELP}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<String, String> {
        command(text, |number| match number {
            1 => Some(Target::Channel("c1".into())),
            2 => Some(Target::Proposal("p2".into())),
            _ => None,
        })
    }

    #[test]
    fn words_become_commands() {
        let done = |text| said(text).unwrap();
        assert_eq!(done("open bob 1 2"), "channel open bob 1 2");
        assert_eq!(done("open bob 1 2 --yes"), "channel open bob 1 2 --yes");
        assert_eq!(done("send 1 0.5"), "payment send c1 0.5");
        assert_eq!(done("req 1 0.5"), "payment request c1 0.5");
        assert_eq!(done("acc 1"), "payment accept c1");
        assert_eq!(done("acc 2"), "channel accept p2");
        assert_eq!(done("rej 2"), "channel reject p2");
        assert_eq!(done("close 1"), "channel close c1");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(said("send 1").unwrap_err().contains("missing"));
        assert!(said("send 3 1").unwrap_err().contains("no row"));
        assert!(said("send 2 1").unwrap_err().contains("no channel yet"));
        assert!(said("send x 1").unwrap_err().contains("no row"));
        assert!(said("dance").unwrap_err().contains("not a word"));
    }
}
