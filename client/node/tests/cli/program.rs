//! The program, in a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::fake::{Fake, Listening, TOKEN};
use crate::scratch::Scratch;

/// A home folder, and a node to speak to.
pub struct Home {
    pub folder: PathBuf,
    pub fake: Fake,
    pub node: Listening,
    _scratch: Scratch,
}

/// How a run has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path().to_owned();
        let fake = Fake::new();
        let node = fake.serve();
        fs::write(folder.join("tls.crt"), &node.certificate).unwrap();
        fs::write(folder.join("admin.token"), TOKEN).unwrap();
        fs::write(folder.join("perund.address"), node.address.to_string()).unwrap();
        Self {
            folder,
            fake,
            node,
            _scratch: scratch,
        }
    }

    /// With a configuration.
    pub fn with_config(text: &str) -> Self {
        let home = Self::new();
        let folder = home.folder.join(".config/perun");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("perun.yaml"), text).unwrap();
        home
    }

    /// Nothing of the machine's own settings reaches the program.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", &self.folder)
            .env("PERUND_DATA", &self.folder);
        command.current_dir(&self.folder);
        let program = Path::new(env!("CARGO_BIN_EXE_perun")).parent().unwrap();
        command.env("PATH", format!("{}:/usr/bin:/bin", program.display()));
    }

    /// What a line of a shell does.
    pub fn shell(&self, line: &str) -> Ended {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).stdin(Stdio::null());
        self.prepare(&mut command);
        Ended::from(command.output().unwrap())
    }

    /// What `perun` does with these arguments.
    pub fn perun(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perun"));
        command.args(arguments).stdin(Stdio::null());
        self.prepare(&mut command);
        Ended::from(command.output().unwrap())
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
