//! Real threads on a shared store: every answer is checked for what must hold whatever the others do.
//! A short run in every `make test`, a long one under `make stress`.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashSet;
use xfeed_core::event::{PostKind, Related};
use xfeed_core::ids::Id;
use xfeed_core::shared::Shared;
use xfeed_core::thunder::{PostStore, ReadLimits, ReadRequest, Record, StoreSettings};

const N_AUTHORS: u64 = 300;
const BATCH: usize = 64;

const LIMITS: ReadLimits = ReadLimits {
    max_results: 400,
    max_originals_per_author: 20,
    max_secondary_per_author: 10,
    max_videos_per_author: 15,
    max_scan_per_author: 50,
};

fn settings(max_bytes: u64) -> StoreSettings {
    StoreSettings {
        retention_ms: 20_000,
        max_posts_per_timeline: 200,
        max_bytes,
        hidden_authors: vec![Id(0)],
    }
}

/// SplitMix64: the same numbers in every run.
fn mixed(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn record(id: u64) -> Record {
    let draw = mixed(id);
    let kind = PostKind::ALL[usize::try_from(draw % 4).expect("small")];
    let other = Some(Related {
        post: Id(id.saturating_sub(1 + (draw >> 8) % 500)),
        author: None,
    });
    let of = |own: PostKind| other.filter(|_| kind == own);
    Record {
        id: Id(id),
        author: Id((draw >> 20) % N_AUTHORS),
        created_ms: i64::try_from(id + (draw >> 40) % 50).expect("small"),
        kind,
        media_kind: if draw >> 62 == 0 { 2 } else { 0 },
        media_duration_ms: if draw >> 62 == 0 { 9000 } else { 0 },
        reply_to: of(PostKind::Reply),
        root: of(PostKind::Reply),
        repost_of: of(PostKind::Repost),
        quote_of: of(PostKind::Quote),
    }
}

/// One read with everything that must hold of its answer, checked under the same lock.
fn check_read(store: &PostStore, seed: u64) {
    let draw = mixed(seed);
    let following: Vec<Id> = (0..draw % 200)
        .map(|i| Id(mixed(draw + i) % N_AUTHORS))
        .collect();
    let request = ReadRequest {
        viewer: Some(Id(draw % N_AUTHORS)),
        following: &following,
        excluded: &(0..50)
            .map(|i| Id(mixed(seed + i) % 100_000))
            .collect::<Vec<_>>(),
        oldest_ms: i64::try_from(draw % 5000).expect("small"),
        newest_ms: i64::MAX,
        videos_only: draw.is_multiple_of(3),
        limits: LIMITS,
        start: draw,
        expired: None,
    };
    let found = store.newest(&request);
    assert!(found.posts.len() <= LIMITS.max_results);
    assert_eq!(found.authors, found.authors_scanned);
    let followed: HashSet<Id> = following.iter().copied().collect();
    let mut last = (i64::MAX, Id(u64::MAX));
    for id in &found.posts {
        let post = store.get(*id).expect("an answer holds live posts only");
        assert_eq!(post, record(id.0), "a row belongs to another post");
        assert!((post.created_ms, post.id) < last, "out of order");
        last = (post.created_ms, post.id);
        assert!(followed.contains(&post.author) && post.author != Id(0));
        assert!(post.created_ms >= request.oldest_ms && !request.excluded.contains(id));
        if let Some(source) = post.repost_of {
            assert!(!store.was_deleted(source.post), "a repost of a dead post");
        }
        if request.videos_only {
            assert!(post.kind != PostKind::Reply);
            let source = post.repost_of.map(|source| store.get(source.post));
            assert!(
                source
                    .unwrap_or(Some(post))
                    .is_some_and(|post| post.has_video())
            );
        }
    }
}

/// Posts, deletes, undeletes and a trim now and then.
fn write(shared: &Shared<PostStore>, n_posts: u64, max_bytes: u64) {
    for first in (0..n_posts).step_by(10_000) {
        let ids = first..n_posts.min(first + 10_000);
        shared.write_batches(ids, BATCH, |store, id| {
            store.insert(&record(id));
            let (dead, at_ms) = (mixed(id) % (id + 1), i64::try_from(id).expect("small"));
            if id % 5 == 0 {
                store.set_deleted(Id(dead), at_ms, id % 15 != 0);
            }
        });
        shared.write(|store| {
            store.trim(i64::try_from(first).expect("small"));
            assert!(store.used_bytes() <= max_bytes);
        });
    }
}

/// A snapshot taken while others read and want to write equals the state it was taken of.
fn check_snapshot(shared: &Shared<PostStore>) {
    let (bytes, digest, settings) = shared.freeze(|store| {
        let mut bytes = Vec::new();
        store.encode(&mut bytes).expect("a vector takes all");
        assert_eq!(shared.read(PostStore::counts), store.counts());
        (bytes, store.digest(), store.settings().clone())
    });
    let loaded = PostStore::decode(&mut bytes.as_slice(), settings).expect("it is whole");
    assert_eq!(loaded.digest(), digest);
}

fn together(n_posts: u64, max_bytes: u64) {
    let shared = Shared::new(PostStore::new(settings(max_bytes)));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (shared, is_over) = (&shared, &is_over);
            scope.spawn(move || {
                for round in 0.. {
                    shared.read(|store| check_read(store, reader << 40 | round));
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            loop {
                check_snapshot(&shared);
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let writer = scope.spawn(|| write(&shared, n_posts, max_bytes));
        let result = writer.join();
        is_over.store(true, Ordering::Relaxed);
        result.expect("the writer does not panic");
    });
    if max_bytes < u64::MAX {
        return; // What a limit lets go depends on how memory was laid out.
    }
    let alone = Shared::new(PostStore::new(settings(max_bytes)));
    write(&alone, n_posts, max_bytes);
    assert_eq!(
        shared.read(PostStore::digest),
        alone.read(PostStore::digest)
    );
}

#[test]
fn readers_a_writer_trims_and_snapshots_do_not_disturb_each_other() {
    together(40_000, u64::MAX);
}

#[test]
fn nor_when_memory_is_short() {
    together(40_000, 1 << 20);
}

#[test]
#[ignore = "make stress"]
fn nor_for_five_million_posts() {
    together(5_000_000, u64::MAX);
    together(5_000_000, 2 << 20);
}

/// A reader that arrives during a batch is let in at its end, not at the end of all batches.
#[test]
fn a_waiting_reader_gets_in_after_the_batch_it_waits_for() {
    let shared = Shared::new(0_u64);
    let is_coming = AtomicBool::new(false);
    let n_batches = 2000;
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !is_coming.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            shared.read(|value| *value)
        });
        let items = (0..n_batches).take_while(|_| !reader.is_finished());
        shared.write_batches(items, 1, |value, item| {
            *value = item;
            is_coming.store(true, Ordering::SeqCst);
            // Long enough for the reader to be asleep at the lock.
            std::thread::sleep(Duration::from_millis(2));
        });
        reader.join().expect("it does not panic")
    });
    assert!(seen < n_batches / 10, "a reader waited for {seen} batches");
}

/// A panic in the middle of a change is not followed by answers from the half changed value.
#[test]
fn nobody_reads_what_a_panic_left_behind() {
    let shared = Shared::new(vec![1]);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        shared.write(|value| {
            value.push(2);
            assert!(value.is_empty(), "on purpose");
        });
    }));
    assert!(failed.is_err());
    let read = || shared.read(Vec::len);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).is_err());
    let write = || shared.write(Vec::clear);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
}
