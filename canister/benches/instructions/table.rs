//! The tables: printed, committed as `COSTS.md`, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use local_ic::canister_wasm;

use crate::calls::{self, Call, FORMULA};
use crate::floor::Floor;
use crate::memory;

/// A figure may grow by so much without the table being updated, in percent.
const TOLERANCE: u64 = 2;

/// The tables as text.
pub struct Report(String);

impl Report {
    pub fn new() -> Self {
        Self(format!(
            "# What calls cost\n\n\
             Written by `cargo bench -p perun-canister --bench instructions -- --update`, and compared\n\
             by `-- --check`: a figure that has grown by more than {TOLERANCE} % needs a new table.\n\n\
             *Must* is what the signatures and keys weigh that have to be checked, *ratio* all\n\
             instructions to that, *beyond* the difference. Cycles: {FORMULA}. All but the first call\n\
             of a kind after an upgrade; a channel of two about one asset. Compiled by {}.\n",
            compiler()
        ))
    }

    pub fn floor(&mut self, floor: &Floor) {
        self.section("Floor", &["what", "instructions"]);
        self.row("a signature checked", &[grouped(floor.signature)]);
        self.row("a key checked", &[grouped(floor.key)]);
    }

    pub fn sizes(&mut self) {
        let wasm = canister_wasm("adjudicator").expect("the adjudicator builds");
        let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
        zipped.write_all(&wasm).expect("a vector takes every byte");
        let zipped = zipped.finish().expect("a vector takes every byte");
        let memory = memory::measure();
        self.section("Sizes", &["what", "bytes"]);
        for (what, bytes) in [
            ("wasm", wasm.len() as u64),
            ("wasm, gzipped", zipped.len() as u64),
            ("stable memory of an open channel", memory.open_channel),
            (
                "stable memory of a finished channel",
                memory.finished_channel,
            ),
            ("stable memory of an event", memory.event),
        ] {
            self.row(what, &[grouped(bytes)]);
        }
    }

    pub fn calls(&mut self, channels: u64, floor: &Floor) {
        let (calls, heap_pages) = calls::measure(channels, floor);
        let s = if channels == 1 { "" } else { "s" };
        let columns = [
            "call",
            "instructions",
            "must",
            "ratio",
            "beyond",
            "bytes in",
            "bytes out",
            "cycles",
        ];
        self.section(&format!("{} channel{s}", grouped(channels)), &columns);
        for call in &calls {
            self.call(call);
        }
        self.section(
            &format!("Heap at {}", grouped(channels)),
            &["what", "pages"],
        );
        self.row("heap, 64 KiB each", &[grouped(heap_pages)]);
    }

    fn call(&mut self, call: &Call) {
        let Call {
            instructions, must, ..
        } = *call;
        let ratio = match must {
            0 => String::new(),
            must => format!("{:.3}", instructions as f64 / must as f64),
        };
        self.row(
            call.name,
            &[
                grouped(instructions),
                grouped(must),
                ratio,
                grouped(instructions.saturating_sub(must)),
                grouped(call.bytes_in as u64),
                grouped(call.bytes_out as u64),
                call.cycles.map_or_else(String::new, grouped),
            ],
        );
    }

    fn section(&mut self, name: &str, columns: &[&str]) {
        let rule = "---|".repeat(columns.len());
        let columns = columns.join(" | ");
        writeln!(self.0, "\n## {name}\n\n| {columns} |\n|{rule}").expect("a text grows");
    }

    fn row(&mut self, name: &str, cells: &[String]) {
        writeln!(self.0, "| {name} | {} |", cells.join(" | ")).expect("a text grows");
    }

    pub fn as_markdown(&self) -> &str {
        &self.0
    }

    /// What has grown over the `committed` tables, or is not in them, or is in them only.
    pub fn grown_over(&self, committed: &str) -> Vec<String> {
        let before = figures(committed);
        let now = figures(&self.0);
        let grown = now
            .iter()
            .filter_map(|(figure, now)| match before.get(figure) {
                None => Some(format!("{figure}: {now} is not in the committed table")),
                Some(before) if now * 100 > before * (100 + TOLERANCE) => {
                    Some(format!("{figure}: {before} has become {now}"))
                }
                Some(_) => None,
            });
        // Not every number of channels need be measured.
        let measured: BTreeSet<_> = now.keys().map(|figure| section(figure)).collect();
        let missing = before
            .keys()
            .filter(|figure| !now.contains_key(*figure))
            .filter(|figure| measured.contains(section(figure)) || !is_of_a_count(section(figure)));
        let missing = missing.map(|figure| format!("{figure}: it is not measured any more"));
        grown.chain(missing).collect()
    }
}

/// The section that a figure stands in.
fn section(figure: &str) -> &str {
    figure.split("; ").next().unwrap_or_default()
}

/// Whether a section is about a number of channels, which may be chosen.
fn is_of_a_count(section: &str) -> bool {
    section.starts_with("Heap at ")
        || section.ends_with(" channel")
        || section.ends_with(" channels")
}

/// The whole numbers of all tables, by section, row and column.
fn figures(text: &str) -> BTreeMap<String, u64> {
    let mut figures = BTreeMap::new();
    let (mut section, mut columns) = ("", Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            (section, columns) = (name, Vec::new());
        }
        let Some(row) = line.strip_prefix("| ") else {
            continue;
        };
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        if columns.is_empty() {
            columns = cells;
            continue;
        }
        for (column, cell) in columns.iter().zip(&cells).skip(1) {
            // Ratios and what is empty are no figures of their own.
            if let Ok(figure) = cell.replace(',', "").parse() {
                figures.insert(format!("{section}; {}; {column}", cells[0]), figure);
            }
        }
    }
    figures
}

/// 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.expect("there is a compiler");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
