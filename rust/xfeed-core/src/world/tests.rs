//! Unit tests of the fold.

use super::*;
use crate::event::decode;

const SETTINGS: WorldSettings = WorldSettings {
    posts: StoreSettings {
        retention_ms: 1_000_000,
        max_posts_per_timeline: 5000,
        max_bytes: u64::MAX,
        hidden_authors: Vec::new(),
    },
    max_history_len: 100,
};

fn world(lines: &[&str]) -> World {
    let mut world = World::new(SETTINGS);
    for line in lines {
        world.apply(&decode(line.as_bytes(), None).expect(line));
    }
    world
}

const EVENTS: [&str; 10] = [
    r#"{"type":"post","at_ms":10,"post_id":1,"author_id":7,"text":"one","topics":["a"]}"#,
    r#"{"type":"edit","at_ms":20,"post_id":1,"text":"two"}"#,
    r#"{"type":"follow","at_ms":11,"user_id":1,"target_id":7}"#,
    r#"{"type":"unfollow","at_ms":12,"user_id":2,"target_id":7}"#,
    r#"{"type":"follow","at_ms":11,"user_id":2,"target_id":7}"#,
    r#"{"type":"post","at_ms":30,"post_id":2,"author_id":"ann","reply_to_id":1}"#,
    r#"{"type":"post","at_ms":31,"post_id":3,"author_id":8}"#,
    r#"{"type":"delete","at_ms":40,"post_id":3}"#,
    r#"{"type":"label","at_ms":50,"post_id":1,"label":"spam","expires_at_ms":null}"#,
    r#"{"type":"impression","at_ms":60,"viewer_id":1,"post_id":1}"#,
];

#[test]
fn order_and_repetition_do_not_change_the_state() {
    let expected = world(&EVENTS).digest();
    let mut reversed = EVENTS;
    reversed.reverse();
    assert_eq!(world(&reversed).digest(), expected);
    let twice: Vec<&str> = EVENTS.iter().chain(&EVENTS).copied().collect();
    assert_eq!(world(&twice).digest(), expected);
}

#[test]
fn every_event_changes_the_digest() {
    let all = world(&EVENTS).digest();
    for left_out in 0..EVENTS.len() {
        let mut lines = EVENTS.to_vec();
        let line = lines.remove(left_out);
        // Event 4 is overruled by event 3 and leaves no trace; that is what order-freedom means.
        assert_eq!(world(&lines).digest() == all, left_out == 4, "{line}");
    }
}

#[test]
fn a_reply_counts_as_the_action_of_its_author() {
    let world = world(&EVENTS);
    assert_eq!(world.post_counts(Id(1)).viewers[idx::REPLY], 1);
    assert_eq!(world.popular(&Query::new(Id(9), 100), 0, 5), [Id(1)]);
}

#[test]
fn the_author_actions_change_the_graph() {
    let world = world(&[
        r#"{"type":"action","at_ms":1,"viewer_id":1,"post_id":5,"action":"block_author","author_id":7}"#,
        r#"{"type":"action","at_ms":1,"viewer_id":1,"post_id":5,"action":"mute_author","author_id":8}"#,
    ]);
    let mut query = Query::new(Id(1), 10);
    world.hydrate_safety(&mut query);
    assert!(query.blocked.known().unwrap().contains(&Id(7)));
    assert!(query.muted.known().unwrap().contains(&Id(8)));
    let mut other = Query::new(Id(7), 10);
    world.hydrate_safety(&mut other);
    assert!(other.blocked_by.known().unwrap().contains(&Id(1)));
}

#[test]
fn retention_follows_the_time_of_the_events_and_keeps_authors_of_histories() {
    let mut world = world(&EVENTS);
    let late = r#"{"type":"follow","at_ms":2000000,"user_id":5,"target_id":6}"#;
    world.apply(&decode(late.as_bytes(), None).unwrap());
    assert_eq!(world.counts().posts, 0);
    assert_eq!(world.text(Id(1)), None);
    let (posts, rows) = world.history(Id(1), 3_000_000, 10);
    assert_eq!(rows.at_ms, [60]);
    assert_eq!(posts.author_id, [7]);
}

#[test]
fn a_world_trimmed_on_the_way_equals_one_trimmed_at_the_end() {
    let posts: Vec<String> = (0..400)
        .map(|i| {
            format!(
                r#"{{"type":"post","at_ms":{},"post_id":{i},"author_id":{}}}"#,
                i * 9_000,
                i % 7
            )
        })
        .collect();
    let forward: Vec<&str> = posts.iter().map(String::as_str).collect();
    let backward: Vec<&str> = posts.iter().rev().map(String::as_str).collect();
    assert_eq!(world(&forward).digest(), world(&backward).digest());
}

#[test]
fn the_whole_conversation_is_on_the_card() {
    let world = world(&[
        r#"{"type":"post","at_ms":1,"post_id":1,"author_id":11,"text":"root"}"#,
        r#"{"type":"post","at_ms":2,"post_id":2,"author_id":12,"reply_to_id":1,"root_id":1}"#,
        r#"{"type":"post","at_ms":3,"post_id":3,"author_id":13,"reply_to_id":2,"root_id":1,"quote_of_id":9,"quote_of_author_id":19}"#,
        r#"{"type":"post","at_ms":4,"post_id":4,"author_id":14,"repost_of_id":3}"#,
    ]);
    let mut batch = crate::batch::CandidateBatch::default();
    batch.push_source("test", &[Id(4)]);
    world.hydrate_core(&Query::new(Id(1), 10), &mut batch);
    let core = batch.core[0].as_ref().unwrap();
    let authors: Vec<u64> = core
        .related
        .iter()
        .filter_map(|other| other.author)
        .map(|id| id.0)
        .collect();
    assert_eq!(authors, [13, 19, 12, 11]);
    assert_eq!(batch.shown_author(0), Some(Id(13)));
}

#[test]
fn columns_have_one_post_row_per_post_and_no_history_from_the_future() {
    let world = world(&[
        r#"{"type":"impression","at_ms":5,"viewer_id":0,"post_id":0}"#,
        r#"{"type":"impression","at_ms":6,"viewer_id":0,"post_id":0}"#,
        r#"{"type":"impression","at_ms":9,"viewer_id":3,"post_id":4}"#,
    ]);
    let (posts, rows) = world.interactions();
    assert_eq!(posts.post_id, [4, 0]);
    assert_eq!(rows.post_row, [0, 1, 1]);
    assert!(!rows.viewer_key.contains(&0) && !posts.post_key.contains(&0));
    assert_eq!(world.history(Id(0), 5, 10).1.at_ms, [5]);
}

#[test]
fn the_store_knows_better_than_the_sender_whose_post_it_is() {
    let world = world(&[
        r#"{"type":"post","at_ms":1,"post_id":1,"author_id":11}"#,
        r#"{"type":"post","at_ms":2,"post_id":2,"author_id":12,"repost_of_id":1,"repost_of_author_id":77}"#,
    ]);
    let mut batch = crate::batch::CandidateBatch::default();
    batch.push_source("test", &[Id(2)]);
    world.hydrate_core(&Query::new(Id(1), 10), &mut batch);
    assert_eq!(batch.shown_author(0), Some(Id(11)));
}

#[test]
fn cards_are_followed_all_the_way_down() {
    let world = world(&[
        r#"{"type":"post","at_ms":1,"post_id":1,"author_id":11}"#,
        r#"{"type":"post","at_ms":2,"post_id":2,"author_id":12,"reply_to_id":1}"#,
        r#"{"type":"post","at_ms":3,"post_id":3,"author_id":13,"repost_of_id":2}"#,
        r#"{"type":"post","at_ms":4,"post_id":4,"author_id":14,"quote_of_id":3}"#,
        r#"{"type":"post","at_ms":5,"post_id":5,"author_id":15,"repost_of_id":4}"#,
    ]);
    let mut batch = crate::batch::CandidateBatch::default();
    batch.push_source("test", &[Id(5)]);
    world.hydrate_core(&Query::new(Id(1), 10), &mut batch);
    let related = &batch.core[0].as_ref().unwrap().related;
    let authors: Vec<u64> = related
        .iter()
        .filter_map(|other| other.author)
        .map(|id| id.0)
        .collect();
    assert_eq!(authors, [14, 13, 12, 11]);
}

#[test]
fn a_profile_changes_only_what_it_names() {
    let lines = [
        r#"{"type":"profile","at_ms":1,"user_id":11,"protected":true,"handle":"a"}"#,
        r#"{"type":"profile","at_ms":2,"user_id":11,"handle":"b"}"#,
    ];
    for order in [[0, 1], [1, 0]] {
        let world = world(&order.map(|i| lines[i]));
        assert_eq!(world.handle(Id(11)).as_deref(), Some("b"));
        assert!(world.people.profile(Id(11)).unwrap().protected == Some(true));
    }
}
