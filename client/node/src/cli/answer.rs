//! What a command answers: one object for programs, and lines and tables for people.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// What a command answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// For programs: with `--json` it is all that is printed, one object a line.
    pub objects: Vec<Value>,
    /// For people.
    pub blocks: Vec<Block>,
}

/// A part of what people read.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A line, or several.
    Text(String),
    /// Columns with headings.
    Rows(Rows),
    /// Something for a terminal only: a picture.
    Picture(String),
}

/// Columns with headings.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// What the columns are.
    pub headings: Vec<&'static str>,
    /// Their values.
    pub rows: Vec<Vec<String>>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// Objects.
    Json,
    /// Text for other programs: columns by tabs, no colours, no pictures.
    Plain,
    /// Text for a terminal of so many columns.
    Terminal {
        /// How wide it is.
        columns: u16,
    },
}

impl Answer {
    /// An object, and a line.
    pub fn new(object: Value, text: impl Into<String>) -> Self {
        Self {
            objects: vec![object],
            blocks: vec![Block::Text(text.into())],
        }
    }

    /// With one more part.
    #[must_use]
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// With a table, or words if there is nothing in it.
    #[must_use]
    pub fn with_rows(self, headings: &[&'static str], rows: Vec<Vec<String>>, none: &str) -> Self {
        if rows.is_empty() {
            return self.with(Block::Text(none.into()));
        }
        self.with(Block::Rows(Rows {
            headings: headings.to_vec(),
            rows,
        }))
    }

    /// As text, with a line feed at its end if there is anything.
    pub fn render(&self, style: Style) -> String {
        let mut text = String::new();
        match style {
            Style::Json => {
                for object in &self.objects {
                    text.push_str(&object.to_string());
                    text.push('\n');
                }
            }
            Style::Plain | Style::Terminal { .. } => {
                for block in &self.blocks {
                    let shown = block.render(style);
                    text.push_str(&shown);
                    if !shown.is_empty() && !shown.ends_with('\n') {
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    /// To the standard output.
    pub fn print(&self, style: Style) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.render(style).as_bytes())?;
        out.flush()
    }
}

impl Block {
    fn render(&self, style: Style) -> String {
        match (self, style) {
            (Self::Text(text), _) => harmless(text),
            (Self::Picture(picture), Style::Terminal { .. }) => picture.clone(),
            (Self::Picture(_), _) => String::new(),
            (Self::Rows(rows), Style::Terminal { columns }) => rows.table(columns),
            (Self::Rows(rows), _) => rows.tabs(),
        }
    }
}

impl Rows {
    fn table(&self, columns: u16) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns)
            .set_header(&self.headings);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| harmless(cell)));
        }
        table.to_string()
    }

    fn tabs(&self) -> String {
        let mut text = self.headings.join("\t");
        for row in &self.rows {
            text.push('\n');
            let cells: Vec<String> = row
                .iter()
                .map(|cell| harmless(cell).replace(['\n', '\t'], " "))
                .collect();
            text.push_str(&cells.join("\t"));
        }
        text
    }
}

impl Style {
    /// What suits the standard output.
    pub fn of_stdout(json: bool) -> Self {
        if json {
            Self::Json
        } else if io::stdout().is_terminal() {
            let columns = ratatui::crossterm::terminal::size().map_or(80, |(columns, _)| columns);
            Self::Terminal { columns }
        } else {
            Self::Plain
        }
    }
}

/// Without what would steer a terminal: names, memos and reasons come from others.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // The latter turn the direction of writing, so that something else is read than is there.
        let is_turning = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n' && c != '\t') || is_turning {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether errors and notices may be coloured: on a terminal, unless `NO_COLOR` is set to anything.
pub fn may_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Answer {
        Answer::new(json!({ "b": 1, "a": "x" }), "Two channels.")
            .with_rows(
                &["Alias", "Own"],
                vec![
                    vec!["ch_1_bob".into(), "1.5 ICP".into()],
                    vec!["ch_2_carol".into(), "2 ICP".into()],
                ],
                "none",
            )
            .with(Block::Picture("##".into()))
    }

    #[test]
    fn programs_get_one_object_a_line() {
        assert_eq!(answer().render(Style::Json), "{\"a\":\"x\",\"b\":1}\n");
    }

    #[test]
    fn pipes_get_tabs_and_no_pictures() {
        let expected = "Two channels.\nAlias\tOwn\nch_1_bob\t1.5 ICP\nch_2_carol\t2 ICP\n";
        assert_eq!(answer().render(Style::Plain), expected);
    }

    #[test]
    fn terminals_get_tables_that_fit() {
        for columns in [1, 10, 40, 200] {
            let text = answer().render(Style::Terminal { columns });
            assert!(text.contains("##"), "{text}");
        }
        let text = answer().render(Style::Terminal { columns: 40 });
        assert!(text.contains("ch_2_carol"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
    }

    #[test]
    fn nobody_elses_text_steers_the_terminal() {
        let shown = Answer::new(json!({}), "a\u{1b}[2Jb\u{202e}c").render(Style::Plain);
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{202e}c\n");
    }

    #[test]
    fn nothing_is_said_in_words() {
        let empty = Answer::default().with_rows(&["Alias"], Vec::new(), "No channels.");
        assert_eq!(empty.render(Style::Plain), "No channels.\n");
    }
}
