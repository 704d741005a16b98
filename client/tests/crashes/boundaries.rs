//! One of two honest people dies before the n-th durable write or message, for n = 0, 1, … until
//! the story comes to its end without a death. Each time he starts again with what was durable, and
//! the story goes on: the money adds up, and nobody is forced into a dispute.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use perun_client::Event as LogEvent;
use perun_client::store::MemoryStore;
use perun_protocol::ChannelId;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fragile::{Death, FragileStore, FragileTransport};
use crate::world::*;

/// How many stories go on at the same time.
const AT_ONCE: u8 = 6;
const DEPOSITS: [u128; 2] = [1_000, 500];
/// Who pays what. Each amount tells which payment it was.
const PAYMENTS: [(usize, u128); 4] = [(0, 64), (1, 32), (0, 16), (1, 8)];

/// Who dies, and how careless his disk is.
#[derive(Clone, Copy, Debug)]
struct Case {
    victim: usize,
    is_lazy: bool,
}

/// What a story has got to.
#[derive(Default)]
struct Book {
    channel: Option<ChannelId>,
    attempted: usize,
    /// Those that were agreed to, as their payer was told.
    settled: Vec<usize>,
    is_closing: bool,
}

/// One who can die.
struct Fragile {
    start: Start,
    store: Arc<FragileStore>,
    death: Arc<Death>,
    is_lazy: bool,
    mortal: Option<Mortal>,
}

impl Fragile {
    async fn new(start: Start, store: MemoryStore, death: Arc<Death>, is_lazy: bool) -> Self {
        let store = Arc::new(FragileStore::new(store, death.clone(), is_lazy));
        let of_transport = death.clone();
        let wrapped = start.clone().on(store.clone()).wrapped(move |inner| {
            let death = of_transport.clone();
            Arc::new(FragileTransport { inner, death })
        });
        let mortal = wrapped.start_mortal().await;
        Self {
            start: start.at(mortal.address),
            store,
            death,
            is_lazy,
            mortal: Some(mortal),
        }
    }

    fn person(&self) -> &Person {
        self.mortal.as_ref().expect("it lives")
    }

    async fn bury(&mut self) {
        if let Some(mortal) = self.mortal.take() {
            mortal.kill().await;
        }
    }

    async fn rise(&mut self) {
        self.bury().await;
        let start = self.start.clone();
        *self = Self::new(start, self.store.legacy(), Death::never(), self.is_lazy).await;
    }
}

/// The story, from wherever it has got to, to its end.
async fn go_on(alice: &Person, bob: &Person, book: &Mutex<Book>) {
    alice.connect(bob);
    let mut proposals = bob.client.proposals();
    let accepting = async {
        while let Some(proposal) = proposals.next().await {
            // Whatever becomes of it, the proposer sees.
            let _ = proposal.accept().await;
        }
    };
    tokio::select! {
        () = accepting => panic!("the client has stopped"),
        () = pay_and_close(alice, bob, book) => {}
    }
}

async fn pay_and_close(alice: &Person, bob: &Person, book: &Mutex<Book>) {
    let Some(id) = open(alice, book).await else {
        return wait_until_closed(alice, bob).await;
    };
    let people = [alice, bob];
    loop {
        let next = {
            let mut book = book.lock().unwrap();
            if book.is_closing || book.attempted == PAYMENTS.len() {
                book.is_closing = true;
                break;
            }
            book.attempted += 1;
            book.attempted - 1
        };
        let (payer, amount) = PAYMENTS[next];
        let person = people[payer];
        until("a channel", || person.client.channel(&id).is_some()).await;
        let channel = person.client.channel(&id).unwrap();
        soon("an open channel", channel.opened()).await.unwrap();
        pay(&channel, amount).await;
        book.lock().unwrap().settled.push(next);
    }
    // An order to close is not stored, and who has risen gives none without having heard of the peer
    // (`CommandError::NoLink`): it is given again.
    soon("the end", async {
        while let Some(channel) = alice.client.channel(&id)
            && channel.close().await.is_err()
        {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    wait_until_closed(alice, bob).await;
}

async fn wait_until_closed(alice: &Person, bob: &Person) {
    until("no channels any more", || {
        alice.client.channels().is_empty() && bob.client.channels().is_empty()
    })
    .await;
}

/// The id of the channel once it is open, `None` if it is over already.
async fn open(alice: &Person, book: &Mutex<Book>) -> Option<ChannelId> {
    let opening = async {
        loop {
            let known = alice.client.channels().pop();
            let channel = match known {
                Some(channel) => channel.opened().await.map(|()| channel),
                None if book.lock().unwrap().is_closing => return None,
                None => {
                    let terms = alice.terms(DEPOSITS);
                    let peer = book_peer(alice);
                    match alice.client.propose(&peer, terms).await {
                        Ok(channel) => Ok(channel),
                        Err(_) => continue,
                    }
                }
            };
            match channel {
                Ok(channel) => {
                    book.lock().unwrap().channel = Some(channel.id());
                    return Some(channel.id());
                }
                // It never came to be, or is on its way out.
                Err(_) if book.lock().unwrap().is_closing => return None,
                Err(_) => {}
            }
        }
    };
    soon("an open channel", opening).await
}

/// Pairs are neighbours.
fn book_peer(alice: &Person) -> perun_protocol::PublicKey {
    off_chain(alice.number + 1)
}

/// Runs the story with a death after `count` things; whether somebody died.
async fn die_after(world: &World, pair: u8, case: Case, count: u64) -> bool {
    let numbers = [20 + 2 * pair, 21 + 2 * pair];
    let mut before = Vec::new();
    let mut people = Vec::new();
    for (index, number) in numbers.into_iter().enumerate() {
        before.push(world.balance(&account(number)).await);
        let death = match index == case.victim {
            true => Death::after(count),
            false => Death::never(),
        };
        let store = MemoryStore::held();
        people.push(Fragile::new(world.user(number), store, death, case.is_lazy).await);
    }
    let book = Mutex::new(Book::default());
    let death = people[case.victim].death.clone();
    let has_died = tokio::select! {
        () = go_on(people[0].person(), people[1].person(), &book) => death.is_dead(),
        () = death.came() => true,
    };
    if has_died {
        people[case.victim].rise().await;
        go_on(people[0].person(), people[1].person(), &book).await;
    }
    for person in &mut people {
        person.bury().await;
    }
    let book = book.into_inner().unwrap();
    check(world, numbers, &before, &book, case, count).await;
    has_died
}

/// The books must agree to the unit.
async fn check(
    world: &World,
    numbers: [u8; 2],
    before: &[u128],
    book: &Book,
    case: Case,
    count: u64,
) {
    let what = format!("{case:?} dies after {count} things");
    let id = book
        .channel
        .unwrap_or_else(|| panic!("{what}: there is no channel"));
    let adjudicator = world.adjudicator_for(9).await;
    let events = adjudicator.channel_events(id, 0).await.unwrap();
    let mut paid_out = [0; 2];
    let mut deposits = 0;
    let (mut registered, mut concluded) = (Vec::new(), Vec::new());
    for record in events {
        match record.event {
            LogEvent::Registered(_) | LogEvent::Refuted(_) => registered.push(record.at),
            LogEvent::Concluded { .. } => concluded.push(record.at),
            LogEvent::Withdrawn { part, paid, .. } => paid_out[part.index()] += paid.units() + FEE,
            LogEvent::Deposited { .. } => deposits += 1,
        }
    }
    // A final state is registered and concludes at once; anything else is a dispute.
    assert_eq!(registered, concluded, "{what}");
    assert_eq!(deposits, 2, "{what}");
    assert_eq!(paid_out.iter().sum::<u128>(), 1_500, "{what}");
    // What was agreed to counts; of the others, what was under way may.
    let mut share = 1_000;
    let mut unknown = None;
    for (index, (payer, amount)) in PAYMENTS.into_iter().enumerate().take(book.attempted) {
        let after = |share: u128| {
            if payer == 0 {
                share - amount
            } else {
                share + amount
            }
        };
        if book.settled.contains(&index) {
            share = after(share);
            unknown = unknown.map(after);
        } else {
            assert_eq!(unknown, None, "{what}: one death interrupts one payment");
            unknown = Some(after(share));
        }
    }
    let alices = paid_out[0];
    assert!(
        alices == share || Some(alices) == unknown,
        "{what}: {alices}, and not {share} or {unknown:?}"
    );
    for (index, number) in numbers.into_iter().enumerate() {
        let after = world.balance(&account(number)).await;
        let expected = before[index] - DEPOSITS[index] + paid_out[index] - 3 * FEE;
        // An approval that is made again costs its fee again.
        let is_same = after == expected || (index == case.victim && after + FEE == expected);
        assert!(is_same, "{what}: {after} instead of {expected}");
    }
}

/// Every n until nobody dies any more; how many that are.
async fn every_boundary(case: Case) -> u64 {
    let world = World::shared().await;
    let next = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut stories = JoinSet::new();
    for pair in 0..AT_ONCE {
        // Each case has people of its own.
        let pair = pair + AT_ONCE * (2 * case.victim as u8 + u8::from(case.is_lazy));
        let (next, is_over) = (Arc::clone(&next), Arc::clone(&is_over));
        stories.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let count = next.fetch_add(1, Ordering::SeqCst);
                if !die_after(world, pair, case, count).await {
                    is_over.store(true, Ordering::SeqCst);
                }
            }
        });
    }
    while let Some(story) = stories.join_next().await {
        story.unwrap();
    }
    next.load(Ordering::SeqCst)
}

fn all_boundaries(victim: usize, is_lazy: bool) {
    story(async {
        let count = every_boundary(Case { victim, is_lazy }).await;
        assert!(count > 15, "{count} boundaries are too few to be all");
    });
}

#[test]
fn the_proposer_dies_at_every_boundary() {
    all_boundaries(0, false);
}

#[test]
fn the_proposer_dies_and_what_nobody_waited_for_is_lost() {
    all_boundaries(0, true);
}

#[test]
fn the_acceptor_dies_at_every_boundary() {
    all_boundaries(1, false);
}

#[test]
fn the_acceptor_dies_and_what_nobody_waited_for_is_lost() {
    all_boundaries(1, true);
}
