//! What goes into the store and what comes out.

use crate::clock::UnixMs;
use crate::event::{MEDIA_VIDEO, PostKind, Related};
use crate::ids::Id;

/// A video shorter than this is not offered as one (`MIN_VIDEO_DURATION` of the published store).
const MIN_VIDEO_MS: u32 = 5000;

/// Times of posts are in `0..TIME_END_MS`, which is after the year 10000.
pub const TIME_END_MS: UnixMs = 1 << 48;

/// What the store keeps of a post. Its text is kept by [`crate::world`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The post.
    pub id: Id,
    /// Who made it.
    pub author: Id,
    /// When.
    pub created_ms: UnixMs,
    /// Original, reply, repost or quote.
    pub kind: PostKind,
    /// Position in [`crate::event::MEDIA_KINDS`].
    pub media_kind: u8,
    /// 0 when unknown.
    pub media_duration_ms: u32,
    /// The post it answers.
    pub reply_to: Option<Related>,
    /// First post of its conversation.
    pub root: Option<Related>,
    /// The post it repeats.
    pub repost_of: Option<Related>,
    /// The post it quotes.
    pub quote_of: Option<Related>,
}

impl Record {
    /// Whether it is a video long enough to be offered as one.
    pub fn has_video(&self) -> bool {
        is_video(self.media_kind, self.media_duration_ms)
    }

    /// Everything it says as numbers, for the state hash; what is absent takes none.
    pub(super) fn words(&self, is_dead: bool, words: &mut Vec<u64>) {
        let mut says =
            self.kind as u64 | u64::from(self.media_kind) << 8 | u64::from(is_dead) << 16;
        words.clear();
        words.extend([self.id.0, self.author.0, self.created_ms.cast_unsigned(), 0]);
        words.push(u64::from(self.media_duration_ms));
        let related = [self.reply_to, self.root, self.repost_of, self.quote_of];
        for (i, related) in related.into_iter().enumerate() {
            if let Some(related) = related {
                says |= 1 << (24 + i);
                words.push(related.post.0);
                if let Some(author) = related.author {
                    says |= 1 << (32 + i);
                    words.push(author.0);
                }
            }
        }
        words[3] = says;
    }

    /// Whether it lies in the timeline of replies and reposts.
    pub fn is_secondary(&self) -> bool {
        matches!(self.kind, PostKind::Reply | PostKind::Repost)
    }
}

pub(super) fn is_video(media_kind: u8, duration_ms: u32) -> bool {
    media_kind == MEDIA_VIDEO && duration_ms >= MIN_VIDEO_MS
}

/// What the store needs to know; Python's config holds the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Posts older than this are forgotten by [`super::PostStore::trim`].
    pub retention_ms: u64,
    /// Most posts of one author in each of the two timelines; the oldest go.
    pub max_posts_per_timeline: usize,
    /// Most bytes the store may allocate; the oldest posts go. `u64::MAX` is no limit.
    pub max_bytes: u64,
    /// Accounts that no reader follows, whatever the reader's list says.
    pub hidden_authors: Vec<Id>,
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is there.
    Added,
    /// It is there and hidden: its delete came first.
    AddedDeleted,
    /// It was there.
    Known,
    /// Another post has this id; the first one stands.
    Conflict,
    /// Its author has so many newer ones that it was not taken.
    OverCap,
    /// It is older than what the memory budget has let go.
    OverBudget,
    /// Its time is not in `0..TIME_END_MS`.
    BadTime,
}

/// Limits of one read; Python's config holds the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most posts in the answer.
    pub max_results: usize,
    /// Most originals and quotes of one author.
    pub max_originals_per_author: usize,
    /// Most replies and reposts of one author.
    pub max_secondary_per_author: usize,
    /// Most posts of one author when only videos are asked for.
    pub max_videos_per_author: usize,
    /// Most replies and reposts of one author that are looked at.
    pub max_scan_per_author: usize,
}

/// One read.
#[derive(Clone, Copy)]
pub struct ReadRequest<'a> {
    /// Who asks, if anybody.
    pub viewer: Option<Id>,
    /// Accounts, in any order; repetitions change nothing.
    pub following: &'a [Id],
    /// Posts not to return, in any order; they use up no limit.
    pub excluded: &'a [Id],
    /// Made at this moment or later.
    pub oldest_ms: UnixMs,
    /// Made at this moment or earlier.
    pub newest_ms: UnixMs,
    /// Only posts with a video and reposts of them.
    pub videos_only: bool,
    /// How much.
    pub limits: ReadLimits,
    /// Which account is read first when a deadline may cut the read short.
    pub start: u64,
    /// Whether the time is up; asked every few dozen accounts.
    pub expired: Option<&'a dyn Fn() -> bool>,
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Created descending, then id descending.
    pub posts: Vec<Id>,
    /// Accounts with posts that were to be read.
    pub authors: usize,
    /// Accounts that were read; fewer when the time was up.
    pub authors_scanned: usize,
}

/// How much there is, and what went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// Posts that can be shown.
    pub posts: u64,
    /// Posts that are there and deleted.
    pub deleted: u64,
    /// Statements about deletes and undeletes that are remembered.
    pub tombstones: u64,
    /// Accounts with posts.
    pub authors: u64,
    /// Creates of a known id with other content.
    pub conflicts: u64,
    /// Posts forgotten or not taken because their author has too many newer ones.
    pub over_cap: u64,
    /// Posts forgotten or not taken because memory is full.
    pub over_budget: u64,
    /// Posts forgotten because of their age.
    pub trimmed: u64,
}
