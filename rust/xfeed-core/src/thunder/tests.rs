//! Unit tests of the store.

use super::*;

const LIMITS: ReadLimits = ReadLimits {
    max_results: 100,
    max_originals_per_author: 3,
    max_secondary_per_author: 2,
};

fn post(id: u64, author: u64, created_ms: UnixMs) -> Record {
    Record {
        id: Id(id),
        author: Id(author),
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

fn related(post: u64, author: u64) -> Option<Related> {
    Some(Related {
        post: Id(post),
        author: Some(Id(author)),
    })
}

fn reply(id: u64, author: u64, at: UnixMs, to: Option<Related>, root: Option<Related>) -> Record {
    Record {
        kind: PostKind::Reply,
        reply_to: to,
        root,
        ..post(id, author, at)
    }
}

fn read(store: &PostStore, viewer: u64, following: &[u64]) -> Vec<u64> {
    let following: HashSet<Id> = following.iter().map(|id| Id(*id)).collect();
    store
        .newest_of(Id(viewer), &following, &HashSet::new(), 0, LIMITS)
        .into_iter()
        .map(|id| id.0)
        .collect()
}

#[test]
fn any_order_of_arrival_gives_newest_first_with_the_cap_on_the_newest() {
    let mut store = PostStore::new(100);
    for (id, at) in [(4, 40), (1, 10), (5, 40), (2, 20), (3, 30)] {
        assert!(store.insert(post(id, 7, at)));
    }
    assert_eq!(read(&store, 1, &[7, 7]), [5, 4, 3]);
}

#[test]
fn a_delete_leaves_room_for_older_posts_and_an_undelete_brings_the_post_back() {
    let mut store = PostStore::new(100);
    for id in 1..=600 {
        store.insert(post(id, 7, i64::try_from(id).unwrap()));
    }
    for id in 101..=600 {
        store.set_deleted(Id(id), 1_000, true);
    }
    assert_eq!(read(&store, 1, &[7]), [100, 99, 98]);
    store.set_deleted(Id(600), 1_001, false);
    assert_eq!(read(&store, 1, &[7]), [600, 100, 99]);
}

#[test]
fn a_delete_holds_whatever_the_order_and_wins_a_tie() {
    let mut early = PostStore::new(100);
    early.set_deleted(Id(1), 50, true);
    early.insert(post(1, 7, 10));
    assert!(read(&early, 1, &[7]).is_empty());
    early.set_deleted(Id(1), 50, false);
    early.set_deleted(Id(1), 49, false);
    assert!(early.get(Id(1)).is_none());
}

#[test]
fn a_second_create_changes_nothing() {
    let mut store = PostStore::new(100);
    store.insert(post(1, 7, 10));
    assert!(!store.insert(post(1, 8, 20)));
    assert_eq!(read(&store, 1, &[7, 8]), [1]);
    assert_eq!(store.get(Id(1)).map(|record| record.author), Some(Id(7)));
    assert_eq!(store.conflicts(), 1);
}

#[test]
fn ids_zero_and_the_largest_are_ordinary() {
    let mut store = PostStore::new(100);
    store.insert(post(0, 0, 5));
    store.insert(post(u64::MAX - 1, 0, 5));
    assert_eq!(read(&store, 1, &[0]), [u64::MAX - 1, 0]);
}

#[test]
fn replies_follow_the_published_rule() {
    let mut store = PostStore::new(100);
    store.insert(post(10, 9, 1));
    store.insert(reply(11, 3, 2, related(10, 9), related(10, 9)));
    // First level, whoever wrote the original.
    store.insert(reply(20, 2, 3, related(10, 9), related(10, 9)));
    // Second level to a followed account, then to one that is not followed.
    store.insert(reply(21, 4, 4, related(11, 3), related(10, 9)));
    store.insert(reply(12, 8, 4, related(10, 9), related(10, 9)));
    store.insert(reply(22, 4, 5, related(12, 8), related(10, 9)));
    // Third level and a parent that is not there.
    store.insert(reply(23, 5, 6, related(21, 4), related(10, 9)));
    store.insert(reply(24, 5, 7, related(404, 3), None));
    assert_eq!(read(&store, 1, &[2, 3, 4, 5]), [21, 20, 11]);
}

#[test]
fn reposts_of_the_viewer_and_of_dead_posts_are_left_out() {
    let mut store = PostStore::new(100);
    store.insert(post(1, 9, 1));
    store.insert(post(2, 8, 1));
    let repost = |id, of| Record {
        kind: PostKind::Repost,
        repost_of: of,
        ..post(id, 7, 5)
    };
    store.insert(repost(10, related(1, 9)));
    store.insert(repost(11, related(2, 8)));
    store.set_deleted(Id(2), 9, true);
    assert_eq!(read(&store, 9, &[7]), [] as [u64; 0]);
    assert_eq!(read(&store, 1, &[7]), [10]);
}

#[test]
fn the_cut_keeps_the_newest_of_all_authors() {
    let mut store = PostStore::new(100);
    for author in 0..50 {
        store.insert(post(author, author, i64::try_from(author).unwrap()));
    }
    let following: HashSet<Id> = (0..50).map(Id).collect();
    let limits = ReadLimits {
        max_results: 3,
        ..LIMITS
    };
    let got = store.newest_of(Id(99), &following, &HashSet::new(), 0, limits);
    assert_eq!(got, [Id(49), Id(48), Id(47)]);
    let recent = store.newest_of(Id(99), &following, &HashSet::new(), 48, limits);
    assert_eq!(recent, [Id(49), Id(48)]);
}

#[test]
fn trimming_is_inclusive_and_forgets_everything_about_old_posts() {
    let mut store = PostStore::new(100);
    store.insert(post(1, 7, 199));
    store.insert(post(2, 7, 200));
    store.set_deleted(Id(3), 99, true);
    assert_eq!(store.trim(300), HashMap::from([(Id(1), Id(7))]));
    assert_eq!(store.len(), 1);
    assert_eq!(read(&store, 1, &[7]), [2]);
    assert!(!store.was_deleted(Id(3)));
    assert!(store.trim(i64::MIN).is_empty());
}

#[test]
fn excluded_posts_use_up_no_limit() {
    let mut store = PostStore::new(100);
    for id in 1..=10 {
        store.insert(post(id, 7, i64::try_from(id).unwrap()));
    }
    let excluded: HashSet<Id> = [8, 9, 10].map(Id).into_iter().collect();
    let followed = HashSet::from([Id(7)]);
    let got = store.newest_of(Id(1), &followed, &excluded, 0, LIMITS);
    assert_eq!(got, [Id(7), Id(6), Id(5)]);
}

#[test]
fn newer_replies_push_out_older_originals_and_older_ones_do_not_get_in() {
    let mut store = PostStore::new(1_000);
    for id in 1..=6 {
        store.insert(post(id, 7, i64::try_from(id).unwrap() * 10));
    }
    for (id, at) in [(20, 55), (21, 15), (22, 65)] {
        store.insert(reply(id, 8, at, related(1, 7), related(1, 7)));
    }
    let followed: HashSet<Id> = [7, 8].map(Id).into_iter().collect();
    let limits = ReadLimits {
        max_results: 4,
        max_originals_per_author: 9,
        ..LIMITS
    };
    let got = store.newest_of(Id(1), &followed, &HashSet::new(), 0, limits);
    assert_eq!(got, [Id(22), Id(6), Id(20), Id(5)]);
    let none = ReadLimits {
        max_results: 0,
        ..limits
    };
    assert!(
        store
            .newest_of(Id(1), &followed, &HashSet::new(), 0, none)
            .is_empty()
    );
}
