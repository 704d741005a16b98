//! What is shown while something takes its time.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Context;
use crate::cli::answer::{Style, may_colour};

impl Context {
    /// Shows on a terminal that something takes its time, until it is dropped.
    pub fn progress(&self, what: impl Into<String>) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        if !is_terminal || !matches!(self.style, Style::Terminal { .. }) || !self.may_ask {
            return Progress(None);
        }
        let template = if may_colour(true) {
            "{spinner:.cyan} {msg} ({elapsed})"
        } else {
            "{spinner} {msg} ({elapsed})"
        };
        let style = ProgressStyle::with_template(template).expect("the template is right");
        let bar = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(what.into());
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(Some(bar))
    }
}

/// A spinner.
pub struct Progress(Option<ProgressBar>);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
