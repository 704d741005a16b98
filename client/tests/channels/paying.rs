//! Two people, and more, who pay each other and close in peace.

use std::time::Duration;

use perun_client::Door;
use perun_client::channel::PaymentError;
use perun_client::events::{ClientEvent, EventsError};
use perun_protocol::channel::{CommandError, Event, PayError};
use perun_protocol::payment::Payment;
use perun_protocol::wire::RejectCode;
use perun_protocol::{AssetIdx, Version};

use crate::world::*;

const FIRST_ASSET: AssetIdx = AssetIdx::new(0);

fn payment(amount: u128) -> Payment {
    Payment {
        asset: FIRST_ASSET,
        amount: units(amount),
        memo: None,
    }
}

#[test]
fn a_channel_is_opened_used_and_closed() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let mut events = theirs.events();
        for _ in 0..10 {
            pay(&ours, 3).await;
            pay(&theirs, 1).await;
        }
        let received = heard!(events, Event::Received { payments, .. } => payments.clone());
        assert_eq!(received.total(FIRST_ASSET), units(3));
        assert_eq!(ours.balance(), [units(980)]);
        assert_eq!(theirs.balance(), [units(520)]);
        for channel in [&ours, &theirs] {
            let history = channel.history().unwrap();
            let newest = channel.newest().unwrap();
            history.verify(&channel.params(), &newest).unwrap();
        }
        let mut later = ours.events();
        assert_eq!(close(&ours, &theirs).await, [980 - FEE, 520 - FEE]);
        heard!(later, Event::Closing { .. });
        // To approve, to deposit, and to be paid out cost a fee each.
        assert_eq!(world.wealth(&alice).await, WEALTH - 20 - 3 * FEE);
        assert_eq!(world.wealth(&bob).await, WEALTH + 20 - 3 * FEE);
        assert!(alice.client.channels().is_empty());
        let late = ours.pay(units(1)).await;
        assert_eq!(late, Err(PaymentError::NotTaken(PayError::Closing)));
    });
}

#[test]
fn payments_made_meanwhile_go_together() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let (ours, theirs) = alice.open_with(&bob, [100_000, 100_000]).await;
        let both = [(&ours, 7), (&theirs, 4)];
        let last = both.map(|(channel, amount)| {
            let payments = vec![payment(amount); 1_000];
            let (count, last) = channel.queue_all(&payments).unwrap();
            assert_eq!(count, 1_000);
            last
        });
        let [one, other] = last;
        assert_eq!((one.number(), other.number()), (1_000, 1_000));
        let settled = soon("all payments", async { tokio::join!(one, other) }).await;
        assert_eq!(settled, (Ok(()), Ok(())));
        assert_eq!(shares(&ours), [97_000, 103_000]);
        let version = ours.newest().unwrap().version();
        assert!(version <= Version::new(8), "{version}");
        let overdraft = ours.pay(units(97_001)).await;
        let refused = PayError::InsufficientBalance {
            asset: FIRST_ASSET,
            available: units(97_000),
            amount: units(97_001),
        };
        assert_eq!(overdraft, Err(PaymentError::NotTaken(refused)));
        // The last ones go into the final state.
        theirs.queue(&payment(3_000)).unwrap();
        let paid_out = close(&theirs, &ours).await;
        assert_eq!(paid_out, [100_000 - FEE, 100_000 - FEE]);
    });
}

#[test]
fn a_request_is_paid_and_another_rejected() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let (mut at_bob, mut at_alice) = (theirs.events(), ours.events());
        until("a synced channel", || ours.is_synced()).await;
        let minute = Duration::from_secs(60);
        let sent = ours
            .request(FIRST_ASSET, units(40), "two coffees", minute)
            .unwrap();
        let request = heard!(at_bob, Event::Requested(request) => request.clone());
        assert_eq!(request, sent);
        assert_eq!(request.memo.as_str(), "two coffees");
        soon("the payment", theirs.make(&request.payment()))
            .await
            .unwrap();
        let paid = heard!(at_alice, Event::Received { payments, .. } => payments.clone());
        let paid: Vec<_> = paid.iter().collect();
        assert_eq!(paid, [sent.payment()]);
        assert!(paid[0].memo.is_some());

        let sent = ours
            .request(FIRST_ASSET, units(400), "a bicycle", minute)
            .unwrap();
        let request = heard!(at_bob, Event::Requested(request) => request.clone());
        theirs.reject_request(request.id, "too dear");
        let (id, reason) = heard!(
            at_alice,
            Event::RequestRejected { id, reason } => (*id, reason.clone())
        );
        assert_eq!(id, sent.id);
        assert_eq!(
            (reason.code, reason.text.as_str()),
            (RejectCode::Declined, "too dear")
        );

        let nothing = ours.request(FIRST_ASSET, units(0), "", minute);
        assert_eq!(nothing, Err(CommandError::Nothing));
        let asset = AssetIdx::new(1);
        let unknown = ours.request(asset, units(1), "", minute);
        assert_eq!(unknown, Err(CommandError::UnknownAsset { asset }));
        assert_eq!(shares(&theirs), [1_040, 460]);
        close(&ours, &theirs).await;
    });
}

#[test]
fn who_wants_to_be_asked_accepts_rejects_or_lets_time_pass() {
    story(async {
        let world = World::shared().await;
        let within = Duration::from_millis(800);
        let bob = world
            .somebody()
            .with(|config| config.decide_within = Some(within));
        let (alice, bob) = tokio::join!(world.somebody().start(), bob.start());
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let mut at_bob = theirs.events();

        let accepted = ours.queue(&payment(10)).unwrap();
        let (version, payments) = heard!(
            at_bob,
            Event::Offered { version, payments, is_final: false, .. } =>
                (*version, payments.clone())
        );
        assert_eq!(payments.total(FIRST_ASSET), units(10));
        let other = version.next().unwrap();
        let not_offered = CommandError::NotOffered { version: other };
        assert_eq!(theirs.accept_update(other), Err(not_offered));
        theirs.accept_update(version).unwrap();
        soon("the payment", accepted).await.unwrap();

        let rejected = ours.queue(&payment(200)).unwrap();
        let version = heard!(at_bob, Event::Offered { version, .. } => *version);
        theirs.reject_update(version, "not yet").unwrap();
        let refused = soon("the refusal", rejected).await.unwrap_err();
        let PaymentError::Refused(reason) = refused else {
            panic!("{refused}")
        };
        assert_eq!(
            (reason.code, reason.text.as_str()),
            (RejectCode::Declined, "not yet")
        );
        // Bob could complete what he has refused, until a newer state is signed.
        assert_eq!(
            (ours.balance(), ours.secured()),
            (vec![units(990)], vec![units(790)])
        );

        let forgotten = ours.queue(&payment(300)).unwrap();
        let version = heard!(at_bob, Event::Offered { version, .. } => *version);
        let refused = soon("the refusal", forgotten).await.unwrap_err();
        let PaymentError::Refused(reason) = refused else {
            panic!("{refused}")
        };
        assert_eq!(reason.code, RejectCode::TimedOut);
        let late = theirs.accept_update(version);
        assert_eq!(late, Err(CommandError::NotOffered { version }));
        assert_eq!(ours.secured(), [units(690)]);

        let accepted = ours.queue(&payment(5)).unwrap();
        let version = heard!(at_bob, Event::Offered { version, .. } => *version);
        theirs.accept_update(version).unwrap();
        soon("the payment", accepted).await.unwrap();
        assert_eq!(ours.secured(), [units(985)]);

        let closing = ours.clone();
        let closing = tokio::spawn(async move { closing.close().await });
        let version = heard!(at_bob, Event::Offered { version, is_final: true, .. } => *version);
        theirs.accept_update(version).unwrap();
        let closing = soon("the end", closing).await.unwrap().unwrap();
        assert_eq!(paid(&closing), 985 - FEE);
    });
}

#[test]
fn channels_of_one_connection_do_not_disturb_each_other() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let mut connections = bob.client.events();
        let mut channels = Vec::new();
        for _ in 0..3 {
            channels.push(alice.open_with(&bob, [1_000, 500]).await);
        }
        for round in 1..=3 {
            for (index, (ours, theirs)) in channels.iter().enumerate() {
                pay(ours, round * (index as u128 + 1)).await;
                pay(theirs, 1).await;
            }
        }
        let (ours, theirs) = channels.remove(1);
        assert_eq!(close(&ours, &theirs).await, [991 - FEE, 509 - FEE]);
        for (ours, theirs) in &channels {
            pay(ours, 100).await;
            pay(theirs, 50).await;
        }
        let all = channels.iter().map(|(ours, _)| shares(ours)[0]);
        assert_eq!(all.collect::<Vec<_>>(), [947, 935]);
        // One connection carried them all.
        let mut count = 0;
        while let Ok(Ok(event)) =
            tokio::time::timeout(Duration::from_millis(20), connections.next()).await
        {
            count += usize::from(matches!(event.event, ClientEvent::Connected { .. }));
        }
        assert_eq!(count, 1);
        for (ours, theirs) in &channels {
            close(theirs, ours).await;
        }
    });
}

#[test]
fn one_person_has_many_peers() {
    story(async {
        let world = World::shared().await;
        let (hub, bob) = world.pair().await;
        let (carol, dave) = world.pair().await;
        let (hub_bob, bob) = hub.open_with(&bob, [1_000, 100]).await;
        let (carol, hub_carol) = carol.open_with(&hub, [200, 1_000]).await;
        let (hub_dave, dave) = hub.open_with(&dave, [1_000, 300]).await;
        let paying = async {
            tokio::join!(
                pay(&hub_bob, 1),
                pay(&bob, 2),
                pay(&hub_carol, 3),
                pay(&carol, 4),
                pay(&hub_dave, 5),
                pay(&dave, 6),
            )
        };
        paying.await;
        assert_eq!(shares(&hub_bob), [1_001, 99]);
        assert_eq!(shares(&hub_carol), [199, 1_001]);
        assert_eq!(shares(&hub_dave), [1_001, 299]);
        let closing = async {
            tokio::join!(
                close(&hub_bob, &bob),
                close(&carol, &hub_carol),
                close(&hub_dave, &dave),
            )
        };
        let closed = closing.await;
        let expected = [[1_001, 99], [199, 1_001], [1_001, 299]];
        let expected = expected.map(|row| row.map(|share| share - FEE));
        assert_eq!([closed.0, closed.1, closed.2], expected);
        let put_in = 3 * 1_000 + 6 * FEE;
        let got_back = 3 * 1_001 - 3 * FEE;
        assert_eq!(world.wealth(&hub).await, WEALTH - put_in + got_back);
    });
}

#[test]
fn a_channel_can_hold_two_assets() {
    story(async {
        let world = World::with_two_ledgers().await;
        let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
        let mut terms = alice.terms([1_000, 500]);
        terms
            .balances
            .push((alice.ledgers[1], [units(70), units(80)]));
        let (ours, theirs) = alice.open(&bob, terms).await;
        let second = |amount| Payment {
            asset: AssetIdx::new(1),
            amount: units(amount),
            memo: Some([7; 32]),
        };
        soon("a payment", ours.make(&second(20))).await.unwrap();
        pay(&theirs, 100).await;
        assert_eq!(theirs.balance(), [units(400), units(100)]);
        assert_eq!(ours.available(AssetIdx::new(1)), Some(units(50)));
        let minute = Duration::from_secs(60);
        let mut events = ours.events();
        let asked = theirs.request(AssetIdx::new(1), units(10), "", minute);
        let request = heard!(events, Event::Requested(request) => request.clone());
        assert_eq!(Ok(&request), asked.as_ref());
        assert_eq!(request.payment().asset, AssetIdx::new(1));
        let unknown = Payment {
            asset: AssetIdx::new(2),
            ..second(1)
        };
        let refused = ours.make(&unknown).await;
        assert!(matches!(
            refused,
            Err(PaymentError::NotTaken(PayError::Invalid(_)))
        ));
        let history = theirs.history().unwrap();
        let newest = theirs.newest().unwrap();
        history.verify(&theirs.params(), &newest).unwrap();
        let closing = async { tokio::join!(ours.close(), theirs.closed()) };
        let (closing, _) = soon("the end", closing).await;
        let mut paid_out = closing.unwrap().paid_out;
        paid_out.sort_by_key(|paid_out| paid_out.receipt.paid);
        let paid_out = paid_out
            .iter()
            .map(|paid_out| (paid_out.asset, paid_out.receipt.paid));
        let expected = [
            (alice.ledgers[1], units(50 - FEE)),
            (alice.ledgers[0], units(1_100 - FEE)),
        ];
        assert_eq!(paid_out.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn who_deposits_need_not_be_who_has_it_at_first() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let mut terms = alice.terms([1_000, 500]);
        terms.funding = Some(vec![[units(1_500), units(0)]]);
        alice.connect(&bob);
        let identity = bob.identity();
        let mut proposals = bob.client.proposals();
        let accepting = async {
            let proposal = proposals.next().await.unwrap();
            assert_eq!(proposal.our_deposit(), [units(0)]);
            assert_eq!(proposal.peer(), alice.identity());
            proposal.accept().await
        };
        let opening = async { tokio::join!(alice.client.propose(&identity, terms), accepting) };
        let (ours, theirs) = soon("an open channel", opening).await;
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(shares(&theirs), [1_000, 500]);
        pay(&theirs, 1).await;
        assert_eq!(close(&theirs, &ours).await, [499 - FEE, 1_001 - FEE]);
        assert_eq!(world.wealth(&bob).await, WEALTH + 499 - FEE);
        assert_eq!(world.wealth(&alice).await, WEALTH - 499 - 3 * FEE);
    });
}

#[test]
fn deposits_can_come_through_the_other_door() {
    story(async {
        let world = World::shared().await;
        let bob = world
            .somebody()
            .with(|config| config.door = Door::DepositAccount);
        let (alice, bob) = tokio::join!(world.somebody().start(), bob.start());
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        pay(&ours, 11).await;
        assert_eq!(close(&ours, &theirs).await, [989 - FEE, 511 - FEE]);
        assert_eq!(world.wealth(&bob).await, WEALTH + 11 - 3 * FEE);
    });
}

/// Who deposited, in the order of the log.
async fn depositors(world: &World, channel: &perun_client::channel::Channel) -> Vec<u8> {
    let adjudicator = world.adjudicator_for(9).await;
    let events = adjudicator.channel_events(channel.id(), 0).await.unwrap();
    let depositor = |record: perun_client::EventRecord| match record.event {
        perun_client::Event::Deposited { part, .. } => Some(part.number()),
        _ => None,
    };
    events.into_iter().filter_map(depositor).collect()
}

#[test]
fn one_can_wait_with_depositing_until_the_other_has() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        alice.connect(&bob);
        let identity = bob.identity();
        let mut proposals = bob.client.proposals();
        let accepting = async { proposals.next().await.unwrap().accept_funding_last().await };
        let proposing = alice.client.propose(&identity, alice.terms([1_000, 500]));
        let opening = async { tokio::join!(proposing, accepting) };
        let (ours, _) = soon("an open channel", opening).await;
        assert_eq!(depositors(world, &ours.unwrap()).await, [0, 1]);

        let mut terms = alice.terms([300, 200]);
        terms.funds_last = true;
        let (ours, _) = alice.open(&bob, terms).await;
        assert_eq!(depositors(world, &ours).await, [1, 0]);
    });
}

#[test]
fn the_last_crumbs_are_kept_and_named() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        pay(&theirs, 500 - FEE).await;
        let closing = async { tokio::join!(ours.close(), theirs.closed()) };
        let (ours, theirs) = soon("a closed channel", closing).await;
        assert_eq!(paid(&ours.unwrap()), 1_500 - 2 * FEE);
        let theirs = theirs.unwrap();
        assert_eq!((paid(&theirs), theirs.kept), (0, vec![units(FEE)]));
    });
}

#[test]
fn a_reader_who_is_slow_misses_as_much_as_is_not_kept() {
    story(async {
        let world = World::shared().await;
        let alice = world.somebody().with(|config| config.events_kept = 2);
        let (alice, bob) = tokio::join!(alice.start(), world.somebody().start());
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let (mut slow, mut quick) = (alice.client.events(), bob.client.events());
        for _ in 0..20 {
            pay(&theirs, 1).await;
        }
        let missed = soon("a word about the past", slow.next()).await;
        assert!(
            matches!(missed, Err(EventsError::Missed { .. })),
            "{missed:?}"
        );
        let first = soon("the first event", quick.next()).await;
        assert!(first.is_ok(), "{first:?}");
        close(&ours, &theirs).await;
    });
}
