//! The daemon: see [`perun_node::daemon`].

use std::process::ExitCode;

fn main() -> ExitCode {
    perun_node::daemon::main(std::env::args_os())
}
