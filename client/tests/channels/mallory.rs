//! Mallory: a peer with keys of his own who lies, cheats, repeats himself and falls silent.
//!
//! Whatever he does, his victim keeps what the newest state gives it, signs nothing twice, and its
//! other channels are not disturbed.

use std::time::Duration;

use perun_canister_api::convert;
use perun_client::channel::{Channel, PaymentError};
use perun_client::client::OpenError;
use perun_client::events::{ClientEvent, Events};
use perun_protocol::channel::{Event, PeerMisbehaved};
use perun_protocol::payment::{Batch, Payment};
use perun_protocol::signature::Signer as _;
use perun_protocol::wire::{
    Message, PaymentRequest, Proposal, ProposalRejection, RejectCode, Sync, Text, TurnPass,
    TurnRequest, Update, UpdateAcceptance, UpdateRejection, Witness,
};
use perun_protocol::{
    AssetId, AssetIdx, ChannelId, Signature, State, Timestamp, UnverifiedSignedState, Version,
};

use crate::disputes::{refuted, register};
use crate::rogue::{Rogue, RogueChannel, proposal_by};
use crate::world::*;

async fn with_victim(world: &World, shares: [u128; 2]) -> (Rogue, Person, RogueChannel, Channel) {
    let mut rogue = Rogue::new(world.somebody().number()).await;
    let victim = world.somebody().start().await;
    let (ours, theirs) = rogue.open(world, &victim, shares).await;
    (rogue, victim, ours, theirs)
}

async fn misbehaved(events: &mut Events) -> Option<PeerMisbehaved> {
    hear(events, "a peer that misbehaves", |event| match event {
        ClientEvent::Misbehaved { how, .. } => Some(*how),
        _ => None,
    })
    .await
}

/// Connects again and says truthfully how far the channel is.
async fn reconnect(rogue: &mut Rogue, victim: &Person, channel: &RogueChannel) -> Sync {
    rogue.connect(victim).await;
    let sync = rogue.await_sync().await;
    rogue.send(&Message::Sync(Box::new(rogue.sync(channel))));
    sync
}

#[test]
fn a_rogue_who_behaves_can_pay_and_be_paid() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, _victim, mut ours, theirs) = with_victim(world, [300, 200]).await;
        rogue.pay(&mut ours, 10).await;
        rogue.pay(&mut ours, 5).await;
        assert_eq!(shares(&theirs), [285, 215]);
        let paying = theirs.queue(&payment(7)).unwrap();
        let request = rogue
            .await_message(|message| match message {
                Message::TurnRequest(request) => Some(*request),
                _ => None,
            })
            .await;
        ours.turn = request.turn + 1;
        rogue.send(&Message::TurnPass(TurnPass {
            channel: ours.params.id(),
            turn: ours.turn,
        }));
        let update = rogue.await_update().await;
        let state = ours.state_after(3, 0, 7);
        let signed = rogue.complete(&ours.params, state, update.signature);
        rogue.send(&Message::UpdateAcceptance(rogue.acceptance_of(&signed)));
        soon("the payment", paying).await.unwrap();
        assert_eq!(shares(&theirs), [292, 208]);
    });
}

fn payment(amount: u128) -> Payment {
    Payment {
        asset: AssetIdx::new(0),
        amount: units(amount),
        memo: None,
    }
}

/// An update of the victim's that the rogue does not answer: he has been given the turn for it.
async fn unanswered(rogue: &mut Rogue, ours: &mut RogueChannel, theirs: &Channel) -> Update {
    drop(theirs.queue(&payment(7)).unwrap());
    if ours.turn.is_multiple_of(2) {
        let asks = |message: &Message| matches!(message, Message::TurnRequest(_)).then_some(());
        rogue.await_message(asks).await;
        ours.turn += 1;
        rogue.send(&Message::TurnPass(TurnPass {
            channel: ours.params.id(),
            turn: ours.turn,
        }));
    }
    rogue.await_update().await
}

#[test]
fn bad_updates_change_nothing_and_are_answered() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, victim, mut ours, theirs) = with_victim(world, [300, 200]).await;
        let mut events = victim.client.events();
        rogue.pay(&mut ours, 10).await;
        let (_, part) = (theirs.part(), FIRST);
        type Spoil = fn(&Rogue, &RogueChannel, &mut Update);
        let version = Version::new(2);
        let cases: [(&str, Spoil, PeerMisbehaved); 7] = [
            (
                "somebody else's signature",
                |_, ours, update| {
                    let state = ours.state_after(2, 20, 0);
                    update.signature = key(1).sign(&state.digest());
                },
                PeerMisbehaved::WrongSignature { part, version },
            ),
            (
                "a signature on another state",
                |rogue, ours, update| {
                    let state = ours.state_after(2, 19, 0);
                    update.signature = rogue.key.sign(&state.digest());
                },
                PeerMisbehaved::WrongSignature { part, version },
            ),
            (
                "a signature on the state before",
                |rogue, ours, update| {
                    update.signature = rogue.key.sign(&ours.current.state().digest());
                },
                PeerMisbehaved::WrongSignature { part, version },
            ),
            (
                "more than there is",
                |_, _, update| {
                    update.payments = Batch::new();
                    update
                        .payments
                        .push(&payment(291), Batch::MAX_LENGTH)
                        .unwrap();
                },
                PeerMisbehaved::Overdrawn {
                    asset: AssetIdx::new(0),
                    has: units(290),
                    pays: units(291),
                },
            ),
            (
                "an asset that is not there",
                |_, _, update| {
                    let foreign = Payment {
                        asset: AssetIdx::new(3),
                        ..payment(1)
                    };
                    update.payments.push(&foreign, Batch::MAX_LENGTH).unwrap();
                },
                PeerMisbehaved::UnknownAsset,
            ),
            (
                "nothing",
                |_, _, update| update.payments = Batch::new(),
                PeerMisbehaved::EmptyUpdate { version },
            ),
            (
                "a version far away",
                |_, _, update| {
                    update.version = Version::new(1 << 40);
                    update.skipped = (1 << 40) - 2;
                },
                PeerMisbehaved::VersionTooFar {
                    current: Version::new(1),
                    proposed: Version::new(1 << 40),
                },
            ),
        ];
        for (what, spoil, expected) in cases {
            let (mut update, _) = rogue.update(&ours, 2, 20);
            spoil(&rogue, &ours, &mut update);
            rogue.send(&Message::Update(Box::new(update.clone())));
            let answer = rogue.await_rejection().await;
            assert_eq!(answer.version, update.version, "{what}");
            assert_eq!(answer.code, RejectCode::Misbehaved, "{what}");
            assert_eq!(misbehaved(&mut events).await, Some(expected), "{what}");
            // Such a peer is not talked to any more, until he comes again.
            rogue.hung_up().await;
            let sync = reconnect(&mut rogue, &victim, &ours).await;
            assert_eq!(sync.newest, ours.current.clone().into(), "{what}");
        }
        assert_eq!(shares(&theirs), [290, 210]);
        rogue.pay(&mut ours, 20).await;
        assert_eq!(shares(&theirs), [270, 230]);
    });
}

#[test]
fn updates_out_of_place_are_answered_by_how_far_one_is() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, _victim, mut ours, theirs) = with_victim(world, [300, 200]).await;
        rogue.pay(&mut ours, 10).await;
        let good = rogue.update(&ours, 2, 20).0;
        let spoilt = |change: fn(&mut Update)| {
            let mut update = good.clone();
            change(&mut update);
            update
        };
        for update in [
            // A base that the victim does not have.
            spoilt(|update| update.skipped = 1),
            spoilt(|update| update.skipped = u64::MAX),
            // Not his turn.
            spoilt(|update| update.turn = 1),
            spoilt(|update| update.turn = u64::MAX),
        ] {
            rogue.send(&Message::Update(Box::new(update)));
            let sync = rogue.await_sync().await;
            assert_eq!(sync.newest, ours.current.clone().into());
        }
        // What is repeated is answered again, and done once.
        for _ in 0..3 {
            rogue.send(&Message::Update(Box::new(good.clone())));
            rogue.await_acceptance(Version::new(2)).await;
        }
        assert_eq!(shares(&theirs), [270, 230]);
        let history = theirs.history().unwrap();
        assert_eq!(history.entries.len(), 2);
    });
}

#[test]
fn a_bad_answer_completes_nothing() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, victim, mut ours, theirs) = with_victim(world, [300, 200]).await;
        let mut events = victim.client.events();
        let update = unanswered(&mut rogue, &mut ours, &theirs).await;
        let good = ours.state_after(1, 0, 7);
        let signed = rogue.complete(&ours.params, good, update.signature);
        let acceptance = rogue.acceptance_of(&signed);
        let other = ours.state_after(1, 7, 0);
        let wrong_signature = UpdateAcceptance {
            signature: rogue.key.sign(&other.digest()),
            ..acceptance.clone()
        };
        let wrong_part = UpdateAcceptance {
            part: SECOND,
            ..acceptance.clone()
        };
        for (bad, expected) in [
            (
                wrong_signature,
                PeerMisbehaved::WrongSignature {
                    part: FIRST,
                    version: Version::new(1),
                },
            ),
            (wrong_part, PeerMisbehaved::WrongPart { part: SECOND }),
        ] {
            rogue.send(&Message::UpdateAcceptance(bad));
            assert_eq!(misbehaved(&mut events).await, Some(expected));
            rogue.hung_up().await;
            // It is bound to what it has signed, and says the same again.
            let sync = reconnect(&mut rogue, &victim, &ours).await;
            assert_eq!(sync.pending.as_ref(), Some(&update));
            assert_eq!(theirs.newest(), Some(ours.current.clone()));
        }
        // Answers to what was never asked are ignored.
        for version in [0, 2, u64::MAX] {
            let version = Version::new(version);
            rogue.send(&Message::UpdateAcceptance(UpdateAcceptance {
                version,
                ..acceptance.clone()
            }));
            rogue.send(&Message::UpdateRejection(UpdateRejection {
                channel: ours.params.id(),
                version,
                code: RejectCode::Declined,
                text: Text::new(""),
            }));
        }
        rogue.send(&Message::UpdateAcceptance(acceptance));
        until("the payment", || theirs.newest().as_ref() == Some(&signed)).await;
    });
}

#[test]
fn who_never_answers_gets_nothing_but_his_share() {
    story(async {
        let world = World::new().await;
        let mut rogue = Rogue::new(ALICE).await;
        let victim = world.user(BOB).with(|config| {
            config.silent_after = Duration::from_secs(2);
            config.close_within = Duration::from_secs(2);
        });
        let victim = victim.start().await;
        let (mut ours, theirs) = rogue.open(&world, &victim, [300, 200]).await;
        let mut events = theirs.events();
        let first = unanswered(&mut rogue, &mut ours, &theirs).await;
        // It says the same again, and nothing else, until it has had enough.
        let again = rogue.await_update().await;
        assert_eq!(again, first);
        heard!(events, Event::Unanswered);
        assert_eq!(
            (theirs.balance(), theirs.secured()),
            (vec![units(200)], vec![units(193)])
        );
        let closing =
            crate::disputes::in_background(&theirs, |channel| async move { channel.close().await });
        heard!(events, Event::CloseRefused { reason: None });
        heard!(events, Event::Disputed { .. });
        // He completes it in secret, and registers that: it is what the victim has signed.
        let state = ours.state_after(1, 0, 7);
        let signed = rogue.complete(&ours.params, state, first.signature);
        register(&world, &theirs, &signed).await;
        world.advance(WINDOW);
        let closing = soon("the payout", closing).await.unwrap().unwrap();
        assert_eq!(paid(&closing), 193 - FEE);
    });
}

#[test]
fn a_turn_that_is_withheld_ends_in_a_dispute() {
    story(async {
        let world = World::new().await;
        let mut rogue = Rogue::new(ALICE).await;
        let victim = world.user(BOB).with(|config| {
            config.close_within = Duration::from_secs(1);
        });
        let victim = victim.start().await;
        let (mut ours, theirs) = rogue.open(&world, &victim, [300, 200]).await;
        rogue.pay(&mut ours, 10).await;
        let mut events = theirs.events();
        let closing =
            crate::disputes::in_background(&theirs, |channel| async move { channel.close().await });
        let asks = |message: &Message| matches!(message, Message::TurnRequest(_)).then_some(());
        rogue.await_message(asks).await;
        heard!(events, Event::CloseRefused { reason: None });
        heard!(events, Event::Disputed { .. });
        world.advance(WINDOW);
        let closing = soon("the payout", closing).await.unwrap().unwrap();
        assert_eq!(paid(&closing), 210 - FEE);
    });
}

#[test]
fn burnt_and_old_states_are_refuted_or_counted() {
    story(async {
        let world = World::new().await;
        let mut rogue = Rogue::new(ALICE).await;
        let victim = world.client(BOB).await;
        let (mut ours, theirs) = rogue.open(&world, &victim, [300, 200]).await;
        let old = ours.current.clone();
        rogue.pay(&mut ours, 50).await;
        // He refuses a payment of 7, and keeps its signature.
        let refused = unanswered(&mut rogue, &mut ours, &theirs).await;
        let burnt = ours.state_after(2, 0, 7);
        let burnt = rogue.complete(&ours.params, burnt, refused.signature);
        let mut events = theirs.events();
        rogue.send(&Message::UpdateRejection(UpdateRejection {
            channel: ours.params.id(),
            version: refused.version,
            code: RejectCode::Declined,
            text: Text::new(""),
        }));
        heard!(events, Event::Refused { .. });
        assert_eq!(theirs.secured(), [units(243)]);
        // A newer state makes it worthless: it is refuted like any old one.
        let next = unanswered(&mut rogue, &mut ours, &theirs).await;
        assert_eq!((next.version, next.skipped), (Version::new(3), 1));
        let state = ours.state_after(3, 0, 7);
        let signed = rogue.complete(&ours.params, state, next.signature);
        rogue.send(&Message::UpdateAcceptance(rogue.acceptance_of(&signed)));
        until("the payment", || theirs.newest().as_ref() == Some(&signed)).await;
        ours.current = signed;
        register(&world, &theirs, &old).await;
        // Whichever comes first.
        let adjudicator = world.adjudicator_for(9).await;
        let _ = adjudicator.dispute(&ours.params, &burnt).await;
        refuted(&world, &theirs, Version::new(3)).await;
        world.advance(WINDOW);
        let closing = soon("the payout", theirs.closed()).await.unwrap();
        assert_eq!(paid(&closing), 243 - FEE);
    });
}

#[test]
fn nobody_speaks_about_the_channel_of_others() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        pay(&ours, 100).await;
        let id = ours.id();
        let newest = ours.newest().unwrap();
        let mut mallory = Rogue::new(world.somebody().number()).await;
        mallory.connect(&bob).await;
        let mut told = theirs.events();
        let signature = Signature::from_bytes([1; 64]);
        let version = newest.version();
        let next = version.next().unwrap();
        let sync = Sync {
            channel: id,
            turn: 7,
            newest: newest.clone().into(),
            pending: None,
            witness: None,
            offered: None,
            signed_through: Some(Version::new(1 << 30)),
            wants_answer: true,
        };
        let rejection = UpdateRejection {
            channel: id,
            version: next,
            code: RejectCode::UnknownChannel,
            text: Text::new(""),
        };
        let (update, _) = foreign_update(id, next);
        for message in [
            Message::Sync(Box::new(sync)),
            Message::Update(Box::new(update)),
            Message::UpdateAcceptance(UpdateAcceptance {
                channel: id,
                version: next,
                part: FIRST,
                signature,
                asks_turn: false,
            }),
        ] {
            mallory.send(&message);
            // He learns as much as of a channel that is not there.
            let answer = mallory.await_rejection().await;
            assert_eq!(
                (answer.channel, answer.code),
                (id, RejectCode::UnknownChannel)
            );
        }
        for message in [
            Message::UpdateRejection(rejection),
            Message::TurnRequest(TurnRequest {
                channel: id,
                turn: 0,
            }),
            Message::TurnPass(TurnPass {
                channel: id,
                turn: 1,
            }),
            Message::PaymentRequest(PaymentRequest {
                channel: id,
                id: 1,
                asset: AssetIdx::new(0),
                amount: units(400),
                memo: Text::new("me, please"),
                expires_at: Timestamp::from_nanos(u64::MAX),
            }),
        ] {
            mallory.send(&message);
        }
        // A proposal that he did not make is not his to take back or to accept either.
        mallory.send(&Message::ProposalRejection(ProposalRejection {
            proposal: [0; 32],
            code: RejectCode::Declined,
            text: Text::new(""),
        }));
        pay(&theirs, 1).await;
        pay(&ours, 2).await;
        assert_eq!(shares(&theirs), [899, 601]);
        let unheard = tokio::time::timeout(Duration::from_millis(50), async {
            heard!(told, Event::Requested(_))
        });
        assert!(unheard.await.is_err());
        assert!(bob.client.is_connected(&alice.identity()));
    });
}

/// An update of somebody who is not in the channel.
fn foreign_update(channel: ChannelId, version: Version) -> (Update, Batch) {
    let mut payments = Batch::new();
    payments.push(&payment(1), Batch::MAX_LENGTH).unwrap();
    let update = Update {
        channel,
        version,
        skipped: 0,
        turn: 0,
        is_final: false,
        passes_turn: false,
        payments: payments.clone(),
        signature: Signature::from_bytes([1; 64]),
    };
    (update, payments)
}

#[test]
fn lies_about_how_far_one_is_are_found_or_harmless() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, victim, mut ours, theirs) = with_victim(world, [300, 200]).await;
        let first = ours.current.clone();
        rogue.pay(&mut ours, 10).await;
        let truth = rogue.sync(&ours);
        let invented = |version| {
            let state = ours.state_after(version, 0, 100);
            let ours = rogue.key.sign(&state.digest());
            UnverifiedSignedState {
                signatures: vec![ours, ours],
                state,
            }
        };
        let mut of_another = State::clone(ours.current.state());
        of_another = State::new(
            ChannelId::from_bytes([9; 32]),
            of_another.version(),
            table([1, 1]),
            table([1, 1]),
        )
        .unwrap();
        let lies = [
            (
                "a state that only he has signed",
                Sync {
                    newest: invented(9),
                    ..truth.clone()
                },
                Some(PeerMisbehaved::WrongState),
            ),
            (
                "a state of another channel",
                Sync {
                    newest: UnverifiedSignedState {
                        state: of_another,
                        signatures: vec![],
                    },
                    ..truth.clone()
                },
                Some(PeerMisbehaved::WrongState),
            ),
            (
                "a turn far away",
                Sync {
                    turn: u64::MAX,
                    ..truth.clone()
                },
                Some(PeerMisbehaved::TurnTooFar {
                    current: 0,
                    claimed: u64::MAX,
                }),
            ),
            (
                "a proof that proves nothing",
                Sync {
                    witness: Some(Witness {
                        proposed: UnverifiedSignedState {
                            signatures: vec![invented(50).signatures[0]],
                            state: invented(50).state,
                        },
                    }),
                    ..truth.clone()
                },
                None,
            ),
            (
                "that everything is spent",
                Sync {
                    signed_through: Some(Version::new(u64::MAX)),
                    ..truth.clone()
                },
                None,
            ),
            (
                "an old state",
                Sync {
                    newest: first.into(),
                    ..truth.clone()
                },
                None,
            ),
        ];
        let (mut told, mut of_channel) = (victim.client.events(), theirs.events());
        for (what, lie, expected) in lies {
            rogue.disconnect();
            until("the end of the link", || {
                !victim.client.is_connected(&rogue.key.public_key())
            })
            .await;
            rogue.connect(&victim).await;
            rogue.send(&Message::Sync(Box::new(lie)));
            match expected {
                Some(expected) => {
                    assert_eq!(misbehaved(&mut told).await, Some(expected), "{what}");
                }
                None => heard!(of_channel, Event::Synced),
            }
            assert_eq!(theirs.newest().as_ref(), Some(&ours.current), "{what}");
        }
        // Nothing of it is believed to be a proof of a restored copy.
        let rolled_back = tokio::time::timeout(Duration::from_millis(50), async {
            heard!(of_channel, Event::RolledBack { .. })
        });
        assert!(rolled_back.await.is_err());
        // And they can still pay each other.
        rogue.pay(&mut ours, 10).await;
        assert_eq!(shares(&theirs), [280, 220]);
    });
}

#[test]
fn garbage_ends_a_connection_and_nothing_else() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let (mut rogue, mut mine, his) = {
            let mut rogue = Rogue::new(world.somebody().number()).await;
            let (mine, his) = rogue.open(world, &bob, [300, 200]).await;
            (rogue, mine, his)
        };
        let mut events = bob.client.events();
        let update = Message::Update(Box::new(rogue.update(&mine, 1, 10).0)).encode();
        let cut = update[..update.len() - 1].to_vec();
        let longer = [update.clone(), vec![0]].concat();
        for bytes in [vec![], vec![0xff; 100], vec![0x82, 0x04, 0xa0], cut, longer] {
            rogue.send_bytes(&bytes);
            assert_eq!(misbehaved(&mut events).await, None);
            rogue.hung_up().await;
            reconnect(&mut rogue, &bob, &mine).await;
        }
        // What is only unknown is skipped.
        rogue.send_bytes(&Message::Unknown { kind: 999 }.encode());
        rogue.pay(&mut mine, 10).await;
        assert_eq!(shares(&his), [290, 210]);
        pay(&ours, 1).await;
        pay(&theirs, 1).await;
    });
}

#[test]
fn bad_proposals_are_answered_and_cost_nothing() {
    story(async {
        let world = World::shared().await;
        let victim = world.somebody().start().await;
        let mut rogue = Rogue::new(world.somebody().number()).await;
        rogue.connect(&victim).await;
        let principal = |candid| convert::principal(candid).unwrap();
        let (ledger, adjudicator) = (principal(world.ledger), principal(world.adjudicator));
        type Spoil = Box<dyn Fn(&mut Proposal)>;
        let cases: Vec<(&str, Spoil)> = vec![
            (
                "another adjudicator",
                Box::new(move |proposal| proposal.terms.adjudicator = ledger),
            ),
            (
                "a ledger that it does not serve",
                Box::new(move |proposal| {
                    proposal.terms.assets = vec![AssetId::Icrc(adjudicator)];
                }),
            ),
            (
                "a larger deposit than both have together",
                Box::new(|proposal| proposal.terms.funding = table([300, 100_000])),
            ),
            (
                "a funding of another shape",
                Box::new(|proposal| proposal.terms.funding = tables(&[[300, 200], [1, 1]])),
            ),
            (
                "more assets than balances",
                Box::new(|proposal| {
                    let terms = &mut proposal.terms;
                    terms.balances = tables(&[[300, 200], [1, 1]]);
                    terms.funding = terms.balances.clone();
                }),
            ),
            ("the victim's own key", {
                let identity = victim.identity();
                Box::new(move |proposal| {
                    proposal.participant = perun_protocol::Participant::Secp256k1(identity);
                })
            }),
            (
                "a window too short",
                Box::new(|proposal| {
                    let short = perun_protocol::ChallengeDuration::from_secs(10).unwrap();
                    proposal.terms.challenge_duration = short;
                }),
            ),
        ];
        let mut proposals = victim.client.proposals();
        for (number, (what, spoil)) in cases.into_iter().enumerate() {
            let mut proposal = proposal_by(world, &rogue, [300, 200]);
            proposal.nonce_share = [number as u8; 32];
            spoil(&mut proposal);
            rogue.send(&Message::Proposal(Box::new(proposal.clone())));
            // What only the adjudicator knows is found when the owner accepts; he is not asked about
            // the rest.
            if what == "a ledger that it does not serve" {
                let incoming = soon("a proposal", proposals.next()).await.unwrap();
                let accepted = soon("an answer", incoming.accept()).await;
                assert!(accepted.is_err(), "{what}");
            }
            let answer = rejection(&mut rogue).await;
            assert_eq!(
                (answer.proposal, answer.code),
                (proposal.id(), RejectCode::BadTerms),
                "{what}"
            );
        }
        // What has expired does not even reach the owner.
        let mut expired = proposal_by(world, &rogue, [300, 200]);
        expired.expires_at = world.time();
        rogue.send(&Message::Proposal(Box::new(expired)));
        assert_eq!(rejection(&mut rogue).await.code, RejectCode::TimedOut);
        let asked = tokio::time::timeout(Duration::from_millis(50), proposals.next()).await;
        assert!(asked.is_err(), "{asked:?}");
        assert!(victim.client.channels().is_empty());
        assert_eq!(world.wealth(&victim).await, WEALTH);
    });
}

async fn rejection(rogue: &mut Rogue) -> ProposalRejection {
    rogue
        .await_message(|message| match message {
            Message::ProposalRejection(rejection) => Some(rejection.clone()),
            _ => None,
        })
        .await
}

#[test]
fn a_bad_signature_on_version_0_costs_no_deposit() {
    story(async {
        let world = World::shared().await;
        let victim = world.somebody().start().await;
        let mut rogue = Rogue::new(world.somebody().number()).await;
        rogue.connect(&victim).await;
        let mut proposal = proposal_by(world, &rogue, [300, 200]);
        proposal.expires_at = world.time().saturating_add_nanos(2_000_000_000);
        let mut proposals = victim.client.proposals();
        let accepting = tokio::spawn(async move { proposals.next().await.unwrap().accept().await });
        let mut events = victim.client.events();
        let (params, initial, _) = rogue.propose(&proposal).await;
        let bad = UpdateAcceptance {
            channel: params.id(),
            version: Version::INITIAL,
            part: FIRST,
            signature: key(1).sign(&initial.digest()),
            asks_turn: false,
        };
        rogue.send(&Message::UpdateAcceptance(bad));
        let wrong = PeerMisbehaved::WrongSignature {
            part: FIRST,
            version: Version::INITIAL,
        };
        assert_eq!(misbehaved(&mut events).await, Some(wrong));
        let abandoned = soon("the end", accepting).await.unwrap();
        assert!(
            matches!(abandoned, Err(OpenError::Abandoned(_))),
            "{abandoned:?}"
        );
        assert_eq!(world.wealth(&victim).await, WEALTH);
    });
}

#[test]
fn a_request_that_is_too_late_is_turned_away() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, _victim, ours, _theirs) = with_victim(world, [300, 200]).await;
        rogue.send(&Message::PaymentRequest(PaymentRequest {
            channel: ours.params.id(),
            id: 77,
            asset: AssetIdx::new(0),
            amount: units(1),
            memo: Text::new("late"),
            expires_at: world.time().saturating_add_nanos(0),
        }));
        let rejected = rogue
            .await_message(|message| match message {
                Message::PaymentRequestRejection(rejection) => Some(rejection.clone()),
                _ => None,
            })
            .await;
        assert_eq!((rejected.id, rejected.code), (77, RejectCode::TimedOut));
    });
}

#[test]
fn payments_wait_while_the_peer_is_silent_and_can_be_called_off() {
    story(async {
        let world = World::shared().await;
        let (mut rogue, _victim, mut ours, theirs) = with_victim(world, [300, 200]).await;
        let first = unanswered(&mut rogue, &mut ours, &theirs).await;
        let [one, two] = [50, 20].map(|units| theirs.queue(&payment(units)).unwrap());
        assert_eq!(theirs.available(AssetIdx::new(0)), Some(units(123)));
        // One alone, and only once.
        assert!(one.cancel());
        assert!(!one.cancel());
        assert_eq!(theirs.available(AssetIdx::new(0)), Some(units(173)));
        theirs.cancel_queued();
        assert!(!two.cancel());
        for called_off in [one, two] {
            let called_off = soon("the answer", called_off).await;
            assert!(
                matches!(called_off, Err(PaymentError::Refused(_))),
                "{called_off:?}"
            );
        }
        assert_eq!(theirs.available(AssetIdx::new(0)), Some(units(193)));
        let last = theirs.queue(&payment(1)).unwrap();
        let state = ours.state_after(1, 0, 7);
        let signed = rogue.complete(&ours.params, state, first.signature);
        rogue.send(&Message::UpdateAcceptance(rogue.acceptance_of(&signed)));
        until("the payment", || theirs.newest().as_ref() == Some(&signed)).await;
        // What is proposed is not taken back.
        until("the next one", || theirs.has_pending()).await;
        assert!(!last.cancel());
    });
}
