//! What commands share: the node, the user, what is asked before money moves, and what is shown
//! meanwhile.

mod confirm;
mod currency;
mod progress;
mod user;

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};

use tonic::Request;

use self::currency::Currency;
pub use self::user::User;
use super::answer::Style;
use super::args::{CallArgs, ConnectionArgs};
use super::config::Config;
use super::connect::Node;
use super::failure::Failure;
use super::waiting::Waiting;
use crate::lock::lock;

/// What commands share.
pub struct Context {
    /// How this command is done.
    pub call: CallArgs,
    /// How answers are shown.
    pub style: Style,
    /// Whether questions can be asked.
    pub may_ask: bool,
    /// What peers wait for, where somebody listens all the time (shell and screen).
    pub seen: Option<Arc<Mutex<Vec<Waiting>>>>,
    connection: ConnectionArgs,
    config: Config,
    node: Option<Node>,
    user: Option<User>,
    currencies: Option<Vec<Currency>>,
    /// The key of the last call that moves money.
    used_key: Option<String>,
}

/// What was before a line with options of its own.
pub struct Before {
    call: CallArgs,
    user: Option<User>,
    is_for_other: bool,
}

impl Context {
    /// For a process: nothing is connected yet.
    pub fn new(connection: ConnectionArgs, call: CallArgs, config: Config) -> Self {
        Self {
            style: Style::of_stdout(call.json),
            may_ask: std::io::stdin().is_terminal() && !call.json,
            call,
            seen: None,
            connection,
            config,
            node: None,
            user: None,
            currencies: None,
            used_key: None,
        }
    }

    /// For a line of the shell, which may have options of its own.
    pub fn begin_line(&mut self, line: CallArgs) -> Before {
        let is_for_other = line.session.is_some();
        let before = Before {
            call: self.call.clone(),
            user: if is_for_other { self.user.take() } else { None },
            is_for_other,
        };
        self.call = CallArgs {
            session: line.session.or_else(|| before.call.session.clone()),
            json: line.json || before.call.json,
            yes: line.yes || before.call.yes,
            idempotency_key: line.idempotency_key,
        };
        self.set_style();
        self.used_key = None;
        before
    }

    /// After that line: its options were its own.
    pub fn end_line(&mut self, before: Before) {
        self.call = before.call;
        if before.is_for_other {
            self.user = before.user;
        }
        self.set_style();
    }

    fn set_style(&mut self) {
        if self.style == Style::Json || self.call.json {
            self.style = Style::of_stdout(self.call.json);
        }
    }

    /// For a command that goes on beside others.
    pub fn beside(&self) -> Self {
        Self {
            call: self.call.clone(),
            style: Style::Plain,
            may_ask: false,
            seen: self.seen.clone(),
            connection: self.connection.clone(),
            config: self.config.clone(),
            node: self.node.clone(),
            user: self.user.clone(),
            currencies: self.currencies.clone(),
            used_key: None,
        }
    }

    /// The node, connected to now if it is not.
    pub async fn node(&mut self) -> Result<Node, Failure> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let node = Node::connect(&self.connection, self.config.node.as_deref()).await?;
        Ok(self.node.insert(node).clone())
    }

    /// Connects to another node.
    pub async fn connect(&mut self, address: Option<String>) -> Result<Node, Failure> {
        if let Some(address) = address {
            self.connection.node = Some(address);
            self.node = None;
            self.user = None;
            self.currencies = None;
        }
        self.node().await
    }

    /// Whether only perun-node's calls are used.
    pub fn is_plaintext(&self) -> bool {
        self.connection.plaintext
    }

    /// A call that moves money, with its idempotency key.
    pub fn keyed<T>(&mut self, message: T) -> Result<(Request<T>, String), Failure> {
        let key = match &self.call.idempotency_key {
            Some(key) => key.clone(),
            None => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes)
                    .map_err(|error| Failure::own("random numbers", error))?;
                hex::encode(bytes)
            }
        };
        let value = key.parse().map_err(|_| {
            Failure::Usage("an idempotency key has printable characters of ASCII only".into())
        })?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("idempotency-key", value);
        self.used_key = Some(key.clone());
        Ok((request, key))
    }

    /// What is remembered to wait for an answer, by id.
    pub fn seen_ids(&self) -> Vec<String> {
        let Some(seen) = &self.seen else {
            return Vec::new();
        };
        lock(seen)
            .iter()
            .map(|waiting| waiting.id.clone())
            .collect()
    }

    /// The key by which to repeat what may have been done although it failed.
    pub fn key_to_repeat(&self, failure: &Failure) -> Option<&str> {
        self.used_key
            .as_deref()
            .filter(|_| failure.is_unknown_outcome())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::Parser as _;

    pub(super) fn context(limit: Option<&str>, yes: bool) -> Context {
        let cli = Cli::parse_from(["perun", "node", "time"]);
        let mut config = Config::default();
        if let Some(limit) = limit {
            config.confirm_above.insert("ICP".into(), limit.into());
        }
        let call = CallArgs {
            yes,
            json: true,
            ..CallArgs::default()
        };
        Context::new(cli.connection, call, config)
    }

    #[test]
    fn keys_are_new_unless_given() {
        let mut context = context(None, false);
        let (request, one) = context.keyed(()).unwrap();
        assert_eq!(
            request.metadata().get("idempotency-key").unwrap(),
            one.as_str()
        );
        let (_, two) = context.keyed(()).unwrap();
        assert_ne!(one, two);
        context.call.idempotency_key = Some("mine".into());
        assert_eq!(context.keyed(()).unwrap().1, "mine");
        let gone = Failure::NotReached("gone".into());
        assert_eq!(context.key_to_repeat(&gone), Some("mine"));
        assert_eq!(context.key_to_repeat(&Failure::Usage("no".into())), None);
    }
}
