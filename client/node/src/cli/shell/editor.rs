//! The line editor, on a thread of its own: it blocks, and others print above its prompt.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, mpsc};

use reedline::{
    ColumnarMenu, Emacs, ExternalPrinter, FileBackedHistory, KeyCode, KeyModifiers,
    MenuBuilder as _, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent,
    ReedlineMenu, Signal, default_emacs_keybindings,
};
use tokio::sync::mpsc as async_mpsc;

use super::{Completions, Known};
use crate::cli::answer::may_colour;
use crate::cli::config::folder;
use crate::cli::failure::Failure;

/// How many lines the history has.
const HISTORY: usize = 2000;
/// How many notices wait to be printed; more are dropped.
const NOTICES: usize = 256;

/// What was typed.
pub enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-C.
    Nothing,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// The editor.
pub struct Editor {
    prompts: mpsc::Sender<String>,
    lines: async_mpsc::UnboundedReceiver<Result<Typed, String>>,
    printer: Printer,
}

/// Prints above the prompt, or at once if there is none.
#[derive(Clone)]
pub struct Printer {
    above: SyncSender<String>,
    is_reading: Arc<AtomicBool>,
}

impl Editor {
    /// Starts the thread.
    pub fn start(known: Arc<Mutex<Known>>) -> Result<Self, Failure> {
        let external = ExternalPrinter::new(NOTICES);
        let is_reading = Arc::new(AtomicBool::new(false));
        let printer = Printer {
            above: external.sender(),
            is_reading: Arc::clone(&is_reading),
        };
        let mut editor = reedline(known).with_external_printer(external);
        let (prompts, asked) = mpsc::channel::<String>();
        let (typed, lines) = async_mpsc::unbounded_channel();
        let read = move || {
            while let Ok(name) = asked.recv() {
                is_reading.store(true, Ordering::SeqCst);
                let read = editor.read_line(&Name(name));
                is_reading.store(false, Ordering::SeqCst);
                let read = match read {
                    Ok(Signal::Success(line)) => {
                        // Nobody waits for this thread at the end, so nothing is left to be written.
                        let _ = editor.sync_history();
                        Ok(Typed::Line(line))
                    }
                    Ok(Signal::CtrlC) => Ok(Typed::Nothing),
                    Ok(_) => Ok(Typed::End),
                    Err(error) => Err(error.to_string()),
                };
                if typed.send(read).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("editor".into());
        thread
            .spawn(read)
            .map_err(|error| Failure::own("a thread", error))?;
        Ok(Self {
            prompts,
            lines,
            printer,
        })
    }

    /// Reads a line.
    pub async fn read(&mut self, prompt: String) -> Result<Typed, Failure> {
        let gone = || Failure::Own("the line editor has ended".into());
        self.prompts.send(prompt).map_err(|_| gone())?;
        let read = self.lines.recv().await.ok_or_else(gone)?;
        read.map_err(|error| Failure::own("the terminal", error))
    }

    /// For notices.
    pub fn printer(&self) -> Printer {
        self.printer.clone()
    }
}

impl Printer {
    /// Prints a line.
    pub fn print(&self, line: String) {
        if self.is_reading.load(Ordering::SeqCst) {
            // Whoever does not come to reading so many has other worries.
            let _ = self.above.try_send(line);
        } else {
            println!("{line}");
        }
    }
}

fn reedline(known: Arc<Mutex<Known>>) -> Reedline {
    let menu = ColumnarMenu::default().with_name("completions");
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu("completions".into()),
            ReedlineEvent::MenuNext,
        ]),
    );
    let editor = Reedline::create()
        .with_completer(Box::new(Completions::new(known)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_ansi_colors(may_colour(true));
    match history() {
        Some(history) => editor.with_history(Box::new(history)),
        None => editor,
    }
}

/// Of earlier shells, where there is a place for it.
fn history() -> Option<FileBackedHistory> {
    let folder = folder("XDG_STATE_HOME", ".local/state")?;
    std::fs::create_dir_all(&folder).ok()?;
    FileBackedHistory::with_file(HISTORY, folder.join("history")).ok()
}

/// The prompt: whose session it is.
struct Name(String);

impl Prompt for Name {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("… ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search {}) ", search.term))
    }
}
