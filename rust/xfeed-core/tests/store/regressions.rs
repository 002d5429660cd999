//! One test per fault of the published store (August 2026), so that none of them comes back. Numbers
//! with `#` are issues and pull requests of `xai-org/x-algorithm`; "read in the code" marks those
//! that nobody reported. Faults of its consumers and of its server are tested where ours are; the one
//! about reads that run out of time is in `order.rs`.

use xfeed_core::event::Related;
use xfeed_core::ids::Id;
use xfeed_core::thunder::{Inserted, PostStore, ReadLimits, Record, StoreSettings, TIME_END_MS};

use crate::operations::{NO_LIMITS, Reading};
use crate::posts::{post, quote, reply, repost, settings, video};

fn store(records: &[Record]) -> PostStore {
    let mut store = PostStore::new(settings(5000));
    store.remember_gone();
    for record in records {
        assert_eq!(store.insert(record), Inserted::Added);
    }
    store
}

fn answer(store: &PostStore, reading: &Reading) -> Vec<u64> {
    let posts = store.newest(&reading.request()).posts;
    posts.into_iter().map(|id| id.0).collect()
}

fn all(store: &PostStore, following: &[u64]) -> Vec<u64> {
    answer(store, &Reading::of(following))
}

fn videos(store: &PostStore, following: &[u64]) -> Vec<u64> {
    let reading = Reading {
        videos_only: true,
        ..Reading::of(following)
    };
    answer(store, &reading)
}

/// #48: posts that arrived within the second in which they were made were dropped for good.
#[test]
fn a_post_can_be_read_in_the_millisecond_it_was_made() {
    let store = store(&[post(1, 7, 50), post(2, 7, 51)]);
    let now = Reading {
        newest_ms: 50,
        ..Reading::of(&[7])
    };
    assert_eq!(answer(&store, &now), [1]);
}

/// #57: what fell off the end of the list of videos lost its record in the other list as well.
#[test]
fn a_list_that_is_full_takes_nothing_from_another_list() {
    let mut store = PostStore::new(settings(3));
    for id in 1..=3 {
        store.insert(&video(post(id, 7, i64::try_from(id).unwrap())));
    }
    for id in 11..=15 {
        store.insert(&repost(id, 7, i64::try_from(id).unwrap(), id - 10));
    }
    assert_eq!(all(&store, &[7]), [15, 14, 13, 3, 2, 1]);
    assert_eq!(videos(&store, &[7]), [13, 3, 2, 1]);
    assert_eq!(store.insert(&post(4, 7, 4)), Inserted::Added);
    assert_eq!(all(&store, &[7]), [15, 14, 13, 4, 3, 2]);
    assert_eq!(videos(&store, &[7]), [13, 3, 2]);
    assert_eq!(store.record(Id(1)), None);
    assert_eq!(store.counts().over_cap, 3);
}

/// #59: deleted posts stayed in the list of their author and used up the scan.
#[test]
fn after_500_deletes_the_other_100_posts_come_back() {
    let mut store = store(&[]);
    for id in 0..600 {
        let at_ms = i64::try_from(id).unwrap();
        store.insert(&post(id, 7, at_ms));
        store.insert(&repost(1000 + id, 7, at_ms, 5000));
    }
    for id in 100..600 {
        store.set_deleted(Id(id), 900, true);
        store.set_deleted(Id(1000 + id), 900, true);
    }
    let limits = ReadLimits {
        max_scan_per_author: 500,
        ..NO_LIMITS
    };
    let scan = Reading {
        limits,
        ..Reading::of(&[7])
    };
    let posts = store.newest(&scan.request()).posts;
    assert_eq!(posts.len(), 200);
    assert!(posts.iter().all(|id| id.0 % 1000 < 100));
}

/// #150: reposts of deleted posts were served.
#[test]
fn a_repost_of_a_deleted_post_is_left_out() {
    let mut store = store(&[post(1, 9, 1), repost(2, 7, 2, 1), repost(3, 7, 3, 404)]);
    store.set_deleted(Id(1), 5, true);
    store.set_deleted(Id(404), 5, true);
    assert_eq!(all(&store, &[7]), [] as [u64; 0]);
    store.set_deleted(Id(1), 6, false);
    assert_eq!(all(&store, &[7]), [2]);
}

/// #186: an undelete did nothing until the tombstone was forgotten.
#[test]
fn an_undelete_brings_a_post_back_once() {
    let mut store = store(&[post(1, 7, 1)]);
    let before = all(&store, &[7]);
    for round in 0..3 {
        store.set_deleted(Id(1), 10 + 2 * round, true);
        assert_eq!(all(&store, &[7]), [] as [u64; 0]);
        store.set_deleted(Id(1), 11 + 2 * round, false);
        assert_eq!(store.insert(&post(1, 7, 1)), Inserted::Known);
        assert_eq!(all(&store, &[7]), before);
    }
    assert_eq!(store.counts().posts, 1);
}

/// #138: when a quoted post was deleted, the quote was taken for deleted.
#[test]
fn a_quote_outlives_what_it_quotes() {
    let mut store = store(&[post(1, 9, 1), quote(2, 7, 2, 1)]);
    store.set_deleted(Id(1), 5, true);
    assert_eq!(all(&store, &[7, 9]), [2]);
    assert!(!store.was_deleted(Id(2)));
}

/// Read in the code: the age of a delete stamped in the future wrapped, its tombstone was dropped at
/// once, and the post could return.
#[test]
fn a_tombstone_lives_as_long_as_the_post_could_return() {
    for at_ms in [i64::MAX, TIME_END_MS, 1000] {
        let mut store = store(&[]);
        store.set_deleted(Id(1), at_ms, true);
        store.trim(1000);
        assert_eq!(store.insert(&post(1, 7, 990)), Inserted::AddedDeleted);
        assert_eq!(all(&store, &[7]), [] as [u64; 0]);
    }
    let mut early = store(&[post(1, 7, 900)]);
    early.set_deleted(Id(1), i64::MIN, true);
    early.trim(1000);
    assert!(
        early.was_deleted(Id(1)),
        "it was said of a post that is there"
    );
    early.trim(1001);
    assert!(!early.was_deleted(Id(1)));
}

/// Read in the code: tombstones were kept in the list of author 0.
#[test]
fn author_zero_is_an_author() {
    let mut store = store(&[post(1, 0, 1), post(0, 0, 2), post(2, 7, 3)]);
    store.set_deleted(Id(2), 5, true);
    store.set_deleted(Id(3), 5, true);
    assert_eq!(all(&store, &[0, 7]), [0, 1]);
    store.trim(101);
    assert_eq!(all(&store, &[0, 7]), [0, 1]);
}

/// Read in the code: clearing left the tombstones, so what came again was skipped silently.
#[test]
fn clear_means_as_new() {
    let mut store = store(&[post(1, 7, 1), reply(2, 7, 2, 1, 1)]);
    store.set_deleted(Id(1), 5, true);
    store.insert(&post(2, 8, 9));
    store.clear();
    let new = PostStore::new(settings(5000));
    assert_eq!(
        (store.digest(), store.counts()),
        (new.digest(), new.counts())
    );
    assert_eq!(store.insert(&post(1, 7, 1)), Inserted::Added);
    assert_eq!(all(&store, &[7]), [1]);
}

/// Read in the code: following and excluded were cut to their first 10,000 without a word.
#[test]
fn long_lists_are_read_to_their_end() {
    let mut store = store(&[]);
    for author in 0..20_000 {
        store.insert(&post(author, author, 5));
    }
    let everybody: Vec<u64> = (0..20_000).collect();
    assert_eq!(all(&store, &everybody).len(), 20_000);
    let reading = Reading {
        excluded: (0..19_999).map(Id).collect(),
        ..Reading::of(&everybody)
    };
    assert_eq!(answer(&store, &reading), [19_999]);
}

/// Read in the code: a repost was a video only when its source had come first, and so were replies
/// shown only when their parent had.
#[test]
fn a_source_or_a_parent_may_come_later() {
    let mut store = store(&[repost(3, 7, 30, 1), reply(4, 7, 40, 2, 2)]);
    assert_eq!((all(&store, &[7]), videos(&store, &[7])), (vec![3], vec![]));
    store.insert(&video(post(1, 9, 10)));
    store.insert(&post(2, 9, 20));
    assert_eq!(all(&store, &[7]), [4, 3]);
    assert_eq!(videos(&store, &[7]), [3]);
}

/// Read in the code: a second create of an id replaced the record and left it in the old lists.
#[test]
fn the_first_create_of_an_id_stands() {
    let mut store = store(&[post(1, 7, 10)]);
    let before = store.digest();
    for other in [post(1, 8, 10), post(1, 7, 11), reply(1, 7, 10, 5, 5)] {
        assert_eq!(store.insert(&other), Inserted::Conflict);
    }
    assert_eq!(store.insert(&post(1, 7, 10)), Inserted::Known);
    assert_eq!(store.digest(), before);
    assert_eq!(all(&store, &[7, 8]), [1]);
    assert_eq!(store.counts().conflicts, 3);
}

/// Read in the code: optional ids were packed with 0 for "none", so a true id 0 was lost.
#[test]
fn post_zero_has_replies_and_reposts() {
    let store = store(&[
        post(0, 9, 1),
        reply(1, 7, 2, 0, 0),
        reply(2, 7, 3, 1, 0),
        repost(3, 7, 4, 0),
    ]);
    assert_eq!(all(&store, &[7]), [3, 2, 1]);
    for id in 1..4 {
        let record = store.get(Id(id)).expect("it is there");
        let related = record.reply_to.or(record.repost_of).expect("it relates");
        assert_eq!(related.post, if id == 2 { Id(1) } else { Id(0) });
        assert_eq!(record.root.is_some(), id != 3);
    }
}

/// Read in the code: a post of the viewer that was reposted was found by a sender's word only.
#[test]
fn a_repost_of_the_viewers_own_post_is_hidden_whoever_names_the_author() {
    let said = Record {
        repost_of: Some(Related {
            post: Id(404),
            author: Some(Id(9)),
        }),
        ..repost(3, 7, 3, 404)
    };
    let store = store(&[post(1, 9, 1), repost(2, 7, 2, 1), said]);
    let asked_by = |viewer| Reading {
        viewer,
        ..Reading::of(&[7])
    };
    assert_eq!(answer(&store, &asked_by(Some(Id(9)))), [] as [u64; 0]);
    assert_eq!(answer(&store, &asked_by(Some(Id(8)))), [3, 2]);
    assert_eq!(answer(&store, &asked_by(None)), [3, 2]);
}

/// Hidden accounts were three numbers in the code. They are a setting, and hold for the reply rule too,
/// whether or not the account has posts.
#[test]
fn a_hidden_account_is_not_followed_for_replies_either() {
    for hidden_has_posts in [false, true] {
        let mut store = PostStore::new(StoreSettings {
            hidden_authors: vec![Id(8)],
            ..settings(5000)
        });
        store.insert(&post(1, 9, 1));
        store.insert(&reply(2, 6, 2, 1, 1));
        for (id, replied_to) in [(3, 8), (4, 6)] {
            let mut second_level = reply(id, 7, 3, 2, 1);
            second_level.reply_to = Some(Related {
                post: Id(2),
                author: Some(Id(replied_to)),
            });
            store.insert(&second_level);
        }
        if hidden_has_posts {
            store.insert(&post(5, 8, 5));
        }
        assert_eq!(all(&store, &[6, 7, 8]), [4, 2]);
    }
}

/// Read in the code: posts lay in the order of their batches, so a late one took the place of newer
/// ones, and trimming stopped at the first fresh one.
#[test]
fn a_late_post_lies_where_its_time_says() {
    let mut store = store(&[post(1, 7, 300), post(2, 7, 100), post(3, 7, 200)]);
    let limits = ReadLimits {
        max_originals_per_author: 2,
        ..NO_LIMITS
    };
    let two = Reading {
        limits,
        ..Reading::of(&[7])
    };
    assert_eq!(answer(&store, &two), [1, 3]);
    let gone = store.trim(201);
    assert_eq!(gone.into_iter().collect::<Vec<_>>(), [(Id(2), Id(7))]);
}

/// Read in the code: the age of a post stamped in the future wrapped, and it was trimmed as too old.
#[test]
fn times_at_the_ends_neither_wrap_nor_age() {
    let mut store = store(&[]);
    for at_ms in [i64::MIN, -1, TIME_END_MS, i64::MAX] {
        assert_eq!(store.insert(&post(9, 7, at_ms)), Inserted::BadTime);
    }
    store.insert(&post(1, 7, 0));
    store.insert(&post(2, 7, TIME_END_MS - 1));
    for now_ms in [i64::MIN, -1, 0, 100] {
        assert!(store.trim(now_ms).is_empty());
    }
    assert_eq!(all(&store, &[7]), [2, 1]);
    assert_eq!(store.trim(101).len(), 1);
    assert_eq!(store.trim(i64::MAX).len(), 1);
}

/// Read in the code: times in seconds and an unstable sort gave ties a new order each time.
#[test]
fn ties_are_broken_by_id() {
    let ids: Vec<u64> = (0..200).map(|i| i * 7919 % 200).collect();
    let store = store(
        &ids.iter()
            .map(|id| post(*id, id % 3, 5))
            .collect::<Vec<_>>(),
    );
    let limits = ReadLimits {
        max_results: 50,
        ..NO_LIMITS
    };
    let reading = Reading {
        limits,
        ..Reading::of(&[0, 1, 2])
    };
    let newest: Vec<u64> = (150..200).rev().collect();
    assert_eq!(answer(&store, &reading), newest);
}
