//! The order of arrival and repetition do not matter, and a read that is cut short is fair and right
//! as far as it went.

use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeSet;
use xfeed_core::event::PostKind;
use xfeed_core::ids::Id;
use xfeed_core::thunder::{PostStore, ReadRequest, Record, StoreSettings};

use crate::operations::{DENSE, Reading, WIDE, config, settings};
use crate::posts::post;

#[derive(Debug, Clone)]
enum Fact {
    Post(Record),
    Said(Id, i64, bool),
}

fn fold(settings: &StoreSettings, facts: &[Fact]) -> PostStore {
    let mut store = PostStore::new(settings.clone());
    for fact in facts {
        match fact {
            Fact::Post(record) => {
                store.insert(record);
            }
            Fact::Said(id, at_ms, deleted) => store.set_deleted(*id, *at_ms, *deleted),
        }
    }
    store
}

/// Posts with one content per id, and statements about them, twice in two orders.
fn facts() -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>)> {
    let posts = prop::collection::vec(WIDE.record(), 0..200);
    let said = prop::collection::vec(DENSE.statement(), 0..60);
    (posts, said)
        .prop_map(|(mut posts, said)| {
            let mut ids = BTreeSet::new();
            posts.retain(|post| ids.insert(post.id));
            let said = said.into_iter().map(|(id, at, on)| Fact::Said(id, at, on));
            posts.into_iter().map(Fact::Post).chain(said).collect()
        })
        .prop_flat_map(|facts: Vec<Fact>| {
            let twice = [facts.clone(), facts.clone()].concat();
            (Just(facts).prop_shuffle(), Just(twice).prop_shuffle())
        })
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn every_order_and_every_repetition_ends_in_the_same_state(
        settings in settings(),
        (once, again) in facts(),
        now_ms in 0..80_i64,
        readings in prop::collection::vec(WIDE.reading(), 8),
    ) {
        let mut left = fold(&settings, &once);
        let mut right = fold(&settings, &again);
        prop_assert_eq!(left.digest(), right.digest());
        let (a, b) = (left.counts(), right.counts());
        prop_assert_eq!((a.posts, a.deleted, a.tombstones), (b.posts, b.deleted, b.tombstones));
        for reading in &readings {
            prop_assert_eq!(left.newest(&reading.request()), right.newest(&reading.request()));
        }
        prop_assert_eq!(left.trim(now_ms), right.trim(now_ms));
        prop_assert_eq!(left.digest(), right.digest());
    }

    /// Clearing away in small steps, while posts keep coming, is a trim that nobody waits for.
    #[test]
    fn hiding_and_sweeping_bit_by_bit_ends_where_a_trim_ends(
        settings in settings(),
        before in prop::collection::vec(WIDE.record(), 0..200),
        meanwhile in prop::collection::vec(WIDE.record(), 0..200),
        now_ms in 0..80_i64,
        reading in WIDE.reading(),
    ) {
        let facts: Vec<Fact> = before.into_iter().map(Fact::Post).collect();
        let (mut steps, mut whole) = (fold(&settings, &facts), fold(&settings, &facts));
        steps.hide_before(now_ms);
        whole.trim(now_ms);
        prop_assert_eq!(steps.live(), whole.live());
        let oldest = i128::from(now_ms) - i128::from(settings.retention_ms);
        let in_time = |post: &&Record| i128::from(post.created_ms) >= oldest;
        let mut meanwhile = meanwhile.iter().filter(in_time);
        let mut is_busy = true;
        while is_busy {
            is_busy = steps.sweep(1);
            if let Some(post) = meanwhile.next() {
                prop_assert_eq!(steps.insert(post), whole.insert(post));
            }
            let (steps, whole) =
                (steps.newest(&reading.request()), whole.newest(&reading.request()));
            prop_assert_eq!(steps.posts, whole.posts);
        }
        prop_assert_eq!(steps.counts().posts, whole.counts().posts);
        steps.trim(now_ms);
        whole.trim(now_ms);
        prop_assert_eq!(steps.digest(), whole.digest());
    }

    #[test]
    fn where_a_read_starts_does_not_matter_without_a_deadline(
        posts in prop::collection::vec(WIDE.record(), 0..200),
        reading in WIDE.reading(),
        start in any::<u64>(),
    ) {
        let settings = unlimited();
        let store = fold(&settings, &posts.into_iter().map(Fact::Post).collect::<Vec<_>>());
        let elsewhere = Reading { start, ..reading.clone() };
        prop_assert_eq!(store.newest(&reading.request()), store.newest(&elsewhere.request()));
    }

    /// What a deadline lets through is the answer for the accounts that were read: nothing of an
    /// account is missing, and nothing is in it that the whole answer does not have.
    #[test]
    fn a_deadline_leaves_out_whole_accounts_only(
        start in any::<u64>(),
        patience in 0..6_u32,
        videos_only in any::<bool>(),
    ) {
        let store = crowd();
        let everybody: Vec<u64> = (0..CROWD).collect();
        let whole = Reading { videos_only, start, ..Reading::of(&everybody) };
        let asked = Cell::new(0);
        let expired = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        let cut = store.newest(&ReadRequest { expired: Some(&expired), ..whole.request() });
        let full = store.newest(&whole.request());
        let author = |id: &Id| id.0 % CROWD;
        let read: BTreeSet<u64> = cut.posts.iter().map(author).collect();
        let mut expected = full.posts;
        expected.retain(|id| read.contains(&author(id)));
        prop_assert_eq!(cut.posts, expected);
        prop_assert_eq!(cut.authors, full.authors);
        prop_assert!(cut.authors_scanned < full.authors, "{} read", cut.authors_scanned);
        prop_assert!(read.len() <= cut.authors_scanned);
    }
}

const CROWD: u64 = 2000;

fn unlimited() -> StoreSettings {
    StoreSettings {
        retention_ms: u64::MAX,
        max_posts_per_timeline: usize::MAX,
        max_bytes: u64::MAX,
        hidden_authors: Vec::new(),
    }
}

/// Many accounts with a video, a post and a reply each.
fn crowd() -> PostStore {
    let mut store = PostStore::new(unlimited());
    for id in 0..3 * CROWD {
        let mut record = post(id, id % CROWD, i64::try_from(id).expect("small"));
        match id / CROWD {
            0 => (record.media_kind, record.media_duration_ms) = (2, 6000),
            1 => record.kind = PostKind::Reply,
            _ => {}
        }
        store.insert(&record);
    }
    store
}

/// The published server reads in the order of the caller's list, so when it is short of time the same
/// accounts are never heard.
#[test]
fn over_many_starts_a_deadline_leaves_nobody_out() {
    let store = crowd();
    let everybody: Vec<u64> = (0..CROWD).collect();
    let mut heard = BTreeSet::new();
    for seed in 0..400_u64 {
        let reading = Reading {
            start: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ..Reading::of(&everybody)
        };
        let asked = Cell::new(false);
        let expired = || asked.replace(true);
        let found = store.newest(&ReadRequest {
            expired: Some(&expired),
            ..reading.request()
        });
        assert!(found.authors_scanned < found.authors);
        heard.extend(found.posts.iter().map(|id| id.0 % CROWD));
    }
    assert_eq!(heard.len() as u64, CROWD);
}
