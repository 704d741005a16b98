//! What the screen shows.

use std::collections::{HashMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::words::{self, Target};
use crate::api::v1;
use crate::api::v1::event::Kind as EventKind;
use crate::cli::answer::harmless;
use crate::cli::channels::{Channel, Share};
use crate::cli::commands::event_line;
use crate::cli::context::User;
use crate::cli::feed;
use crate::cli::waiting::{Kind, Waiting};

/// How many lines the log keeps.
const LOG: usize = 500;
/// The longest line that can be typed.
const INPUT: usize = 1000;

/// What the screen shows.
#[derive(Default)]
pub struct Model {
    /// Where the node listens.
    pub node: String,
    /// Whose session it is.
    pub user: String,
    /// On the ledgers.
    pub balances: Vec<String>,
    /// The node's time, in seconds since 1970.
    pub now_s: i64,
    /// What is being typed.
    pub input: String,
    /// What happened, newest last.
    pub log: VecDeque<Note>,
    /// How many commands are under way.
    pub running: usize,
    /// The first row shown.
    pub first: usize,
    channels: Vec<Channel>,
    waiting: Vec<Waiting>,
    /// Numbers of rows, by channel or proposal id.
    numbers: HashMap<String, u32>,
    /// How far the node's clock is ahead, in seconds.
    ahead_s: i64,
}

/// A line of the log.
pub struct Note {
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// What.
    pub text: String,
    /// Whether it is bad news.
    pub is_bad: bool,
}

/// A row of the table.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// What commands name it by.
    pub number: u32,
    /// In a word.
    pub phase: &'static str,
    /// With whom.
    pub peer: String,
    /// Whether it is there; unknown of proposals.
    pub is_connected: Option<bool>,
    /// What there is.
    pub shares: Vec<Share>,
    /// The version, with "F" if it is on its way out.
    pub version: String,
    /// How well it is watched.
    pub watch: Watch,
    /// What waits for the user: what, what it would be, and how many seconds are left.
    pub waiting: Option<(Kind, Vec<Share>, i64)>,
}

/// How well a channel is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watch {
    /// The node does not say.
    Unknown,
    /// The newest view is so many seconds old.
    Seen(f64),
    /// Something is registered, and can be refuted for so many seconds.
    Refute(f64),
}

/// What a key asks for.
#[derive(Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// To do a command of the shell.
    Do(String),
    /// To leave.
    Quit,
}

impl Model {
    /// Of a user at a node, whose clock is so far ahead.
    pub fn new(node: &str, user: &str, ahead_s: i64) -> Self {
        Self {
            node: node.into(),
            user: user.into(),
            ahead_s,
            ..Self::default()
        }
    }

    /// It is so late here.
    pub fn set_time(&mut self, now_s: i64) {
        self.now_s = now_s + self.ahead_s;
        let now_s = self.now_s;
        self.waiting.retain(|waiting| waiting.expiry_s >= now_s);
    }

    /// These are the channels now.
    pub fn set_channels(&mut self, channels: Vec<Channel>) {
        for channel in &channels {
            number(&mut self.numbers, &channel.info.ch_id);
        }
        let is_there = |id: &str| channels.iter().any(|channel| channel.info.ch_id == id);
        self.waiting
            .retain(|one| one.kind == Kind::Proposal || is_there(&one.channel));
        self.channels = channels;
    }

    /// That much is on the ledgers.
    pub fn set_balances(&mut self, balances: Vec<String>) {
        self.balances = balances;
    }

    /// Something waits for the user.
    pub fn wait_for(&mut self, waiting: Waiting) {
        if waiting.kind == Kind::Proposal {
            number(&mut self.numbers, &waiting.id);
        }
        self.waiting.retain(|one| one.id != waiting.id);
        self.waiting.push(waiting);
    }

    /// Something has happened.
    pub fn happen(&mut self, event: &v1::Event, user: &User) {
        match feed::waiting(event, user) {
            Some(waiting) => self.wait_for(waiting),
            None => feed::remember(&mut self.waiting, event, user),
        }
        let is_bad = matches!(
            event.kind(),
            EventKind::Failed | EventKind::Disputed | EventKind::Missed
        );
        self.note(event_line(event, user), is_bad);
    }

    /// A command has ended, and these have got their answer by it.
    pub fn done(&mut self, done: Result<String, String>, answered: &[String]) {
        self.running = self.running.saturating_sub(1);
        self.waiting
            .retain(|waiting| !answered.contains(&waiting.id));
        match done {
            Ok(answer) => answer
                .lines()
                .for_each(|line| self.note(line.into(), false)),
            Err(failure) => self.note(failure, true),
        }
    }

    /// Writes into the log.
    pub fn note(&mut self, text: String, is_bad: bool) {
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(Note {
            at_s: self.now_s,
            text: harmless(&text).replace(['\n', '\t'], " "),
            is_bad,
        });
    }

    /// What waits for the user.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.waiting.clone()
    }

    /// The rows of the table: channels, then proposals.
    pub fn rows(&self) -> Vec<Row> {
        let channels = self
            .channels
            .iter()
            .map(|channel| self.channel_row(channel));
        let proposals = self.waiting.iter().filter(|one| one.kind == Kind::Proposal);
        let proposals = proposals.map(|proposal| Row {
            number: self.numbers.get(&proposal.id).copied().unwrap_or(0),
            phase: "proposed",
            peer: proposal.peer.clone(),
            is_connected: None,
            shares: proposal.shares.clone(),
            version: String::new(),
            watch: Watch::Unknown,
            waiting: Some((Kind::Proposal, Vec::new(), proposal.expiry_s - self.now_s)),
        });
        let mut rows: Vec<Row> = channels.chain(proposals).collect();
        rows.sort_by_key(|row| row.number);
        rows
    }

    fn channel_row(&self, channel: &Channel) -> Row {
        let id = &channel.info.ch_id;
        let waits = self.waiting.iter().filter(|waiting| waiting.channel == *id);
        let waiting = waits.max_by_key(|waiting| waiting.expiry_s);
        let watch = channel.watch.as_ref();
        let phase = watch.map_or(v1::channel::Phase::Open, v1::Channel::phase);
        let is_final = phase == v1::channel::Phase::Settling;
        Row {
            number: self.numbers.get(id).copied().unwrap_or(0),
            phase: crate::cli::channels::phase(phase),
            peer: channel.peer.clone(),
            is_connected: watch.map(|watch| watch.peer_connected),
            shares: channel.shares(),
            version: format!(
                "{}{}",
                channel.info.version,
                if is_final { " F" } else { "" }
            ),
            watch: match watch {
                None => Watch::Unknown,
                Some(watch) if watch.refutation_left_s > 0.0 => {
                    Watch::Refute(watch.refutation_left_s)
                }
                Some(watch) => Watch::Seen(watch.view_age_s),
            },
            waiting: waiting.map(|one| (one.kind, one.shares.clone(), one.expiry_s - self.now_s)),
        }
    }

    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) -> Action {
        match (key.code, key.modifiers) {
            (KeyCode::Esc, _) => return Action::Quit,
            (KeyCode::Char('c' | 'd'), KeyModifiers::CONTROL) => return Action::Quit,
            (KeyCode::Char('u'), KeyModifiers::CONTROL) => self.input.clear(),
            (KeyCode::Char(c), KeyModifiers::NONE | KeyModifiers::SHIFT)
                if self.input.len() < INPUT && !c.is_control() =>
            {
                self.input.push(c);
            }
            (KeyCode::Backspace, _) => {
                self.input.pop();
            }
            (KeyCode::Down, _) => {
                let rows = self.channels.len() + self.waiting.len();
                self.first = (self.first + 1).min(rows.saturating_sub(1));
            }
            (KeyCode::Up, _) => self.first = self.first.saturating_sub(1),
            (KeyCode::Enter, _) => return self.enter(),
            _ => {}
        }
        Action::Nothing
    }

    fn enter(&mut self) -> Action {
        let input = std::mem::take(&mut self.input);
        if matches!(input.trim(), "exit" | "quit" | "q") {
            return Action::Quit;
        }
        if input.trim().is_empty() {
            return Action::Nothing;
        }
        self.note(format!("> {input}"), false);
        match words::command(&input, |number| self.target(number)) {
            Ok(line) => {
                self.running += 1;
                Action::Do(line)
            }
            Err(wrong) => {
                self.note(wrong, true);
                Action::Nothing
            }
        }
    }

    fn target(&self, number: u32) -> Option<Target> {
        let (id, _) = self.numbers.iter().find(|(_, known)| **known == number)?;
        if self
            .channels
            .iter()
            .any(|channel| channel.info.ch_id == *id)
        {
            return Some(Target::Channel(id.clone()));
        }
        let is_proposal = |waiting: &&Waiting| waiting.kind == Kind::Proposal && waiting.id == *id;
        self.waiting
            .iter()
            .find(is_proposal)
            .map(|one| Target::Proposal(one.id.clone()))
    }
}

fn number(numbers: &mut HashMap<String, u32>, id: &str) {
    let next = u32::try_from(numbers.len() + 1).unwrap_or(u32::MAX);
    numbers.entry(id.to_owned()).or_insert(next);
}
