//! Proposals that do not become channels, and why.

use std::time::Duration;

use perun_client::CheckError;
use perun_client::channel::Channel;
use perun_client::client::OpenError;
use perun_protocol::signature::Signer as _;
use perun_protocol::wire::{Acceptance, Message, Proposal, Reason, RejectCode, UpdateAcceptance};
use perun_protocol::{AssetId, ChallengeDuration, Participant, Version};

use crate::rogue::Rogue;
use crate::world::*;

const SHORT: Duration = Duration::from_millis(600);

fn rejected(answer: Result<Channel, OpenError>) -> Reason {
    match answer {
        Err(OpenError::Rejected(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_proposal_can_be_rejected() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        alice.connect(&bob);
        let identity = bob.identity();
        let proposing = alice.client.propose(&identity, alice.terms([10, 20]));
        let rejecting = async { bob.proposed().await.reject("not with you") };
        let answers = async { tokio::join!(proposing, rejecting) };
        let reason = rejected(soon("the answer", answers).await.0);
        assert_eq!(
            (reason.code, reason.text.as_str()),
            (RejectCode::Declined, "not with you")
        );
        assert!(alice.client.channels().is_empty() && bob.client.channels().is_empty());
    });
}

#[test]
fn a_proposal_that_nobody_wants_is_declined() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        alice.connect(&bob);
        let identity = bob.identity();
        // Nobody listens.
        let proposing = alice.client.propose(&identity, alice.terms([10, 20]));
        let reason = rejected(soon("the answer", proposing).await);
        assert_eq!(reason.code, RejectCode::Declined);
        // Somebody listens, and drops it.
        let proposing = alice.client.propose(&identity, alice.terms([10, 20]));
        let dropping = async { drop(bob.proposed().await) };
        let answers = async { tokio::join!(proposing, dropping) };
        let reason = rejected(soon("the answer", answers).await.0);
        assert_eq!(reason.code, RejectCode::Declined);
    });
}

#[test]
fn a_proposal_expires() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        alice.connect(&bob);
        let identity = bob.identity();
        let mut terms = alice.terms([10, 20]);
        terms.answer_within = SHORT;
        let proposing = alice.client.propose(&identity, terms);
        let answers = async { tokio::join!(proposing, bob.proposed()) };
        let (unanswered, proposal) = soon("the answer", answers).await;
        let no_answer = OpenError::NoAnswer { is_connected: true };
        assert_eq!(format!("{unanswered:?}"), format!("Err({no_answer:?})"));
        until("the end of the proposal", || {
            bob.client.chain().clock().now() >= Some(proposal.expires_at())
        })
        .await;
        let late = soon("the answer", proposal.accept()).await;
        assert!(matches!(late, Err(OpenError::Expired)), "{late:?}");
        assert!(bob.client.channels().is_empty());
    });
}

/// Links may lose and swap messages. Were the peer told that there is no such channel, it would give up
/// what it has just accepted, and the proposer would deposit alone.
#[test]
fn a_signature_that_overtakes_its_acceptance_is_waited_for() {
    story(async {
        let world = World::shared().await;
        let alice = world.somebody().start().await;
        let mut rogue = Rogue::new(world.somebody().number()).await;
        rogue.connect(&alice).await;
        let identity = rogue.key.public_key();
        let proposing = async { alice.client.propose(&identity, alice.terms([10, 20])).await };
        let accepting = async {
            let proposal = rogue.await_proposal().await;
            let acceptance = Acceptance {
                proposal: proposal.id(),
                part: Proposal::ACCEPTOR,
                participant: Participant::Secp256k1(identity),
                nonce_share: [5; 32],
            };
            let (params, initial) = proposal.channel(&acceptance).unwrap();
            let signature = Message::UpdateAcceptance(UpdateAcceptance {
                channel: params.id(),
                version: Version::INITIAL,
                part: SECOND,
                signature: rogue.key.sign(&initial.digest()),
                asks_turn: false,
            });
            rogue.send(&signature);
            rogue.send(&Message::Acceptance(acceptance));
            rogue.send(&signature);
            // Proposals that were repeated meanwhile do not matter.
            while let Some(message) = rogue.next().await {
                match message {
                    Message::Proposal(_) => {}
                    Message::UpdateAcceptance(_) => return,
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::select! {
            opened = proposing => panic!("{opened:?}"),
            () = accepting => {}
        }
    });
}

#[test]
fn a_peer_that_is_not_there_is_asked_when_it_comes() {
    story(async {
        let world = World::shared().await;
        let alice = world.somebody().start().await;
        let bob = world.somebody();
        let identity = off_chain(bob.number());
        let mut terms = alice.terms([10, 20]);
        terms.answer_within = SHORT;
        let unknown = soon("no answer", alice.client.propose(&identity, terms)).await;
        let no_answer = OpenError::NoAnswer {
            is_connected: false,
        };
        assert_eq!(format!("{unknown:?}"), format!("Err({no_answer:?})"));

        let proposing = alice.client.propose(&identity, alice.terms([10, 20]));
        let coming = async {
            let bob = bob.start().await;
            let mut proposals = bob.client.proposals();
            bob.connect(&alice);
            proposals.next().await.unwrap().accept().await.unwrap();
            bob
        };
        let opening = async { tokio::join!(proposing, coming) };
        let (ours, _bob) = soon("an open channel", opening).await;
        pay(&ours.unwrap(), 1).await;
    });
}

#[test]
fn a_window_too_short_to_refute_in_is_refused_by_either_side() {
    story(async {
        let world = World::shared().await;
        let slow = |config: &mut perun_client::client::Config| {
            config.max_view_age = Duration::from_secs(30);
        };
        let (quick, slow) = (world.somebody(), world.somebody().with(slow));
        let (quick, slow) = tokio::join!(quick.start(), slow.start());
        quick.connect(&slow);
        let identity = quick.identity();
        let proposed = slow.client.propose(&identity, slow.terms([10, 20])).await;
        match proposed {
            Err(OpenError::ChallengeTooShort { given, least }) => {
                assert_eq!(given, Duration::from_secs(60));
                assert_eq!(least, Duration::from_millis(4 * 30_600));
            }
            other => panic!("{other:?}"),
        }
        let identity = slow.identity();
        // The owner is not even asked.
        let proposing = quick.client.propose(&identity, quick.terms([10, 20]));
        let proposed = soon("an answer", proposing).await;
        assert_eq!(rejected(proposed).code, RejectCode::BadTerms);
    });
}

#[test]
fn what_the_adjudicator_does_not_serve_is_not_proposed() {
    story(async {
        let world = World::shared().await;
        let alice = world.somebody().start().await;
        let peer = off_chain(world.somebody().number());
        let mut unknown_ledger = alice.terms([10, 20]);
        let adjudicator = perun_canister_api::convert::principal(world.adjudicator).unwrap();
        unknown_ledger.balances[0].0 = AssetId::Icrc(adjudicator);
        let mut too_long = alice.terms([10, 20]);
        let long = CHALLENGE_S.1 + 1;
        too_long.challenge_duration = ChallengeDuration::from_secs(long).unwrap();
        for terms in [unknown_ledger, too_long] {
            let refused = soon("an answer", alice.client.propose(&peer, terms)).await;
            let Err(OpenError::Adjudicator(CheckError::Unsuitable(_))) = refused else {
                panic!("{refused:?}")
            };
        }
    });
}

#[test]
fn terms_that_make_no_channel_are_not_proposed() {
    story(async {
        let world = World::shared().await;
        let alice = world.somebody().start().await;
        let peer = off_chain(world.somebody().number());
        let mut unequal = alice.terms([10, 20]);
        unequal.funding = Some(vec![[units(10), units(21)]]);
        let mut twice = alice.terms([10, 20]);
        twice.balances.push(twice.balances[0]);
        for terms in [unequal, twice] {
            let refused = alice.client.propose(&peer, terms);
            let refused = soon("an answer", refused).await;
            assert!(matches!(refused, Err(OpenError::Invalid(_))), "{refused:?}");
        }
        let oneself = alice.identity();
        let with_oneself = alice.client.propose(&oneself, alice.terms([10, 20]));
        let refused = soon("an answer", with_oneself).await;
        assert!(matches!(refused, Err(OpenError::Invalid(_))), "{refused:?}");
    });
}

#[test]
fn a_proposal_that_is_dropped_is_taken_back() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        alice.connect(&bob);
        let identity = bob.identity();
        let mut proposals = bob.client.proposals();
        let proposal = {
            let proposing = alice.client.propose(&identity, alice.terms([10, 20]));
            tokio::select! {
                proposal = proposals.next() => proposal.unwrap(),
                early = proposing => panic!("{early:?}"),
            }
        };
        let accepted = soon("the answer", proposal.accept()).await;
        match accepted {
            Err(OpenError::Abandoned(reason)) => {
                assert_eq!(reason.code, RejectCode::UnknownProposal);
            }
            other => panic!("{other:?}"),
        }
        assert!(alice.client.channels().is_empty() && bob.client.channels().is_empty());
    });
}

#[test]
fn what_a_proposal_binds_besides_is_seen_by_both() {
    story(async {
        let world = World::shared().await;
        let (alice, bob) = world.pair().await;
        let mut terms = alice.terms([10, 20]);
        terms.aux = [7; 32];
        let (ours, theirs) = alice.open(&bob, terms).await;
        assert_eq!(ours.params().aux(), [7; 32]);
        assert_eq!(theirs.params().aux(), [7; 32]);
        close(&ours, &theirs).await;
    });
}

#[test]
fn too_many_proposals_at_once_are_turned_away() {
    story(async {
        let world = World::shared().await;
        let bob = world
            .somebody()
            .with(|config| config.max_proposals_per_peer = 1);
        let (alice, bob) = tokio::join!(world.somebody().start(), bob.start());
        let carol = world.somebody().start().await;
        alice.connect(&bob);
        carol.connect(&bob);
        let identity = bob.identity();
        let mut proposals = bob.client.proposals();
        let first = alice.client.propose(&identity, alice.terms([10, 20]));
        tokio::pin!(first);
        let waiting = tokio::select! {
            proposal = proposals.next() => proposal.unwrap(),
            early = &mut first => panic!("{early:?}"),
        };
        let second = alice.client.propose(&identity, alice.terms([10, 20]));
        let reason = rejected(soon("the answer", second).await);
        assert_eq!(reason.code, RejectCode::Busy);
        // That is no other peer's concern.
        let third = carol.client.propose(&identity, carol.terms([10, 20]));
        let accepting = async { proposals.next().await.unwrap().accept().await };
        let opening = async { tokio::join!(third, accepting) };
        soon("an open channel", opening).await.0.unwrap();
        let opening = async { tokio::join!(first, waiting.accept()) };
        soon("an open channel", opening).await.0.unwrap();
    });
}
