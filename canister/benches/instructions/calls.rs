//! One channel's life among many others, each call of it measured.

use std::time::Duration;

use candid::{CandidType, Principal};
use icrc_ledger_types::icrc3::blocks::{GetBlocksRequest, GetBlocksResult};
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::{
    ConsentMessageMetadata, ConsentMessageRequest, ConsentMessageSpec,
};
use icrc_ledger_types::icrc21::responses::ConsentInfo;
use local_ic::canister_wasm;
use perun_canister::http::{HttpRequest, HttpResponse};
use perun_canister_api::{
    ChannelRequest, Claim, ConcludeError, Conclusion, DepositAccount, DepositAccountError,
    DepositAccountRequest, DepositError, DepositReceipt, DisputeError, DisputeManyError,
    DisputeRequest, DisputeResult, EventsError, EventsPage, EventsRequest, HoldingsAnswer, Info,
    QueryError, Registered, StateAnswer, UpgradeArgs, WithdrawError, WithdrawReceipt, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{Signature, Timestamp};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::floor::Floor;
use crate::image::Image;
use crate::world::{ALICE, BOB, CHALLENGE_S, FEE, TestChannel, World, user};

/// What one call costs.
pub struct Call {
    pub name: &'static str,
    /// Of the adjudicator, in all of the call's messages.
    pub instructions: u64,
    /// Of these, what the floor needs for the signatures and keys that must be checked.
    pub must: u64,
    pub bytes_in: usize,
    pub bytes_out: usize,
    /// `None` for what is free, or not paid by the call.
    pub cycles: Option<u64>,
}

/// The prices of a subnet of 13 nodes, in cycles.
mod price {
    pub const MESSAGE: u64 = 5_000_000;
    pub const INGRESS: u64 = 1_200_000;
    pub const INGRESS_BYTE: u64 = 2_000;
    pub const CALL: u64 = 260_000;
    pub const CALL_BYTE: u64 = 1_000;
}

/// How `cycles` are computed.
pub const FORMULA: &str = "instructions + 5 M per message (callbacks are messages) + 1.2 M + 2,000 \
    per byte of the argument + for each call of a ledger 260 k + 1,000 per byte sent or received";

/// The calls, and the heap in pages of 64 KiB after them.
pub fn measure(channels: u64, floor: &Floor) -> (Vec<Call>, u64) {
    let mut bench = Bench::new(channels, floor);
    // The first call of each kind after an upgrade is not like the others.
    bench.warm_up();
    bench.life();
    let adjudicator = bench.world.ic.canister(bench.world.adjudicator);
    let heap_pages = adjudicator.expect("it is there").heap_bytes / 65_536;
    (bench.calls, heap_pages as u64)
}

struct Bench<'f> {
    world: World,
    floor: &'f Floor,
    calls: Vec<Call>,
}

impl<'f> Bench<'f> {
    fn new(channels: u64, floor: &'f Floor) -> Self {
        let mut world = World::new();
        let mut image = Image::new(world.adjudicator, world.ledgers[0]);
        let now = Timestamp::from_nanos(world.ic.time_ns());
        (0..channels).for_each(|number| image.open(number, now));
        let wasm = canister_wasm("adjudicator").expect("the adjudicator builds");
        let args = candid::encode_one(None::<UpgradeArgs>).expect("arguments encode");
        let installed =
            world
                .ic
                .install_with_stable_memory(world.adjudicator, &wasm, args, &image.bytes());
        installed.expect("the image is what the adjudicator writes");
        let post_upgrade = world.ic.instructions(world.adjudicator, "post_upgrade");
        world.ic.run();
        let calls = vec![Call {
            name: "post_upgrade",
            instructions: post_upgrade.expect("it ran"),
            must: 0,
            bytes_in: 0,
            bytes_out: 0,
            cycles: None,
        }];
        Self {
            world,
            floor,
            calls,
        }
    }

    fn warm_up(&mut self) {
        let upgraded = std::mem::take(&mut self.calls);
        self.life_of(1, 2);
        self.calls = upgraded;
    }

    fn life(&mut self) {
        self.life_of(3, 4);
    }

    /// A channel that ends in a dispute, and one that ends in agreement.
    fn life_of(&mut self, disputed: u8, agreed: u8) {
        let Floor { signature, key } = *self.floor;
        self.world.approve(0, user(0), 100_000);
        let channel = self.world.channel(disputed);
        let first = channel.by_approval(0, ALICE, 100);
        self.deposit("deposit by approval, first", 2 * key, first);
        let later = channel.by_approval(0, BOB, 50);
        self.deposit("deposit by approval, later", 0, later);
        self.deposit_account(&channel);
        let account = convert::account_to_candid(&channel.deposit_account(BOB));
        self.world.transfer(0, user(1), account, 50 + FEE);
        let swept = channel.by_account(0, BOB);
        self.deposit("deposit by account, later", 0, swept);

        let claim = channel.disputing(5, &[50, 150], &[100, 100]);
        self.dispute("dispute", 2 * signature, claim);
        let outdated = channel.disputing(4, &[50, 150], &[100, 100]);
        self.refused("dispute, outdated", 0, outdated);
        let forged = forged(&channel, 6);
        self.refused("dispute, bad signature", signature, forged);
        let newer = channel.disputing(7, &[20, 180], &[100, 100]);
        self.dispute("refute", 2 * signature, newer);
        self.query_state(&channel);
        self.query_holdings(&channel);
        self.query_events(&channel);
        self.get_blocks();
        let claims = [8, 9].map(|version| channel.disputing(version, &[20, 180], &[100, 100]));
        self.dispute_many("dispute_many, two", 4 * signature, &claims);
        self.tick();
        self.world
            .ic
            .advance(Duration::from_secs(CHALLENGE_S.into()));
        self.conclude("conclude, elapsed", 0, channel.concluding_elapsed());
        let payout = channel.withdrawing(0, ALICE, user(10));
        self.explain("withdraw", &payout);
        self.withdraw("withdraw", signature, payout);

        let channel = self.world.channel(agreed);
        let account = convert::account_to_candid(&channel.deposit_account(ALICE));
        self.world.transfer(0, user(1), account, 200 + FEE);
        let swept = channel.by_account(0, ALICE);
        self.deposit("deposit by account, first", 2 * key, swept);
        let last = channel.concluding(9, &[100, 100], &[200, 0]);
        self.conclude("conclude, final state", 2 * signature, last);
        let _: Info = self.query("info", ());
        self.get("http_request, the page", "/");
        self.get("http_request, metrics", "/metrics");
    }

    fn deposit(&mut self, name: &'static str, must: u64, request: impl CandidType) {
        let receipt: Result<DepositReceipt, DepositError> =
            self.update(name, must, "deposit", request);
        receipt.expect("the deposit arrives");
    }

    fn dispute(&mut self, name: &'static str, must: u64, request: DisputeRequest) {
        let registered: Result<Registered, DisputeError> =
            self.update(name, must, "dispute", request);
        registered.expect("the claim is registered");
    }

    fn dispute_many(&mut self, name: &'static str, must: u64, requests: &[DisputeRequest]) {
        let judged: Result<Vec<DisputeResult>, DisputeManyError> =
            self.update(name, must, "dispute_many", requests);
        let judged = judged.expect("the claims are judged");
        assert!(
            judged.iter().all(Result::is_ok),
            "the claims are registered"
        );
    }

    /// What a signer shows before a call.
    fn explain(&mut self, method: &str, request: &impl CandidType) {
        let request = ConsentMessageRequest {
            method: method.into(),
            arg: candid::encode_one(request).expect("a request encodes"),
            user_preferences: ConsentMessageSpec {
                metadata: ConsentMessageMetadata {
                    language: "en".into(),
                    utc_offset_minutes: None,
                },
                device_spec: None,
            },
        };
        let explained: Result<ConsentInfo, Icrc21Error> = self.update(
            "icrc21_canister_call_consent_message",
            0,
            "icrc21_canister_call_consent_message",
            request,
        );
        explained.expect("the call is explained");
    }

    fn get(&mut self, name: &'static str, url: &str) {
        let request = HttpRequest {
            method: "GET".into(),
            url: url.into(),
            headers: vec![],
            body: ByteBuf::new(),
            certificate_version: Some(2),
        };
        let answer: HttpResponse = self.query(name, request);
        assert_eq!(answer.status_code, 200);
    }

    fn deposit_account(&mut self, channel: &TestChannel) {
        let request = DepositAccountRequest {
            channel: channel.id_bytes(),
            part: 0,
            asset: channel.asset(0),
            share: 100,
        };
        let account: Result<DepositAccount, DepositAccountError> =
            self.query("deposit_account", request);
        account.expect("there is one");
    }

    fn query_holdings(&mut self, channel: &TestChannel) {
        let request = ChannelRequest {
            channel: channel.id_bytes(),
        };
        let answer: Result<HoldingsAnswer, QueryError> = self.query("query_holdings", request);
        assert!(answer.expect("a channel id").holdings.is_some());
    }

    fn get_blocks(&mut self) {
        let first = GetBlocksRequest {
            start: 0_u8.into(),
            length: 5_u8.into(),
        };
        let page: GetBlocksResult = self.query("icrc3_get_blocks, 5", vec![first]);
        assert_eq!(page.blocks.len(), 5);
    }

    fn refused(&mut self, name: &'static str, must: u64, request: DisputeRequest) {
        let registered: Result<Registered, DisputeError> =
            self.update(name, must, "dispute", request);
        registered.expect_err("the claim is refused");
    }

    fn conclude(&mut self, name: &'static str, must: u64, request: impl CandidType) {
        let conclusion: Result<Conclusion, ConcludeError> =
            self.update(name, must, "conclude", request);
        conclusion.expect("the channel is concluded");
    }

    fn withdraw(&mut self, name: &'static str, must: u64, request: impl CandidType) {
        let receipt: Result<WithdrawReceipt, WithdrawError> =
            self.update(name, must, "withdraw", request);
        receipt.expect("the remainder is paid");
    }

    fn query_state(&mut self, channel: &TestChannel) {
        let request = ChannelRequest {
            channel: channel.id_bytes(),
        };
        let answer: Result<StateAnswer, QueryError> = self.query("query_state", request);
        assert!(answer.expect("a channel id").registered.is_some());
    }

    fn query_events(&mut self, channel: &TestChannel) {
        let of = |channel, start| EventsRequest {
            channel,
            start,
            length: 10,
        };
        let request = of(Some(channel.id_bytes()), 0);
        let page: Result<EventsPage, EventsError> =
            self.query("query_events, of the channel (5)", request);
        let page = page.expect("a page");
        assert_eq!(page.events.len(), 5);
        let page: Result<EventsPage, EventsError> =
            self.query("query_events, the last 5", of(None, page.total - 5));
        assert_eq!(page.expect("a page").events.len(), 5);
    }

    /// The timer while a window is open.
    fn tick(&mut self) {
        let World {
            ic, adjudicator, ..
        } = &mut self.world;
        ic.clear_executions();
        ic.advance(Duration::from_secs(60));
        let ours = || ic.executions().filter(|run| run.canister == *adjudicator);
        let ticks = ours().filter(|run| run.entry == "timer").count() as u64;
        self.calls.push(Call {
            name: "tick of a window",
            instructions: ours().map(|run| run.instructions).sum::<u64>() / ticks,
            must: 0,
            bytes_in: 0,
            bytes_out: 0,
            cycles: None,
        });
    }

    fn update<R>(
        &mut self,
        name: &'static str,
        must: u64,
        method: &str,
        request: impl CandidType,
    ) -> R
    where
        R: CandidType + for<'a> Deserialize<'a>,
    {
        let World {
            ic,
            adjudicator,
            ledgers,
        } = &mut self.world;
        let argument = candid::encode_one(request).expect("a request encodes");
        let bytes_in = argument.len();
        ic.clear_executions();
        let reply = ic.update(user(0), *adjudicator, method, argument);
        let reply = reply.expect("it is answered");

        let of = |canister: Principal| {
            let executions = ic.executions();
            executions.filter(move |run| run.canister == canister)
        };
        let is_counted = |entry: &str| entry != "inspect_message" && entry != "timer";
        let ours: Vec<_> = of(*adjudicator)
            .filter(|run| is_counted(&run.entry))
            .collect();
        let instructions = ours.iter().map(|run| run.instructions).sum();
        let received = ours[1..].iter().map(|run| run.argument_bytes);
        let sent = of(ledgers[0]).map(|run| run.argument_bytes);
        let call_bytes = received.chain(sent).sum::<usize>() as u64;
        let calls = ours.len() as u64 - 1;
        let cycles = instructions
            + price::MESSAGE * ours.len() as u64
            + price::INGRESS
            + price::INGRESS_BYTE * bytes_in as u64
            + price::CALL * calls
            + price::CALL_BYTE * call_bytes;
        self.calls.push(Call {
            name,
            instructions,
            must,
            bytes_in,
            bytes_out: reply.len(),
            cycles: Some(cycles),
        });
        candid::decode_one(&reply).expect("the answer decodes")
    }

    fn query<R>(&mut self, name: &'static str, request: impl CandidType) -> R
    where
        R: CandidType + for<'a> Deserialize<'a>,
    {
        let (method, _) = name.split_once(',').unwrap_or((name, ""));
        let argument = candid::encode_one(request).expect("a request encodes");
        let bytes_in = argument.len();
        let World {
            ic, adjudicator, ..
        } = &mut self.world;
        let reply = ic.query(user(0), *adjudicator, method, argument);
        let reply = reply.expect("it is answered");
        self.calls.push(Call {
            name,
            instructions: ic.last_message_instructions(),
            must: 0,
            bytes_in,
            bytes_out: reply.len(),
            cycles: None,
        });
        candid::decode_one(&reply).expect("the answer decodes")
    }
}

/// A state whose first signature is another's.
fn forged(channel: &TestChannel, version: u64) -> DisputeRequest {
    let signed = channel.signed(version, &[50, 150], &[100, 100]);
    let mut signed = perun_protocol::UnverifiedSignedState::from(signed);
    let other: Signature = signed.signatures[1];
    signed.signatures[0] = other;
    DisputeRequest {
        claim: Claim::State(ByteBuf::from(signed.encode())),
    }
}
