//! `local-ic`: an Internet Computer on loopback, with the canisters named on the command line.
//!
//! Standard output has one fact a line, for people and scripts alike:
//!
//! ```text
//! url http://127.0.0.1:4943
//! root-key 308182301d06…
//! canister ledger bnz7o-iuaaa-aaaaa-qaaaa-cai
//! ready
//! ```

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use candid::Principal;
use local_ic::{Clock, Config, Replica, Server};

/// Where `dfx` has its local network too.
const DEFAULT_PORT: u16 = 4943;

const USAGE: &str = "\
An Internet Computer on loopback, for demos and tests. Everything is gone when it stops.

Usage: local-ic [OPTIONS]

  --install NAME=WASM[:INIT_ARG]  Create a canister and install the module in file WASM (plain or
                                  gzip). INIT_ARG is its Candid-encoded argument: hex digits, or
                                  @FILE for a file with the bytes. May be given several times;
                                  canister ids follow from the order.
  --controller PRINCIPAL          Who may change the canisters [default: 2vxsx-fae, everybody]
  --port PORT                     0 for any free one [default: 4943]
  --seed NUMBER                   Where keys and randomness come from [default: 0]
  --ahead SECONDS                 Start with the time that far ahead of this machine's clock
  --help, --version

Prints `url URL`, `root-key HEX` (DER), `canister NAME ID` for each canister, then `ready`, one a
line; messages go to standard error, in the detail that RUST_LOG asks for. Ctrl-C stops it.
";

/// What the command line asks for.
#[derive(Debug, Eq, PartialEq)]
struct Options {
    installs: Vec<Install>,
    controller: Principal,
    port: u16,
    seed: u64,
    ahead: Duration,
}

/// A canister to begin with.
#[derive(Debug, Eq, PartialEq)]
struct Install {
    name: String,
    wasm: PathBuf,
    arg: InitArg,
}

#[derive(Debug, Eq, PartialEq)]
enum InitArg {
    /// `()` in Candid.
    Nothing,
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[derive(Debug, Eq, PartialEq)]
enum Command {
    Serve(Options),
    Help,
    Version,
}

fn main() -> ExitCode {
    let result = match parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(USAGE).map_err(Failure::from),
        Ok(Command::Version) => {
            print(concat!("local-ic ", env!("CARGO_PKG_VERSION"), "\n")).map_err(Failure::from)
        }
        Ok(Command::Serve(options)) => serve(options),
        Err(text) => {
            eprintln!("local-ic: {text}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            eprintln!("local-ic: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Why it could not serve, told to the user as it stands.
#[derive(Debug)]
struct Failure(String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Prints `text` at once, also into a pipe.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn serve(options: Options) -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();

    let mut replica = Replica::new(Config {
        seed: options.seed,
        ..Config::default()
    });
    let mut canisters = String::new();
    for install in &options.installs {
        let id = create(&mut replica, install, options.controller)?;
        canisters += &format!("canister {} {id}\n", install.name);
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let server = Server::start(replica, address, Clock::Live)
            .await
            .map_err(|error| Failure(format!("could not listen on {address}: {error}")))?;
        server.with(|replica| replica.advance(options.ahead));
        let root_key = hex(&server.root_key());
        print(&format!(
            "url {}\nroot-key {root_key}\n{canisters}ready\n",
            server.url()
        ))?;
        tokio::signal::ctrl_c().await?;
        server.stop().await;
        Ok(())
    })
}

fn create(
    replica: &mut Replica,
    install: &Install,
    controller: Principal,
) -> Result<Principal, Failure> {
    let Install { name, wasm, arg } = install;
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| {
            Failure(format!(
                "could not read {} for canister {name}: {error}",
                path.display()
            ))
        })
    };
    let module = read(wasm)?;
    let arg = match arg {
        InitArg::Nothing => b"DIDL\0\0".to_vec(),
        InitArg::Bytes(bytes) => bytes.clone(),
        InitArg::File(path) => read(path)?,
    };
    let id = replica.create_canister(controller);
    replica.install(id, &module, arg).map_err(|reject| {
        Failure(format!(
            "could not install {} as canister {name}: {reject}",
            wasm.display()
        ))
    })?;
    Ok(id)
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options {
        installs: Vec::new(),
        controller: Principal::anonymous(),
        port: DEFAULT_PORT,
        seed: 0,
        ahead: Duration::ZERO,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let argument = text(argument)?;
        // Both `--port 80` and `--port=80`.
        let (flag, joined) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        match flag {
            "--help" | "-h" => return Ok(Command::Help),
            "--version" | "-V" => return Ok(Command::Version),
            "--install" | "--controller" | "--port" | "--seed" | "--ahead" => {}
            _ => return Err(format!("unknown argument '{argument}'")),
        }
        let value = match joined {
            Some(value) => value,
            None => text(
                arguments
                    .next()
                    .ok_or_else(|| format!("{flag} needs a value"))?,
            )?,
        };
        let invalid = |error: &dyn fmt::Display| format!("{flag} {value}: {error}");
        match flag {
            "--install" => {
                let install = parse_install(&value).map_err(|error| invalid(&error))?;
                if options
                    .installs
                    .iter()
                    .any(|known| known.name == install.name)
                {
                    return Err(invalid(&"there is already a canister of this name"));
                }
                options.installs.push(install);
            }
            "--controller" => {
                options.controller = Principal::from_text(&value).map_err(|e| invalid(&e))?;
            }
            "--port" => options.port = value.parse().map_err(|e| invalid(&e))?,
            "--seed" => options.seed = value.parse().map_err(|e| invalid(&e))?,
            _ => options.ahead = Duration::from_secs(value.parse().map_err(|e| invalid(&e))?),
        }
    }
    Ok(Command::Serve(options))
}

fn text(argument: OsString) -> Result<String, String> {
    argument
        .into_string()
        .map_err(|argument| format!("'{}' is no UTF-8 text", argument.to_string_lossy()))
}

fn parse_install(value: &str) -> Result<Install, String> {
    let (name, rest) = value
        .split_once('=')
        .ok_or("expected NAME=WASM[:INIT_ARG]")?;
    // The names are printed between spaces.
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("the name must not be empty or contain spaces".into());
    }
    let (wasm, arg) = match rest.rsplit_once(':') {
        None => (rest, InitArg::Nothing),
        Some((wasm, arg)) => match arg.strip_prefix('@') {
            Some(path) => (wasm, InitArg::File(path.into())),
            None => (wasm, InitArg::Bytes(parse_hex(arg)?)),
        },
    };
    if wasm.is_empty() {
        return Err("the file of the module is missing".into());
    }
    Ok(Install {
        name: name.into(),
        wasm: wasm.into(),
        arg,
    })
}

fn parse_hex(digits: &str) -> Result<Vec<u8>, String> {
    let invalid =
        || format!("INIT_ARG '{digits}' is neither an even number of hex digits nor @FILE");
    // Signs too are numbers to `from_str_radix`.
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !all_hex || !digits.len().is_multiple_of(2) {
        return Err(invalid());
    }
    let bytes = (0..digits.len()).step_by(2);
    bytes
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| invalid()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        match parse(arguments.iter().map(OsString::from))? {
            Command::Serve(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn canisters_come_with_and_without_an_argument() {
        let options = parsed(&[
            "--install",
            "ledger=target/ledger.wasm:4449444c0000",
            "--install=adjudicator=a.wasm:@init.bin",
            "--install",
            "plain=b.wasm",
            "--port=0",
            "--seed",
            "7",
            "--ahead",
            "60",
        ])
        .unwrap();
        let args: Vec<&InitArg> = options
            .installs
            .iter()
            .map(|install| &install.arg)
            .collect();
        let expected = [
            &InitArg::Bytes(b"DIDL\0\0".to_vec()),
            &InitArg::File("init.bin".into()),
            &InitArg::Nothing,
        ];
        assert_eq!(args, expected);
        assert_eq!(
            options.installs[0].wasm,
            PathBuf::from("target/ledger.wasm")
        );
        assert_eq!(
            (options.port, options.seed, options.ahead.as_secs()),
            (0, 7, 60)
        );
        assert_eq!(options.controller, Principal::anonymous());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, error) in [
            (&["--instal", "a=b"][..], "unknown argument '--instal'"),
            (&["--port"], "--port needs a value"),
            (&["--port", "70000"], "--port 70000: number too large"),
            (
                &["--install", "ledger.wasm"],
                "--install ledger.wasm: expected NAME=WASM",
            ),
            (
                &["--install", "=x.wasm"],
                "--install =x.wasm: the name must not be empty",
            ),
            (
                &["--install", "a="],
                "--install a=: the file of the module is missing",
            ),
            (
                &["--install", "a=b:4g"],
                "--install a=b:4g: INIT_ARG '4g' is neither",
            ),
            (
                &["--install", "a=b:+f"],
                "--install a=b:+f: INIT_ARG '+f' is neither",
            ),
            (
                &["--install", "a=b:123"],
                "--install a=b:123: INIT_ARG '123' is neither",
            ),
            (
                &["--install", "a=b:é"],
                "--install a=b:é: INIT_ARG 'é' is neither",
            ),
            (
                &["--install", "a=b", "--install", "a=c"],
                "--install a=c: there is already",
            ),
            (&["--controller", "bob"], "--controller bob: "),
        ] {
            let told = parsed(arguments).unwrap_err();
            assert!(told.starts_with(error), "{told}");
        }
    }
}
