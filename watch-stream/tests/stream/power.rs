//! Power cuts at every write, before and after it took effect.

use std::collections::HashMap;

use perun_protocol::{ChannelId, Version};
use perun_watch_stream::{Author, Heard, Message, SignedHeader, Subscriber};

use crate::world::{CHANNEL, Cut, Flash, Random, identity_key, owner, participant, payload};

/// Everything that left the devices, with the run of the author that it left in.
#[derive(Default)]
struct Seen {
    messages: Vec<(u32, Vec<u8>)>,
}

impl Seen {
    /// Checks what must hold of all that was ever sent, whatever was cut.
    fn check(&self) {
        let mut signed = HashMap::<(u8, u64), SignedHeader>::new();
        let mut keyloads = HashMap::new();
        for (run, bytes) in &self.messages {
            let message = Message::parse(bytes).unwrap();
            let header = message.header();
            let Some(header_signed) = message.signed() else {
                continue;
            };
            let who = u8::from(header.kind.is_authors());
            let before = signed.insert((who, header.number.0), header_signed);
            assert!(
                before.is_none(),
                "number {} was signed twice",
                header.number.0
            );
            match bytes[2] {
                4 => {
                    let before = keyloads.insert(header.epoch, *run);
                    assert_eq!(before, None, "epoch {} was opened twice", header.epoch.0);
                }
                5 => assert_eq!(
                    keyloads.get(&header.epoch),
                    Some(run),
                    "an epoch of another run"
                ),
                _ => {}
            }
        }
    }
}

/// The author's device through a life of 40 states, two watchers, and a removal; it is started anew after
/// each cut. Returns how many writes it made.
fn authors_life(cut: Option<Cut>) -> usize {
    let mut random = Random::new(4);
    let flash = Flash::default();
    if let Some(cut) = cut {
        flash.cut_at(cut);
    }
    let mut seen = Seen::default();
    let mut run = 0;
    let mut author = loop {
        let channel = ChannelId::from_bytes(CHANNEL);
        match Author::create(flash.clone(), channel, &owner(), &mut random) {
            Ok(author) => break author,
            Err(_) => {
                flash.power_on();
                if let Some(author) = Author::start(flash.clone()).unwrap() {
                    break author;
                }
            }
        }
    };
    let announcement = author.announcement();
    let mut watchers = [0x41, 0x42].map(|seed| {
        let channel = ChannelId::from_bytes(CHANNEL);
        let flash = Flash::default();
        let identity = [seed; 32];
        Subscriber::follow(
            flash,
            &announcement,
            channel,
            participant(),
            &identity,
            &mut random,
        )
        .unwrap()
    });
    // A step is repeated until it succeeds; a cut in between starts the device anew.
    macro_rules! until_done {
        ($step:expr) => {
            loop {
                match $step {
                    Ok(done) => break done,
                    Err(_) => {
                        flash.power_on();
                        author = Author::start(flash.clone()).unwrap().unwrap();
                        run += 1;
                    }
                }
            }
        };
    }
    for (watcher, seed) in watchers.iter_mut().zip([0x41, 0x42]) {
        until_done!(author.allow(identity_key(seed)));
        // After the cut the subscription may have been taken up already.
        until_done!(author.receive(&watcher.subscribe(&mut random).unwrap()));
    }
    let mut text = [0; 1_280];
    for version in 0..40 {
        if version == 20 {
            let removed = watchers[1].id();
            until_done!({
                let is_there = author.watchers().iter().any(|it| it.id() == removed);
                if is_there {
                    author.remove(removed)
                } else {
                    Ok(())
                }
            });
        }
        loop {
            if author.is_epoch_due() {
                let keyload = until_done!(author.open_epoch(&mut random).map(<[u8]>::to_vec));
                watchers
                    .iter_mut()
                    .for_each(|it| _ = it.receive(&keyload, &mut text));
                seen.messages.push((run, keyload));
            }
            let published = author.publish(Version::new(version), &[], &payload(version));
            if let Ok(packet) = published.map(<[u8]>::to_vec) {
                for watcher in &mut watchers {
                    let _ = watcher.receive(&packet, &mut text);
                }
                seen.messages.push((run, packet));
                break;
            }
            flash.power_on();
            author = Author::start(flash.clone()).unwrap().unwrap();
            run += 1;
        }
        watchers[0].stored(Version::new(version)).unwrap();
        // Who was removed never reads on, whatever was cut when.
        let newest = watchers[1].is_member();
        assert_eq!(newest, Some(version < 20));
    }
    assert_eq!(author.announcement(), announcement);
    let ack = watchers[0].ack().unwrap();
    let heard = author.receive(&ack).unwrap();
    assert!(matches!(
        heard,
        Heard::Acked {
            is_ahead: false,
            ..
        }
    ));
    assert_eq!(author.guarded_by(Version::new(39)), 1);
    assert_eq!(watchers[0].fork(), None);
    seen.check();
    flash.writes()
}

#[test]
fn the_author_survives_a_cut_at_every_write() {
    let writes = authors_life(None);
    assert!(writes > 8, "{writes}");
    for write in 0..writes {
        authors_life(Some(Cut::Before(write)));
        authors_life(Some(Cut::After(write)));
    }
}

/// A watcher's device through a rotation, a fork and 40 acks.
fn watchers_life(cut: Option<Cut>) -> usize {
    let mut random = Random::new(4);
    let channel = ChannelId::from_bytes(CHANNEL);
    let authors_flash = Flash::default();
    let mut author = Author::create(authors_flash.clone(), channel, &owner(), &mut random).unwrap();
    let announcement = author.announcement();
    author.allow(identity_key(0x41)).unwrap();
    let flash = Flash::default();
    if let Some(cut) = cut {
        flash.cut_at(cut);
    }
    let follow = |random: &mut Random| {
        let identity = [0x41; 32];
        Subscriber::follow(
            flash.clone(),
            &announcement,
            channel,
            participant(),
            &identity,
            random,
        )
    };
    let mut watcher = loop {
        match follow(&mut random) {
            Ok(watcher) => break watcher,
            Err(_) => {
                flash.power_on();
                if let Some(watcher) = Subscriber::start(flash.clone()).unwrap() {
                    break watcher;
                }
            }
        }
    };
    let mut text = [0; 1_280];
    let mut seen = Seen::default();
    let mut keyload = Vec::new();
    macro_rules! until_done {
        ($step:expr) => {
            loop {
                match $step {
                    Ok(done) => break done,
                    Err(_) => {
                        flash.power_on();
                        watcher = Subscriber::start(flash.clone()).unwrap().unwrap();
                        let _ = watcher.receive(&keyload, &mut text);
                    }
                }
            }
        };
    }
    author
        .receive(&until_done!(watcher.subscribe(&mut random)))
        .unwrap();
    let mut acked = None;
    for version in 0..40 {
        if version == 10 {
            until_done!(watcher.rotate(&mut random));
            author.receive(&until_done!(watcher.ack())).unwrap();
            author = Author::start(authors_flash.clone()).unwrap().unwrap();
        }
        if author.is_epoch_due() {
            keyload = author.open_epoch(&mut random).unwrap().to_vec();
            if watcher.receive(&keyload, &mut text).is_err() {
                flash.power_on();
                watcher = Subscriber::start(flash.clone()).unwrap().unwrap();
                // Sealed to the new key, which is in the flash before the author learns of it.
                watcher.receive(&keyload, &mut text).unwrap();
            }
        }
        let published = author.publish(Version::new(version), &[], &payload(version));
        let packet = published.unwrap().to_vec();
        watcher.receive(&packet, &mut text).unwrap();
        until_done!(watcher.stored(Version::new(version)));
        let before = watcher.stored_version();
        let ack = until_done!(watcher.ack());
        seen.messages.push((0, ack.to_vec()));
        let heard = author.receive(&ack).unwrap();
        let Heard::Acked { acked: told, .. } = heard else {
            panic!("{heard:?}");
        };
        // Only what is stored is told, and it never falls.
        assert_eq!(Some(told.version), before);
        assert!(acked < Some(told.version));
        acked = Some(told.version);
    }
    seen.check();
    flash.writes()
}

#[test]
fn a_watcher_survives_a_cut_at_every_write() {
    let writes = watchers_life(None);
    assert!(writes > 40, "{writes}");
    for write in 0..writes {
        watchers_life(Some(Cut::Before(write)));
        watchers_life(Some(Cut::After(write)));
    }
}
