//! The interactive shell: a prompt with history and completion, and notices above it.
//!
//! ```text
//!  editor (a thread) ── line ──> the same code as a script
//!     ^      ^ prompt                │
//!     │ above the prompt             v names for completion
//!  notices <── feed (events of the user)
//! ```

mod completer;
mod editor;
mod notices;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;

pub use completer::{Completions, Known};
use editor::{Editor, Typed};
use notices::Notices;

use super::args::{ChannelCommand, Command, PaymentCommand};
use super::context::Context;
use super::failure::Failure;
use super::script::{Next, refuse_key, run_line};
use super::{channels, tell, typed};
use crate::api::v1;
use crate::lock::lock;

/// How long names for completion are waited for.
const NAMES_WITHIN: Duration = Duration::from_secs(1);

/// Reads and does lines until `exit`, Ctrl-D, or the end of the terminal.
pub async fn run(context: &mut Context) -> Result<u8, Failure> {
    refuse_key(context)?;
    context.seen = Some(Arc::default());
    let known: Arc<Mutex<Known>> = Arc::default();
    let mut editor = Editor::start(Arc::clone(&known))?;
    let mut notices = Notices::new(editor.printer());
    println!("Type `help` for the commands, Tab to complete them, `exit` to leave.");
    greet(context).await;
    loop {
        notices.follow(context).await;
        refresh(context, &known).await;
        let user = context
            .known_user()
            .map_or("perun", |user| user.name.as_str());
        // A session id is no name to read.
        let prompt = if user.len() == 32 { "perun" } else { user };
        let line = match editor.read(prompt.to_owned()).await? {
            Typed::Line(line) => line,
            Typed::Nothing => continue,
            Typed::End => return Ok(0),
        };
        if line.trim() == "clear" {
            print!("\u{1b}[2J\u{1b}[H");
            let _ = std::io::stdout().flush();
            continue;
        }
        let done = match muted(context, &notices, &line).await {
            Some(done) => done.map(|()| Next::Line),
            None => run_line(context, &line).await,
        };
        match done {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => return Ok(0),
            Err(failure) => {
                tell(
                    &failure,
                    context.call.json,
                    context.key_to_repeat(&failure),
                    None,
                );
            }
        }
    }
}

/// Connects, and takes the only session that is open. What does not work now may be made to work by
/// what is typed next.
async fn greet(context: &mut Context) {
    match context.node().await {
        Ok(node) => println!("Connected to {}.", node.address),
        Err(failure) => {
            tell(&failure, false, None, None);
            return;
        }
    }
    match context.user().await {
        Ok(user) => println!("Session of {}.", user.name),
        Err(failure) => println!("{}", super::answer::harmless(&failure.to_string())),
    }
}

/// In the shell a subscription is whether notices are shown: it listens all the time.
async fn muted(
    context: &mut Context,
    notices: &Notices,
    line: &str,
) -> Option<Result<(), Failure>> {
    let command = typed::line(line).ok()??.command;
    let (channel, is_on) = match command {
        Command::Channel(ChannelCommand::Subscribe { .. }) => (None, true),
        Command::Channel(ChannelCommand::Unsubscribe) => (None, false),
        Command::Payment(PaymentCommand::Subscribe { channel, .. }) => (Some(channel), true),
        Command::Payment(PaymentCommand::Unsubscribe { channel }) => (Some(channel), false),
        Command::Events { .. } => {
            let text = "events are shown above the prompt as they come";
            return Some(Err(Failure::Usage(text.into())));
        }
        _ => return None,
    };
    let (id, what) = match channel {
        None => (String::new(), "proposals".to_owned()),
        Some(channel) => match channels::named(context, &channel).await {
            Ok(channel) => (channel.info.ch_id, channel.alias),
            Err(failure) => return Some(Err(failure)),
        },
    };
    notices.set_shown(&id, is_on);
    println!(
        "Notices of {what} are {}.",
        if is_on { "shown" } else { "not shown" }
    );
    Some(Ok(()))
}

/// Finds out what can be completed. It is no matter if it takes too long.
async fn refresh(context: &mut Context, known: &Mutex<Known>) {
    let Some(user) = context.known_user().cloned() else {
        return;
    };
    let found = timeout(NAMES_WITHIN, async {
        let mut found = Known::default();
        for channel in channels::all(context).await.ok()? {
            found.channels.push(channel.alias);
        }
        let node = context.node().await.ok()?;
        if !node.is_plaintext {
            let session_id = user.session_id.clone();
            let contacts = node
                .sessions()
                .list_contacts(v1::ListContactsRequest { session_id })
                .await;
            let contacts = contacts.ok()?.into_inner().contacts;
            found.peers = contacts.into_iter().map(|contact| contact.alias).collect();
            let sessions = node.all_sessions().await.ok()?;
            found.users = sessions.into_iter().map(|session| session.name).collect();
        }
        Some(found)
    });
    if let Ok(Some(mut found)) = found.await {
        found.waiting = context.seen.clone();
        *lock(known) = found;
    }
}
