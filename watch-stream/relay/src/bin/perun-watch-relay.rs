//! Runs a relay of watch streams.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use perun_protocol::{Participant, PublicKey};
use perun_watch_relay::{Limits, Server, Settings};
use tokio::net::TcpListener;
use tracing::{error, info};

/// Keeps the messages of watch streams for those who are not there, and pushes them to those who are.
#[derive(Parser)]
#[command(name = "perun-watch-relay")]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:5790")]
    listen: SocketAddr,
    /// Where streams are kept.
    #[arg(long, default_value = "watch-streams")]
    folder: PathBuf,
    /// Serve only this participant (its compressed secp256k1 key, in hex); can be repeated. Without it
    /// everybody's streams are kept.
    #[arg(long, value_parser = participant)]
    participant: Vec<Participant>,
    /// Streams that are kept at most.
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_ansi(false).init();
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    let served = arguments.participant;
    let settings = Settings {
        limits: Limits {
            streams: arguments.streams,
            participants: (!served.is_empty()).then_some(served),
            ..Limits::default()
        },
        ..Settings::new(arguments.folder)
    };
    let listener = TcpListener::bind(arguments.listen).await?;
    let server = Server::start(listener, settings).await?;
    info!("listening on {}", server.address());
    server.run().await;
    Ok(())
}

fn participant(text: &str) -> Result<Participant, String> {
    let digits = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = digits
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())
        .collect();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    let key = bytes.and_then(PublicKey::from_bytes);
    let key = key.filter(PublicKey::is_on_curve);
    key.map(Participant::Secp256k1)
        .ok_or_else(|| "33 bytes in hex, a compressed key".to_owned())
}
