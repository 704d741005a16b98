//! Filters and pages.

use super::*;

#[tokio::test]
async fn filters_take_what_they_say() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let (one, two) = (Story::new(1), Story::new(2));
    one.pay(1, US, &[1]);
    one.pay(2, PEER, &[2]);
    two.pay(1, US, &[3]);
    follow(&history, one.news(1, 10));
    follow(&history, two.news(1, 20));
    follow(&history, one.news(2, 30));
    let filter = Filter::default;
    let amounts = async |filter| -> Vec<u128> {
        let told = told(&history, filter).await;
        told.into_iter()
            .map(|(amount, _)| amount)
            .collect::<Vec<_>>()
    };
    assert_eq!(amounts(filter()).await, [2, 3, 1]);
    let channel = Some(one.id);
    assert_eq!(
        amounts(Filter {
            channel,
            ..filter()
        })
        .await,
        [2, 1]
    );
    let is_sent = Some(true);
    assert_eq!(
        amounts(Filter {
            channel,
            is_sent,
            ..filter()
        })
        .await,
        [1]
    );
    let peer = Some(two.peer);
    assert_eq!(amounts(Filter { peer, ..filter() }).await, [3]);
    let is_sent = Some(false);
    assert_eq!(
        amounts(Filter {
            is_sent,
            ..filter()
        })
        .await,
        [2]
    );
    let (from_ms, before_ms) = (Some(20), Some(30));
    assert_eq!(
        amounts(Filter {
            from_ms,
            ..filter()
        })
        .await,
        [2, 3]
    );
    assert_eq!(
        amounts(Filter {
            from_ms,
            before_ms,
            ..filter()
        })
        .await,
        [3]
    );
    assert_eq!(
        amounts(Filter {
            channel,
            from_ms,
            ..filter()
        })
        .await,
        [2]
    );
    let from_ms = Some(30);
    assert_eq!(
        amounts(Filter {
            from_ms,
            before_ms,
            ..filter()
        })
        .await,
        [0u128; 0]
    );
    let other = AssetId::Icrc(Principal::from_slice(&[9]).unwrap());
    assert_eq!(
        amounts(Filter {
            asset: Some(other),
            ..filter()
        })
        .await,
        [0u128; 0]
    );
    assert_eq!(
        amounts(Filter {
            asset: Some(asset()),
            ..filter()
        })
        .await,
        [2, 3, 1]
    );
}

#[tokio::test]
async fn pages_follow_each_other_while_payments_are_made() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let story = Story::new(1);
    for version in 1..=10 {
        story.pay(version, US, &[version as u8]);
        follow(&history, story.news(version, version as i64));
    }
    let of_channel = Filter {
        channel: Some(story.id),
        ..Filter::default()
    };
    let of_peer = Filter {
        peer: Some(story.peer),
        ..Filter::default()
    };
    for filter in [Filter::default(), of_channel, of_peer] {
        let first = history.list(filter.clone(), 4, None).await.unwrap();
        let next_version = history.list(filter.clone(), 1, None).await.unwrap().records[0]
            .version
            .number()
            + 1;
        story.pay(next_version, PEER, &[100]);
        follow(
            &history,
            story.news(next_version, 1000 + next_version as i64),
        );
        let mut seen: Vec<_> = first.records;
        let mut next = first.next;
        while let Some(token) = next {
            let page = history.list(filter.clone(), 4, Some(&token)).await.unwrap();
            assert!((1..=4).contains(&page.records.len()));
            seen.extend(page.records);
            next = page.next;
        }
        let versions: Vec<_> = seen.iter().map(|record| record.version.number()).collect();
        let expected: Vec<_> = (1..next_version).rev().collect();
        assert_eq!(versions, expected);
    }
    for token in ["", "00", "nonsense", &"0".repeat(105)] {
        let refused = history.list(Filter::default(), 1, Some(token)).await;
        assert!(matches!(
            refused,
            Err(Error::InvalidArgument {
                name: "page_token",
                ..
            })
        ));
    }
}
