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
    let expected = include_str!("../../../../tests/cli/top-110x20.txt");
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
