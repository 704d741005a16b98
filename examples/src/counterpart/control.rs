//! The control port: lines of text over TCP, as `ncat 127.0.0.1 2222` speaks them.
//!
//! Whoever reaches the port can spend the counterpart's money, so it belongs on loopback. Nothing that is
//! said there ends the program.

mod lines;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use perun_client::channel::Closing;
use perun_protocol::Amount;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use self::lines::{Line, Lines};
use super::command::{Command, HELP};
use super::{Counterpart, OrderError};

/// What everybody is greeted with.
const BANNER: &str = "Participant control service\nWrite h for help\n";
/// How many connections there can be.
const MAX_CONNECTIONS: usize = 16;
/// How long the answer to a command is waited for. The command goes on.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open control port; closed when it is dropped.
#[derive(Debug)]
pub struct ControlPort {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl ControlPort {
    /// Opens it; port 0 takes any free one.
    ///
    /// # Errors
    /// If the port can't be had.
    pub async fn open(counterpart: Counterpart, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, counterpart));
        Ok(Self { address, accepting })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ControlPort {
    fn drop(&mut self) {
        // Its connections end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, counterpart: Counterpart) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No more files may be open, for example: that passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if connections.len() < MAX_CONNECTIONS {
            // A connection that breaks is over, as is one that ends well.
            connections.spawn(serve(stream, counterpart.clone()));
        }
    }
}

async fn serve(mut stream: TcpStream, counterpart: Counterpart) -> io::Result<()> {
    let (input, mut output) = stream.split();
    let mut lines = Lines::new(BufReader::new(input));
    output.write_all(BANNER.as_bytes()).await?;
    loop {
        output.write_all(b"> ").await?;
        let answer = match lines.next().await? {
            None => return Ok(()),
            Some(Line::TooLong) => format!("no command has more than {} bytes", lines::MAX_LENGTH),
            Some(Line::Text(line)) => match Command::parse(&line) {
                Ok(Command::Quit) => return Ok(()),
                Ok(Command::Nothing) => continue,
                Ok(command) => answer(&counterpart, command).await,
                Err(error) => error.to_string(),
            },
        };
        output.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

async fn answer(counterpart: &Counterpart, command: Command) -> String {
    let counterpart = counterpart.clone();
    match command {
        Command::Nothing | Command::Quit => String::new(),
        Command::Help => HELP.to_owned(),
        Command::Status => counterpart.status().to_string(),
        Command::Propose { device } => {
            carry_out(async move {
                let index = counterpart.propose(device).await?;
                Ok(format!("channel {index} is open"))
            })
            .await
        }
        Command::Pay { channel, amount } => {
            carry_out(async move {
                let paid = counterpart.pay(channel, amount).await?;
                let (index, units) = (paid.index, amount.units());
                Ok(match paid.newest {
                    Some(newest) => {
                        let [ours, theirs] = newest.balances.map(Amount::units);
                        let version = newest.version;
                        format!(
                            "{units} units paid through channel {index}; version {version}, ours \
                             {ours}, theirs {theirs}"
                        )
                    }
                    None => format!("{units} units paid through channel {index}"),
                })
            })
            .await
        }
        Command::Request { channel, amount } => {
            carry_out(async move {
                let index = counterpart.request(channel, amount)?;
                let units = amount.units();
                Ok(format!("{units} units asked for in channel {index}"))
            })
            .await
        }
        Command::Close { channel } => {
            carry_out(async move { counterpart.close(channel).await.map(closed) }).await
        }
        Command::ForceClose { channel } => {
            carry_out(async move { counterpart.force_close(channel).await.map(closed) }).await
        }
    }
}

fn closed((index, closing): (usize, Closing)) -> String {
    let paid = closing
        .paid_out
        .iter()
        .map(|paid_out| paid_out.receipt.paid);
    let paid = Amount::checked_sum(paid).unwrap_or_default().units();
    format!("channel {index} is closed; {paid} units paid out")
}

/// Carries an order out to its end, whoever waits for it and however long.
async fn carry_out(
    order: impl Future<Output = Result<String, OrderError>> + Send + 'static,
) -> String {
    let order = tokio::spawn(async move {
        let outcome = order.await;
        let said = outcome.unwrap_or_else(|error| format!("not done: {error}"));
        tracing::info!("Control: {said}");
        said
    });
    match tokio::time::timeout(PATIENCE, order).await {
        Ok(Ok(said)) => said,
        Ok(Err(_)) => "not done: the program is at fault".to_owned(),
        Err(_) => "under way; s shows how it goes".to_owned(),
    }
}
