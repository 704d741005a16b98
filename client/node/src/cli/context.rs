//! What commands share: the node, the user, what is asked before money moves, and what is shown
//! meanwhile.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tonic::Request;

use super::answer::{Style, may_colour};
use super::args::{CallArgs, ConnectionArgs, CurrencyArgs};
use super::config::Config;
use super::connect::Node;
use super::decimal::Decimal;
use super::failure::Failure;
use super::names::Names;
use super::waiting::Waiting;
use crate::api::{pb, v1};

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

/// A session that is open.
#[derive(Clone)]
pub struct User {
    /// Its id of this opening.
    pub session_id: String,
    /// Its name, or its id where names are not known.
    pub name: String,
    names: Arc<Mutex<Names>>,
}

/// A ledger.
#[derive(Clone, Debug)]
pub struct Currency {
    /// What it is called.
    pub symbol: String,
    /// Its canister id.
    pub ledger: String,
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

    /// The user of this command. The session has to be open.
    pub async fn user(&mut self) -> Result<User, Failure> {
        if let Some(user) = &self.user {
            return Ok(user.clone());
        }
        let node = self.node().await?;
        let wanted = self
            .call
            .session
            .clone()
            .or_else(|| std::env::var("PERUN_SESSION").ok());
        let wanted = wanted.or_else(|| self.config.session.clone());
        let is_id = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(id) = wanted.as_deref().filter(|wanted| is_id(wanted)) {
            let name = Self::name_of(&node, id).await?;
            return Ok(self.enter(&node, id.into(), name));
        }
        if node.is_plaintext {
            return Err(Failure::Usage(
                "--plaintext needs a session id: open one by `perun session open FILE`, and name it by \
                 --session or PERUN_SESSION"
                    .into(),
            ));
        }
        let answer = node.sessions().list(v1::ListSessionsRequest {}).await?;
        let session = chosen(answer.into_inner().sessions, wanted.as_deref())?;
        Ok(self.enter(&node, session.session_id, session.name))
    }

    /// Whose session it is; the id itself where that is not told.
    pub async fn name_of(node: &Node, session_id: &str) -> Result<String, Failure> {
        if node.is_plaintext {
            return Ok(session_id.to_owned());
        }
        let all = node
            .sessions()
            .list(v1::ListSessionsRequest {})
            .await?
            .into_inner();
        let mut sessions = all.sessions.into_iter();
        let found = sessions.find(|session| session.session_id == session_id);
        Ok(found.map_or_else(|| session_id.to_owned(), |session| session.name))
    }

    /// Whether only perun-node's calls are used.
    pub fn is_plaintext(&self) -> bool {
        self.connection.plaintext
    }

    /// The user of this command, if it is known already.
    pub fn known_user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Works for this session from now on.
    pub fn enter(&mut self, node: &Node, session_id: String, name: String) -> User {
        let names = Arc::new(Mutex::new(Names::load(&node.address, &name)));
        let user = User {
            session_id,
            name,
            names,
        };
        self.user.insert(user).clone()
    }

    /// Works for no session from now on.
    pub fn leave(&mut self) {
        self.user = None;
    }

    /// The currency that is meant, by its symbol.
    pub async fn currency(&mut self, args: &CurrencyArgs) -> Result<String, Failure> {
        let currencies = self.currencies().await?;
        if let Some(name) = &args.currency {
            let by_id = currencies.iter().find(|currency| currency.ledger == *name);
            // What is not known here may be to the node, which says what it is not.
            return Ok(by_id.map_or_else(|| name.clone(), |currency| currency.symbol.clone()));
        }
        match &currencies[..] {
            [only] => Ok(only.symbol.clone()),
            [] => Err(Failure::Usage(
                "the node knows no currency: `perun chain register LEDGER` adds one".into(),
            )),
            several => {
                let symbols: Vec<&str> = several.iter().map(|one| one.symbol.as_str()).collect();
                let symbols = symbols.join(", ");
                Err(Failure::Usage(format!(
                    "which currency? Name one by --currency: {symbols}"
                )))
            }
        }
    }

    async fn currencies(&mut self) -> Result<Vec<Currency>, Failure> {
        if let Some(currencies) = &self.currencies {
            return Ok(currencies.clone());
        }
        let node = self.node().await?;
        let currencies: Vec<Currency> = if node.is_plaintext {
            let config = node
                .payment_api()
                .get_config(pb::GetConfigReq {})
                .await?
                .into_inner();
            vec![Currency {
                symbol: config.asset_eth.clone(),
                ledger: config.asset_eth,
            }]
        } else {
            let info = node
                .operations()
                .info(v1::InfoRequest {})
                .await?
                .into_inner();
            let currency = |currency: v1::info_response::Currency| Currency {
                symbol: currency.symbol,
                ledger: currency.ledger,
            };
            info.currencies.into_iter().map(currency).collect()
        };
        Ok(self.currencies.insert(currencies).clone())
    }

    /// Forgets which currencies there are, because there is one more.
    pub fn forget_currencies(&mut self) {
        self.currencies = None;
    }

    /// Asks before money moves, if it is above the limit of its currency.
    pub fn confirm(&self, amount: &str, currency: &str, what: &str) -> Result<(), Failure> {
        match self.config.limit(currency) {
            Some(limit) => self.confirm_above(&limit, amount, currency, what),
            None => Ok(()),
        }
    }

    /// Asks before money moves whose amount was not typed by the user, unless it is below the limit.
    pub fn confirm_foreign(&self, amount: &str, currency: &str, what: &str) -> Result<(), Failure> {
        let nothing = "0".parse().expect("a number");
        let limit = self.config.limit(currency).unwrap_or(nothing);
        self.confirm_above(&limit, amount, currency, what)
    }

    fn confirm_above(
        &self,
        limit: &Decimal,
        amount: &str,
        currency: &str,
        what: &str,
    ) -> Result<(), Failure> {
        let amount: Decimal = amount
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}")))?;
        if self.call.yes || amount <= *limit {
            return Ok(());
        }
        let needed =
            format!("{what} moves {amount} {currency}, and above {limit} it has to be confirmed");
        if !self.may_ask {
            return Err(Failure::NotConfirmed(format!(
                "{needed}: repeat it with --yes"
            )));
        }
        eprint!(
            "{} [y/N] ",
            super::answer::harmless(&format!("{needed}. Do it?"))
        );
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        let is_yes = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
        if read.is_ok() && is_yes {
            Ok(())
        } else {
            Err(Failure::NotConfirmed(
                "not confirmed; nothing was done".into(),
            ))
        }
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
        let seen = seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.iter().map(|waiting| waiting.id.clone()).collect()
    }

    /// The key by which to repeat what may have been done although it failed.
    pub fn key_to_repeat(&self, failure: &Failure) -> Option<&str> {
        self.used_key
            .as_deref()
            .filter(|_| failure.is_unknown_outcome())
    }

    /// Shows on a terminal that something takes its time, until it is dropped.
    pub fn progress(&self, what: impl Into<String>) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        if !is_terminal || !matches!(self.style, Style::Terminal { .. }) || !self.may_ask {
            return Progress(None);
        }
        let template = if may_colour(true) {
            "{spinner:.cyan} {msg} ({elapsed})"
        } else {
            "{spinner} {msg} ({elapsed})"
        };
        let style = ProgressStyle::with_template(template).expect("the template is right");
        let bar = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(what.into());
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(Some(bar))
    }
}

/// A spinner.
pub struct Progress(Option<ProgressBar>);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl User {
    /// Its short names.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The session that is meant: by name, or the only one that is open.
fn chosen(
    sessions: Vec<v1::list_sessions_response::Session>,
    wanted: Option<&str>,
) -> Result<v1::list_sessions_response::Session, Failure> {
    let names = |sessions: &[v1::list_sessions_response::Session]| {
        let names: Vec<&str> = sessions
            .iter()
            .map(|session| session.name.as_str())
            .collect();
        names.join(", ")
    };
    if let Some(wanted) = wanted {
        let found = sessions
            .iter()
            .find(|session| session.name == wanted)
            .cloned();
        return match found {
            Some(session) if !session.session_id.is_empty() => Ok(session),
            Some(_) => Err(Failure::Usage(format!(
                "{wanted}'s session is not open: `perun session open {wanted}` opens it"
            ))),
            None if sessions.is_empty() => Err(Failure::Usage(format!(
                "there is no user {wanted}: `perun session create {wanted} HOST:PORT` makes one"
            ))),
            None => Err(Failure::Usage(format!(
                "there is no user {wanted}; there are: {}",
                names(&sessions)
            ))),
        };
    }
    let mut open: Vec<_> = sessions
        .iter()
        .filter(|one| !one.session_id.is_empty())
        .cloned()
        .collect();
    match (open.len(), sessions.is_empty()) {
        (1, _) => Ok(open.remove(0)),
        (0, true) => Err(Failure::Usage(
            "the node has no users: `perun session create NAME HOST:PORT` makes one".into(),
        )),
        (0, false) => Err(Failure::Usage(format!(
            "no session is open: `perun session open NAME` opens one of {}",
            names(&sessions)
        ))),
        _ => Err(Failure::Usage(format!(
            "whose session? Name one by --session or PERUN_SESSION: {}",
            names(&open)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn session(name: &str, id: &str) -> v1::list_sessions_response::Session {
        v1::list_sessions_response::Session {
            name: name.into(),
            session_id: id.into(),
            off_chain_address: String::new(),
            channels: 0,
        }
    }

    fn context(limit: Option<&str>, yes: bool) -> Context {
        let cli = super::super::args::Cli::parse_from(["perun", "node", "time"]);
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
    fn the_only_open_session_is_meant() {
        let sessions = || vec![session("alice", "1"), session("bob", "")];
        assert_eq!(chosen(sessions(), None).unwrap().name, "alice");
        assert_eq!(chosen(sessions(), Some("alice")).unwrap().session_id, "1");
        let said = |wanted| chosen(sessions(), wanted).unwrap_err().to_string();
        assert!(said(Some("bob")).contains("session open bob"));
        assert!(said(Some("carol")).contains("alice, bob"));
        let two = vec![session("alice", "1"), session("bob", "2")];
        assert!(
            chosen(two, None)
                .unwrap_err()
                .to_string()
                .contains("alice, bob")
        );
        assert!(
            chosen(vec![], None)
                .unwrap_err()
                .to_string()
                .contains("create")
        );
    }

    #[test]
    fn what_is_above_the_limit_is_not_done_without_a_yes() {
        let code =
            |context: Context, amount| context.confirm(amount, "ICP", "it").map_err(|f| f.code());
        assert_eq!(code(context(Some("1.5"), false), "1.5"), Ok(()));
        assert_eq!(code(context(Some("1.5"), false), "1.50000001"), Err(5));
        assert_eq!(code(context(Some("1.5"), true), "100"), Ok(()));
        assert_eq!(code(context(None, false), "100"), Ok(()));
        assert_eq!(code(context(Some("1.5"), false), "lots"), Err(2));
        let foreign = |context: Context, amount| {
            context
                .confirm_foreign(amount, "ICP", "it")
                .map_err(|failure| failure.code())
        };
        assert_eq!(foreign(context(None, false), "0.1"), Err(5));
        assert_eq!(foreign(context(Some("1"), false), "0.1"), Ok(()));
        assert_eq!(foreign(context(None, true), "0.1"), Ok(()));
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
