//! A board in QEMU: the firmware that runs on it, its buttons, its log, and its power switch.
//!
//! ```text
//!  press ──stdin, a UART──> buttons ┐
//!  log   <──stdout──────────────────┤ firmware ──TCP──> this machine, 10.0.0.1 for the board
//!  flash file ──────────────────────┘
//! ```

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Failure;

/// Under which address a board reaches this machine.
pub const HOST: &str = "10.0.0.1";
/// The machine emulator that a board runs in.
const QEMU: &str = "qemu-system-arm";
/// The board, as its folder and the script that measures images name it.
const BOARD: &str = "qemu-mps2-an386";
/// How long anything on a board may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The firmware of a board in QEMU, built.
#[derive(Clone, Debug)]
pub struct Firmware {
    folder: PathBuf,
    image: PathBuf,
    has_figures: bool,
}

/// How large an image is, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// What it takes of the flash.
    pub flash: u64,
    /// What its statics take of the RAM, memory that they set apart for a heap included.
    pub ram: u64,
}

impl Firmware {
    /// Builds the firmware, with the target installed by rustup if it is not there.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub async fn build() -> Result<Self, Failure> {
        Self::build_with(&[]).await
    }

    /// Builds a firmware that logs what things cost, for boards that count instructions: there a
    /// nanosecond is one. It takes the place of one without figures that was built before.
    ///
    /// # Errors
    /// As [`Firmware::build`].
    pub async fn build_with_figures() -> Result<Self, Failure> {
        let plain = Self::build_with(&["--features", "figures"]).await?;
        Ok(Self {
            has_figures: true,
            ..plain
        })
    }

    async fn build_with(arguments: &[&str]) -> Result<Self, Failure> {
        let there = Command::new(QEMU)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if there.await.is_err() {
            return Err(format!(
                "{QEMU} is missing, in which the board runs; on Debian or Ubuntu: \
                 apt-get install {QEMU}"
            )
            .into());
        }
        let folder = root().join("device/firmware").join(BOARD);
        const TARGET: &str = "thumbv7em-none-eabihf";
        // Without rustup the target may be there by other means: the build tells.
        let _ = Command::new("rustup")
            .args(["target", "add", TARGET])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        let target = target_folder()?;
        tracing::info!("Building the firmware");
        let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--locked", "--quiet"])
            .args(arguments)
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", &target)
            // It would take the place of what the folder's configuration says.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .await?;
        if !built.success() {
            return Err(format!(
                "the firmware was not built ({built}); it needs the target {TARGET} \
                 (rustup target add {TARGET})"
            )
            .into());
        }
        let image = target
            .join(TARGET)
            .join("release")
            .join(format!("perun-{BOARD}"));
        Ok(Self {
            folder,
            image,
            has_figures: false,
        })
    }

    /// How large it is without figures, as the script of all boards has it.
    ///
    /// # Errors
    /// If tools to look into it are missing.
    pub async fn size(&self) -> Result<Size, Failure> {
        let script = self.folder.join("../sizes");
        let told = Command::new(script)
            .arg(BOARD)
            .env("CARGO_TARGET_DIR", target_folder()?)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stderr(Stdio::inherit())
            .output()
            .await?;
        let told = String::from_utf8(told.stdout)?;
        let size = told.lines().find_map(parse_size);
        size.ok_or_else(|| "the firmware cannot be measured; that needs readelf (binutils)".into())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where firmware is built: targets and profiles are others than the host's.
fn target_folder() -> Result<PathBuf, Failure> {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    Ok(std::path::absolute(target.join("firmware"))?)
}

/// `qemu-mps2-an386 text rodata data bss flash RAM`
fn parse_size(line: &str) -> Option<Size> {
    let sizes = line.strip_prefix(BOARD)?.split_whitespace();
    let sizes: Vec<u64> = sizes.map_while(|size| size.parse().ok()).collect();
    let [_, _, _, _, flash, ram] = sizes[..] else {
        return None;
    };
    Some(Size { flash, ram })
}

/// A board that runs.
pub struct Board {
    name: &'static str,
    child: Child,
    keys: ChildStdin,
    log: Lines<BufReader<ChildStdout>>,
}

/// What a board says of its channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Channel {
    /// The newest version that both have signed.
    pub version: u64,
    /// What the board has in it.
    pub balance: u128,
    /// Whether payments can be made.
    pub is_open: bool,
}

impl Board {
    /// Switches a board on, with settings and flash in these files. With `port`, this machine's
    /// port is the board's 1234.
    ///
    /// # Errors
    /// If QEMU cannot be started.
    pub fn start(
        name: &'static str,
        firmware: &Firmware,
        settings: &Path,
        flash: &Path,
        port: Option<u16>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(firmware.folder.join("run"));
        command
            .args([firmware.image.as_path(), settings, flash])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(port) = port {
            command.env("NIC", format!(",hostfwd=tcp:127.0.0.1:{port}-:1234"));
        }
        if firmware.has_figures {
            // An instruction takes a nanosecond of the board's time, whatever this machine does.
            command.env("MORE", "-icount shift=0");
        }
        let mut child = command.spawn()?;
        let keys = child.stdin.take().ok_or("the board has no keys")?;
        let log = child.stdout.take().ok_or("the board has no log")?;
        Ok(Self {
            name,
            child,
            keys,
            log: BufReader::new(log).lines(),
        })
    }

    /// Presses a button, named by its key on the board's console.
    ///
    /// # Errors
    /// If the board is gone.
    pub async fn press(&mut self, key: u8) -> Result<(), Failure> {
        self.keys.write_all(&[key]).await?;
        Ok(self.keys.flush().await?)
    }

    /// Reads the log until `found` finds something in a line.
    ///
    /// # Errors
    /// If the board ends, or nothing is found in two minutes.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let name = self.name;
        let reading = async {
            loop {
                let Some(line) = self.log.next_line().await? else {
                    return Err(format!("{name} ended instead: {what}").into());
                };
                tracing::debug!("{name}: {line}");
                if let Some(found) = found(&line) {
                    return Ok(found);
                }
            }
        };
        let read = timeout(PATIENCE, reading).await;
        read.map_err(|_| format!("{name} did not say in time: {what}"))?
    }

    /// The lines of the log until none comes for so long.
    ///
    /// # Errors
    /// If the board ends.
    pub async fn until_silent(&mut self, silence: Duration) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        while let Ok(line) = timeout(silence, self.log.next_line()).await {
            let line = line?.ok_or_else(|| format!("{} ended", self.name))?;
            tracing::debug!("{}: {line}", self.name);
            lines.push(line);
        }
        Ok(lines)
    }

    /// Who the board is, as it says when it starts, in hex digits.
    ///
    /// # Errors
    /// As [`Board::wait_for`].
    pub async fn identity(&mut self) -> Result<String, Failure> {
        let word = |line: &str| Some(line.split_once("identity ")?.1.trim().to_owned());
        self.wait_for("identity", word).await
    }

    /// What the board says of its channel; `None` if there is none.
    ///
    /// # Errors
    /// As [`Board::wait_for`].
    pub async fn channel(&mut self) -> Result<Option<Channel>, Failure> {
        self.press(b's').await?;
        let mut channel = None;
        let read = |line: &str| {
            channel = channel.or_else(|| parse_channel(line));
            line.contains("Status: accepted").then_some(())
        };
        self.wait_for("status", read).await?;
        Ok(channel)
    }

    /// Waits until the board's channel is as it should be.
    ///
    /// # Errors
    /// As [`Board::wait_for`].
    pub async fn until(
        &mut self,
        what: &str,
        is_so: impl Fn(&Channel) -> bool,
    ) -> Result<Channel, Failure> {
        let waiting = async {
            loop {
                match self.channel().await? {
                    Some(channel) if is_so(&channel) => return Ok(channel),
                    _ => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.map_err(|_| format!("it took too long until {what}"))?
    }

    /// Cuts the power.
    ///
    /// # Errors
    /// If the process cannot be ended.
    pub async fn cut_power(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}

/// `… channel 1763c05e: open, version 3, guarded 3, balance 99700`
fn parse_channel(line: &str) -> Option<Channel> {
    let (_, told) = line.split_once(" channel ")?;
    let (_, told) = told.split_once(": ")?;
    let number = |name: &str| {
        let (_, rest) = told.split_once(name)?;
        rest.split([',', ' ']).next()?.parse().ok()
    };
    Some(Channel {
        version: u64::try_from(number("version ")?).ok()?,
        balance: number("balance ")?,
        is_open: told.starts_with("open,"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_firmware_is_read() {
        let line = "qemu-mps2-an386     178640     21532        28     75420    200200     75448";
        let size = Size {
            flash: 200_200,
            ram: 75_448,
        };
        assert_eq!(parse_size(line), Some(size));
        let head = "board                 text    rodata      data       bss     flash       RAM";
        assert_eq!(parse_size(head), None);
    }

    #[test]
    fn what_a_board_says_of_its_channel_is_read() {
        let line = "7.250 INFO channel 1763c05e: open, version 3, guarded 3, balance 99700";
        let channel = parse_channel(line).unwrap();
        assert_eq!(
            (channel.version, channel.balance, channel.is_open),
            (3, 99_700, true)
        );
        let line = "7.250 INFO channel 1763c05e: not open, version -1, guarded -1, balance 0";
        assert_eq!(parse_channel(line), None);
        assert_eq!(
            parse_channel("7.2 INFO channel 1763c05e: in sync with the peer"),
            None
        );
    }
}
