//! Following the log: many events of several channels, restarts, another log, lost connections.

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use local_ic::{Fault, Target, Until};
use perun_canister_api::{Claim, DisputeError, DisputeRequest, Registered};
use perun_client::Door;
use perun_client::chain::{Cursor, EventFollower, FollowError, Seen};
use perun_protocol::ChannelId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use world::{ALICE, FIRST, Proxy, SECOND, TestChannel, World, user};

/// A dispute and its refutations, quickly: not by an agent, but by the replica's own hand.
fn refute(world: &World, channel: &TestChannel, versions: std::ops::Range<u64>) {
    for version in versions {
        let signed = channel.signed(version, [15, 35], [20, 30]);
        let claim = Claim::from(&signed);
        let request = candid::encode_one(DisputeRequest { claim }).unwrap();
        let reply = world.server.with(|replica| {
            let disputed = replica.update(user(9), world.adjudicator, "dispute", request);
            disputed.unwrap()
        });
        let registered: Result<Registered, DisputeError> = candid::decode_one(&reply).unwrap();
        registered.unwrap();
    }
}

async fn follower(world: &World, cursor: Cursor) -> EventFollower {
    world.chain_for(ALICE).await.follower(cursor)
}

fn set(channels: &[&TestChannel]) -> BTreeSet<ChannelId> {
    channels.iter().map(|channel| channel.params.id()).collect()
}

/// Three channels, whose log has four deposits and 140 claims. The first page is about the first
/// channel, the rest about the second.
async fn long_log(world: &World) -> [TestChannel; 3] {
    let one = world.funded(1, [20, 30]).await;
    refute(world, &one, 1..99);
    let two = world.funded(2, [20, 30]).await;
    refute(world, &two, 1..43);
    [one, two, world.channel(3)]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cursor_follows_all_channels() {
    let world = World::new().await;
    let [one, two, three] = long_log(&world).await;
    let mut follower = follower(&world, Cursor::START).await;
    let before = world.time();
    let all = follower.poll().await.unwrap();
    assert_eq!(all.touched, set(&[&one, &two]));
    assert_eq!((all.cursor.next, all.is_behind), (144, false));
    assert!(all.as_of >= before && all.as_of <= world.time());

    let nothing = follower.poll().await.unwrap();
    assert_eq!(nothing.touched, set(&[]));
    assert_eq!(nothing.cursor, all.cursor);
    assert!(nothing.as_of > all.as_of, "nothing happened until then");

    world.deposit(&three, FIRST, 20, Door::Approval).await;
    refute(&world, &one, 99..100);
    let news = follower.poll().await.unwrap();
    assert_eq!(news.touched, set(&[&one, &three]));
    assert_eq!(news.cursor.next, 146);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_cursor_is_resumed() {
    let world = World::new().await;
    let [one, two, _] = long_log(&world).await;
    let seen = follower(&world, Cursor::START).await.poll().await.unwrap();
    let Cursor { next, last_at } = seen.cursor;

    // Another process; nothing has happened, then something has.
    let stored = Cursor { next, last_at };
    let mut resumed = follower(&world, stored).await;
    let nothing = resumed.poll().await.unwrap();
    assert_eq!((nothing.touched, nothing.cursor), (set(&[]), stored));
    refute(&world, &two, 43..44);
    for mut follower in [resumed, follower(&world, stored).await] {
        let news = follower.poll().await.unwrap();
        assert_eq!(news.touched, set(&[&two]));
        assert_eq!(news.cursor.next, next + 1);
    }

    // A very old one only has more to read.
    let first = world.adjudicator_for(ALICE).await.events(None, 0, 1).await;
    let last_at = first.unwrap().events[0].at;
    let old = Cursor { next: 1, last_at };
    let much = follower(&world, old).await.poll().await.unwrap();
    assert_eq!(much.touched, set(&[&one, &two]));
    assert_eq!(much.cursor.next, next + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_named_and_read_from_its_beginning() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let last_at = world.time();
    for foreign in [
        // Beyond the end, and within it.
        Cursor { next: 3, last_at },
        Cursor { next: 2, last_at },
        Cursor { next: 1, last_at },
    ] {
        let mut follower = follower(&world, foreign).await;
        let error = follower.poll().await.unwrap_err();
        let FollowError::AnotherLog { cursor, total } = error else {
            panic!("{error}");
        };
        assert_eq!((cursor, total), (foreign, 2));
        let all = follower.poll().await.unwrap();
        assert_eq!(all.touched, set(&[&channel]));
        assert_eq!(all.cursor.next, 2);
    }
    // An empty log is another one, too.
    let empty = World::new().await;
    let mut follower = follower(&empty, Cursor { next: 1, last_at }).await;
    let error = follower.poll().await.unwrap_err();
    assert!(
        matches!(error, FollowError::AnotherLog { total: 0, .. }),
        "{error}"
    );
    let nothing = follower.poll().await.unwrap();
    assert_eq!((nothing.touched, nothing.cursor), (set(&[]), Cursor::START));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_told_in_portions() {
    let world = World::new().await;
    let [one, two, _] = long_log(&world).await;
    let follower = follower(&world, Cursor::START).await;
    let mut follower = follower.with_pages_at_once(1);
    let first = follower.poll().await.unwrap();
    assert_eq!((first.touched, first.is_behind), (set(&[&one]), true));
    assert_eq!(first.cursor.next, 100);
    assert_eq!(
        first.as_of, first.cursor.last_at,
        "what came later is not told"
    );
    let rest = follower.poll().await.unwrap();
    assert_eq!(rest.touched, set(&[&two]));
    assert_eq!((rest.cursor.next, rest.is_behind), (144, false));
    assert!(rest.as_of > rest.cursor.last_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_dropped_loses_nothing() {
    let world = World::new().await;
    let [one, two, _] = long_log(&world).await;
    let mut follower = follower(&world, Cursor::START).await;
    // The first page is read, the second hangs.
    let target = Target::ingress()
        .to(world.adjudicator)
        .method("query_events");
    let rule = world.fault(target.nth(2), Fault::DelayCall(Until::Released));
    let dropped = timeout(Duration::from_millis(700), follower.poll()).await;
    assert!(dropped.is_err(), "{dropped:?}");
    assert_eq!(world.fired(rule), 1);
    let all = follower.poll().await.unwrap();
    assert_eq!(all.touched, set(&[&one, &two]));
    assert_eq!(all.cursor.next, 144);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_after_errors_and_tells_them() {
    let world = World::new().await;
    let channel = world.channel(1);
    let proxy = Proxy::before(&world).await;
    let funder = world.funder_at(proxy.url(), ALICE).await;
    let chain = perun_client::chain::Chain::new(funder);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let following = chain
        .follower(Cursor::START)
        .follow(Duration::from_millis(20), move |seen| {
            let _ = sender.send(seen);
        });
    let following = tokio::spawn(following);
    let mut next = async || -> Result<Seen, FollowError> {
        let seen = timeout(Duration::from_secs(20), receiver.recv()).await;
        seen.unwrap().unwrap()
    };
    assert_eq!(next().await.unwrap().touched, set(&[]));
    // One node is asked first each time, then the subnet.
    proxy.lose_calls("query_events", 6);
    let mut errors = 0;
    while errors < 3 {
        match next().await {
            Ok(seen) => assert_eq!(errors, 0, "{seen:?}"),
            Err(error) => {
                assert!(matches!(error, FollowError::Read(_)), "{error}");
                errors += 1;
            }
        }
    }
    let recovered = next().await.unwrap();
    world.deposit(&channel, SECOND, 30, Door::Approval).await;
    let news = loop {
        let seen = next().await.unwrap();
        if !seen.touched.is_empty() {
            break seen;
        }
    };
    assert_eq!(news.touched, set(&[&channel]));
    assert!(news.as_of > recovered.as_of);
    assert!(chain.clock().now().unwrap() >= news.as_of);
    following.abort();
    assert!(following.await.unwrap_err().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_correct_the_clock() {
    let world = World::new().await;
    let chain = world.chain_for(ALICE).await;
    let mut follower = chain.follower(Cursor::START);
    assert_eq!(chain.clock().now(), None);
    for _ in 0..2 {
        let seen = follower.poll().await.unwrap();
        let now = chain.clock().now().unwrap();
        assert!(now >= seen.as_of && now >= world.time());
        world.advance(Duration::from_secs(3_600));
        assert!(chain.clock().now().unwrap() < world.time());
    }
}
