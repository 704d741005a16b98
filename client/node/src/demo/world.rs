//! Everything that runs in a demo, and its end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use candid::Principal;
use perun_local_network::{Endowment, LocalNetwork, Setup};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::wasm;
use crate::cli::{DemoArgs, Failure};
use crate::password::Secret;
use crate::server::ADDRESS_FILE;
use crate::users::{self, NewUser};

/// What the keys of both users are encrypted with. There is no secret in a demo.
const PASSWORD: &str = "a demo has no secrets";
/// What both have at first, in ICP.
const WEALTH: u32 = 1000;
/// How long the node has to start.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long it has to stop.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Everything that runs.
pub struct World {
    network: LocalNetwork,
    node: Child,
    program: PathBuf,
    users: Vec<User>,
    /// The last to go.
    data: Folder,
}

/// The node's data folder, gone with this unless it stays.
struct Folder {
    path: PathBuf,
    stays: bool,
}

/// Somebody with money.
pub struct User {
    /// What it is called.
    pub name: &'static str,
    /// Its session, if it is open.
    pub session: Option<String>,
}

impl World {
    /// Starts everything: takes seconds, or a minute if modules have to be built. If it is not waited
    /// for, nothing of it stays.
    pub async fn start(args: &DemoArgs) -> Result<Self, Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::own("this program", error))?;
        let mut world = Self::start_in(args, program, Folder::make(args)?).await?;
        world.data.stays = args.folder.is_some();
        Ok(world)
    }

    async fn start_in(args: &DemoArgs, program: PathBuf, data: Folder) -> Result<Self, Failure> {
        let mut endowments = Vec::new();
        for name in ["alice", "bob"] {
            let owner = make_user(&data.path, name).await?;
            endowments.push(Endowment {
                owner,
                tokens: WEALTH,
            });
        }
        let setup = Setup {
            endowments,
            wasm_folder: wasm::folder(args.wasm.as_deref()),
            ..Setup::default()
        };
        if setup.wasm_folder.is_none() {
            eprintln!("Building the canisters; that takes a minute, the first time.");
        }
        let network = LocalNetwork::start(setup).await;
        let network = network.map_err(|error| Failure::own("the Internet Computer", error))?;
        let node = spawn_node(&program, &data.path, &network, args)?;
        let user = |name| User {
            name,
            session: None,
        };
        let mut world = Self {
            network,
            node,
            program,
            data,
            users: ["alice", "bob"].map(user).into(),
        };
        world.wait_for_node().await?;
        for name in ["alice", "bob"] {
            let opened = world.ask(name, &["session", "open", name]).await?;
            let session = opened.first().and_then(|opened| opened["session"].as_str());
            if let Some(user) = world.users.iter_mut().find(|user| user.name == name) {
                user.session = session.map(str::to_owned);
            }
        }
        Ok(world)
    }

    async fn wait_for_node(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        let log = self.data.path.join("perund.log");
        while !self.data.path.join(ADDRESS_FILE).exists() {
            let ended = self
                .node
                .try_wait()
                .map_err(|error| Failure::own("the node", error))?;
            if ended.is_some() || begun.elapsed() > START_WITHIN {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(5)..].join("\n");
                return Err(Failure::Own(format!("the node does not start:\n{last}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Makes each user a contact of the other.
    pub async fn introduce(&self) -> Result<(), Failure> {
        for (name, other) in [("alice", "bob"), ("bob", "alice")] {
            let card = self.ask(other, &["contact", "card"]).await?;
            let field = |name: &str| {
                card.first()
                    .and_then(|card| card[name].as_str())
                    .unwrap_or("")
            };
            let (identity, address) = (field("offChainAddress"), field("commAddress"));
            self.ask(name, &["contact", "add", other, identity, address])
                .await?;
        }
        Ok(())
    }

    /// This program with arguments, as a user types them.
    pub fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--session", user]).args(arguments);
        for (name, _) in std::env::vars_os() {
            // The user's own settings are of another node.
            if name.to_string_lossy().starts_with("PERUN") {
                command.env_remove(name);
            }
        }
        command
            .env("PERUND_DATA", &self.data.path)
            .env("PERUN_PASSWORD", PASSWORD)
            .env("XDG_STATE_HOME", self.data.path.join("state"))
            .env("XDG_CONFIG_HOME", self.data.path.join("config"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// What a command answers, object by object.
    pub async fn ask(&self, user: &str, arguments: &[&str]) -> Result<Vec<Value>, Failure> {
        let mut command = self.command(user, arguments);
        let done = command.arg("--json").output().await;
        let done = done.map_err(|error| Failure::own("perun", error))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(Failure::Own(format!(
                "{user}: perun {}: {said}",
                arguments.join(" ")
            )));
        }
        let text = String::from_utf8_lossy(&done.stdout);
        let objects = text.lines().map(serde_json::from_str);
        objects
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::own("what perun answers", error))
    }

    /// Until the node has ended by itself.
    pub async fn until_node_ends(&mut self) -> Result<(), Failure> {
        let ended = self.node.wait().await;
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(Failure::Own(format!("the node has ended: {how}")))
    }

    /// Stops everything, and removes what is not to be kept.
    pub async fn stop(mut self) {
        // Nothing is lost if it does not go: all of it was made for this.
        let _ = tokio::time::timeout(STOP_WITHIN, self.ask("alice", &["node", "stop"])).await;
        if tokio::time::timeout(STOP_WITHIN, self.node.wait())
            .await
            .is_err()
        {
            let _ = self.node.kill().await;
        }
    }

    /// The node's data folder.
    pub fn data(&self) -> &Path {
        &self.data.path
    }

    /// Whether the folder stays.
    pub fn is_kept(&self) -> bool {
        self.data.stays
    }

    /// The replica.
    pub fn chain_url(&self) -> String {
        self.network.server.url()
    }

    /// The adjudicator's canister id.
    pub fn adjudicator(&self) -> String {
        self.network.adjudicator.to_text()
    }

    /// The ledger's canister id.
    pub fn ledger(&self) -> String {
        self.network.ledger.to_text()
    }

    /// Who has money.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.iter()
    }
}

impl Folder {
    fn make(args: &DemoArgs) -> Result<Self, Failure> {
        let path = match &args.folder {
            Some(folder) => std::path::absolute(folder).unwrap_or(folder.clone()),
            None => std::env::temp_dir().join(format!("perun-demo-{}", std::process::id())),
        };
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| fs::create_dir(&path))
            .map_err(|error| Failure::own(path.display(), error))?;
        Ok(Self { path, stays: false })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

async fn make_user(data: &Path, name: &'static str) -> Result<Principal, Failure> {
    let folder = data.join(users::FOLDER);
    let port = free_port().map_err(|error| Failure::own("a port", error))?;
    let order = NewUser {
        name: name.into(),
        password: Secret::new(PASSWORD.to_owned()),
        comm_address: format!("127.0.0.1:{port}"),
        recovery_words: None,
        identity_pem: None,
    };
    // Hashing the password takes a second on purpose.
    let making = tokio::task::spawn_blocking(move || users::create(&folder, &order));
    let made = making
        .await
        .map_err(|error| Failure::own("a user", error))?;
    Ok(made
        .map_err(|error| Failure::own("a user", error))?
        .public
        .principal)
}

fn spawn_node(
    program: &Path,
    data: &Path,
    network: &LocalNetwork,
    args: &DemoArgs,
) -> Result<Child, Failure> {
    let log = data.join("perund.log");
    let log = File::create(&log).map_err(|error| Failure::own(log.display(), error))?;
    let listen = args.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PERUND") {
            command.env_remove(name);
        }
    }
    command
        .args(["perund", "run", "--fetch-root-key", "--data"])
        .arg(data)
        .args(["--listen", &listen.to_string()])
        // Quick to notice, and patient with people who read.
        .args([
            "--poll-interval",
            "500ms",
            "--max-view-age",
            "10s",
            "--response-timeout",
            "2m",
        ])
        .args(["--chain-url", &network.server.url()])
        .args(["--adjudicator", &network.adjudicator.to_text()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C is for the demo, which stops the node gracefully.
        .process_group(0)
        .kill_on_drop(true);
    command
        .spawn()
        .map_err(|error| Failure::own("the node", error))
}

fn free_port() -> std::io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()
        .map(|address| address.port())
}
