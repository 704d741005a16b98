//! `perun top`: channels, what waits for an answer, and what happens, on one screen.
//!
//! ```text
//!  node ── channels, each second ──┐
//!  node ── events, as they come ───┼──> model ── draw ──> terminal
//!  keys ── typed commands ─────────┘      │
//!          └── the shell's commands <─────┘ (beside, so that the screen goes on)
//! ```
//!
//! Drawing is a function of the model only.

mod draw;
mod model;
mod words;

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event as KeyEvent, KeyEventKind};
use tokio::sync::mpsc;

use super::channels::Channel;
use super::context::Context;
use super::failure::Failure;
use super::waiting::{self, Waiting};
use super::{channels, commands, feed, typed};
use crate::api::v1;
use crate::api::v1::event::Kind;
use model::{Action, Model};

/// How often channels are asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often balances are, which costs a call to each ledger.
const BALANCES_EVERY: u32 = 15;
/// How many reports wait to be shown.
const UNREAD: usize = 1024;

/// What the screen learns.
enum Report {
    Key(event::KeyEvent),
    Resized,
    Channels(Vec<Channel>),
    Balances(Vec<String>),
    Event(Box<v1::Event>),
    /// All proposals that wait.
    Proposals(Vec<Waiting>),
    /// A command has ended: with its answer, or why not, and what waits no longer.
    Done(Result<String, String>, Vec<String>),
    Trouble(String),
}

/// Shows the screen until Esc.
pub async fn run(context: &mut Context) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "`perun top` draws on a terminal; `perun channel list` and `perun events` print".into(),
        ));
    }
    let node = context.node().await?;
    let user = context.user().await?;
    let time = node.time().await?;
    let mut model = Model::new(&node.address, &user.name, time - super::text::now_s());
    // Channels first, so that they have the first numbers.
    model.set_channels(channels::all(context).await?);
    for proposal in waiting::proposals(context).await.unwrap_or_default() {
        model.wait_for(proposal);
    }

    let (report, mut reports) = mpsc::channel(UNREAD);
    let is_over = Arc::new(AtomicBool::new(false));
    let keys = {
        let (report, is_over) = (report.clone(), Arc::clone(&is_over));
        std::thread::spawn(move || read_keys(&report, &is_over))
    };
    let looking = tokio::spawn(look(context.beside(), report.clone()));
    let listening = tokio::spawn(listen(context.beside(), report.clone()));

    let mut terminal = ratatui::init();
    let shown = show(context, &mut model, &mut terminal, &report, &mut reports).await;
    ratatui::restore();
    is_over.store(true, Ordering::SeqCst);
    looking.abort();
    listening.abort();
    let _ = keys.join();
    shown
}

async fn show(
    context: &Context,
    model: &mut Model,
    terminal: &mut ratatui::DefaultTerminal,
    report: &mpsc::Sender<Report>,
    reports: &mut mpsc::Receiver<Report>,
) -> Result<(), Failure> {
    // Countdowns go on when nothing else happens.
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        model.set_time(super::text::now_s());
        terminal
            .draw(|frame| draw::draw(frame, model))
            .map_err(|error| Failure::own("the terminal", error))?;
        let news = tokio::select! {
            news = reports.recv() => news,
            _ = ticks.tick() => continue,
        };
        let user = context.known_user();
        match news {
            None => return Ok(()),
            Some(Report::Resized) => {}
            Some(Report::Channels(channels)) => model.set_channels(channels),
            Some(Report::Balances(balances)) => model.set_balances(balances),
            Some(Report::Event(event)) => {
                if let Some(user) = user {
                    model.happen(&event, user);
                }
            }
            Some(Report::Proposals(proposals)) => {
                proposals
                    .into_iter()
                    .for_each(|proposal| model.wait_for(proposal));
            }
            Some(Report::Done(done, answered)) => model.done(done, &answered),
            Some(Report::Trouble(trouble)) => model.note(trouble, true),
            Some(Report::Key(key)) => match model.press(key) {
                Action::Nothing => {}
                Action::Quit => return Ok(()),
                Action::Do(line) => {
                    let mut beside = context.beside();
                    beside.seen = Some(Arc::new(Mutex::new(model.waiting())));
                    tokio::spawn(do_line(beside, line, report.clone()));
                }
            },
        }
    }
}

fn read_keys(report: &mpsc::Sender<Report>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        match event::poll(Duration::from_millis(100)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return,
        }
        let read = match event::read() {
            Ok(KeyEvent::Key(key)) if key.kind != KeyEventKind::Release => Report::Key(key),
            Ok(KeyEvent::Resize(..)) => Report::Resized,
            Ok(_) => continue,
            Err(_) => return,
        };
        if report.blocking_send(read).is_err() {
            return;
        }
    }
}

/// Looks at channels and balances, again and again.
async fn look(mut context: Context, report: mpsc::Sender<Report>) {
    let mut was_well = true;
    for round in 0_u32.. {
        let news = match channels::all(&mut context).await {
            Ok(channels) => {
                was_well = true;
                Some(Report::Channels(channels))
            }
            // Once is enough.
            Err(failure) if was_well => {
                was_well = false;
                Some(Report::Trouble(failure.to_string()))
            }
            Err(_) => None,
        };
        if let Some(news) = news
            && report.send(news).await.is_err()
        {
            return;
        }
        if round % BALANCES_EVERY == 0
            && let Some(balances) = balances(&mut context).await
        {
            let _ = report.send(Report::Balances(balances)).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn balances(context: &mut Context) -> Option<Vec<String>> {
    let node = context.node().await.ok()?;
    if node.is_plaintext {
        return None;
    }
    let session_id = context.user().await.ok()?.session_id;
    let balances = node.balances(session_id).await.ok()?.balances.into_iter();
    Some(
        balances
            .map(|one| format!("{} {}", one.amount, one.currency))
            .collect(),
    )
}

async fn listen(mut context: Context, report: mpsc::Sender<Report>) {
    let started = async {
        let node = context.node().await?;
        let user = context.user().await?;
        feed::start(node, user).await
    };
    let mut events = match started.await {
        Ok(events) => events,
        Err(failure) => {
            let _ = report.send(Report::Trouble(failure.to_string())).await;
            return;
        }
    };
    while let Some(told) = events.recv().await {
        let news = match told {
            Ok(event) => Report::Event(Box::new(event)),
            Err(failure) => Report::Trouble(format!("no more events: {failure}")),
        };
        let is_proposal = matches!(&news, Report::Event(event) if event.kind() == Kind::Proposed);
        if report.send(news).await.is_err() {
            return;
        }
        // The event itself does not say who would have how much.
        if is_proposal && let Ok(proposals) = waiting::proposals(&mut context).await {
            let _ = report.send(Report::Proposals(proposals)).await;
        }
    }
}

async fn do_line(mut context: Context, line: String, report: mpsc::Sender<Report>) {
    let before = context.seen_ids();
    let done = match typed::line(&line) {
        Ok(Some(line)) => {
            context.begin_line(line.call);
            match commands::run(&mut context, line.command).await {
                Ok(answer) => Ok(answer.render(super::answer::Style::Plain)),
                Err(failure) => {
                    let repeat = context.key_to_repeat(&failure).map(super::how_to_repeat);
                    Err(format!("{failure}{}", repeat.unwrap_or_default()))
                }
            }
        }
        Ok(None) => return,
        Err(typed::Stop::Said(text)) => Ok(text),
        Err(typed::Stop::Wrong(failure)) => Err(failure.to_string()),
    };
    let after = context.seen_ids();
    let answered = before
        .into_iter()
        .filter(|id| !after.contains(id))
        .collect();
    let _ = report.send(Report::Done(done, answered)).await;
}
