use super::*;
use xfeed_core::ids::Id;

const NOW_MS: i64 = 1_000_000;

fn original(id: u64, author: u64) -> Record {
    Record {
        id: Id(id),
        author: Id(author),
        created_ms: NOW_MS - 10_000 + i64::try_from(id).expect("small"),
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

fn reply(id: u64, author: u64, to: (u64, u64), root: u64) -> Record {
    Record {
        kind: PostKind::Reply,
        reply_to: related(to.0, to.1),
        root: related(root, 9),
        ..original(id, author)
    }
}

fn repost(id: u64, author: u64, of: (u64, u64)) -> Record {
    Record {
        kind: PostKind::Repost,
        repost_of: related(of.0, of.1),
        ..original(id, author)
    }
}

fn store(records: &[Record]) -> Published {
    let store = Published::new(NOW_MS);
    store.insert(records.iter().map(Post::from).collect(), NOW_MS);
    store
}

#[test]
fn excluded_posts_use_up_no_cap() {
    let all: Vec<Record> = (1..=60).map(|id| original(id, 7)).collect();
    let newest: Vec<i64> = (1..=58).rev().take(MAX_ORIGINALS_PER_AUTHOR).collect();
    assert_eq!(store(&all).newest(1, &[7, 8], &[60, 59], 1_200), newest);
}

#[test]
fn replies_two_levels_down_need_a_followed_account() {
    let all = [
        original(10, 9),
        reply(11, 3, (10, 9), 10),
        reply(12, 2, (11, 3), 10),
        reply(13, 2, (21, 8), 10),
        reply(14, 2, (12, 2), 10),
        reply(15, 2, (99, 9), 99),
        reply(21, 8, (10, 9), 10),
    ];
    // 13 answers an account that is not followed, 14 is on the third level, 15 answers nothing.
    assert_eq!(store(&all).newest(1, &[2, 3], &[], 1_200), [12, 11]);
}

#[test]
fn reposts_of_the_viewers_own_posts_are_left_out() {
    let all = [original(5, 1), repost(6, 2, (5, 1)), repost(7, 2, (8, 4))];
    assert_eq!(store(&all).newest(1, &[2], &[], 1_200), [7]);
}

#[test]
fn a_late_batch_is_in_order_only_after_the_sort() {
    let store = store(&[original(2, 7)]);
    store.insert(vec![Post::from(&original(1, 7))], NOW_MS);
    let last = |store: &Published| {
        store
            .originals
            .get(&7)
            .and_then(|list| list.back().copied())
    };
    assert_eq!(last(&store).map(|entry| entry.id), Some(1));
    store.sort();
    assert_eq!(last(&store).map(|entry| entry.id), Some(2));
}
