//! What the walkthroughs are made of: two parties, a channel, an adjudicator and a ledger to try it
//! on, and books in which every unit is accounted for.
//!
//! ```text
//!  Args --> Stage: the adjudicator and the ledger, on an embedded Internet Computer or anywhere
//!             |
//!             +--> happy::walk     deposit, pay, conclude, withdraw
//!             +--> dispute::walk   an old state is registered, refuted, and time passes
//! ```
//!
//! The stories are functions, so that tests run what people see. They check each figure that they
//! show against what canisters say, and end with an error where one does not add up.

#![forbid(unsafe_code)]

mod acts;
mod args;
pub mod board;
mod books;
mod channel;
pub mod counterpart;
pub mod device_figures;
pub mod device_pays;
pub mod dispute;
pub mod happy;
mod log;
mod meeting;
pub mod payment;
mod person;
pub mod restart;
mod setup_error;
mod stage;

pub use args::{Connection, WalkthroughArgs};
pub use books::{Closing, Mismatch};
pub use channel::{Pair, random};
pub use log::show_log;
pub use meeting::{Meeting, Scratch};
pub use person::{Papers, Person, Place};
pub use setup_error::SetupError;
pub use stage::{Party, Stage};

/// Whatever may go wrong in a walkthrough; each cause says in words what it is.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a walkthrough's `main`: shows its log, and an error in words instead of as a structure.
pub fn run(
    program: &'static str,
    story: impl Future<Output = Result<(), Failure>>,
) -> std::process::ExitCode {
    show_log(program);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no async runtime can be started: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    match runtime.block_on(story) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
