//! Posts of 48 hours and viewers who read them, made from counter-based random numbers.
//!
//! Every post is a function of its row, so nothing is kept in memory but the table of authors, and
//! `benches/python/thunder_workload.py` makes the same ones; [`Workload::digest`] proves it.
//!
//! * An author's activity follows a Zipf-Mandelbrot law: weight `1 / (rank + 250)`. With ten million
//!   posts by a million authors the busiest one writes 4,800 in 48 hours, which is the daily limit of
//!   X twice, and a tenth of the authors write 72 % of all posts.
//! * 65 % originals, 20 % replies, 15 % reposts; a tenth of the originals and replies have a video.
//! * Replies and reposts refer to a post that is 1 to 2^17 groups of 20 posts older, log-uniform. A
//!   repost repeats an original; of the replies 75 % answer an original, 20 % a reply, and 5 % a post
//!   that is not there.
//! * Posts come in the order of time but for two seconds of disorder.
//! * Of the accounts a viewer follows every eighth is drawn by activity, the others evenly. They write
//!   about seven times as much as the average account.

use std::collections::HashSet;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use xfeed_core::event::{MEDIA_VIDEO, PostKind, Related};
use xfeed_core::ids::Id;
use xfeed_core::thunder::Record;

/// First moment of the workload.
pub const START_MS: i64 = NOW_MS - SPAN_MS;
/// The moment at which the workload is complete.
pub const NOW_MS: i64 = 1_790_000_000_000;
/// 48 hours.
pub const SPAN_MS: i64 = 172_800_000;

const SEED: u64 = 20_260_821;
const HEAD: u64 = 250;
const DISORDER_MS: u64 = 2_000;
const ID_EPOCH_MS: i64 = 1_288_834_974_657;
/// Posts repeat their kinds in groups: 13 originals, 4 replies, 3 reposts.
const GROUP: u64 = 20;
const ORIGINALS: u64 = 13;
const REPLIES: u64 = 4;
const OLDEST_LOG2: u64 = 18;
const VIDEO_MS: u32 = 30_000;
/// Of so many followed accounts one is drawn by activity.
const BY_ACTIVITY: u64 = 8;

/// Streams of random numbers, one a property.
const AUTHOR: u64 = 1;
const AUTHOR_ID: u64 = 2;
const DISORDER: u64 = 3;
const DISTANCE: u64 = 4;
const REACH: u64 = 5;
const TARGET: u64 = 6;
const MISSING: u64 = 7;
const STRANGER: u64 = 8;
const VIDEO: u64 = 9;
const VIEWER: u64 = 11;
const FOLLOWED: u64 = 1_000;

/// Number `i` of a stream: the SplitMix64 mix.
fn draw(stream: u64, i: u64) -> u64 {
    let step = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut z = SEED.wrapping_add(stream).wrapping_add(step);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A post that another one refers to: a row, or a post that is not there, named by who refers to it.
#[derive(Clone, Copy)]
enum Target {
    Row(u64),
    Missing(u64),
}

/// The recipe of all posts and viewers of one size.
pub struct Workload {
    n_posts: u64,
    /// Sums of the weights of the authors up to each rank.
    sums: Vec<u64>,
}

/// A viewer and the accounts it follows.
pub struct Viewer {
    /// Who asks.
    pub id: Id,
    /// Whom it follows, in no order.
    pub following: Vec<Id>,
    ranks: Vec<usize>,
}

impl Workload {
    /// `n_posts` posts in 48 hours by `n_authors` authors.
    pub fn new(n_authors: u64, n_posts: u64) -> Self {
        let mut sum = 0;
        let sums = (0..n_authors)
            .map(|rank| {
                sum += (1 << 40) / (rank + HEAD);
                sum
            })
            .collect();
        Self { n_posts, sums }
    }

    fn by_activity(&self, number: u64) -> usize {
        let total = *self.sums.last().expect("there are authors");
        let at = number % total;
        self.sums.partition_point(|sum| *sum <= at)
    }

    fn author_id(rank: usize) -> Id {
        Id(draw(AUTHOR_ID, rank as u64) >> 1)
    }

    fn rank(&self, row: u64) -> usize {
        self.by_activity(draw(AUTHOR, row))
    }

    fn created_ms(&self, row: u64) -> i64 {
        let pace = row * SPAN_MS.unsigned_abs() / self.n_posts;
        START_MS + (pace + draw(DISORDER, row) % DISORDER_MS).cast_signed()
    }

    fn id(&self, row: u64) -> Id {
        let since = (self.created_ms(row) - ID_EPOCH_MS).unsigned_abs();
        Id(since << 22 | (row & 0x3F_FFFF))
    }

    fn kind(row: u64) -> PostKind {
        match row % GROUP {
            0..ORIGINALS => PostKind::Original,
            place if place < ORIGINALS + REPLIES => PostKind::Reply,
            _ => PostKind::Repost,
        }
    }

    /// What the reply or repost in this row refers to.
    fn target(row: u64) -> Target {
        let group = row / GROUP;
        let distance = if group == 0 {
            0
        } else {
            let reach = 1 << (draw(REACH, row) % OLDEST_LOG2);
            1 + draw(DISTANCE, row) % group.min(reach)
        };
        let first = (group - distance) * GROUP;
        let number = draw(TARGET, row);
        if Self::kind(row) == PostKind::Repost {
            return Target::Row(first + number % ORIGINALS);
        }
        match number % 20 {
            0 => Target::Missing(row),
            1..5 if group > 0 => Target::Row(first + ORIGINALS + number / 20 % REPLIES),
            _ => Target::Row(first + number / 20 % ORIGINALS),
        }
    }

    /// The first post of the conversation of a reply that answers `target`.
    fn root(mut target: Target) -> Target {
        while let Target::Row(row) = target {
            if Self::kind(row) == PostKind::Original {
                break;
            }
            target = Self::target(row);
        }
        target
    }

    fn related(&self, target: Target) -> Related {
        match target {
            Target::Row(row) => Related {
                post: self.id(row),
                author: Some(Self::author_id(self.rank(row))),
            },
            Target::Missing(row) => Related {
                post: Id(draw(MISSING, row) >> 1),
                author: Some(Id(draw(STRANGER, row) >> 1)),
            },
        }
    }

    /// The post in a row; rows from `n_posts` on come after 48 hours, at the same pace.
    pub fn record(&self, row: u64) -> Record {
        let kind = Self::kind(row);
        let target = (kind != PostKind::Original).then(|| Self::target(row));
        let of = |wanted: PostKind| target.filter(|_| kind == wanted);
        let has_video = kind != PostKind::Repost && draw(VIDEO, row).is_multiple_of(10);
        Record {
            id: self.id(row),
            author: Self::author_id(self.rank(row)),
            created_ms: self.created_ms(row),
            kind,
            media_kind: if has_video { MEDIA_VIDEO } else { 0 },
            media_duration_ms: if has_video { VIDEO_MS } else { 0 },
            reply_to: of(PostKind::Reply).map(|target| self.related(target)),
            root: of(PostKind::Reply).map(|target| self.related(Self::root(target))),
            repost_of: of(PostKind::Repost).map(|target| self.related(target)),
            quote_of: None,
        }
    }

    /// Number of posts of the 48 hours.
    pub fn n_posts(&self) -> u64 {
        self.n_posts
    }

    /// Viewer number `viewer` of those who follow `n_followed` accounts, of which there must be many more.
    ///
    /// # Panics
    /// When there is no author.
    pub fn viewer(&self, viewer: u64, n_followed: usize) -> Viewer {
        let n_authors = self.sums.len() as u64;
        let stream = FOLLOWED * (n_followed as u64) + viewer;
        let mut seen = HashSet::new();
        let mut ranks = Vec::with_capacity(n_followed);
        for i in 0.. {
            if ranks.len() == n_followed {
                break;
            }
            let number = draw(stream, i);
            let rank = if i % BY_ACTIVITY == 0 {
                self.by_activity(number)
            } else {
                usize::try_from(number % n_authors).expect("there are fewer authors than bytes")
            };
            if seen.insert(rank) {
                ranks.push(rank);
            }
        }
        let own = usize::try_from(draw(VIEWER, viewer) % n_authors).expect("as above");
        Viewer {
            id: Self::author_id(own),
            following: ranks.iter().map(|rank| Self::author_id(*rank)).collect(),
            ranks,
        }
    }

    /// Rank of the author of every row, to find what a viewer has seen.
    ///
    /// # Panics
    /// When there are 2^32 authors or more.
    pub fn ranks(&self) -> Vec<u32> {
        let rank = |row| u32::try_from(self.rank(row)).expect("fewer than 2^32 authors");
        (0..self.n_posts).map(rank).collect()
    }

    /// `n` posts that a viewer has seen: every other one of the newest by the accounts it follows,
    /// then older ones of anybody.
    pub fn seen(&self, viewer: &Viewer, ranks: &[u32], n: usize) -> Vec<Id> {
        let mut follows = vec![false; self.sums.len()];
        for rank in &viewer.ranks {
            follows[*rank] = true;
        }
        let followed = (0..self.n_posts)
            .rev()
            .zip(ranks.iter().rev())
            .filter(|(_, rank)| follows[**rank as usize])
            .map(|(row, _)| row);
        let anybody = (0..).map(|i| draw(viewer.id.0, i) % self.n_posts);
        let rows = followed.step_by(2).chain(anybody);
        rows.take(n).map(|row| self.id(row)).collect()
    }

    /// Hash of the columns of all posts as little-endian numbers, column by column: id, author, time,
    /// kind, whether it has a video, the post it answers or repeats, the root (0 for none).
    pub fn digest(&self) -> String {
        let mut columns: [Sha256; 7] = Default::default();
        for row in 0..self.n_posts {
            let record = self.record(row);
            let post = |related: Option<Related>| related.map_or(0, |related| related.post.0);
            let numbers = [
                record.id.0,
                record.author.0,
                record.created_ms.cast_unsigned(),
                record.kind as u64,
                u64::from(record.has_video()),
                post(record.reply_to.or(record.repost_of)),
                post(record.root),
            ];
            for (column, number) in columns.iter_mut().zip(numbers) {
                column.update(number.to_le_bytes());
            }
        }
        let mut all = Sha256::new();
        for column in columns {
            all.update(column.finalize());
        }
        let mut text = String::new();
        for byte in all.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
