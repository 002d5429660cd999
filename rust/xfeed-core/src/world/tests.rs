//! Unit tests of the fold.

use super::*;
use crate::event::decode;
use crate::snapshot::Header;

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

/// Events of every kind, with ids that are texts, late deletes, rows without impressions.
const EVERYTHING: [&str; 20] = [
    r#"{"type":"post","at_ms":10,"post_id":1,"author_id":"ann","text":"one","topics":["a","b"],"language":"en"}"#,
    r#"{"type":"post","at_ms":11,"post_id":"at://x/2","author_id":8,"reply_to_id":1,"root_id":1,"media_kind":"video","media_duration_ms":9000}"#,
    r#"{"type":"post","at_ms":12,"post_id":3,"author_id":9,"repost_of_id":1,"repost_of_author_id":"ann"}"#,
    r#"{"type":"post","at_ms":13,"post_id":0,"author_id":0,"quote_of_id":77}"#,
    r#"{"type":"edit","at_ms":20,"post_id":1,"text":"two"}"#,
    r#"{"type":"edit","at_ms":21,"post_id":99,"topics":["later"]}"#,
    r#"{"type":"delete","at_ms":22,"post_id":3}"#,
    r#"{"type":"delete","at_ms":23,"post_id":98}"#,
    r#"{"type":"undelete","at_ms":24,"post_id":97}"#,
    r#"{"type":"follow","at_ms":30,"user_id":1,"target_id":"ann"}"#,
    r#"{"type":"unfollow","at_ms":31,"user_id":2,"target_id":"ann"}"#,
    r#"{"type":"block","at_ms":32,"user_id":1,"target_id":8}"#,
    r#"{"type":"mute","at_ms":33,"user_id":1,"target_id":9}"#,
    r#"{"type":"mute_word","at_ms":34,"user_id":1,"word":"Spoiler ALERT","expires_at_ms":5000}"#,
    r#"{"type":"profile","at_ms":35,"user_id":8,"handle":"bob","protected":true,"follower_count":12}"#,
    r#"{"type":"label","at_ms":36,"post_id":1,"label":"spam","expires_at_ms":null}"#,
    r#"{"type":"label","at_ms":37,"user_id":9,"label":"abuse","expires_at_ms":900}"#,
    r#"{"type":"impression","at_ms":40,"viewer_id":1,"post_id":1,"request_id":5}"#,
    r#"{"type":"action","at_ms":41,"viewer_id":1,"post_id":1,"action":"dwell_time","seconds":12.5,"request_id":5}"#,
    r#"{"type":"action","at_ms":42,"viewer_id":"cyd","post_id":3,"action":"favorite"}"#,
];

const AFTERWARDS: [&str; 5] = [
    r#"{"type":"undelete","at_ms":60,"post_id":3}"#,
    r#"{"type":"post","at_ms":61,"post_id":98,"author_id":7}"#,
    r#"{"type":"impression","at_ms":39,"viewer_id":"cyd","post_id":3}"#,
    r#"{"type":"unblock","at_ms":31,"user_id":1,"target_id":8}"#,
    r#"{"type":"post","at_ms":1000030,"post_id":200,"author_id":7}"#,
];

fn save(world: &World) -> Vec<u8> {
    let mut file = Vec::new();
    let offsets = [("log".to_owned(), 20)].into();
    world.write_snapshot("test", offsets, &mut file).unwrap();
    file
}

fn load(file: &[u8]) -> crate::error::Result<World> {
    let (world, header) = World::read_snapshot(file, Some(&SETTINGS))?;
    world.check_hash(&header)?;
    Ok(world)
}

#[test]
fn a_snapshot_gives_back_the_same_state_to_the_last_bit_wherever_it_was_made() {
    let events = [&EVERYTHING[..], &AFTERWARDS].concat();
    let mut whole = world(&events);
    for cut in 0..=events.len() {
        let first = world(&events[..cut]);
        let file = save(&first);
        let mut second = load(&file).unwrap();
        assert_eq!(save(&second), file, "{cut}");
        assert_eq!(second.counts(), first.counts());
        assert_eq!(
            second.spell(Id::from_text("ann").unwrap()),
            first.spell(Id::from_text("ann").unwrap())
        );
        for line in &events[cut..] {
            second.apply(&decode(line.as_bytes(), None).unwrap());
        }
        assert_eq!(save(&second), save(&whole), "{cut}");
        assert_eq!(second.digest(), whole.digest(), "{cut}");
    }
}

#[test]
fn a_loaded_state_answers_like_the_one_that_was_saved() {
    let before = world(&EVERYTHING);
    let after = load(&save(&before)).unwrap();
    let answers = |world: &World| {
        let mut query = Query::new(Id(1), 100);
        world.hydrate_following(&mut query);
        world.hydrate_safety(&mut query);
        world.hydrate_seen(&mut query);
        let mut batch = crate::batch::CandidateBatch::default();
        batch.push_source(
            "test",
            &world
                .live_posts()
                .post_id
                .iter()
                .map(|id| Id(*id))
                .collect::<Vec<_>>(),
        );
        world.hydrate_core(&query, &mut batch);
        world.hydrate_labels(&query, &mut batch);
        let mut followers = Query::new(Id::from_text("ann").unwrap(), 100);
        world.hydrate_following(&mut followers);
        let interactions = world.interactions();
        format!(
            "{query:?} {batch:?} {:?} {interactions:?}",
            followers.follower_count
        )
    };
    let sorted = |text: String| {
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    assert_eq!(sorted(answers(&after)), sorted(answers(&before)));
    assert!(answers(&after).contains("spam"));
}

#[test]
fn no_changed_byte_of_a_state_goes_unnoticed() {
    let file = save(&world(&EVERYTHING));
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        assert!(load(&changed).is_err(), "{at}");
    }
}

#[test]
fn posts_that_went_between_two_trims_are_remembered_in_a_snapshot() {
    let posts = ["1", "2", "3"]
        .map(|id| format!(r#"{{"type":"post","at_ms":1{id},"post_id":{id},"author_id":7}}"#));
    let mut first = World::new(WorldSettings {
        posts: StoreSettings {
            max_posts_per_timeline: 2,
            ..SETTINGS.posts
        },
        ..SETTINGS
    });
    let seen = r#"{"type":"impression","at_ms":15,"viewer_id":1,"post_id":1}"#;
    for line in [&posts[0], seen, &posts[1], &posts[2]] {
        first.apply(&decode(line.as_bytes(), None).unwrap());
    }
    let (mut second, _) = World::read_snapshot(&*save(&first), None).unwrap();
    for world in [&mut first, &mut second] {
        world.digest();
        assert_eq!(world.history(Id(1), 20, 1).0.author_id, [7]);
    }
}

#[test]
fn other_settings_are_named() {
    let file = save(&world(&EVERYTHING));
    for (name, settings) in [
        (
            "retention_ms",
            WorldSettings {
                posts: StoreSettings {
                    retention_ms: 5,
                    ..SETTINGS.posts
                },
                ..SETTINGS
            },
        ),
        (
            "max_history_len",
            WorldSettings {
                max_history_len: 5,
                ..SETTINGS
            },
        ),
    ] {
        let error = World::read_snapshot(&*file, Some(&settings)).unwrap_err();
        assert_eq!(error.code, "other_settings");
        assert!(error.message.contains(name), "{error}");
    }
    let hidden = WorldSettings {
        posts: StoreSettings {
            hidden_authors: vec![Id(1)],
            ..SETTINGS.posts
        },
        ..SETTINGS
    };
    assert!(World::read_snapshot(&*file, Some(&hidden)).is_ok());
    assert!(World::read_snapshot(&*file, None).is_ok());
}

#[test]
fn a_state_with_other_counts_or_another_hash_than_its_header_is_refused() {
    let world = world(&EVERYTHING);
    let (_, header) = World::read_snapshot(&*save(&world), None).unwrap();
    let claim = |header: &Header| {
        let mut file = Vec::new();
        world.write_parts(header, &mut file).unwrap();
        load(&file)
    };
    assert!(claim(&header).is_ok());
    for name in header.counts.keys() {
        let mut other = header.clone();
        *other.counts.get_mut(name).unwrap() += 1;
        let error = claim(&other).unwrap_err();
        assert!(error.message.contains(name), "{error}");
    }
    let state_hash = "0".repeat(64);
    let error = claim(&Header {
        state_hash,
        ..header
    })
    .unwrap_err();
    assert!(error.message.contains("hash"), "{error}");
}
