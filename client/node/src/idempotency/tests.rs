use std::cell::Cell;

use super::*;
use crate::scratch::Scratch;

const REQUEST: [u8; 32] = [1; 32];

thread_local! {
    /// The clock of a test. The thread that commits has another, at 0, which only prunes less.
    static NOW: Cell<i64> = const { Cell::new(0) };
}

fn test_now_s() -> i64 {
    NOW.get()
}

fn open(folder: &Scratch) -> Calls {
    open_keeping(folder, 1000)
}

fn open_keeping(folder: &Scratch, most: u64) -> Calls {
    let keep = Keep { most, for_s: 100 };
    Calls::open_with(&folder.path().join("calls.redb"), keep, test_now_s).unwrap()
}

async fn first(calls: &Calls, key: &str) -> Ticket {
    match calls.begin(key, REQUEST).await {
        Ok(Begin::First(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

async fn interrupted(calls: &Calls, key: &str) -> Ticket {
    match calls.begin(key, REQUEST).await {
        Ok(Begin::Interrupted(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

async fn result(calls: &Calls, key: &str) -> Vec<u8> {
    match calls.begin(key, REQUEST).await {
        Ok(Begin::Done(result)) => result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_made_once() {
    let folder = Scratch::new();
    let calls = open(&folder);
    let ticket = first(&calls, "a").await;
    let running = calls.begin("a", REQUEST).await;
    assert!(matches!(running, Err(Error::FailedPrecondition { .. })));
    ticket.done(b"answer").unwrap();
    // At once, and once it is durable, and after a restart.
    assert_eq!(result(&calls, "a").await, b"answer");
    calls.inner.commits.flush().await.unwrap();
    drop(first(&calls, "b").await);
    assert_eq!(result(&calls, "a").await, b"answer");
    drop(calls);
    assert_eq!(result(&open(&folder), "a").await, b"answer");
}

#[tokio::test]
async fn a_call_without_effect_can_be_made_again() {
    let folder = Scratch::new();
    let calls = open(&folder);
    first(&calls, "a").await.failed();
    let ticket = first(&calls, "a").await;
    ticket.failed();
    calls.inner.commits.flush().await.unwrap();
    drop(calls);
    // Another request is another call then.
    let calls = open(&folder);
    assert!(matches!(
        calls.begin("a", [2; 32]).await,
        Ok(Begin::First(_))
    ));
}

#[tokio::test]
async fn a_key_names_one_request() {
    let folder = Scratch::new();
    let calls = open(&folder);
    let is_refused = async || match calls.begin("a", [2; 32]).await {
        Err(Error::InvalidArgument { name, .. }) => name == "idempotency-key",
        other => panic!("{other:?}"),
    };
    let ticket = first(&calls, "a").await;
    assert!(is_refused().await);
    drop(ticket);
    assert!(is_refused().await);
    interrupted(&calls, "a").await.done(&[]).unwrap();
    assert!(is_refused().await);
}

#[tokio::test]
async fn a_call_that_a_crash_cut_short_is_found_interrupted() {
    let folder = Scratch::new();
    let calls = open(&folder);
    let ticket = first(&calls, "a").await;
    // What the disk has at this moment is what a crash leaves.
    let after = Scratch::new();
    calls.copy_to(&after.path().join("calls.redb")).unwrap();
    ticket.done(&[]).unwrap();
    let calls = open(&after);
    let ticket = interrupted(&calls, "a").await;
    let running = calls.begin("a", REQUEST).await;
    assert!(matches!(running, Err(Error::FailedPrecondition { .. })));
    ticket.done(b"it had been made").unwrap();
    assert_eq!(result(&calls, "a").await, b"it had been made");
}

#[tokio::test]
async fn a_caller_that_went_away_leaves_an_interrupted_call() {
    let folder = Scratch::new();
    let calls = open(&folder);
    drop(first(&calls, "a").await);
    drop(interrupted(&calls, "a").await);
    // Even if it does not wait for the beginning.
    let begin = calls.begin("b", REQUEST);
    let gone = tokio::time::timeout(Duration::ZERO, begin).await;
    drop(gone);
    let again = calls.begin("b", REQUEST).await;
    assert!(matches!(again, Ok(Begin::Interrupted(_))), "{again:?}");
    interrupted(&calls, "a").await.failed();
    first(&calls, "a").await.done(&[]).unwrap();
}

#[tokio::test]
async fn results_are_forgotten_after_their_time() {
    let folder = Scratch::new();
    let calls = open_keeping(&folder, 2);
    first(&calls, "a").await.done(b"old").unwrap();
    drop(first(&calls, "interrupted").await);
    calls.inner.commits.flush().await.unwrap();
    NOW.set(99);
    assert_eq!(result(&calls, "a").await, b"old");
    NOW.set(100);
    let ticket = first(&calls, "a").await;
    // That it had no end is not forgotten.
    interrupted(&calls, "interrupted").await.failed();
    ticket.done(b"new").unwrap();
    NOW.set(101);
    first(&calls, "b").await.done(&[]).unwrap();
    calls.inner.commits.flush().await.unwrap();
    drop(calls);
    // The first result does not take the second one's place among the newest.
    let calls = open_keeping(&folder, 2);
    assert_eq!(result(&calls, "a").await, b"new");
}

#[tokio::test]
async fn only_so_many_results_are_kept() {
    let folder = Scratch::new();
    let calls = open_keeping(&folder, 3);
    drop(first(&calls, "interrupted").await);
    for number in 0..6 {
        NOW.set(number);
        first(&calls, &number.to_string()).await.done(&[]).unwrap();
    }
    calls.inner.commits.flush().await.unwrap();
    drop(calls);
    let calls = open_keeping(&folder, 3);
    for number in 3..6 {
        result(&calls, &number.to_string()).await;
    }
    for number in 0..3 {
        first(&calls, &number.to_string()).await.failed();
    }
    interrupted(&calls, "interrupted").await;
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let folder = Scratch::new();
    let calls = open(&folder);
    for key in ["", "a\n", "é", &"k".repeat(129)] {
        let refused = calls.begin(key, REQUEST).await;
        let Err(Error::InvalidArgument { name, .. }) = refused else {
            panic!("{key:?}: {refused:?}");
        };
        assert_eq!(name, "idempotency-key");
    }
    first(&calls, &"k".repeat(128)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_is_first() {
    let folder = Scratch::new();
    let calls = Arc::new(open(&folder));
    let tasks = (0..200).map(|number| {
        let calls = Arc::clone(&calls);
        tokio::spawn(async move {
            let key = format!("key {}", number % 10);
            match calls.begin(&key, REQUEST).await {
                Ok(Begin::First(ticket)) => {
                    tokio::task::yield_now().await;
                    ticket.done(&[7]).unwrap();
                    1
                }
                Ok(Begin::Done(result)) => {
                    assert_eq!(result, [7]);
                    0
                }
                Err(Error::FailedPrecondition { .. }) => 0,
                other => panic!("{other:?}"),
            }
        })
    });
    let mut firsts = 0;
    for task in tasks.collect::<Vec<_>>() {
        firsts += task.await.unwrap();
    }
    assert_eq!(firsts, 10);
}
