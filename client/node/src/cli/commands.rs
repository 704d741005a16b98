//! What each command does: calls to the node, and an [`Answer`].

mod backup;
mod chain;
mod channel;
mod contact;
mod events;
mod history;
mod node;
mod payment;
mod request;
mod session;
mod token;

use super::answer::Answer;
use super::args::Command;
use super::context::Context;
use super::failure::Failure;

pub use events::line as event_line;

/// The success in an answer of perun-node's API.
macro_rules! success {
    ($answer:expr, $module:ident) => {
        match $answer.into_inner().response {
            Some($crate::api::pb::$module::Response::MsgSuccess(success)) => Ok(success),
            Some($crate::api::pb::$module::Response::Error(error)) => {
                Err($crate::cli::failure::Failure::from(error))
            }
            None => Err($crate::cli::commands::no_answer()),
        }
    };
}
use success;

/// A node that says neither yes nor no.
pub fn no_answer() -> Failure {
    Failure::NotReached("the node's answer is empty: is it another version?".into())
}

/// Does a command that answers once. What prints for long prints while it goes.
pub async fn run(context: &mut Context, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Chain(command) => chain::run(context, command).await,
        Command::Node(command) => node::run(context, command).await,
        Command::Session(command) => session::run(context, command).await,
        Command::Contact(command) => contact::run(context, command).await,
        Command::Channel(command) => channel::run(context, command).await,
        Command::Payment(command) => payment::run(context, command).await,
        Command::Pay(args) => request::pay(context, args).await,
        Command::Request(command) => request::run(context, command).await,
        Command::History(command) => history::run(context, command).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Backup { file } => backup::run(context, &file).await,
        Command::Events { count } => events::run(context, count).await,
        Command::Completions { shell } => Ok(super::pages::completions(shell)),
        Command::Man { folder } => super::pages::man(folder.as_deref()),
        Command::Top
        | Command::Shell
        | Command::Script { .. }
        | Command::Demo(_)
        | Command::Perund { .. } => Err(Failure::Usage(
            "this is a program of its own: leave the shell and type it after `perun`".into(),
        )),
    }
}
