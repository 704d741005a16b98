//! The screen, drawn from the model and nothing else.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row as TableRow, Table};

use super::model::{Model, Row, Watch};
use super::words::HELP;
use crate::cli::answer::{harmless, may_colour};
use crate::cli::channels::Share;
use crate::cli::text::instant_s;
use crate::cli::waiting::Kind;

/// Below this there is room for the balances of channels only.
const NARROW: u16 = 70;
/// Below this there is no room for frames.
const LOW: u16 = 14;

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let is_low = area.height < LOW;
    let [head, table, log, input] = if is_low {
        let parts = [
            Constraint::Length(1),
            Constraint::Min(2),
            Constraint::Length(0),
            Constraint::Length(1),
        ];
        Layout::vertical(parts).areas(area)
    } else {
        let log = (area.height / 3).max(4);
        let parts = [
            Constraint::Length(3),
            Constraint::Min(4),
            Constraint::Length(log),
            Constraint::Length(3),
        ];
        Layout::vertical(parts).areas(area)
    };
    draw_head(frame, head, model, is_low);
    draw_table(frame, table, model, is_low);
    draw_log(frame, log, model);
    draw_input(frame, input, model, is_low);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model, is_low: bool) {
    let balances = model.balances.join(", ");
    let on_chain = if balances.is_empty() {
        String::new()
    } else {
        format!("  on chain {balances}")
    };
    let text = format!("{}{on_chain}  {}", model.user, instant_s(model.now_s));
    let head = Paragraph::new(harmless(&text));
    if is_low {
        frame.render_widget(head, area);
    } else {
        let title = format!(" perun @ {} ", model.node);
        frame.render_widget(head.block(Block::bordered().title(title)), area);
    }
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, model: &Model, is_low: bool) {
    let is_narrow = area.width < NARROW;
    let rows = model.rows();
    let shown = rows
        .iter()
        .skip(model.first)
        .map(|row| table_row(row, model.now_s, is_narrow));
    let (headings, widths): (&[&str], &[Constraint]) = if is_narrow {
        (
            &["No", "Peer", "Own", "Peer's", "Waits"],
            &[
                Constraint::Length(3),
                Constraint::Fill(2),
                Constraint::Fill(3),
                Constraint::Fill(3),
                Constraint::Fill(3),
            ],
        )
    } else {
        (
            &[
                "No",
                "Phase",
                "Peer",
                "Own",
                "Peer's",
                "Version",
                "Watched",
                "Waits for you",
            ],
            &[
                Constraint::Length(3),
                Constraint::Length(9),
                Constraint::Fill(2),
                Constraint::Fill(3),
                Constraint::Fill(3),
                Constraint::Length(8),
                Constraint::Length(12),
                Constraint::Fill(4),
            ],
        )
    };
    let header =
        TableRow::new(headings.iter().copied()).style(Style::new().add_modifier(Modifier::BOLD));
    let mut table = Table::new(shown, widths).header(header).column_spacing(1);
    if !is_low {
        let title = format!(" channels ({}) ", rows.len());
        table = table.block(Block::bordered().title(title));
    }
    frame.render_widget(table, area);
}

fn table_row(row: &Row, now_s: i64, is_narrow: bool) -> TableRow<'static> {
    let column = |value: fn(&Share) -> String| -> Cell<'static> {
        let values: Vec<String> = row.shares.iter().map(value).collect();
        Cell::from(harmless(&values.join(" + ")))
    };
    let own = column(|share| format!("{} {}", share.own, share.currency));
    let peers = column(|share| share.peer.clone());
    let peer = match row.is_connected {
        Some(false) => {
            Cell::from(format!("{} ✗", harmless(&row.peer))).style(colour(Color::DarkGray))
        }
        _ => Cell::from(harmless(&row.peer)),
    };
    let number = Cell::from(row.number.to_string());
    let waits = waits(row, now_s);
    if is_narrow {
        return TableRow::new([number, peer, own, peers, waits]);
    }
    let phase = match row.phase {
        "disputed" => Cell::from("disputed").style(colour(Color::Red)),
        phase => Cell::from(phase),
    };
    let version = Cell::from(row.version.clone());
    TableRow::new([
        number,
        phase,
        peer,
        own,
        peers,
        version,
        watched(row.watch),
        waits,
    ])
}

fn watched(watch: Watch) -> Cell<'static> {
    match watch {
        Watch::Unknown => Cell::from(""),
        Watch::Seen(age_s) if age_s > 60.0 => {
            Cell::from(format!("{age_s:.0} s old")).style(colour(Color::Yellow))
        }
        Watch::Seen(age_s) => Cell::from(format!("{age_s:.0} s old")),
        Watch::Refute(left_s) => {
            Cell::from(format!("refute {left_s:.0} s")).style(colour(Color::Red))
        }
    }
}

/// What waits for the user. It blinks: every other second it is shown in reverse.
fn waits(row: &Row, now_s: i64) -> Cell<'static> {
    let Some((kind, after, left_s)) = &row.waiting else {
        return Cell::from("");
    };
    let what = match kind {
        Kind::Proposal => "answer".to_owned(),
        Kind::Close => "close".to_owned(),
        Kind::Update => {
            let own: Vec<String> = after.iter().map(|share| share.own.clone()).collect();
            format!("own {}", harmless(&own.join(" + ")))
        }
    };
    let style = if now_s % 2 == 0 {
        colour(Color::Yellow).add_modifier(Modifier::REVERSED)
    } else {
        colour(Color::Yellow)
    };
    Cell::from(format!("{what}? {left_s} s")).style(style)
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let room = usize::from(area.height.saturating_sub(2));
    let newest = model.log.iter().skip(model.log.len().saturating_sub(room));
    let lines: Vec<Line<'_>> = newest
        .map(|note| {
            let time = instant_s(note.at_s);
            // The hour is enough.
            let time = time.get(11..19).unwrap_or(&time).to_owned();
            let style = if note.is_bad {
                colour(Color::Red)
            } else {
                Style::new()
            };
            Line::from(vec![
                Span::styled(format!("{time} "), colour(Color::DarkGray)),
                Span::styled(note.text.as_str(), style),
            ])
        })
        .collect();
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" events ")),
        area,
    );
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, model: &Model, is_low: bool) {
    let border = if is_low { 0 } else { 1 };
    let room = usize::from(area.width.saturating_sub(2 * border + 3));
    // The end of what is typed is seen.
    let skipped = model.input.chars().count().saturating_sub(room);
    let typed: String = model.input.chars().skip(skipped).collect();
    let line = Line::from(format!("> {typed}"));
    let cursor = u16::try_from(line.width()).unwrap_or(u16::MAX);
    let input = Paragraph::new(line);
    if is_low {
        frame.render_widget(input, area);
    } else {
        let title = match model.running {
            0 => format!(" {HELP} "),
            running => format!(" {running} under way · {HELP} "),
        };
        frame.render_widget(input.block(Block::bordered().title(title)), area);
    }
    let (x, y) = (
        area.x.saturating_add(border + cursor),
        area.y.saturating_add(border),
    );
    if area.contains((x, y).into()) {
        frame.set_cursor_position((x, y));
    }
}

fn colour(colour: Color) -> Style {
    if may_colour(true) {
        Style::new().fg(colour)
    } else {
        Style::new()
    }
}

#[cfg(test)]
mod tests;
