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
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::model::Action;
    use super::*;
    use crate::api::{pb, v1};
    use crate::cli::channels::Channel;
    use crate::cli::waiting::Waiting;

    fn channel(id: &str, peer: &str, watch: v1::Channel) -> Channel {
        Channel {
            alias: format!("ch_1_{peer}"),
            peer: peer.into(),
            info: pb::PayChInfo {
                ch_id: id.into(),
                bal_info: Some(pb::BalInfo {
                    currencies: vec!["ICP".into()],
                    parts: vec!["self".into(), peer.into()],
                    bals: vec![pb::bal_info::Bal {
                        bal: vec!["1.5".into(), "2".into()],
                    }],
                }),
                version: "7".into(),
            },
            watch: Some(watch),
        }
    }

    fn waiting(kind: Kind, id: &str, channel: &str) -> Waiting {
        Waiting {
            kind,
            id: id.into(),
            channel: channel.into(),
            alias: "request_1_carol".into(),
            peer: "carol".into(),
            shares: vec![Share {
                currency: "ICP".into(),
                own: "1".into(),
                peer: "3".into(),
            }],
            expiry_s: 1009,
        }
    }

    fn model() -> Model {
        let mut model = Model::new("127.0.0.1:50001", "alice", 0);
        model.set_time(1000);
        model.set_balances(vec!["998.5 ICP".into()]);
        let open = v1::Channel {
            phase: v1::channel::Phase::Open.into(),
            peer_connected: true,
            view_age_s: 1.0,
            ..v1::Channel::default()
        };
        let disputed = v1::Channel {
            phase: v1::channel::Phase::Disputed.into(),
            refutation_left_s: 58.4,
            ..v1::Channel::default()
        };
        model.set_channels(vec![
            channel("c1", "bob", open),
            channel("c2", "dave", disputed),
        ]);
        model.wait_for(waiting(Kind::Proposal, "p1", ""));
        model.wait_for(waiting(Kind::Update, "c1_8", "c1"));
        model.note("bob is connected".into(), false);
        model.note("it failed\u{1b}[2J\nbadly".into(), true);
        model
    }

    fn drawn(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| -> String {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            let line: String = cells.collect();
            line.trim_end().to_owned()
        };
        (0..height).map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_screen_shows_everything() {
        let screen = drawn(&model(), 110, 20);
        let expected = include_str!("../../../tests/cli/top-110x20.txt");
        assert_eq!(screen.trim_end(), expected.trim_end(), "\n{screen}");
    }

    #[test]
    fn a_narrow_screen_shows_the_money() {
        let screen = drawn(&model(), 50, 20);
        for text in ["bob", "1.5 ICP", "answer? 9 s"] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
    }

    #[test]
    fn no_size_is_too_small() {
        let mut model = model();
        model.input = "send 1 0.5 ".repeat(30);
        for width in [1, 2, 3, 5, 9, 20, 69, 70, 300] {
            for height in [1, 2, 3, 4, 7, 13, 14, 15, 100] {
                drawn(&model, width, height);
                drawn(&Model::default(), width, height);
            }
        }
    }

    #[test]
    fn countdowns_go_down_and_end() {
        let mut model = model();
        model.set_time(1003);
        assert!(drawn(&model, 110, 20).contains("answer? 6 s"));
        model.set_time(1010);
        let screen = drawn(&model, 110, 20);
        assert!(
            !screen.contains("carol") && !screen.contains("own 1?"),
            "{screen}"
        );
    }

    #[test]
    fn what_is_typed_becomes_a_command() {
        let mut model = model();
        let mut typed = |text: &str| {
            for c in text.chars() {
                let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
                assert_eq!(model.press(key), Action::Nothing);
            }
            model.press(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE))
        };
        assert_eq!(
            typed("send 1 0.5"),
            Action::Do("payment send c1 0.5".into())
        );
        assert_eq!(typed("acc 3"), Action::Do("channel accept p1".into()));
        assert_eq!(typed("acc 1"), Action::Do("payment accept c1".into()));
        assert_eq!(typed("acc 9"), Action::Nothing);
        assert_eq!(typed("quit"), Action::Quit);
        let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(model.press(escape), Action::Quit);
        assert_eq!(model.running, 3);
        model.done(Err("no".into()), &["p1".into()]);
        assert_eq!(model.running, 2);
        assert_eq!(model.waiting().len(), 1);
    }

    #[test]
    fn many_rows_are_scrolled() {
        let mut model = model();
        for _ in 0..50 {
            model.press(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
        }
        drawn(&model, 80, 20);
        for _ in 0..50 {
            model.press(KeyEvent::new(KeyCode::Up, KeyModifiers::NONE));
        }
        assert!(drawn(&model, 110, 20).contains("bob"));
    }
}
