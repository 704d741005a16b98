//! Pages of the event log.

use perun_canister_api::{EventsPage, EventsRequest};

use crate::rules::{TestChannel, World};

fn page(world: &World, of: Option<&TestChannel>, start: u64, length: u32) -> EventsPage {
    let request = EventsRequest {
        channel: of.map(TestChannel::id_bytes),
        start,
        length,
    };
    world.query_events(request).unwrap()
}

fn indices(page: &EventsPage) -> Vec<u64> {
    page.events.iter().map(|event| event.index).collect()
}

/// Whoever reads on at `next` sees every event once, whatever else happened between.
#[test]
fn a_page_tells_where_the_next_one_begins() {
    let mut world = World::new();
    let channels = [1, 2, 3].map(|nonce| world.funded(nonce, [100, 100]));
    let claim = channels[0].disputing(1, &[50, 150], &[100, 100]);
    world.dispute(claim).unwrap();
    let told = |of: Option<&TestChannel>, start, length| {
        let page = page(&world, of, start, length);
        assert_eq!(page.total, 7);
        (indices(&page), page.next)
    };
    assert_eq!(told(None, 0, 100), ((0..7).collect(), 7));
    assert_eq!(told(None, 2, 3), (vec![2, 3, 4], 5));
    assert_eq!(told(None, 5, 2), (vec![5, 6], 7));
    assert_eq!(told(None, 9, 2), (vec![], 9));
    assert_eq!(told(None, 3, 0), (vec![], 3));
    // Those of one channel: a page that is not full has looked at everything.
    let first = Some(&channels[0]);
    assert_eq!(told(first, 0, 2), (vec![0, 1], 2));
    assert_eq!(told(first, 2, 2), (vec![6], 7));
    assert_eq!(told(first, 0, 0), (vec![], 0));
    let second = Some(&channels[1]);
    assert_eq!(told(second, 0, 3), (vec![2, 3], 7));
    assert_eq!(told(second, 3, 1), (vec![3], 4));
    assert_eq!(told(second, 4, 1), (vec![], 7));
    assert_eq!(told(Some(&world.channel(9)), 0, 1), (vec![], 7));
}

/// With the hash of the event before, a page continues the chain of the one before it.
#[test]
fn a_page_of_the_whole_log_brings_the_hash_before_it() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.funded(2, [100, 100]);
    let parent = |of, start| page(&world, of, start, 2).parent;
    assert_eq!(parent(None, 0), None);
    assert!(parent(None, 1).is_some());
    assert!(parent(None, 2).is_some());
    assert_ne!(parent(None, 1), parent(None, 2));
    assert_eq!(parent(None, 4), None);
    assert_eq!(parent(Some(&channel), 1), None);
}
