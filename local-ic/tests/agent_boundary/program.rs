//! The program `local-ic`, as somebody starts it in a shell.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use candid::Principal;
use ic_agent::Agent;

use crate::{number, wasm};

fn local_ic() -> Command {
    Command::new(env!("CARGO_BIN_EXE_local-ic"))
}

/// A file that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let unique = format!("local-ic-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The running program, which doesn't outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_prints_what_is_needed_to_use_it_and_stops_at_ctrl_c() {
    let file = Scratch::new("counter.wasm", &wasm());
    let install = format!("--install=counter={}", file.0.display());
    let mut command = local_ic();
    command.args([&install, "--port", "0", "--seed", "5", "--ahead", "3600"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());

    let (mut url, mut root_key, mut counter) = Default::default();
    for line in BufReader::new(running.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["url", text] => url = Some(text.to_owned()),
            ["root-key", digits] => root_key = Some(digits.to_owned()),
            ["canister", "counter", id] => counter = Some(Principal::from_text(id).unwrap()),
            ["ready"] => break,
            _ => panic!("unexpected line: {line}"),
        }
    }
    let (url, counter) = (url.unwrap(), counter.unwrap());
    let agent = Agent::builder().with_url(url).build().unwrap();
    agent.fetch_root_key().await.unwrap();
    let fetched: String = agent
        .read_root_key()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(Some(fetched), root_key);
    assert_eq!(number(&agent.update(&counter, "inc").await.unwrap()), 1);
    let clock = number(&agent.query(&counter, "clock").call().await.unwrap());
    let machine = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos() as u64;
    assert!(
        clock > machine + 3_590_000_000_000,
        "an hour ahead: {clock} {machine}"
    );

    #[cfg(unix)]
    {
        let pid = running.0.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(killed.success());
        assert!(running.0.wait().unwrap().success());
    }
}

#[test]
fn it_says_what_was_wrong() {
    let garbage = Scratch::new("garbage.wasm", b"not wasm");
    let told = |arguments: &[&str]| {
        let output = local_ic().args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };

    let (code, text) = told(&["--prot", "80"]);
    assert_eq!(
        (code, &*text),
        (
            Some(2),
            "local-ic: unknown argument '--prot'\nTry --help.\n"
        )
    );

    let (code, text) = told(&["--install", "a=/no/such/file.wasm"]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("local-ic: could not read /no/such/file.wasm for canister a"));

    let install = format!("a={}", garbage.0.display());
    let (code, text) = told(&["--install", &install]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("local-ic: could not install "), "{text}");
    assert!(text.contains("IC0505"), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, text) = told(&["--port", &port]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with(&format!("local-ic: could not listen on 127.0.0.1:{port}: ")));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (flag, begins) in [
        ("--help", "An Internet Computer"),
        ("--version", "local-ic 0."),
    ] {
        let output = local_ic().arg(flag).output().unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .starts_with(begins)
        );
    }
}
