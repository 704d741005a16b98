//! The command line: see [`perun_node::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    perun_node::cli::main(std::env::args_os())
}
