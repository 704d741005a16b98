//! What was measured, as tables: next to it what we aim at, and what the demo before this one took.

use std::fmt;

use crate::board::Size;

use super::meter::{Cost, Cryptography, Status, Traffic};

/// What one payment costs a side of it.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Instructions while the board did not sleep: network, timer and log as well, and until the
    /// next payment.
    pub awake: u64,
    /// The median of many.
    pub cost: Cost,
    /// Records written to flash.
    pub flash_writes: f64,
    /// Bytes written to flash.
    pub flash_bytes: f64,
}

/// Everything that was measured.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Of a payment that the board makes.
    pub payer: Side,
    /// Of one that it gets.
    pub payee: Side,
    /// What neither can do without.
    pub cryptography: Cryptography,
    /// The image as it is shipped.
    pub size: Size,
    /// Of the whole run.
    pub status: Status,
}

impl Report {
    /// Instructions of one signature and one check.
    fn floor(&self) -> u64 {
        self.cryptography.sign + self.cryptography.verify
    }

    /// How many times that is.
    fn ratio(&self, instructions: u64) -> String {
        format!("{:.2}×", instructions as f64 / self.floor() as f64)
    }

    /// RAM of statics other than the heap.
    fn statics(&self) -> u64 {
        self.size.ram.saturating_sub(self.status.heap_area)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cryptography { sign, verify } = self.cryptography;
        let sides = [&self.payer, &self.payee];
        let both = |show: &dyn Fn(&Side) -> String| sides.map(show);
        writeln!(f, "| a payment | payer | payee | aim | predecessor |")?;
        writeln!(f, "|---|---:|---:|---|---|")?;
        let mut row = |what: &str, [payer, payee]: [String; 2], aim: &str, before: &str| {
            writeln!(f, "| {what} | {payer} | {payee} | {aim} | {before} |")
        };
        row(
            "instructions in the device",
            both(&|side| grouped(side.cost.instructions)),
            "",
            "",
        )?;
        let what = format!(
            "… against one signature ({}) and one check ({})",
            grouped(sign),
            grouped(verify)
        );
        row(
            &what,
            both(&|side| self.ratio(side.cost.instructions)),
            "≤ 1.15×",
            "2.1× (4 signatures, 2 recoveries)",
        )?;
        row(
            "instructions of the whole firmware: network, timer, log",
            both(&|side| grouped(side.awake)),
            "",
            "",
        )?;
        row(
            "… against the same",
            both(&|side| self.ratio(side.awake)),
            "",
            "",
        )?;
        row(
            "records written to flash",
            both(&|side| format!("{:.2}", side.flash_writes)),
            "1",
            "",
        )?;
        row(
            "… and their bytes",
            both(&|side| format!("{:.0}", side.flash_bytes)),
            "",
            "",
        )?;
        row(
            "bytes to and from the peer",
            both(&|side| both_ways(side.cost.peer)),
            "",
            "379",
        )?;
        row(
            "bytes to and from the watcher",
            both(&|side| both_ways(side.cost.watcher)),
            "",
            "2 × 546",
        )?;
        let Status {
            stack,
            heap,
            heap_area,
            ..
        } = self.status;
        writeln!(f)?;
        writeln!(
            f,
            "| the firmware, in bytes | measured | aim | predecessor |"
        )?;
        writeln!(f, "|---|---:|---|---|")?;
        let mut row = |what: &str, bytes: u64, aim: &str, before: &str| {
            writeln!(f, "| {what} | {} | {aim} | {before} |", grouped(bytes))
        };
        row("flash", self.size.flash, "≤ 200 KB", "315 KB")?;
        row("RAM: statics", self.statics(), "", "")?;
        row("RAM: deepest stack", stack, "", "")?;
        let what = format!("RAM: most of the heap, which has {}", grouped(heap_area));
        row(&what, heap, "", "")?;
        let all = self.statics() + stack + heap;
        row(
            "RAM: all three",
            all,
            "≤ 64 KB, better 48 KB",
            "57 to 69 KB",
        )
    }
}

fn both_ways(Traffic { sent, received }: Traffic) -> String {
    format!("{sent} + {received}")
}

/// With a comma before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        let shown = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
