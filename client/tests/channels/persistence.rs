//! Clients that are stopped or killed, in whatever phase a channel is, and start again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use local_ic::{Fault, RejectCode, Target, Until};
use perun_client::Phase;
use perun_client::channel::CloseError;
use perun_client::client::StartError;
use perun_client::events::EventsError;
use perun_client::store::{FileStore, MemoryStore, Store, Write};
use perun_protocol::channel::Event;
use perun_protocol::payment::Payment;
use perun_protocol::wire::{Message, RejectCode as Refused};
use perun_protocol::{AssetIdx, Version};

use crate::disputes::{heal, in_background, no_disputes, paid_out, refuted, with_history};
use crate::rogue::{Rogue, proposal_by};
use crate::world::*;

/// A folder that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("perun-channels-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens it once whoever had it before is gone.
async fn file_store(folder: &Path, number: u8) -> Arc<dyn Store> {
    let path = folder.join(number.to_string());
    let mut store = None;
    until("an open store", || {
        store = FileStore::open(&path, &off_chain(number)).ok();
        store.is_some()
    })
    .await;
    Arc::new(store.unwrap())
}

fn payment(amount: u128) -> Payment {
    Payment {
        asset: AssetIdx::new(0),
        amount: units(amount),
        memo: None,
    }
}

/// The store's thread and those who pay meet all the time, and must never wait for each other.
#[test]
fn many_channels_share_the_flushes_of_one_store() {
    story(async {
        let world = World::shared().await;
        let scratch = Scratch::new();
        let (alice, bob) = (world.somebody(), world.somebody());
        let a = file_store(&scratch.0, alice.number()).await;
        let b = file_store(&scratch.0, bob.number()).await;
        let (alice, bob) = (alice.on(a).start().await, bob.on(b).start().await);
        let mut paying = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (ours, theirs) = alice.open_with(&bob, [1_000, 1_000]).await;
            for channel in [ours, theirs] {
                paying.spawn(async move {
                    for _ in 0..100 {
                        channel.pay(units(1)).await.unwrap();
                    }
                });
            }
        }
        soon("2,400 payments", async {
            while let Some(paid) = paying.join_next().await {
                paid.unwrap();
            }
        })
        .await;
    });
}

#[test]
fn who_was_stopped_goes_on_after_one_round_trip() {
    story(async {
        let world = World::shared().await;
        let scratch = Scratch::new();
        let (alice, bob) = (world.somebody(), world.somebody());
        let memory = Arc::new(MemoryStore::new());
        let (a, b) = (alice.clone(), bob.clone());
        let a = a
            .on(file_store(&scratch.0, alice.number()).await)
            .start()
            .await;
        let b = b.on(memory.clone()).start().await;
        let (ours, theirs) = a.open_with(&b, [1_000, 500]).await;
        pay(&ours, 30).await;
        pay(&theirs, 10).await;
        let stopped = in_background(&theirs, |channel| async move { channel.closed().await });

        a.stop().await;
        drop((a, ours));
        let stored = file_store(&scratch.0, alice.number()).await;
        let a = alice.clone().on(stored).start().await;
        let ours = a.only_channel();
        let mut events = ours.events();
        if !ours.is_synced() {
            heard!(events, Event::Synced);
        }
        let peers = a.client.peers();
        let frames = peers.traffic(&b.identity(), |traffic| {
            let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
            (load(&traffic.sent_frames), load(&traffic.received_frames))
        });
        // One message each.
        let (sent, received) = frames.unwrap();
        assert!(sent <= 1 && received <= 1, "{frames:?}");
        soon("an open channel", ours.opened()).await.unwrap();
        pay(&ours, 5).await;
        pay(&theirs, 1).await;

        let (mut told, mut proposals) = (b.client.events(), b.client.proposals());
        b.stop().await;
        // Whoever waits is told.
        let stopped = soon("the answer", stopped).await.unwrap();
        assert_eq!(stopped, Err(CloseError::Stopped));
        assert!(soon("the end", proposals.next()).await.is_none());
        let end = async { while told.next().await.err() != Some(EventsError::Stopped) {} };
        soon("the end", end).await;
        let copy = Arc::new(memory.durable_copy());
        let b = bob.on(copy).at(b.address).start().await;
        let theirs = b.only_channel();
        soon("an open channel", theirs.opened()).await.unwrap();
        pay(&theirs, 2).await;
        pay(&ours, 4).await;
        assert_eq!(shares(&theirs), [974, 526]);
        for channel in [&ours, &theirs] {
            let newest = channel.newest().unwrap();
            channel
                .history()
                .unwrap()
                .verify(&channel.params(), &newest)
                .unwrap();
        }
        assert_eq!(close(&theirs, &ours).await, [526 - FEE, 974 - FEE]);
        // What is over is not there any more.
        a.stop().await;
        drop((a, ours, events));
        let stored = file_store(&scratch.0, alice.number()).await;
        assert!(alice.on(stored).start().await.client.channels().is_empty());
    });
}

#[test]
fn killed_while_version_0_is_being_signed() {
    story(async {
        let world = World::shared().await;
        let mut bob = Survivor::new(world.somebody()).await;
        let mut rogue = Rogue::new(world.somebody().number()).await;
        rogue.connect(&bob).await;
        let proposal = proposal_by(world, &rogue, [300, 200]);
        let mut proposals = bob.client.proposals();
        let accepting = tokio::spawn(async move { proposals.next().await.unwrap().accept().await });
        let (params, initial, first) = rogue.propose(&proposal).await;
        bob.restart().await;
        accepting.abort();
        assert_eq!(bob.only_channel().newest(), None);
        rogue.connect(&bob).await;
        // It says again what may have been lost.
        let again = rogue.await_acceptance(Version::INITIAL).await;
        assert_eq!(again.signature, first);
        let signed = rogue.complete(&params, initial, first);
        rogue.send(&Message::UpdateAcceptance(rogue.acceptance_of(&signed)));
        let funder = world.funder_for(rogue.number).await;
        let door = perun_client::Door::Approval;
        let deposit = funder.deposit(&params, FIRST, params.assets()[0], units(300), door);
        deposit.await.unwrap();
        let channel = bob.only_channel();
        soon("an open channel", channel.opened()).await.unwrap();
        assert_eq!(channel.newest(), Some(signed));
    });
}

#[test]
fn version_0_that_is_never_signed_by_both_is_forgotten() {
    story(async {
        let world = World::shared().await;
        let mut bob = Survivor::new(world.somebody()).await;
        let mut rogue = Rogue::new(world.somebody().number()).await;
        rogue.connect(&bob).await;
        let mut proposal = proposal_by(world, &rogue, [300, 200]);
        proposal.expires_at = world.time().saturating_add_nanos(3_000_000_000);
        let mut proposals = bob.client.proposals();
        let accepting = tokio::spawn(async move { proposals.next().await.unwrap().accept().await });
        rogue.propose(&proposal).await;
        bob.restart().await;
        accepting.abort();
        let channel = bob.only_channel();
        match soon("the end", channel.closed()).await {
            Err(CloseError::Abandoned(reason)) => assert_eq!(reason.code, Refused::TimedOut),
            other => panic!("{other:?}"),
        }
        until("an empty client", || bob.client.channels().is_empty()).await;
        bob.restart().await;
        assert!(bob.client.channels().is_empty());
    });
}

#[test]
fn killed_while_the_deposit_is_on_its_way() {
    story(async {
        let world = World::new().await;
        let bob = world.client(BOB).await;
        let mut alice = Survivor::new(world.user(ALICE)).await;
        let delay = Fault::DelayCall(Until::Released);
        let transfers = world.ledger_calls("icrc2_transfer_from");
        let rule = world.fault(transfers.always(), delay);
        alice.connect(&bob);
        let mut proposals = bob.client.proposals();
        let accepting = tokio::spawn(async move { proposals.next().await.unwrap().accept().await });
        {
            let identity = bob.identity();
            let proposing = alice.client.propose(&identity, alice.terms([1_000, 500]));
            let fired = until("deposits on their way", || world.fired(rule) > 0);
            tokio::select! {
                early = proposing => panic!("{early:?}"),
                () = fired => {}
            }
        }
        alice.restart().await;
        world.release(rule);
        world.server.with(|replica| replica.faults().remove(rule));
        let ours = alice.only_channel();
        soon("an open channel", ours.opened()).await.unwrap();
        let theirs = soon("an open channel", accepting).await.unwrap().unwrap();
        pay(&ours, 1).await;
        close(&ours, &theirs).await;
        // It was deposited once.
        assert_eq!(world.wealth(&alice).await, WEALTH - 1 - 3 * FEE);
        assert_eq!(world.wealth(&bob).await, WEALTH + 1 - 3 * FEE);
    });
}

#[test]
fn killed_while_a_proposal_waits_for_its_answer() {
    story(async {
        let world = World::shared().await;
        let asked = |config: &mut perun_client::client::Config| {
            config.decide_within = Some(Duration::from_secs(60));
        };
        let mut alice = Survivor::new(world.somebody()).await;
        let mut bob = Survivor::new(world.somebody().with(asked)).await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let mut at_bob = theirs.events();
        ours.queue(&payment(70)).unwrap();
        let version = heard!(at_bob, Event::Offered { version, .. } => *version);
        // The proposer is killed: it is bound to what it has signed.
        alice.restart().await;
        let ours = alice.only_channel();
        assert_eq!(
            (ours.balance(), ours.secured()),
            (vec![units(1_000)], vec![units(930)])
        );
        assert_eq!(ours.available(AssetIdx::new(0)), Some(units(930)));
        let mut at_alice = ours.events();
        until("a synced channel", || ours.is_synced()).await;
        // The acceptor is killed: it is asked again.
        bob.restart().await;
        let theirs = bob.only_channel();
        let mut at_bob = theirs.events();
        let (again, payments) = heard!(
            at_bob,
            Event::Offered { version, payments, .. } => (*version, payments.clone())
        );
        assert_eq!(
            (again, payments.total(AssetIdx::new(0))),
            (version, units(70))
        );
        theirs.accept_update(version).unwrap();
        let through = heard!(at_alice, Event::Settled { through } => *through);
        assert_eq!((through, shares(&ours)), (1, [930, 570]));

        // Both are killed at once, the answer being no.
        let refused = ours.queue(&payment(5)).unwrap();
        let version = heard!(at_bob, Event::Offered { version, .. } => *version);
        theirs.reject_update(version, "").unwrap();
        soon("the refusal", refused).await.unwrap_err();
        alice.kill().await;
        bob.restart().await;
        alice.restart().await;
        let (ours, theirs) = (alice.only_channel(), bob.only_channel());
        assert_eq!(ours.secured(), [units(925)]);
        soon("an open channel", ours.opened()).await.unwrap();
        let mut at_bob = theirs.events();
        let next = ours.queue(&payment(6)).unwrap();
        let above = heard!(at_bob, Event::Offered { version, .. } => *version);
        assert!(above > version);
        theirs.accept_update(above).unwrap();
        soon("the payment", next).await.unwrap();
        assert_eq!(shares(&theirs), [924, 576]);
    });
}

#[test]
fn killed_while_closing() {
    story(async {
        let world = World::new().await;
        let bob = world.client(BOB).await;
        let mut alice = Survivor::new(world.user(ALICE)).await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        pay(&ours, 100).await;
        let conclusions = Target::ingress().to(world.adjudicator).method("conclude");
        let rule = world.fault(
            conclusions.always(),
            Fault::RejectBefore {
                code: RejectCode::SysTransient,
                message: "on purpose".into(),
            },
        );
        let mut events = ours.events();
        let closing = in_background(&ours, |channel| async move { channel.close().await });
        heard!(events, Event::Closing { .. });
        alice.restart().await;
        closing.abort();
        heal(&world, vec![rule]);
        let ours = alice.only_channel();
        let closed = async { tokio::join!(ours.closed(), theirs.closed()) };
        let (ours, theirs) = soon("the payouts", closed).await;
        assert_eq!(paid(&ours.unwrap()), 900 - FEE);
        assert_eq!(paid(&theirs.unwrap()), 600 - FEE);
    });
}

#[test]
fn killed_before_the_payout() {
    story(async {
        let world = World::new().await;
        let bob = world.client(BOB).await;
        let mut alice = Survivor::new(world.user(ALICE)).await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        pay(&ours, 100).await;
        let payouts = world.ledger_calls("icrc1_transfer").always();
        let rule = world.fault(
            payouts,
            Fault::RejectBefore {
                code: RejectCode::SysTransient,
                message: "on purpose".into(),
            },
        );
        let closing = in_background(&ours, |channel| async move { channel.close().await });
        until("a payout that fails", || world.fired(rule) > 0).await;
        let adjudicator = world.adjudicator_for(9).await;
        let holdings = adjudicator.holdings(&ours.params()).await.unwrap().unwrap();
        assert_eq!(holdings.phase, Phase::Concluded);
        alice.restart().await;
        closing.abort();
        heal(&world, vec![rule]);
        let ours = alice.only_channel();
        let closed = async { tokio::join!(ours.closed(), theirs.closed()) };
        let (ours, theirs) = soon("the payouts", closed).await;
        assert_eq!(paid(&ours.unwrap()), 900 - FEE);
        assert_eq!(paid(&theirs.unwrap()), 600 - FEE);
        assert_eq!(world.wealth(&alice).await, WEALTH - 100 - 3 * FEE);
        assert_eq!(world.wealth(&bob).await, WEALTH + 100 - 3 * FEE);
    });
}

#[test]
fn killed_with_a_dispute_ordered_and_then_registered() {
    story(async {
        let world = World::new().await;
        let mut bob = Survivor::new(world.user(BOB)).await;
        let mut alice = Survivor::new(world.user(ALICE)).await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        with_history(&ours, &theirs).await;
        bob.kill().await;
        let rules = no_disputes(&world, &[ALICE]);
        let ordered = in_background(&ours, |channel| async move { channel.force_close().await });
        until("the order", || world.fired(rules[0]) > 0).await;
        alice.restart().await;
        ordered.abort();
        heal(&world, rules);
        // The order is carried out although the peer is away: it was given before.
        let ours = alice.only_channel();
        let newest = ours.newest().unwrap().version();
        refuted(&world, &ours, newest).await;
        alice.restart().await;
        bob.restart().await;
        let (ours, theirs) = (alice.only_channel(), bob.only_channel());
        assert_eq!(
            paid_out(&world, &ours, &theirs).await,
            [900 - FEE, 600 - FEE]
        );
    });
}

#[test]
fn a_damaged_record_is_named_and_nothing_is_done() {
    story(async {
        let world = World::shared().await;
        let scratch = Scratch::new();
        let (alice, bob) = (world.somebody(), world.somebody());
        let number = alice.number();
        let bob = bob.start().await;
        let a = alice
            .clone()
            .on(file_store(&scratch.0, number).await)
            .start()
            .await;
        let (ours, theirs) = a.open_with(&bob, [1_000, 500]).await;
        pay(&ours, 1).await;
        let id = ours.id();
        a.stop().await;
        drop((a, ours, theirs));
        let named = |started: Result<Person, StartError>| match started {
            Err(StartError::Channel { id, error }) => {
                assert!(error.to_string().len() > 10, "{error}");
                id
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it starts"),
        };

        // What is stored well and makes no sense.
        let stored = file_store(&scratch.0, number).await.load().unwrap();
        let (_, channel) = stored.channels[0].clone();
        let channel = channel.unwrap();
        for snapshot in [vec![], vec![0xff; 40], channel.snapshot[1..].to_vec()] {
            let store = MemoryStore::new();
            store.write(Write {
                opening: Some(channel.opening.clone()),
                snapshot: Some(snapshot),
                ..Write::new(id)
            });
            assert_eq!(
                named(alice.clone().on(Arc::new(store)).try_start().await),
                id
            );
        }

        // What the disk has damaged.
        let damaged = damage(&scratch.0.join(number.to_string()), &channel.snapshot);
        assert!(damaged > 0);
        let store = file_store(&scratch.0, number).await;
        assert_eq!(named(alice.clone().on(store).try_start().await), id);
    });
}

/// Changes a byte wherever these bytes are stored, and returns how often that is.
fn damage(folder: &Path, stored: &[u8]) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let before = count;
        for start in 0..bytes.len().saturating_sub(stored.len()) {
            if bytes[start..].starts_with(stored) {
                bytes[start + stored.len() / 2] ^= 1;
                count += 1;
            }
        }
        if count > before {
            std::fs::write(&path, bytes).unwrap();
        }
    }
    count
}
