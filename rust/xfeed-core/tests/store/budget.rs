//! The memory limit: never above it, the oldest go first, and what went does not come back. How much
//! fits is the store's affair, so these are promises and no comparison with the naive program.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xfeed_core::ids::Id;
use xfeed_core::thunder::{Inserted, PostStore, Record, StoreSettings};

use crate::operations::{Reading, config};
use crate::posts::{post, reply, repost};

const KIB: u64 = 1024;
const N_FLOOD: u64 = 120_000;

fn limited(max_bytes: u64) -> PostStore {
    PostStore::new(StoreSettings {
        retention_ms: u64::MAX,
        max_posts_per_timeline: usize::MAX,
        max_bytes,
        hidden_authors: Vec::new(),
    })
}

/// More posts than fit, at times that go up and down.
fn flood(n_posts: u64, n_authors: u64, jitter_ms: u64) -> impl Iterator<Item = Record> {
    (0..n_posts).map(move |id| {
        let late = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let at_ms = (id + jitter_ms).saturating_sub(late % (jitter_ms + 1));
        let at_ms = i64::try_from(at_ms).expect("small");
        let author = id * 31 % n_authors;
        match id % 7 {
            0 => reply(id, author, at_ms, id / 2, id / 4),
            1 => repost(id, author, at_ms, id / 2),
            _ => post(id, author, at_ms),
        }
    })
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn the_limit_holds_after_every_step_and_the_oldest_are_gone(
        max_bytes in 1024 * KIB..3000 * KIB,
        n_authors in prop_oneof![Just(1_u64), Just(50), Just(5_000), Just(100_000)],
        jitter_ms in prop_oneof![Just(0_u64), Just(50), Just(100_000)],
    ) {
        let mut store = limited(max_bytes);
        let mut sent = BTreeMap::new();
        for record in flood(N_FLOOD, n_authors, jitter_ms) {
            let became = store.insert(&record);
            prop_assert!(matches!(became, Inserted::Added | Inserted::OverBudget));
            prop_assert!(store.used_bytes() <= max_bytes);
            sent.insert(record.id, record.created_ms);
        }
        let counts = store.counts();
        prop_assert!(counts.over_budget > 0, "the flood fits: {counts:?}");
        prop_assert_eq!(counts.posts + counts.over_budget, N_FLOOD);
        prop_assert!(counts.posts * 400 > max_bytes, "only {} posts are left", counts.posts);
        let oldest = store.live().iter().map(|post| post.created_ms).min();
        let newest_gone = sent.iter().filter(|(id, _)| store.record(**id).is_none());
        prop_assert!(newest_gone.map(|(_, at_ms)| *at_ms).max() <= oldest);
        let everybody: Vec<u64> = (0..n_authors).collect();
        let found = store.newest(&Reading::of(&everybody).request());
        prop_assert!(found.posts.iter().all(|id| store.get(*id).is_some()));
        let mut bytes = Vec::new();
        store.encode(&mut bytes).expect("a vector takes all");
        let again = PostStore::decode(&mut bytes.as_slice(), store.settings().clone());
        prop_assert_eq!(again.expect("it was written").digest(), store.digest());
    }
}

/// A create that is delivered again must not undo a delete whose tombstone had to go.
#[test]
fn what_was_deleted_stays_away_when_memory_is_short() {
    let mut store = limited(600 * KIB);
    let records: Vec<Record> = flood(40_000, 500, 0).collect();
    for record in &records {
        store.insert(record);
        if record.id.0 % 3 == 0 {
            store.set_deleted(record.id, record.created_ms + 1, true);
        }
    }
    assert!(store.counts().over_budget > 0);
    for record in &records {
        store.insert(record);
    }
    assert!(store.live().iter().all(|post| post.id.0 % 3 != 0));
    assert!(store.used_bytes() <= 600 * KIB);
}

/// Statements about posts that never come need memory too.
#[test]
fn deletes_of_unknown_posts_stay_within_the_limit() {
    let mut store = limited(600 * KIB);
    for id in 0..100_000 {
        store.set_deleted(Id(id), 1_000 + i64::try_from(id).expect("small"), true);
        assert!(store.used_bytes() <= 600 * KIB);
    }
    for id in 0..100_000 {
        store.insert(&post(id, 7, 1_000 + i64::try_from(id).expect("small")));
    }
    assert!(store.live().is_empty(), "a delete was lost");
    assert_eq!(
        store.insert(&post(200_000, 7, 300_000)),
        Inserted::Added,
        "the store still works"
    );
}

/// Clocks of senders differ, and nothing that they say may close the store.
#[test]
fn deletes_from_the_future_do_not_close_the_store() {
    for n_posts in [0, 1000] {
        let mut store = limited(600 * KIB);
        for record in flood(n_posts, 300, 0) {
            store.insert(&record);
        }
        for id in 0..100_000 {
            store.set_deleted(Id(1_000_000 + id), i64::MAX, true);
        }
        assert!(store.used_bytes() <= 600 * KIB);
        let later = post(5_000, 7, 5_000);
        assert_eq!(
            store.insert(&later),
            Inserted::Added,
            "{n_posts} posts before"
        );
    }
}

#[test]
fn newer_posts_are_always_welcome() {
    let mut store = limited(500 * KIB);
    for record in flood(50_000, 300, 0) {
        assert_eq!(store.insert(&record), Inserted::Added);
        assert_eq!(store.get(record.id), Some(record));
    }
}

#[test]
fn a_limit_of_nothing_is_no_panic() {
    let mut store = limited(0);
    let empty = store.used_bytes();
    for record in flood(500, 50, 10) {
        store.insert(&record);
        store.set_deleted(record.id, 5, record.id.0 % 2 == 0);
    }
    assert!(store.counts().posts <= 500);
    assert!(store.used_bytes() <= empty.max(64 * KIB));
}

#[test]
fn clearing_forgets_what_was_let_go() {
    let mut store = limited(500 * KIB);
    for record in flood(50_000, 300, 0) {
        store.insert(&record);
    }
    assert_eq!(store.insert(&post(1, 7, 1)), Inserted::OverBudget);
    store.clear();
    assert_eq!(store.insert(&post(1, 7, 1)), Inserted::Added);
}

#[test]
fn a_snapshot_keeps_what_was_let_go_and_obeys_a_smaller_limit() {
    let mut store = limited(800 * KIB);
    for record in flood(50_000, 300, 0) {
        store.insert(&record);
    }
    let mut bytes = Vec::new();
    store.encode(&mut bytes).expect("a vector takes all");
    let mut same = PostStore::decode(&mut bytes.as_slice(), store.settings().clone()).unwrap();
    assert_eq!(same.digest(), store.digest());
    assert_eq!(same.insert(&post(1, 7, 1)), Inserted::OverBudget);
    let settings = StoreSettings {
        max_bytes: 500 * KIB,
        ..store.settings().clone()
    };
    let smaller = PostStore::decode(&mut bytes.as_slice(), settings).unwrap();
    assert!(smaller.used_bytes() <= 500 * KIB);
    let newest = |store: &PostStore| store.live().last().map(|post| post.id);
    assert_eq!(newest(&smaller), newest(&store));
    assert!(smaller.counts().posts < store.counts().posts);
}

/// Deletes overtake their creates where the two come by different ways.
#[test]
fn a_delete_that_came_first_and_was_forgotten_still_holds() {
    let mut store = limited(2 * 1024 * KIB);
    store.insert(&post(0, 7, 1_000_000));
    for id in 1..=60_000 {
        store.set_deleted(Id(id), 1_005_000, true);
    }
    for id in 1..=60_000 {
        store.insert(&post(id, 7, 1_001_000));
    }
    assert!(store.live().iter().all(|post| post.id == Id(0)));
    assert_eq!(
        store.insert(&post(100_000, 7, 1_006_000)),
        Inserted::Added,
        "the store still works"
    );
}

/// Whoever may delete must not be able to empty the store with deletes of posts that are not there.
#[test]
fn deletes_of_unknown_posts_cost_no_posts() {
    let mut store = limited(4 * 1024 * KIB);
    for record in flood(20_000, 300, 0) {
        store.insert(&record);
    }
    let (before, newest_ms) = (
        store.counts().posts,
        store.live().last().unwrap().created_ms,
    );
    for id in 0..200_000 {
        store.set_deleted(Id((1 << 40) + id), newest_ms + 1, true);
    }
    assert_eq!(store.counts().posts, before);
    assert_eq!(store.live().len() as u64, before);
    assert!(store.used_bytes() <= 4 * 1024 * KIB);
}

/// Statements about posts that are there fill their share as well, and cost neither live posts nor time.
#[test]
fn an_author_who_deletes_and_posts_on_keeps_the_rest() {
    let mut store = limited(4 * 1024 * KIB);
    for record in flood(10_000, 300, 1_000_000) {
        store.insert(&record);
    }
    for id in 100_000..160_000_u64 {
        let at_ms = 2_000_000 + i64::try_from(id).expect("small");
        assert_eq!(store.insert(&post(id, 7, at_ms)), Inserted::Added);
        store.set_deleted(Id(id), at_ms, true);
    }
    assert!(store.used_bytes() <= 4 * 1024 * KIB);
    assert!(store.live().iter().all(|post| post.id.0 < 100_000));
    assert_eq!(store.live().len(), 10_000);
}
