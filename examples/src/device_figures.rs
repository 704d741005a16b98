//! What a payment costs a device, and what the device takes, measured in the firmware of the QEMU board.
//!
//! ```text
//!  payments, one by one ──> board (QEMU, a nanosecond is an instruction) ──log──> Meter ──> Report
//!                             │
//!                             └──TCP──> counterpart, service: see `device_pays`
//! ```
//!
//! What is counted is what happens from the press, or from the counterpart's message, until the watcher
//! has stored the new state and the board has been silent for a while. In between, now and then, comes
//! something that would have come anyway: a question of the watcher's for the time. The median of many
//! payments leaves those out; nothing is subtracted. Flash writes and the instructions of the whole firmware
//! are a mean instead: what the board did from before the first payment until after the last.

mod meter;
mod report;

use std::time::Duration;

use perun_protocol::Amount;

use crate::board::{Board, Firmware, HOST};
use crate::device_pays::{OWNER, PAYMENT, World, propose};
use crate::{Failure, Papers};

use self::meter::{Cost, End, Meter, Status, Traffic};
use self::report::{Report, Side};

/// How many payments each way are measured; as many come before, unmeasured.
const PAYMENTS: usize = 20;
/// After so much silence of the board nothing is under way any more. What comes by itself comes each
/// second.
const SILENCE: Duration = Duration::from_millis(400);
/// In how many such times a payment comes to its end.
const PATIENCE: usize = 100;

/// Measures everything and prints it.
///
/// # Errors
/// If something is missing, or a payment does not come to its end.
pub async fn print() -> Result<(), Failure> {
    let size = Firmware::build().await?.size().await?;
    let world = World::start(Firmware::build_with_figures().await?, &["board"]).await?;
    let counterpart = world.counterpart().await?;
    let settings = counterpart.settings(
        HOST,
        vec![world.node()],
        Some(Papers::demo(OWNER)?.account()?),
    )?;
    let address = |end, address: Option<String>| Some((address?, end));
    let ends = [
        address(End::Peer, settings.peer.address.clone()),
        address(End::Watcher, world.node().address),
    ];
    let settings = format!("{settings}pay = {PAYMENT}\nquick = yes\n");
    let settings = world.write_settings("settings.txt", &settings)?;
    let flash = world.file("board.bin");
    let mut board = Metered {
        board: Board::start("board", &world.firmware, &settings, &flash, None)?,
        meter: Meter::new(ends.into_iter().flatten().collect()),
    };

    board.connect(&world).await?;
    propose(&mut board.board).await?;
    tracing::info!("The channel is open");
    // The first payments are no different, but who knows.
    board.pay(PAYMENTS).await?;
    tracing::info!("Measuring {PAYMENTS} payments each way");
    let payer = board.pay(PAYMENTS).await?;
    let mut costs = Vec::new();
    let before = board.status().await?;
    for _ in 0..PAYMENTS {
        board.begin().await?;
        counterpart.pay(None, Amount::new(PAYMENT)).await?;
        costs.push(board.end("received 1 payments").await?);
    }
    let after = board.status().await?;
    let payee = side(&costs, before, after);

    board.board.press(b'c').await?;
    let over = |line: &str| line.contains("over, and paid out").then_some(());
    board.board.wait_for("the channel is closed", over).await?;
    board.status().await?;
    let Meter {
        cryptography,
        status,
        ..
    } = board.meter;
    board.board.cut_power().await?;
    counterpart.stop().await?;
    world.service.stop().await?;
    let report = Report {
        payer,
        payee,
        cryptography,
        size,
        status,
    };
    println!("{report}");
    Ok(())
}

/// A board whose log is read for figures.
struct Metered {
    board: Board,
    meter: Meter,
}

impl Metered {
    /// Waits until the board is connected with both whom it knows.
    async fn connect(&mut self, world: &World) -> Result<(), Failure> {
        let Self { board, meter } = self;
        let service = format!("connected with {:?}", world.service_key);
        let mut connected = (0, false);
        let both = |line: &str| {
            if let Err(error) = meter.read(line) {
                return Some(Err(error));
            }
            connected.0 += usize::from(line.contains(" connected with "));
            connected.1 |= line.contains(&service);
            (connected == (2, true)).then_some(Ok(()))
        };
        board.wait_for("it is connected with both", both).await?
    }

    /// Pays so often, one by one.
    async fn pay(&mut self, payments: usize) -> Result<Side, Failure> {
        let mut costs = Vec::new();
        let before = self.status().await?;
        for _ in 0..payments {
            self.begin().await?;
            self.board.press(b'p').await?;
            costs.push(self.end("are settled").await?);
        }
        let after = self.status().await?;
        Ok(side(&costs, before, after))
    }

    /// From here on something is measured.
    async fn begin(&mut self) -> Result<(), Failure> {
        self.read().await?;
        self.meter.cost = Cost::default();
        Ok(())
    }

    /// What that cost, once the board has said `word` and that the new state is guarded.
    async fn end(&mut self, word: &str) -> Result<Cost, Failure> {
        let (mut is_done, mut is_guarded) = (false, false);
        for _ in 0..PATIENCE {
            for line in self.read().await? {
                is_done |= line.contains(word);
                is_guarded |= line.contains("is guarded");
            }
            if is_done && is_guarded {
                return Ok(self.meter.cost);
            }
        }
        Err(format!("the board never said: {word}").into())
    }

    /// Presses the button that makes the board tell how things are.
    async fn status(&mut self) -> Result<Status, Failure> {
        self.read().await?;
        self.board.press(b's').await?;
        self.read().await?;
        Ok(self.meter.status)
    }

    /// Reads what the board says until it is silent.
    async fn read(&mut self) -> Result<Vec<String>, Failure> {
        let lines = self.board.until_silent(SILENCE).await?;
        lines.iter().try_for_each(|line| self.meter.read(line))?;
        Ok(lines)
    }
}

/// What one payment of many costs a side of it.
fn side(costs: &[Cost], before: Status, after: Status) -> Side {
    let traffic = |of: fn(&Cost) -> Traffic| Traffic {
        sent: median(costs.iter().map(|cost| of(cost).sent)),
        received: median(costs.iter().map(|cost| of(cost).received)),
    };
    let each = |total: u64| total as f64 / costs.len() as f64;
    Side {
        awake: each(after.awake - before.awake) as u64,
        cost: Cost {
            instructions: median(costs.iter().map(|cost| cost.instructions)),
            calls: median(costs.iter().map(|cost| cost.calls)),
            peer: traffic(|cost| cost.peer),
            watcher: traffic(|cost| cost.watcher),
        },
        flash_writes: each(after.flash_writes - before.flash_writes),
        flash_bytes: each(after.flash_bytes - before.flash_bytes),
    }
}

/// The one in the middle.
fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
