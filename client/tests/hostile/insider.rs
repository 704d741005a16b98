//! The peer of a channel breaks the protocol in it.

use perun_client::channel::Channel;
use perun_protocol::payment::{Batch, Payment};
use perun_protocol::signature::Signer as _;
use perun_protocol::wire::{
    Message, PaymentRequest, Sync, Text, TurnPass, TurnRequest, Update, UpdateAcceptance, Witness,
};
use perun_protocol::{
    Amount, AssetIdx, PartIdx, Signature, State, Timestamp, UnverifiedSignedState, Version,
};
use tokio::time::{Duration, timeout};

use crate::Honest;
use crate::mallory::{Heard, LONG, Mallory};
use crate::world::{CHALLENGE_S, FEE, key};

const MALLORY: u8 = 3;

/// A channel of Alice's with somebody who has been honest so far, and now is Mallory.
struct Insider {
    honest: Honest,
    channel: Channel,
}

impl Insider {
    async fn new() -> Self {
        let honest = Honest::new().await;
        let person = honest.world.client(MALLORY).await;
        let (channel, theirs) = honest.alice.open_with(&person, [100, 100]).await;
        channel.pay(Amount::new(10)).await.unwrap();
        theirs.pay(Amount::new(5)).await.unwrap();
        person.client.stop().await.unwrap();
        Self { honest, channel }
    }

    async fn mallory(&self) -> Mallory {
        Mallory::new(MALLORY, &self.honest.alice).await
    }

    fn newest(&self) -> UnverifiedSignedState {
        self.channel.newest().unwrap().into()
    }

    fn version(&self) -> Version {
        self.channel.newest().unwrap().version()
    }

    /// What an honest peer says first.
    fn sync(&self) -> Sync {
        Sync {
            channel: self.channel.id(),
            turn: 0,
            newest: self.newest(),
            pending: None,
            offered: None,
            witness: None,
            signed_through: None,
            wants_answer: false,
        }
    }

    async fn synced(&self) -> Mallory {
        let mut mallory = self.mallory().await;
        self.hear_sync(&mut mallory).await;
        mallory.say(&Message::Sync(Box::new(self.sync())));
        mallory
    }

    async fn hear_sync(&self, mallory: &mut Mallory) -> Sync {
        loop {
            if let Message::Sync(sync) = mallory.hear_message().await {
                return *sync;
            }
        }
    }

    /// The money comes back, whatever Mallory has said.
    async fn end(self, balance: u128) {
        let Self { honest, channel } = self;
        honest.is_well().await;
        let closing = channel.force_close();
        let passing = async {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                honest
                    .world
                    .advance(Duration::from_secs(CHALLENGE_S.0.into()));
            }
        };
        tokio::select! {
            closed = timeout(3 * LONG, closing) => {
                let paid = closed.unwrap().unwrap().paid_out[0].receipt.paid.units();
                assert_eq!(paid, balance - FEE);
            }
            () = passing => {}
        }
    }
}

/// None of these changes anything; those that no honest peer says end the connection.
#[tokio::test(flavor = "multi_thread")]
async fn lies_change_nothing() {
    let insider = Insider::new().await;
    let id = insider.channel.id();
    let newest = insider.channel.newest().unwrap();
    let turn = {
        let mut mallory = insider.mallory().await;
        insider.hear_sync(&mut mallory).await.turn
    };
    let next = Version::new(insider.version().number() + 1);
    let signature = Signature::from_bytes([7; 64]);
    let mut much = Batch::default();
    let payment = Payment {
        asset: AssetIdx::new(0),
        amount: Amount::new(1_000_000),
        memo: None,
    };
    much.push(&payment, Batch::MAX_LENGTH).unwrap();
    let mut little = Batch::default();
    let payment = Payment {
        amount: Amount::new(1),
        ..payment
    };
    little.push(&payment, Batch::MAX_LENGTH).unwrap();
    let update = |change: &dyn Fn(&mut Update)| {
        let mut update = Update {
            channel: id,
            version: next,
            skipped: 0,
            turn: turn + 1 - turn % 2,
            is_final: false,
            passes_turn: false,
            payments: little.clone(),
            signature,
        };
        change(&mut update);
        Message::Update(Box::new(update))
    };
    let acceptance = |version, part, signature| {
        Message::UpdateAcceptance(UpdateAcceptance {
            channel: id,
            version,
            part: PartIdx::new(part),
            signature,
            asks_turn: false,
        })
    };
    let sync = |change: &dyn Fn(&mut Sync)| {
        let mut sync = insider.sync();
        change(&mut sync);
        Message::Sync(Box::new(sync))
    };
    let unsigned = |state: State| UnverifiedSignedState {
        state,
        signatures: vec![signature; 2],
    };
    let forged = {
        let state = newest.state();
        let mut allocation = state.allocation().clone();
        allocation.balances = crate::world::table([0, 200]);
        State::from_parts(
            id,
            Version::new(next.number() + 7),
            allocation,
            state.funding().clone(),
            state.app_data().to_vec(),
            true,
        )
        .unwrap()
    };
    let half_signed = UnverifiedSignedState {
        signatures: vec![signature, key(MALLORY).sign(&[1; 32])],
        state: forged.clone(),
    };
    let lies = [
        ("a wrong signature", update(&|_| ())),
        ("a final one", update(&|update| update.is_final = true)),
        (
            "more than there is",
            update(&|update| update.payments = much.clone()),
        ),
        (
            "a far version",
            update(&|update| update.version = Version::new(u64::MAX)),
        ),
        (
            "a wide gap",
            update(&|update| {
                update.version = Version::new(u64::MAX);
                update.skipped = u64::MAX;
            }),
        ),
        ("a far turn", update(&|update| update.turn = u64::MAX)),
        (
            "a turn request from afar",
            Message::TurnRequest(TurnRequest {
                channel: id,
                turn: u64::MAX,
            }),
        ),
        (
            "a turn from afar",
            Message::TurnPass(TurnPass {
                channel: id,
                turn: u64::MAX,
            }),
        ),
        ("acceptance of nothing", acceptance(next, 1, signature)),
        ("acceptance for others", acceptance(next, 0, signature)),
        (
            "acceptance of the last number",
            acceptance(Version::new(u64::MAX), 9, signature),
        ),
        (
            "a forged state",
            sync(&|sync| sync.newest = unsigned(forged.clone())),
        ),
        (
            "a state half signed",
            sync(&|sync| sync.newest = half_signed.clone()),
        ),
        (
            "a state without signatures",
            sync(&|sync| sync.newest.signatures.clear()),
        ),
        (
            "many signatures",
            sync(&|sync| sync.newest.signatures = vec![signature; 200]),
        ),
        ("a far turn in a sync", sync(&|sync| sync.turn = u64::MAX)),
        (
            "a forged witness",
            sync(&|sync| {
                sync.witness = Some(Witness {
                    proposed: unsigned(forged.clone()),
                });
            }),
        ),
        (
            "another asset",
            Message::PaymentRequest(PaymentRequest {
                channel: id,
                id: 1,
                asset: AssetIdx::new(200),
                amount: Amount::new(1),
                memo: Text::default(),
                expires_at: Timestamp::from_nanos(u64::MAX),
            }),
        ),
    ];
    for (how, lie) in lies {
        let mut mallory = insider.synced().await;
        let _ = mallory.say_bytes(&lie.encode());
        let mut question = insider.sync();
        question.wants_answer = true;
        let _ = mallory.say_bytes(&Message::Sync(Box::new(question)).encode());
        let reason = loop {
            match mallory.hear().await {
                Heard::Message(Message::Sync(_)) => break None,
                Heard::Message(_) => {}
                Heard::Goodbye(reason) => break Some(reason),
                Heard::End => panic!("{how}: without a word"),
            }
        };
        // The rest is what an honest peer may say late, and is skipped.
        let is_skipped = [
            "a far turn",
            "a turn request from afar",
            "a turn from afar",
            "acceptance of nothing",
            "acceptance for others",
            "acceptance of the last number",
            "a state without signatures",
        ]
        .contains(&how);
        assert_eq!(reason.is_none(), is_skipped, "{how}: {reason:?}");
        let now = insider.channel.newest().unwrap();
        assert_eq!(now.state(), newest.state(), "{how}");
    }
    insider.end(95).await;
}

/// What honest peers say, too, but thousands of times.
#[tokio::test(flavor = "multi_thread")]
async fn floods_in_a_channel_slow_only_that() {
    let insider = Insider::new().await;
    let id = insider.channel.id();
    let mut mallory = insider.mallory().await;
    let told = insider.hear_sync(&mut mallory).await;
    let request = |number| {
        Message::PaymentRequest(PaymentRequest {
            channel: id,
            id: number,
            asset: AssetIdx::new(0),
            amount: Amount::new(1),
            memo: Text::new(&"please ".repeat(50)),
            expires_at: Timestamp::from_nanos(if number % 2 == 0 { 0 } else { u64::MAX }),
        })
    };
    for number in 0..1_000 {
        let mut sync = insider.sync();
        sync.wants_answer = number % 10 == 0;
        for message in [
            Message::Sync(Box::new(sync)),
            Message::TurnRequest(TurnRequest {
                channel: id,
                turn: told.turn,
            }),
            request(number),
        ] {
            mallory.say_patiently(&message.encode()).await.unwrap();
        }
        if number % 100 == 0 {
            insider.honest.is_well().await;
        }
    }
    insider.honest.is_well().await;
    let newest = insider.channel.newest().unwrap();
    assert_eq!(
        newest.state().allocation().balances,
        crate::world::table([95, 105])
    );
    drop(mallory);
    insider.end(95).await;
}

/// A peer that claims to have signed everything leaves nothing to sign: the channel can only be
/// closed, and it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_has_signed_the_last_number_is_closed_with() {
    let insider = Insider::new().await;
    let mut mallory = insider.mallory().await;
    insider.hear_sync(&mut mallory).await;
    let mut sync = insider.sync();
    sync.signed_through = Some(Version::new(u64::MAX));
    mallory.say(&Message::Sync(Box::new(sync)));
    let paying = insider.channel.pay(Amount::new(1));
    let paid = timeout(Duration::from_secs(2), paying).await;
    assert!(!matches!(paid, Ok(Ok(()))), "nobody has signed that");
    drop(mallory);
    insider.end(95).await;
}

/// Alice has proposed, and the answer is signed by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_that_the_peer_did_not_sign_is_none() {
    let insider = Insider::new().await;
    let before = insider.channel.newest().unwrap();
    let mut mallory = insider.synced().await;
    let channel = insider.channel.clone();
    let paying = tokio::spawn(async move { channel.pay(Amount::new(1)).await });
    let hearing = async {
        loop {
            match mallory.hear_message().await {
                Message::Update(update) => break update,
                Message::TurnRequest(TurnRequest { channel, turn }) => {
                    let turn = turn + 1;
                    mallory.say(&Message::TurnPass(TurnPass { channel, turn }));
                }
                _ => {}
            }
        }
    };
    let update = timeout(LONG, hearing).await.unwrap();
    mallory.say(&Message::UpdateAcceptance(UpdateAcceptance {
        channel: update.channel,
        version: update.version,
        part: PartIdx::new(1),
        // The proposer's own.
        signature: update.signature,
        asks_turn: false,
    }));
    let reason = mallory.hear_goodbye().await;
    assert!(reason.starts_with("the signature"), "{reason}");
    let now = insider.channel.newest().unwrap();
    assert_eq!(now.state(), before.state());
    assert!(!paying.is_finished(), "it is neither paid nor refused");
    paying.abort();
    insider.end(95).await;
}
