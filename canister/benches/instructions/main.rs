//! What calls cost, beside what no adjudicator can do without.
//!
//! ```text
//! cargo bench -p perun-canister --bench instructions               1, 1,000 and 100,000 channels
//! cargo bench -p perun-canister --bench instructions -- 1000000    so many
//! ... -- --check     compared with COSTS.md: exit code 1 if a figure grew by more than 2 %, or is missing
//! ... -- --update    COSTS.md is written anew
//! ```
//!
//! Instructions are counted by the replica's weights and are the same every time with one compiler.
//! All messages of a call count, callbacks included, but only the adjudicator's: what the ledger does
//! is its own affair. Large numbers of channels come from a stable memory that the rules have written
//! natively ([`image`]).

#[path = "../../tests/world/mod.rs"]
mod world;

mod calls;
mod floor;
mod image;
mod memory;
mod table;

use std::process::ExitCode;

use table::Report;

/// The committed figures.
const COSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/COSTS.md");

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let asks = |option: &str| arguments.iter().any(|argument| argument == option);
    let (check, update) = (asks("--check"), asks("--update"));
    let chosen = arguments.iter();
    let mut counts: Vec<_> = chosen
        .filter_map(|argument| argument.parse().ok())
        .collect();
    if counts.is_empty() {
        counts = vec![1, 1_000, 100_000];
    }

    let mut report = Report::new();
    let floor = floor::measure();
    report.floor(&floor);
    report.sizes();
    for count in counts {
        report.calls(count, &floor);
    }
    println!("{}", report.as_markdown());
    if update {
        std::fs::write(COSTS, report.as_markdown()).expect("the table can be written");
    }
    if check {
        let committed = std::fs::read_to_string(COSTS).expect("there is a table");
        let grown = report.grown_over(&committed);
        for line in &grown {
            eprintln!("{line}");
        }
        if !grown.is_empty() {
            eprintln!(
                "If that is worth it: cargo bench -p perun-canister --bench instructions -- --update"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
