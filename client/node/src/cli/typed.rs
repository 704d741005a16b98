//! From what was typed to a command, with help where that does not work.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Command as ClapCommand, CommandFactory as _, Parser as _};

use super::args::{Cli, Line};
use super::failure::Failure;

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Stop {
    /// Help or the version was wanted.
    Said(String),
    /// It was typed wrongly.
    Wrong(Failure),
}

/// The arguments of the process.
pub fn program(arguments: &[OsString]) -> Result<Cli, Stop> {
    Cli::try_parse_from(arguments).map_err(|error| {
        let words = arguments
            .iter()
            .skip(1)
            .map(|word| word.to_string_lossy().into_owned());
        stop(error, Cli::command(), &words.collect::<Vec<_>>())
    })
}

/// A line of the shell or a script. `None` if there is nothing on it.
pub fn line(text: &str) -> Result<Option<Line>, Stop> {
    let words = words(text).map_err(|message| Stop::Wrong(Failure::Usage(message)))?;
    if words.is_empty() {
        return Ok(None);
    }
    let line = Line::try_parse_from(&words);
    line.map(Some)
        .map_err(|error| stop(error, Line::command(), &words))
}

/// The words of a line, as shells take them apart: quotes keep spaces, `#` begins a comment.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => {
                let next = chars.next().ok_or("a line can't end with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a quote ({open}) is open at the end of the line"));
    }
    words.extend(word);
    // Lines of the manual begin with the program's name.
    if words.first().is_some_and(|first| first == "perun") {
        words.remove(0);
    }
    Ok(words)
}

fn stop(error: clap::Error, command: ClapCommand, words: &[String]) -> Stop {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Said(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Stop::Wrong(Failure::Usage(format!("which command?\n\n{text}")))
        }
        ErrorKind::MissingRequiredArgument
        | ErrorKind::UnknownArgument
        | ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues => {
            // What is wrong, and then how it is right: the whole help of that command.
            let wrong = text.split("\n\n").next().unwrap_or(&text);
            let help = help_of(command, words);
            Stop::Wrong(Failure::Usage(format!("{}\n\n{help}", wrong.trim_end())))
        }
        _ => Stop::Wrong(Failure::Usage(text)),
    }
}

/// The help of the command that the words begin with.
fn help_of(mut command: ClapCommand, words: &[String]) -> String {
    command.build();
    let mut found = &command;
    for word in words {
        match found.find_subcommand(word) {
            Some(subcommand) => found = subcommand,
            None if word.starts_with('-') => {}
            // An option's value may stand before the command.
            None if found.get_name() == command.get_name() => {}
            None => break,
        }
    }
    found.clone().render_help().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::args::{ChannelCommand, Command, PaymentCommand, SessionCommand};
    use super::*;

    #[test]
    fn words_are_taken_apart_as_shells_do() {
        let words = |text| words(text).unwrap();
        assert_eq!(words("  a  b "), ["a", "b"]);
        assert_eq!(
            words("a 'b c' \"d \\\" e\" f\\ g"),
            ["a", "b c", "d \" e", "f g"]
        );
        assert_eq!(words("a '' # c"), ["a", ""]);
        assert_eq!(words("a#b"), ["a#b"]);
        assert_eq!(words("perun node time"), ["node", "time"]);
        assert!(words("# nothing").is_empty());
        assert!(super::words("a 'b").is_err());
        assert!(super::words("a\\").is_err());
    }

    #[test]
    fn old_names_and_new_ones_mean_the_same() {
        let parsed = |text: &str| line(text).unwrap().unwrap().command;
        for text in [
            "channel send-opening-request bob 1 2",
            "channel open bob 1 2",
        ] {
            let Command::Channel(ChannelCommand::Open {
                peer, own, peers, ..
            }) = parsed(text)
            else {
                panic!("{text}");
            };
            assert_eq!(
                (peer.as_str(), own.as_str(), peers.as_str()),
                ("bob", "1", "2")
            );
        }
        for text in ["payment send-to-peer ch_1_bob 1", "payment send ch_1_bob 1"] {
            assert!(
                matches!(parsed(text), Command::Payment(PaymentCommand::Send { .. })),
                "{text}"
            );
        }
        for text in [
            "chain get-blockchain-address",
            "chain set-blockchain-address ws://127.0.0.1:8545",
            "chain deploy-perun-contracts",
            "chain get-on-chain-balance aaaaa-aa",
            "node connect :50001",
            "node time",
            "node config",
            "session open alice/session.yaml",
            "session close no-force",
            "peer-id add bob 0x02ab 127.0.0.1:5751 tcp",
            "peer-id get bob",
            "channel subscribe-to-opening-requests",
            "channel unsubcribe-from-opening-requests",
            "channel accept-opening-request request_1_bob",
            "channel reject-opening-request request_1_bob",
            "channel list-notifications-pending-response",
            "channel list-open-channels",
            "channel info ch_1_bob",
            "channel close-n-settle-on-chain ch_1_bob",
            "payment request-from-peer ch_1_bob 1",
            "payment subscribe-to-notifications ch_1_bob",
            "payment unsubscribe-to-notifications ch_1_bob",
            "payment accept-payment-update-from-peer ch_1_bob",
            "payment reject-payment-update-from-peer ch_1_bob",
        ] {
            assert!(line(text).unwrap().is_some(), "{text}");
        }
        let Command::Session(SessionCommand::Close { how, .. }) = parsed("session close force")
        else {
            panic!();
        };
        assert_eq!(how.as_deref(), Some("force"));
    }

    #[test]
    fn a_wrong_count_gives_that_commands_help() {
        for text in [
            "payment send ch_1_bob",
            "payment send ch_1_bob 1 2 3",
            "payment send-to-peer",
        ] {
            let Err(Stop::Wrong(failure)) = line(text) else {
                panic!("{text}");
            };
            assert_eq!(failure.code(), 2);
            let said = failure.to_string();
            assert!(
                said.contains("Pays the peer") && said.contains("--memo"),
                "{said}"
            );
        }
    }

    #[test]
    fn help_is_no_failure() {
        for text in [
            "help",
            "help channel open",
            "channel open --help",
            "channel help",
        ] {
            assert!(matches!(line(text), Err(Stop::Said(_))), "{text}");
        }
        assert!(matches!(line(""), Ok(None)));
        assert!(matches!(line("nonsense"), Err(Stop::Wrong(_))));
    }

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
        Line::command().debug_assert();
    }
}
