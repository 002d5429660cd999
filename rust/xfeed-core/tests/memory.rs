//! What the process really takes, as the kernel counts it, beside what the store says: under
//! `make stress`, on Linux.
#![cfg(all(not(loom), target_os = "linux"))]

use std::sync::{Mutex, PoisonError};

use xfeed_core::event::{PostKind, Related};
use xfeed_core::ids::Id;
use xfeed_core::thunder::{PostStore, Record, StoreSettings};

const MIB: u64 = 1 << 20;
const N_AUTHORS: u64 = 200_000;

/// Two tests that measure the same process take turns.
static TURN: Mutex<()> = Mutex::new(());

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: u64 = number.and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}

/// SplitMix64: the same posts in every run.
fn mixed(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A third are replies or reposts; a few authors post most.
fn record(id: u64, created_ms: i64) -> Record {
    let draw = mixed(id);
    let kind = PostKind::ALL[usize::try_from(draw % 6).expect("small").min(3) % 4];
    let other = Some(Related {
        post: Id(id - id.min(1 + (draw >> 8) % 100_000)),
        author: Some(Id(draw >> 50)),
    });
    let of = |own: PostKind| other.filter(|_| kind == own);
    let spread = (draw >> 32) % N_AUTHORS;
    Record {
        id: Id(mixed(!id)),
        author: Id(spread * spread / N_AUTHORS),
        created_ms,
        kind,
        media_kind: 0,
        media_duration_ms: 0,
        reply_to: of(PostKind::Reply),
        root: of(PostKind::Reply),
        repost_of: of(PostKind::Repost),
        quote_of: of(PostKind::Quote),
    }
}

fn store(retention_ms: u64, max_bytes: u64) -> PostStore {
    PostStore::new(StoreSettings {
        retention_ms,
        max_posts_per_timeline: 5000,
        max_bytes,
        hidden_authors: Vec::new(),
    })
}

/// The limit of the settings is a limit of the process: posts and deletes without end.
#[test]
#[ignore = "make stress"]
fn the_process_stays_within_the_limit_too() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = 128 * MIB;
    let before = resident_bytes();
    let mut store = store(u64::MAX, limit);
    let mut most = 0;
    for id in 0..4_000_000 {
        let at_ms = i64::try_from(id / 50).expect("small");
        let post = record(id, at_ms);
        store.insert(&post);
        if id % 3 == 0 {
            store.set_deleted(post.id, at_ms, id % 30 != 0);
        }
        if id % 100_000 == 0 {
            assert!(store.used_bytes() <= limit);
            most = most.max(resident_bytes().saturating_sub(before));
        }
    }
    let posts = store.counts().posts;
    assert!(posts > 500_000, "only {posts} posts are left");
    // The allocator keeps some of what it was given back.
    assert!(
        most <= limit + limit / 4,
        "{most} bytes for a limit of {limit}"
    );
}

/// Two weeks in a minute: what comes in goes out, and the store ends as large as it was on day six.
#[test]
#[ignore = "make stress"]
fn a_store_that_runs_for_long_does_not_grow() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (day_ms, per_day) = (86_400_000_u64, 500_000);
    let mut store = store(2 * day_ms, u64::MAX);
    let mut on_day_six = None;
    for day in 0..14 {
        for n in 0..per_day {
            let at_ms = i64::try_from(day * day_ms + n * day_ms / per_day).expect("small");
            let post = record(day * per_day + n, at_ms);
            store.insert(&post);
            if n % 7 == 0 {
                store.set_deleted(post.id, at_ms + 5, true);
            }
            if n % (per_day / 8) == 0 {
                store.hide_before(at_ms);
                while store.sweep(1000) {}
            }
        }
        store.trim(i64::try_from((day + 1) * day_ms).expect("small"));
        let now = (store.used_bytes(), resident_bytes(), store.counts().posts);
        if day >= 6 {
            let (used, resident, posts) = *on_day_six.get_or_insert(now);
            assert!(
                now.0 <= used + used / 20,
                "day {day}: {} bytes, {used} then",
                now.0
            );
            assert!(
                now.1 <= resident + resident / 20,
                "day {day}: {} bytes",
                now.1
            );
            assert!(now.2 <= posts + posts / 100);
        }
    }
}
