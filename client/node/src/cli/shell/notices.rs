//! What happens to the user, told above the prompt.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::editor::Printer;
use crate::api::v1;
use crate::api::v1::event::Kind;
use crate::cli::answer::may_colour;
use crate::cli::commands::event_line;
use crate::cli::context::Context;
use crate::cli::{feed, waiting};
use crate::lock::lock;

/// Listens to the user's events.
pub struct Notices {
    printer: Printer,
    /// Channels whose events are not shown; the empty one is that of proposals.
    silent: Arc<Mutex<HashSet<String>>>,
    listening: Option<(String, JoinHandle<()>)>,
}

impl Notices {
    /// Nobody's yet.
    pub fn new(printer: Printer) -> Self {
        Self {
            printer,
            silent: Arc::default(),
            listening: None,
        }
    }

    /// Whether events of a channel (or proposals, without one) are shown.
    pub fn set_shown(&self, channel: &str, is_shown: bool) {
        let mut silent = lock(&self.silent);
        if is_shown {
            silent.remove(channel);
        } else {
            silent.insert(channel.to_owned());
        }
    }

    /// Listens to whoever is the user now.
    pub async fn follow(&mut self, context: &mut Context) {
        let user = context.known_user().cloned();
        let is_followed = match (&self.listening, &user) {
            (Some((session, task)), Some(user)) => {
                *session == user.session_id && !task.is_finished()
            }
            (None, None) => true,
            _ => false,
        };
        if is_followed {
            return;
        }
        if let Some((_, task)) = self.listening.take() {
            task.abort();
        }
        let (Some(user), Ok(node)) = (user, context.node().await) else {
            return;
        };
        let Some(seen) = context.seen.clone() else {
            return;
        };
        let is_plaintext = node.is_plaintext;
        let Ok(mut events) = feed::start(node, user.clone()).await else {
            return;
        };
        // What came before is not told again by the stream, but in plaintext.
        if !is_plaintext && let Ok(before) = waiting::proposals(context).await {
            let mut seen = lock(&seen);
            for waiting in before {
                self.printer
                    .print(coloured(&waiting.line(crate::cli::text::now_s())));
                seen.retain(|one| one.id != waiting.id);
                seen.push(waiting);
            }
        }
        let (printer, silent) = (self.printer.clone(), Arc::clone(&self.silent));
        let session = user.session_id.clone();
        let listen = async move {
            while let Some(told) = events.recv().await {
                match told {
                    Ok(event) => {
                        feed::remember(&mut lock(&seen), &event, &user);
                        if is_shown(&silent, &event) {
                            printer.print(coloured(&event_line(&event, &user)));
                        }
                    }
                    Err(failure) => {
                        printer.print(coloured(&format!("no more notices: {failure}")));
                        return;
                    }
                }
            }
        };
        self.listening = Some((session, tokio::spawn(listen)));
    }
}

fn is_shown(silent: &Mutex<HashSet<String>>, event: &v1::Event) -> bool {
    let silent = lock(silent);
    match event.kind() {
        Kind::Proposed => !silent.contains(""),
        _ => event.channel.is_empty() || !silent.contains(&event.channel),
    }
}

fn coloured(line: &str) -> String {
    if may_colour(true) {
        format!("\u{1b}[36m» {line}\u{1b}[0m")
    } else {
        format!("» {line}")
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.listening {
            task.abort();
        }
    }
}
