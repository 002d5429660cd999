//! The one table of actions.
//!
//! Model heads, weights, explanations, presets and docs are all in the order of [`ACTIONS`]. The
//! numbers are those of the published action vocabulary, so that published checkpoints can be read;
//! our own arrays are indexed by position in the table, never by that number.

/// How an action is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// Happens or does not; predicted as a probability. Has a bit in an [`ActionSet`].
    Discrete,
    /// An amount of seconds; predicted as a value, weighed per predicted unit.
    Continuous,
}

/// Which way an action speaks about a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The viewer liked what they saw.
    Positive,
    /// The viewer wants less of it.
    Negative,
}

/// How an action comes to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Sent by the application as an `action` event.
    Sent,
    /// Sent as an `action` event that must carry `seconds`.
    SentWithSeconds,
    /// Worked out from other events; refused in an `action` event.
    Derived,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct ActionSpec {
    /// Name used in events, weights, answers and docs.
    pub name: &'static str,
    /// Number in the published vocabulary; `None` where the head is a continuous one.
    pub published_number: Option<u8>,
    /// Probability or amount.
    pub kind: ActionKind,
    /// For or against the post.
    pub sign: Sign,
    /// Sent or derived.
    pub origin: Origin,
    /// One line for people.
    pub meaning: &'static str,
}

use ActionKind::{Continuous, Discrete};
use Origin::{Derived, Sent, SentWithSeconds};
use Sign::{Negative, Positive};

const fn row(
    name: &'static str,
    published_number: u8,
    sign: Sign,
    origin: Origin,
    meaning: &'static str,
) -> ActionSpec {
    let published_number = Some(published_number);
    ActionSpec {
        name,
        published_number,
        kind: Discrete,
        sign,
        origin,
        meaning,
    }
}

const fn seconds(name: &'static str, origin: Origin, meaning: &'static str) -> ActionSpec {
    let published_number = None;
    ActionSpec {
        name,
        published_number,
        kind: Continuous,
        sign: Positive,
        origin,
        meaning,
    }
}

/// Every action, discrete ones first. The position is the bit, the model head and the weight index.
pub const ACTIONS: &[ActionSpec] = &[
    row("favorite", 1, Positive, Sent, "liked the post"),
    row("reply", 4, Positive, Sent, "replied to the post"),
    row("repost", 6, Positive, Sent, "reposted it"),
    row("quote", 5, Positive, Sent, "quoted it"),
    row("photo_expand", 14, Positive, Sent, "opened a photo"),
    row("video_open", 47, Positive, Sent, "opened the video"),
    row(
        "video_quality_view",
        13,
        Positive,
        Sent,
        "watched the video for long",
    ),
    row("click", 29, Positive, Sent, "opened the post"),
    row("open_link", 39, Positive, Sent, "followed a link in it"),
    row(
        "profile_click",
        30,
        Positive,
        Sent,
        "opened the author's profile",
    ),
    row("share", 37, Positive, Sent, "shared it by any means"),
    row(
        "share_via_dm",
        33,
        Positive,
        Sent,
        "sent it in a direct message",
    ),
    row("share_via_copy_link", 32, Positive, Sent, "copied its link"),
    row(
        "dwell",
        11,
        Positive,
        Derived,
        "stayed on it for ten seconds or more",
    ),
    row(
        "quoted_click",
        38,
        Positive,
        Sent,
        "opened the post it quotes",
    ),
    row(
        "quoted_video_quality_view",
        48,
        Positive,
        Sent,
        "watched the quoted video for long",
    ),
    row(
        "follow_author",
        21,
        Positive,
        Sent,
        "followed the author from it",
    ),
    row(
        "post_unexplored",
        59,
        Positive,
        Derived,
        "a young post that few have seen yet",
    ),
    row("bookmark", 36, Positive, Sent, "kept it for later"),
    row(
        "not_interested",
        17,
        Negative,
        Sent,
        "asked for less like it",
    ),
    row(
        "block_author",
        23,
        Negative,
        Sent,
        "blocked the author from it",
    ),
    row(
        "mute_author",
        25,
        Negative,
        Sent,
        "muted the author from it",
    ),
    row("report", 16, Negative, Sent, "reported it"),
    row(
        "not_dwelled",
        12,
        Negative,
        Derived,
        "scrolled past without any action",
    ),
    seconds("dwell_time", SentWithSeconds, "seconds spent on the post"),
    seconds(
        "click_dwell_time",
        SentWithSeconds,
        "seconds spent in the opened post",
    ),
    seconds(
        "active_secs_5m_residual_norm",
        Derived,
        "activity in the five minutes after it",
    ),
];

/// Number of discrete actions: they are the first rows of [`ACTIONS`].
pub const N_DISCRETE: usize = 24;

/// Seconds on a post from which it counts as `dwell` (published synthetic world: 10 s).
pub const DWELLED_AT_SECS: f32 = 10.0;

/// Position of `name` in [`ACTIONS`].
pub fn index_of(name: &str) -> Option<usize> {
    ACTIONS.iter().position(|action| action.name == name)
}

/// A set of discrete actions, one bit per row of [`ACTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActionSet(pub u64);

impl ActionSet {
    /// Adds the action at `idx`; returns whether it was new.
    pub fn insert(&mut self, idx: usize) -> bool {
        let bit = 1_u64 << idx;
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Whether the action at `idx` is in the set.
    pub fn contains(self, idx: usize) -> bool {
        self.0 & (1_u64 << idx) != 0
    }
}

/// Positions that the engine itself needs, checked against the table by a test.
pub mod idx {
    #![allow(missing_docs, reason = "each constant is named after its row")]
    pub const FAVORITE: usize = 0;
    pub const REPLY: usize = 1;
    pub const REPOST: usize = 2;
    pub const QUOTE: usize = 3;
    pub const VIDEO_QUALITY_VIEW: usize = 6;
    pub const DWELL: usize = 13;
    pub const QUOTED_VIDEO_QUALITY_VIEW: usize = 15;
    pub const FOLLOW_AUTHOR: usize = 16;
    pub const POST_UNEXPLORED: usize = 17;
    pub const BLOCK_AUTHOR: usize = 20;
    pub const MUTE_AUTHOR: usize = 21;
    pub const DWELL_TIME: usize = 24;
    pub const CLICK_DWELL_TIME: usize = 25;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discrete_actions_come_first_and_fit_a_word() {
        for (position, action) in ACTIONS.iter().enumerate() {
            assert_eq!(
                action.kind == Discrete,
                position < N_DISCRETE,
                "{}",
                action.name
            );
        }
    }

    #[test]
    fn names_are_unique_and_the_named_positions_are_right() {
        for (position, action) in ACTIONS.iter().enumerate() {
            assert_eq!(index_of(action.name), Some(position));
        }
        let named = [
            ("favorite", idx::FAVORITE),
            ("reply", idx::REPLY),
            ("repost", idx::REPOST),
            ("quote", idx::QUOTE),
            ("video_quality_view", idx::VIDEO_QUALITY_VIEW),
            ("dwell", idx::DWELL),
            ("quoted_video_quality_view", idx::QUOTED_VIDEO_QUALITY_VIEW),
            ("follow_author", idx::FOLLOW_AUTHOR),
            ("post_unexplored", idx::POST_UNEXPLORED),
            ("block_author", idx::BLOCK_AUTHOR),
            ("mute_author", idx::MUTE_AUTHOR),
            ("dwell_time", idx::DWELL_TIME),
            ("click_dwell_time", idx::CLICK_DWELL_TIME),
        ];
        for (name, position) in named {
            assert_eq!(index_of(name), Some(position));
        }
    }
}
