//! Completion of commands, options, aliases and names, from the parser's own description.

use std::sync::{Arc, Mutex};

use clap::{Arg, Command as ClapCommand, CommandFactory as _};
use reedline::{Completer, CompletionResult, Span, Suggestion};

use crate::cli::args::Line;
use crate::cli::waiting::{Kind, Waiting};
use crate::lock::lock;

/// What there is to name.
#[derive(Default)]
pub struct Known {
    /// Channels by alias.
    pub channels: Vec<String>,
    /// Contacts.
    pub peers: Vec<String>,
    /// Users of the node.
    pub users: Vec<String>,
    /// What waits for an answer.
    pub waiting: Option<Arc<Mutex<Vec<Waiting>>>>,
}

impl Known {
    fn requests(&self) -> Vec<String> {
        let Some(waiting) = &self.waiting else {
            return Vec::new();
        };
        let waiting = lock(waiting);
        let proposals = waiting.iter().filter(|one| one.kind == Kind::Proposal);
        proposals.map(|one| one.alias.clone()).collect()
    }
}

/// Completes lines.
pub struct Completions {
    known: Arc<Mutex<Known>>,
    commands: ClapCommand,
}

impl Completions {
    /// With these names.
    pub fn new(known: Arc<Mutex<Known>>) -> Self {
        let mut commands = Line::command();
        commands.build();
        Self { known, commands }
    }

    /// What the word at the end of a text can become, with a description, and where it begins.
    fn candidates(&self, text: &str) -> (usize, Vec<(String, Option<String>)>) {
        let start = text.rfind(char::is_whitespace).map_or(0, |space| {
            space + text[space..].chars().next().map_or(1, char::len_utf8)
        });
        let (before, word) = text.split_at(start);
        let mut found = self.possible(before, word);
        found.retain(|(candidate, _)| candidate.starts_with(word) && candidate != word);
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        (start, found)
    }

    fn possible(&self, before: &str, word: &str) -> Vec<(String, Option<String>)> {
        let mut words = before.split_whitespace().peekable();
        if words.peek() == Some(&"perun") {
            words.next();
        }
        let mut command = &self.commands;
        let mut positional = 0;
        let mut option = None;
        for word in words {
            if option.take().is_some() {
                continue;
            }
            if let Some(name) = word.strip_prefix("--") {
                let found = command
                    .get_arguments()
                    .find(|argument| argument.get_long() == Some(name));
                option = found.filter(|argument| argument.get_action().takes_values());
            } else if word.starts_with('-') {
                continue;
            } else if let Some(subcommand) =
                command.find_subcommand(word).filter(|_| positional == 0)
            {
                command = subcommand;
            } else {
                positional += 1;
            }
        }
        if let Some(argument) = option {
            return self.values(command, argument);
        }
        let told = |help: Option<&clap::builder::StyledStr>| help.map(ToString::to_string);
        if word.starts_with('-') {
            let options = command
                .get_arguments()
                .filter(|argument| !argument.is_hide_set());
            return options
                .filter_map(|argument| {
                    let long = argument.get_long()?;
                    Some((format!("--{long}"), told(argument.get_help())))
                })
                .collect();
        }
        let mut found = Vec::new();
        if positional == 0 {
            let subcommands = command
                .get_subcommands()
                .filter(|command| !command.is_hide_set());
            found.extend(
                subcommands
                    .map(|command| (command.get_name().to_owned(), told(command.get_about()))),
            );
            if command.get_name() == self.commands.get_name() {
                found.extend(["exit", "clear"].map(|word| (word.to_owned(), None)));
            }
        }
        if let Some(argument) = command.get_positionals().nth(positional) {
            found.extend(self.values(command, argument));
        }
        found
    }

    /// What an argument can be.
    fn values(&self, command: &ClapCommand, argument: &Arg) -> Vec<(String, Option<String>)> {
        let known = lock(&self.known);
        let names = match (command.get_name(), argument.get_id().as_str()) {
            (_, "channel") => known.channels.clone(),
            (_, "peer") => known.peers.clone(),
            ("accept" | "reject", "request") => known.requests(),
            ("pay", "to") => [known.peers.clone(), known.channels.clone()].concat(),
            ("open", "name") | (_, "session" | "user") => known.users.clone(),
            _ => {
                let values = argument.get_possible_values();
                values
                    .iter()
                    .map(|value| value.get_name().to_owned())
                    .collect()
            }
        };
        names.into_iter().map(|name| (name, None)).collect()
    }
}

impl Completer for Completions {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let text = line.get(..pos).unwrap_or(line);
        let (start, found) = self.candidates(text);
        let suggestion = |(value, description)| Suggestion {
            value,
            description,
            span: Span::new(start, text.len()),
            append_whitespace: true,
            ..Suggestion::default()
        };
        CompletionResult::fresh(found.into_iter().map(suggestion).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::channels::Share;

    fn completed(text: &str) -> Vec<String> {
        let waiting = Waiting {
            kind: Kind::Proposal,
            id: "p".into(),
            channel: String::new(),
            alias: "request_1_bob".into(),
            peer: "bob".into(),
            shares: Vec::<Share>::new(),
            expiry_s: 0,
        };
        let known = Known {
            channels: vec!["ch_1_bob".into(), "ch_2_carol".into()],
            peers: vec!["bob".into(), "carol".into()],
            users: vec!["alice".into()],
            waiting: Some(Arc::new(Mutex::new(vec![waiting]))),
        };
        let completions = Completions::new(Arc::new(Mutex::new(known)));
        let (_, found) = completions.candidates(text);
        found.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn commands_are_completed() {
        assert_eq!(completed("cha"), ["chain", "channel"]);
        assert_eq!(completed("channel ac"), ["accept"]);
        assert!(completed("").contains(&"exit".to_owned()));
        assert!(!completed("").contains(&"perund".to_owned()));
        assert!(completed("nonsense ").is_empty());
    }

    #[test]
    fn names_are_completed_where_they_belong() {
        assert_eq!(completed("channel info "), ["ch_1_bob", "ch_2_carol"]);
        assert_eq!(completed("payment send ch_2"), ["ch_2_carol"]);
        assert_eq!(completed("payment send-to-peer ch_2"), ["ch_2_carol"]);
        assert!(completed("payment send ch_1_bob ").is_empty());
        assert_eq!(completed("channel open b"), ["bob"]);
        assert_eq!(completed("channel accept "), ["request_1_bob"]);
        assert_eq!(completed("session open "), ["alice"]);
        assert_eq!(
            completed("pay "),
            ["bob", "carol", "ch_1_bob", "ch_2_carol"]
        );
        assert_eq!(completed("channel info --session "), ["alice"]);
        assert_eq!(completed("channel info --session alice ch_1"), ["ch_1_bob"]);
    }

    #[test]
    fn options_are_completed() {
        assert_eq!(completed("payment send --mem"), ["--memo"]);
        assert_eq!(completed("token create x --scope s"), ["spend"]);
    }

    #[test]
    fn no_place_in_a_line_is_out_of_bounds() {
        let mut completions = Completions::new(Arc::default());
        let line = "channel öffnen\u{3000}ü";
        for pos in 0..=line.len() + 1 {
            completions.complete(line, pos);
        }
    }
}
