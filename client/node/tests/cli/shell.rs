//! The shell and the screen, in a pseudo-terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use perun_node::api::v1;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::fake::{CHANNEL, EXPIRY, PROPOSAL, info};
use crate::program::Home;

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program on a terminal.
struct Terminal {
    child: Child,
    keys: File,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let open = || -> OwnedFd {
            rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap()
        };
        let size = Winsize {
            ws_row: 30,
            ws_col: 110,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, size).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_perun"));
        home.prepare(&mut command);
        command
            .args(arguments)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1");
        command
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()));
        let child = command.spawn().unwrap();
        // The command keeps its ends otherwise.
        drop(command);
        let keys = File::from(controller);
        let seen = Arc::<Mutex<String>>::default();
        let (mut output, mut answers) = (keys.try_clone().unwrap(), keys.try_clone().unwrap());
        let shown = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                // Editors ask where the cursor is.
                for _ in 0..text.matches("\u{1b}[6n").count() {
                    let _ = answers.write_all(b"\x1b[5;1R");
                }
                shown.lock().unwrap().push_str(&text);
                if count == 0 {
                    break;
                }
            }
        });
        Self { child, keys, seen }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until something is shown that was not before, and forgets what was shown.
    fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            {
                let mut seen = self.seen.lock().unwrap();
                if let Some(at) = plain(&seen).find(text) {
                    let rest = plain(&seen)[at + text.len()..].to_owned();
                    *seen = rest;
                    return;
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{text:?} is not in {:?}",
                    plain(&seen)
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ended(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it goes on: {:?}",
                plain(&self.seen.lock().unwrap())
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what moves the cursor.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            shown.push(c);
        } else if chars.next_if_eq(&'[').is_some() {
            while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
        } else {
            chars.next();
        }
    }
    shown
}

#[test]
fn the_shell_does_commands_and_keeps_a_history() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &[]);
    terminal.wait_for("Session of alice");
    terminal.wait_for("alice> ");
    terminal.press("node time\r");
    terminal.wait_for("1780000000");
    terminal.press("payment send ch_1_bob\r");
    terminal.wait_for("required arguments");
    terminal.wait_for("Pays the peer");
    terminal.press("channel info ch_9_bob\r");
    terminal.wait_for("there are: ch_1_bob");
    terminal.press("exit\r");
    assert_eq!(terminal.ended(), 0);

    let history = std::fs::read_to_string(home.folder.join(".local/state/perun/history")).unwrap();
    assert!(history.contains("node time"), "{history}");
    let mut again = Terminal::start(&home, &["shell"]);
    again.wait_for("alice> ");
    // Up, up: the line before `exit`.
    again.press("\u{1b}[A");
    again.wait_for("exit");
    again.press("\u{3}");
    // Between two prompts the terminal itself would swallow it.
    again.wait_for("alice> ");
    again.press("\u{4}");
    assert_eq!(again.ended(), 0);
}

#[test]
fn the_shell_completes() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &[]);
    terminal.wait_for("alice> ");
    terminal.press("chan\t");
    terminal.wait_for("channel");
    terminal.press("inf\tch\t\r");
    terminal.wait_for("challenge duration: 3600 s");
    terminal.press("exit\r");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn notices_come_above_the_prompt() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &[]);
    terminal.wait_for("alice> ");
    // What waited before the shell was started.
    terminal.press("channel requests\r");
    terminal.wait_for("request_1_bob: bob proposes a channel, own 3, bob 4 ICP");
    while home.fake.listeners() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    terminal.press("channel in");
    let received = v1::Event {
        channel: CHANNEL.into(),
        peer_alias: "bob".into(),
        kind: v1::event::Kind::Received.into(),
        text: "has paid 0.25 ICP".into(),
        info: Some(info("1.75", "1.75", 8)),
        ..v1::Event::default()
    };
    home.fake.happen(received.clone());
    terminal.wait_for("ch_1_bob: has paid 0.25 ICP (own 1.75, bob 1.75 ICP)");
    // The line goes on where it was.
    terminal.press("fo bob\r");
    terminal.wait_for("secured whatever the peer does");

    terminal.press("payment unsubscribe ch_1_bob\r");
    terminal.wait_for("not shown");
    home.fake.happen(received);
    let proposed = v1::Event {
        peer_alias: "carol".into(),
        kind: v1::event::Kind::Proposed.into(),
        text: "proposes a channel of 5 + 6 ICP (ours + theirs)".into(),
        answer_id: PROPOSAL.replace("ab", "cd"),
        expiry: EXPIRY,
        ..v1::Event::default()
    };
    home.fake.happen(proposed);
    terminal.wait_for("request_2_carol: proposes a channel of 5 + 6 ICP");
    assert!(!plain(&terminal.seen.lock().unwrap()).contains("has paid"));
    terminal.press("channel accept request_1_bob\r");
    terminal.wait_for("is open");
    terminal.press("\u{4}");
    assert_eq!(terminal.ended(), 0);
    let asked = home.fake.asked();
    assert!(
        asked.iter().any(|call| call.contains(PROPOSAL)),
        "{asked:?}"
    );
}

#[test]
fn a_terminal_is_asked_and_a_no_is_a_no() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &["pay", "perunreq1tea"]);
    terminal.wait_for("Do it? [y/N]");
    terminal.press("n\r");
    assert_eq!(terminal.ended(), 5);
    assert!(home.fake.asked().is_empty());
    let mut terminal = Terminal::start(&home, &["pay", "perunreq1tea"]);
    terminal.wait_for("Do it? [y/N]");
    terminal.press("y\r");
    terminal.wait_for("was paid before");
    assert_eq!(terminal.ended(), 0);
    assert_eq!(home.fake.asked().len(), 1);
}

#[test]
fn a_request_is_drawn_on_a_terminal() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &["request", "make", "0.5"]);
    terminal.wait_for("perunreq1tea");
    terminal.wait_for("█");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn the_screen_shows_and_does() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &["top"]);
    // Blanks are not drawn anew, so words are waited for one by one.
    terminal.wait_for("alice");
    terminal.wait_for("998.4999");
    terminal.press("send 1 0.5\r");
    terminal.wait_for("updated");
    terminal.press("\u{1b}");
    assert_eq!(terminal.ended(), 0);
    assert!(
        home.fake.asked()[0].starts_with("pay "),
        "{:?}",
        home.fake.asked()
    );
}
