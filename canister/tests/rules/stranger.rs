//! Requests as bytes from anybody, read as the canister reads them.
//!
//! A first byte below 128 names the method, and the rest is its argument. From 128 on it names one of
//! the good requests that the scene is full of, and the rest says in threes (place, place, mask) which
//! of its bytes are other ones. So random bytes get behind the decoder.
//!
//! Whatever they are: nothing panics; what is refused leaves everything as it was; what is accepted
//! keeps the books in balance, and outlives an upgrade.

use candid::{CandidType, Deserialize};
use icrc_ledger_types::icrc3::blocks::GetBlocksRequest;
use perun_canister::answers::MAX_REQUEST_BYTES;
use perun_canister::encoding;
use perun_canister::http::{HttpRequest, Surroundings};
use perun_canister_api::{ChannelRequest, DepositAccountRequest, DisputeRequest, EventsRequest};
use serde_bytes::ByteBuf;

use super::{ALICE, BOB, TestChannel, World, explaining, user};

#[derive(Clone, Copy, Debug)]
enum Method {
    Deposit,
    Dispute,
    DisputeMany,
    Conclude,
    Withdraw,
    DepositAccount,
    Holdings,
    State,
    Events,
    Blocks,
    Consent,
    Http,
}

const METHODS: [Method; 12] = [
    Method::Deposit,
    Method::Dispute,
    Method::DisputeMany,
    Method::Conclude,
    Method::Withdraw,
    Method::DepositAccount,
    Method::Holdings,
    Method::State,
    Method::Events,
    Method::Blocks,
    Method::Consent,
    Method::Http,
];

/// An open channel, a disputed one, a concluded one, and one that nobody has heard of.
struct Scene {
    world: World,
    channels: [TestChannel; 4],
}

/// Hands in what `bytes` say.
pub fn play(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else {
        return;
    };
    let mut scene = Scene::new();
    let (method, argument) = match choice.checked_sub(128) {
        None => (METHODS[usize::from(choice) % METHODS.len()], rest.to_vec()),
        Some(choice) => {
            let mut requests = scene.requests();
            let (method, mut argument) = requests.swap_remove(usize::from(choice) % requests.len());
            for edit in rest.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
                let place = place % argument.len();
                argument[place] ^= edit[2];
            }
            (method, argument)
        }
    };
    scene.hand_in(method, &argument);
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let open = world.funded(1, [60, 40]);
        let disputed = world.funded(2, [60, 40]);
        let claim = disputed.disputing(3, &[50, 50], &[60, 40]);
        world.dispute(claim).unwrap();
        let concluded = world.funded(3, [60, 40]);
        let last = concluded.concluding(1, &[50, 50], &[60, 40]);
        world.conclude(last).unwrap();
        let unknown = world.channel(4);
        world.approve(0, user(0), 1_000);
        Self {
            world,
            channels: [open, disputed, concluded, unknown],
        }
    }

    fn requests(&self) -> Vec<(Method, Vec<u8>)> {
        let mut requests = Vec::new();
        for channel in &self.channels {
            let id = channel.id_bytes();
            let newer = channel.disputing(9, &[0, 100], &[60, 40]);
            let last = channel.concluding(9, &[0, 100], &[60, 40]);
            let about = ChannelRequest {
                channel: id.clone(),
            };
            let account = DepositAccountRequest {
                channel: id.clone(),
                part: 0,
                asset: channel.asset(0),
                share: 5,
            };
            let page = EventsRequest {
                channel: Some(id),
                start: 0,
                length: 9,
            };
            let payout = channel.withdrawing(0, BOB, user(9));
            let older = channel.disputing(2, &[10, 90], &[60, 40]);
            let batch = vec![older, newer.clone()];
            let explain = explaining("withdraw", bytes(payout.clone()), None);
            requests.extend([
                (Method::Deposit, bytes(channel.by_approval(0, ALICE, 7))),
                (Method::Deposit, bytes(channel.by_account(0, BOB))),
                (Method::Dispute, bytes(newer)),
                (Method::Dispute, bytes(channel.refund_claim(ALICE))),
                (Method::Conclude, bytes(last)),
                (Method::Conclude, bytes(channel.concluding_elapsed())),
                (Method::Withdraw, bytes(payout)),
                (Method::DepositAccount, bytes(account)),
                (Method::Holdings, bytes(&about)),
                (Method::State, bytes(about)),
                (Method::Events, bytes(page)),
                (Method::DisputeMany, bytes(batch)),
                (Method::Consent, bytes(explain)),
            ]);
        }
        let range = |start: u8, length: u64| GetBlocksRequest {
            start: start.into(),
            length: length.into(),
        };
        let ranges = vec![range(0, 3), range(2, u64::MAX), range(200, 1)];
        requests.push((Method::Blocks, bytes(ranges)));
        let page = HttpRequest {
            method: "GET".into(),
            url: "/metrics?all".into(),
            headers: vec![("accept".into(), "*/*".into())],
            body: ByteBuf::new(),
            certificate_version: Some(2),
        };
        requests.push((Method::Http, bytes(page)));
        requests
    }

    fn hand_in(&mut self, method: Method, argument: &[u8]) {
        let before = (self.world.size(), self.world.certified());
        if !self.is_accepted(method, argument) {
            let after = (self.world.size(), self.world.certified());
            assert_eq!(after, before, "{method:?} was refused");
        }
        let told = self.told();
        self.world.upgrade(None);
        assert_eq!(self.told(), told, "the upgrade changed something");
        for channel in &self.channels {
            let Some(holdings) = self.world.holdings(channel) else {
                continue;
            };
            let held: u128 = holdings.amounts[0].iter().sum();
            let owed = held + holdings.in_flight[0];
            assert_eq!(self.world.funds(channel, 0), owed, "after {method:?}");
        }
    }

    /// Whether the request had any effect that is not nothing.
    fn is_accepted(&mut self, method: Method, argument: &[u8]) -> bool {
        let world = &mut self.world;
        match method {
            Method::Deposit => ok(argument, |request| {
                world.begin_deposit(user(0), request).finish().is_ok()
            }),
            Method::Dispute => ok(argument, |request| world.dispute(request).is_ok()),
            Method::DisputeMany => ok(argument, |requests: Vec<DisputeRequest>| {
                let judged =
                    world.mutate(|adjudicator, now| adjudicator.dispute_many(&requests, now));
                judged.is_ok_and(|results| results.iter().any(Result::is_ok))
            }),
            Method::Conclude => ok(argument, |request| world.conclude(request).is_ok()),
            Method::Withdraw => ok(argument, |request| world.withdraw(request).is_ok()),
            Method::DepositAccount => ok(argument, |request| {
                world.read(|adjudicator, _| adjudicator.deposit_account(&request).is_ok());
                false
            }),
            Method::Holdings => ok(argument, |request| {
                world.read(|adjudicator, _| adjudicator.holdings(&request).is_ok());
                false
            }),
            Method::State => ok(argument, |request| {
                world.read(|adjudicator, now| {
                    if let Ok((id, _)) = adjudicator.state(&request, now) {
                        let witness = adjudicator.registration_witness(id);
                        assert_eq!(witness.digest(), adjudicator.certified_root());
                    }
                });
                false
            }),
            Method::Events => ok(argument, |request| {
                world.read(|adjudicator, now| adjudicator.events(&request, now).is_ok());
                false
            }),
            Method::Blocks => ok(argument, |ranges: Vec<GetBlocksRequest>| {
                world.read(|adjudicator, _| adjudicator.blocks(&ranges));
                false
            }),
            Method::Consent => ok(argument, |request| {
                world.read(|adjudicator, now| adjudicator.consent(&request, now).is_ok());
                false
            }),
            Method::Http => ok(argument, |request| {
                world.read(|adjudicator, now| {
                    let around = Surroundings {
                        now,
                        certificate: None,
                        stable_bytes: 0,
                        heap_bytes: 0,
                    };
                    adjudicator.answer_http(&request, &around);
                });
                false
            }),
        }
    }

    /// Everything that is told about the channels.
    fn told(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let channels = self.channels.iter().map(|channel| {
            (
                self.world.holdings(channel),
                self.world.registered(channel),
                self.world.events(channel),
            )
        });
        let channels: Vec<_> = channels.collect();
        (channels, self.world.size(), self.world.certified())
    }
}

fn bytes(request: impl CandidType) -> Vec<u8> {
    candid::encode_one(request).unwrap()
}

fn ok<T>(argument: &[u8], f: impl FnOnce(T) -> bool) -> bool
where
    T: encoding::Message + for<'a> Deserialize<'a>,
{
    encoding::decode(argument, MAX_REQUEST_BYTES).is_ok_and(f)
}

/// How many good requests there are.
pub fn good_requests() -> usize {
    Scene::new().requests().len()
}
