//! Every order in which threads can meet at the locks of [`xfeed_core::shared::Shared`], tried one by
//! one. Built and run by `make stress` with `--cfg loom`; empty otherwise.
//!
//! A deadlock makes loom fail by itself. What must be *possible* (a reader between two batches) is
//! collected over all orders and asserted at the end; that a waiting reader is *certain* to get in
//! is what the fair unlock of the real lock is for (`tests/stress.rs`).
#![cfg(loom)]

use std::collections::BTreeSet;
use std::sync::Mutex;

use loom::sync::Arc;
use loom::thread;
use xfeed_core::event::PostKind;
use xfeed_core::ids::Id;
use xfeed_core::shared::Shared;
use xfeed_core::thunder::{PostStore, ReadLimits, ReadRequest, Record, StoreSettings};

/// Runs `order` in every interleaving and returns the different outcomes.
fn outcomes<T, F>(order: F) -> BTreeSet<T>
where
    T: Ord + Send + Clone + 'static,
    F: Fn() -> T + Send + Sync + 'static,
{
    let seen = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let all = seen.clone();
    loom::model(move || {
        let outcome = order();
        all.lock().expect("one order at a time").insert(outcome);
    });
    let seen = seen.lock().expect("one order at a time");
    seen.clone()
}

fn add_four(shared: &Shared<Vec<u32>>, first: u32) {
    shared.write_batches(first..first + 4, 2, Vec::push);
}

#[test]
fn a_reader_sees_whole_batches_only_and_can_get_in_between() {
    let lengths = outcomes(|| {
        let shared = Arc::new(Shared::new(Vec::new()));
        let writer = {
            let shared = shared.clone();
            thread::spawn(move || add_four(&shared, 0))
        };
        let seen = shared.read(Vec::len);
        writer.join().expect("it does not panic");
        assert_eq!(shared.read(Vec::clone), [0, 1, 2, 3]);
        seen
    });
    assert_eq!(lengths, BTreeSet::from([0, 2, 4]));
}

#[test]
fn two_readers_do_not_keep_a_writer_out() {
    let pairs = outcomes(|| {
        let shared = Arc::new(Shared::new(Vec::new()));
        let [writer, reader] = [true, false].map(|writes| {
            let shared = shared.clone();
            thread::spawn(move || {
                if writes {
                    shared.write(|value: &mut Vec<u32>| value.push(7));
                }
                shared.read(Vec::len)
            })
        });
        let here = shared.read(Vec::len);
        assert_eq!(writer.join().expect("it does not panic"), 1);
        (here, reader.join().expect("it does not panic"))
    });
    assert_eq!(pairs, BTreeSet::from([(0, 0), (0, 1), (1, 0), (1, 1)]));
}

#[test]
fn a_bulk_write_is_not_mixed_with_another() {
    let results = outcomes(|| {
        let shared = Arc::new(Shared::new(Vec::new()));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || add_four(&shared, 10))
        };
        add_four(&shared, 0);
        other.join().expect("it does not panic");
        shared.read(Vec::clone)
    });
    let left = vec![0, 1, 2, 3, 10, 11, 12, 13];
    let right = vec![10, 11, 12, 13, 0, 1, 2, 3];
    assert_eq!(results, BTreeSet::from([left, right]));
}

#[test]
fn a_freeze_keeps_writers_out_for_its_whole_length() {
    let lengths = outcomes(|| {
        let shared = Arc::new(Shared::new(Vec::new()));
        let writer = {
            let shared = shared.clone();
            thread::spawn(move || add_four(&shared, 0))
        };
        let seen = shared.freeze(|value: &Vec<u32>| {
            thread::yield_now();
            value.len()
        });
        writer.join().expect("it does not panic");
        seen
    });
    assert_eq!(
        lengths,
        BTreeSet::from([0, 4]),
        "a freeze has no half writes"
    );
}

#[test]
fn readers_go_on_during_a_freeze() {
    let met = outcomes(|| {
        let shared = Arc::new(Shared::new(0_u32));
        let frozen = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let reader = {
            let (shared, frozen) = (shared.clone(), frozen.clone());
            thread::spawn(move || {
                shared.read(|_| frozen.load(loom::sync::atomic::Ordering::SeqCst))
            })
        };
        shared.freeze(|_| {
            frozen.store(true, loom::sync::atomic::Ordering::SeqCst);
            thread::yield_now();
            frozen.store(false, loom::sync::atomic::Ordering::SeqCst);
        });
        reader.join().expect("it does not panic")
    });
    assert!(met.contains(&true), "no reader ever met a freeze");
}

fn post(id: u64, created_ms: i64) -> Record {
    Record {
        id: Id(id),
        author: Id(7),
        created_ms,
        kind: PostKind::Original,
        media_kind: 0,
        media_duration_ms: 0,
        reply_to: None,
        root: None,
        repost_of: None,
        quote_of: None,
    }
}

fn newest(store: &PostStore) -> Vec<u64> {
    let found = store.newest(&ReadRequest {
        viewer: None,
        following: &[Id(7)],
        excluded: &[],
        oldest_ms: 0,
        newest_ms: i64::MAX,
        videos_only: false,
        limits: ReadLimits {
            max_results: 9,
            max_originals_per_author: 9,
            max_secondary_per_author: 9,
            max_videos_per_author: 9,
            max_scan_per_author: 9,
        },
        start: 0,
        expired: None,
    });
    assert!(found.posts.iter().all(|id| store.get(*id).is_some()));
    found.posts.into_iter().map(|id| id.0).collect()
}

/// Insert, delete, trim, read and snapshot on a small store, in every order.
#[test]
fn the_store_is_whole_in_every_order_of_writes_reads_and_snapshots() {
    let settings = || StoreSettings {
        retention_ms: 10,
        max_posts_per_timeline: 9,
        max_bytes: u64::MAX,
        hidden_authors: Vec::new(),
    };
    let results = outcomes(move || {
        let shared = Arc::new(Shared::new(PostStore::new(settings())));
        shared.write(|store| store.insert(&post(1, 5)));
        let writer = {
            let shared = shared.clone();
            thread::spawn(move || {
                let later = [post(2, 20), post(3, 21)];
                shared.write_batches(later, 1, |store, record| {
                    store.insert(&record);
                });
                shared.write(|store| store.set_deleted(Id(3), 25, true));
            })
        };
        let trimmer = {
            let shared = shared.clone();
            thread::spawn(move || shared.write(|store| store.trim(20).len()))
        };
        let (bytes, digest) = shared.freeze(|store| {
            let mut bytes = Vec::new();
            store.encode(&mut bytes).expect("a vector takes all");
            (bytes, store.digest())
        });
        let loaded = PostStore::decode(&mut bytes.as_slice(), settings()).expect("it is whole");
        assert_eq!(loaded.digest(), digest);
        writer.join().expect("it does not panic");
        assert_eq!(trimmer.join().expect("it does not panic"), 1);
        assert_eq!(shared.read(newest), [2]);
        newest(&loaded)
    });
    // The trim falls before, between or after the writes; a freeze sees whole writes only.
    let expected: [&[u64]; 6] = [&[], &[1], &[2], &[2, 1], &[3, 2], &[3, 2, 1]];
    assert_eq!(results, expected.map(<[u64]>::to_vec).into_iter().collect());
}
