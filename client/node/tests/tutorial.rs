//! The commands of `docs/tutorial.md`, run as they stand there: with real processes, over real TCP.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long something may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line of the tutorial.
#[derive(Debug)]
struct Step {
    /// Whose terminal; empty for the first.
    who: String,
    command: String,
    /// Whether it waits for what another one does.
    waits: bool,
}

fn steps() -> Vec<Step> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorial.md");
    let text = fs::read_to_string(file).unwrap();
    let mut steps = Vec::new();
    let mut is_console = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if is_console {
            let (who, command) = line.split_once("$ ").unwrap_or_else(|| panic!("{line:?}"));
            let (command, remark) = command.split_once(" #").unwrap_or((command, ""));
            steps.push(Step {
                who: who.to_owned(),
                command: command.trim().to_owned(),
                waits: remark.contains("waits for"),
            });
        }
    }
    steps
}

/// `perun demo up`, until it is dropped.
struct Demo {
    child: Child,
    data: PathBuf,
    folder: PathBuf,
}

impl Demo {
    fn up() -> Self {
        let folder = std::env::temp_dir().join(format!("perun-tutorial-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_perun"));
        child
            .args(["demo", "up", "--json", "--folder"])
            .arg(folder.join("world"));
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let up: serde_json::Value = serde_json::from_str(&line).expect("the demo is up");
        let data = PathBuf::from(up["data"].as_str().unwrap());
        Self {
            child,
            data,
            folder,
        }
    }

    fn command(&self, who: &str, line: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_perun")).parent().unwrap();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", line])
            .env_clear()
            .env("HOME", self.folder.join(who))
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("PERUND_DATA", &self.data)
            .env("PERUN_SESSION", who)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // As Ctrl-C and `kill` do: the node is stopped gracefully.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let begun = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(step: &Step, done: Output) -> String {
    let out = String::from_utf8(done.stdout).unwrap();
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{step:?}: {out}{err}");
    println!("{}$ {}\n{out}", step.who, step.command);
    out
}

#[test]
fn the_tutorial_works_as_it_is_written() {
    let mut steps = steps();
    let first = steps.remove(0);
    assert_eq!(
        (first.who.as_str(), first.command.as_str()),
        ("", "perun demo up")
    );
    assert!(steps.len() > 20, "{steps:?}");
    let demo = Demo::up();
    let mut waiting: Option<(Step, Child)> = None;
    let mut request = String::new();
    let mut last = std::collections::HashMap::new();
    for step in steps {
        if let Some((asked, child)) = waiting.take_if(|(asked, _)| asked.who == step.who) {
            text(&asked, child.wait_with_output().unwrap());
        }
        let line = step.command.replace("perunreq1…", &request);
        if step.waits {
            let child = demo.command(&step.who, &line).spawn().unwrap();
            waiting = Some((step, child));
            continue;
        }
        let begun = Instant::now();
        let out = loop {
            let done = demo.command(&step.who, &line).output().unwrap();
            let is_early = String::from_utf8_lossy(&done.stdout).contains("Nothing waits");
            if !is_early || begun.elapsed() > PATIENCE {
                break text(&step, done);
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if let Some(made) = out.lines().find(|line| line.starts_with("perunreq1")) {
            request = made.to_owned();
        }
        last.insert((step.who.clone(), step.command.clone()), out);
    }
    if let Some((asked, child)) = waiting {
        text(&asked, child.wait_with_output().unwrap());
    }

    // 10 given and 6.5 got; 5 given and 8.5 got; less fees.
    let printed = |who: &str| &last[&(who.to_owned(), "perun chain balance".to_owned())];
    let begun = Instant::now();
    let balance = |who: &str| -> f64 {
        let done = demo
            .command(who, "perun --json chain balance")
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        answer["balances"][0]["amount"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let is_near = |found: f64, expected: f64| found <= expected && found > expected - 0.001;
    while !(is_near(balance("alice"), 996.5) && is_near(balance("bob"), 1003.5)) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} {}",
            printed("alice"),
            printed("bob")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let list = &last[&("alice".to_owned(), "perun channel list".to_owned())];
    assert!(list.contains("No channels"), "{list}");
}
