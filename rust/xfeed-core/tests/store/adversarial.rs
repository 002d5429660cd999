//! Input that somebody made to break the store. Bounds are counts and bytes; that these tests end at
//! all bounds the time. The sizes of real attacks run under `make stress`.

use xfeed_core::event::{PostKind, Related};
use xfeed_core::ids::Id;
use xfeed_core::thunder::{Inserted, PostStore, ReadLimits, Record, StoreSettings};

use crate::operations::Reading;
use crate::posts::{post, reply, repost};

const MIB: u64 = 1 << 20;

/// What a server asks for.
const USUAL: ReadLimits = ReadLimits {
    max_results: 1200,
    max_originals_per_author: 50,
    max_secondary_per_author: 30,
    max_videos_per_author: 100,
    max_scan_per_author: 500,
};

fn usual() -> PostStore {
    PostStore::new(StoreSettings {
        retention_ms: 1 << 40,
        max_posts_per_timeline: 5000,
        max_bytes: u64::MAX,
        hidden_authors: Vec::new(),
    })
}

fn time(value: u64) -> i64 {
    i64::try_from(value).expect("small")
}

fn read(store: &PostStore, following: &[u64]) -> Vec<u64> {
    let reading = Reading {
        limits: USUAL,
        ..Reading::of(following)
    };
    let posts = store.newest(&reading.request()).posts;
    posts.into_iter().map(|id| id.0).collect()
}

/// Every number below `n` once, neither up nor down.
fn shuffled(n: u64) -> impl Iterator<Item = u64> {
    let end = n.next_power_of_two();
    let stride = 0x9e37_79b9_7f4a_7c15_u64;
    (0..end)
        .map(move |i| i.wrapping_mul(stride) % end)
        .filter(move |id| *id < n)
}

fn one_author(n_posts: u64) {
    let orders: [Box<dyn Iterator<Item = u64>>; 3] = [
        Box::new(0..n_posts),
        Box::new((0..n_posts).rev()),
        Box::new(shuffled(n_posts)),
    ];
    for order in orders {
        let mut store = usual();
        let mut most = 0;
        for id in order {
            store.insert(&post(id, 7, time(id)));
            most = most.max(store.used_bytes());
        }
        assert_eq!(store.counts().posts, 5000);
        assert!(most < 4 * MIB, "{most} bytes for 5000 posts");
        let newest: Vec<u64> = (n_posts - 50..n_posts).rev().collect();
        assert_eq!(read(&store, &[7]), newest);
    }
}

#[test]
fn an_author_who_never_stops_costs_what_the_cap_allows() {
    one_author(200_000);
}

#[test]
#[ignore = "make stress"]
fn ten_million_posts_of_one_author() {
    one_author(10_000_000);
}

/// One timeline full of dead posts: the cap counts them, so they cannot pile up either.
#[test]
fn an_author_who_deletes_everything_costs_what_the_cap_allows() {
    let mut store = usual();
    for id in 0..50_000 {
        store.insert(&post(id, 7, time(id)));
        store.set_deleted(Id(id), time(id), true);
    }
    assert_eq!(store.counts().deleted, 5000);
    assert_eq!(read(&store, &[7]), [] as [u64; 0]);
    store.trim(1 << 41);
    assert_eq!(store.counts().tombstones, 0);
}

fn wide_follow(n_authors: u64, n_posts_each: u64) {
    let mut store = usual();
    for id in 0..n_authors * n_posts_each {
        store.insert(&post(id, id % n_authors, time(id)));
    }
    let everybody: Vec<u64> = (0..n_authors).rev().collect();
    let n_posts = n_authors * n_posts_each;
    let newest: Vec<u64> = (n_posts - 1200..n_posts).rev().collect();
    assert_eq!(read(&store, &everybody), newest);
    let twice = everybody.repeat(2);
    assert_eq!(read(&store, &twice), newest);
}

#[test]
fn a_viewer_who_follows_everybody_gets_the_newest() {
    wide_follow(20_000, 4);
}

#[test]
#[ignore = "make stress"]
fn a_viewer_who_follows_a_hundred_thousand() {
    wide_follow(100_000, 20);
}

/// The same post again and again: one row per repost, and its delete reaches all of them.
fn reposts(n_reposts: u64) {
    let mut store = usual();
    store.insert(&post(0, 0, 1));
    let empty = store.used_bytes();
    for id in 1..=n_reposts {
        assert_eq!(store.insert(&repost(id, id, time(id), 0)), Inserted::Added);
    }
    let bytes = (store.used_bytes() - empty) / n_reposts;
    assert!(bytes < 256, "{bytes} bytes per repost of another author");
    let everybody: Vec<u64> = (1..=n_reposts).collect();
    let newest: Vec<u64> = (n_reposts - 1199..=n_reposts).rev().collect();
    assert_eq!(read(&store, &everybody), newest);
    store.set_deleted(Id(0), 5, true);
    assert_eq!(read(&store, &everybody), [] as [u64; 0]);
    store.set_deleted(Id(0), 6, false);
    assert_eq!(read(&store, &everybody), newest);
}

#[test]
fn a_post_that_everybody_repeats_can_be_deleted_and_brought_back() {
    reposts(60_000);
}

#[test]
#[ignore = "make stress"]
fn one_post_reposted_a_million_times() {
    reposts(1_000_000);
}

#[test]
fn a_chain_of_replies_is_followed_two_levels_down_however_long_it_is() {
    let mut store = usual();
    let n_posts = 40_000;
    for id in (1..n_posts).rev() {
        store.insert(&reply(id, id % 10, time(id), id - 1, 0));
    }
    let reading = Reading::of(&(0..10).collect::<Vec<_>>());
    assert_eq!(store.newest(&reading.request()).posts, [Id(2)]);
    store.insert(&post(0, 0, 0));
    let found = store.newest(&reading.request());
    assert_eq!(found.posts, [Id(2), Id(1), Id(0)]);
    store.set_deleted(Id(0), 9, true);
    assert_eq!(store.newest(&reading.request()).posts, [Id(2)]);
    store.trim(i64::MAX);
    assert_eq!((store.counts().posts, store.counts().trimmed), (0, 40_000));
}

/// Posts that relate to themselves and to each other in circles.
#[test]
fn circles_are_no_trap() {
    let mut store = usual();
    store.insert(&reply(1, 7, 1, 1, 1));
    store.insert(&repost(2, 7, 2, 2));
    store.insert(&reply(3, 7, 3, 4, 3));
    store.insert(&reply(4, 7, 4, 3, 4));
    let quote = Record {
        kind: PostKind::Quote,
        quote_of: Some(Related {
            post: Id(5),
            author: Some(Id(7)),
        }),
        ..post(5, 7, 5)
    };
    store.insert(&quote);
    // A parent that answers the root of its child: 4 answers 3, and 3 says that 3 is its root.
    assert_eq!(read(&store, &[7]), [5, 4, 3, 2, 1]);
    for id in 1..=5 {
        store.set_deleted(Id(id), 9, true);
    }
    assert_eq!(read(&store, &[7]), [] as [u64; 0]);
}

/// Ids that fall together in tables that use the low, the high or the middle bits of an id as they
/// are. A table that could be filled like this would not get to the end.
#[test]
fn ids_that_look_alike_do_not_collide() {
    let patterns: [fn(u64) -> u64; 5] = [
        |i| i << 32,
        |i| i << 44,
        |i| i.reverse_bits(),
        |i| i.wrapping_mul(0x1_0000_0001),
        |i| i << 20 | 0xf_ffff,
    ];
    for pattern in patterns {
        let mut store = usual();
        for i in 0..50_000 {
            let id = pattern(i);
            assert_eq!(store.insert(&post(id, id, time(i))), Inserted::Added);
            store.set_deleted(Id(!id), 1, true);
        }
        let everybody: Vec<u64> = (0..50_000).map(pattern).collect();
        let newest: Vec<u64> = (50_000 - 1200..50_000).rev().map(pattern).collect();
        assert_eq!(read(&store, &everybody), newest);
    }
}
