//! What can be done to a store, as values that proptest makes, shrinks and prints.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};
use xfeed_core::event::{PostKind, Related};
use xfeed_core::ids::Id;
use xfeed_core::thunder::{ReadLimits, ReadRequest, Record, StoreSettings, TIME_END_MS};

/// Retention of every generated store.
pub(crate) const RETENTION_MS: u64 = 20;

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Insert(Record),
    /// Many at a time.
    InsertAll(Vec<Record>),
    /// Sends one of the posts before again.
    Repeat(usize),
    SetDeleted(Id, i64, bool),
    Trim(i64),
    Clear,
    /// Goes on with what comes back from a snapshot.
    Restart,
    Read(Reading),
}

/// A [`ReadRequest`] that owns its parts.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) viewer: Option<Id>,
    pub(crate) following: Vec<Id>,
    pub(crate) excluded: Vec<Id>,
    pub(crate) oldest_ms: i64,
    pub(crate) newest_ms: i64,
    pub(crate) videos_only: bool,
    pub(crate) limits: ReadLimits,
    pub(crate) start: u64,
}

impl Reading {
    /// Everything these accounts posted.
    pub(crate) fn of(following: &[u64]) -> Self {
        Self {
            viewer: None,
            following: following.iter().copied().map(Id).collect(),
            excluded: Vec::new(),
            oldest_ms: 0,
            newest_ms: i64::MAX,
            videos_only: false,
            limits: NO_LIMITS,
            start: 0,
        }
    }

    pub(crate) fn request(&self) -> ReadRequest<'_> {
        ReadRequest {
            viewer: self.viewer,
            following: &self.following,
            excluded: &self.excluded,
            oldest_ms: self.oldest_ms,
            newest_ms: self.newest_ms,
            videos_only: self.videos_only,
            limits: self.limits,
            start: self.start,
            expired: None,
        }
    }
}

pub(crate) const NO_LIMITS: ReadLimits = ReadLimits {
    max_results: usize::MAX,
    max_originals_per_author: usize::MAX,
    max_secondary_per_author: usize::MAX,
    max_videos_per_author: usize::MAX,
    max_scan_per_author: usize::MAX,
};

/// How far ids and times of the generated posts spread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) posts: u64,
    pub(crate) authors: u64,
    /// Number of different times.
    pub(crate) times: i64,
    /// Between two of them.
    pub(crate) step_ms: i64,
}

/// So few that nearly every relation leads to a post that is there, or was.
pub(crate) const DENSE: Spread = Spread {
    posts: 24,
    authors: 5,
    times: 40,
    step_ms: 1,
};

/// From one end of time to the other: months lie between two posts.
pub(crate) const FAR_APART: Spread = Spread {
    times: 1 << 15,
    step_ms: 1 << 33,
    ..DENSE
};

/// So many that lists are long.
pub(crate) const WIDE: Spread = Spread {
    posts: 1500,
    authors: 12,
    times: 60,
    step_ms: 1,
};

/// Fixed seed, unless the environment says otherwise, so that a run can be repeated.
pub(crate) fn config(cases: u32) -> Config {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if !is_set("PROPTEST_CASES") {
        config.cases = cases;
    }
    if !is_set("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(4);
    }
    config
}

impl Spread {
    pub(crate) fn id(self) -> impl Strategy<Value = Id> + Clone {
        let ends = select(vec![0, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX]);
        prop_oneof![12 => 0..self.posts, 1 => ends].prop_map(Id)
    }

    pub(crate) fn author(self) -> impl Strategy<Value = Id> + Clone {
        prop_oneof![12 => 0..self.authors, 1 => Just(u64::MAX)].prop_map(Id)
    }

    fn related(self) -> impl Strategy<Value = Related> + Clone {
        let author = prop::option::weighted(0.7, self.author());
        (self.id(), author).prop_map(|(post, author)| Related { post, author })
    }

    /// Times of posts, a few of which the store refuses.
    fn created(self) -> impl Strategy<Value = i64> + Clone {
        let ends = select(vec![-1, i64::MIN, i64::MAX, TIME_END_MS, TIME_END_MS - 1]);
        prop_oneof![40 => self.usual_time(), 1 => ends]
    }

    fn any_time(self) -> impl Strategy<Value = i64> + Clone {
        let ends = select(vec![-1, i64::MIN, i64::MIN + 1, i64::MAX, TIME_END_MS]);
        let later = self.usual_time().prop_map(|at_ms| at_ms + 20);
        prop_oneof![10 => self.usual_time(), 10 => later, 1 => ends]
    }

    /// Ties and neighbours are what goes wrong, so some times differ by one only.
    fn usual_time(self) -> impl Strategy<Value = i64> + Clone {
        let step_ms = self.step_ms;
        let offset = if step_ms > 1 { 0..2 } else { 0..1_i64 };
        (0..self.times, offset).prop_map(move |(n, offset)| n * step_ms + offset)
    }

    pub(crate) fn record(self) -> impl Strategy<Value = Record> + Clone {
        let media = prop_oneof![
            3 => Just((0, 0)),
            1 => Just((1, 0)),
            3 => (2..=4_u8, select(vec![0, 4999, 5000, 86_400_000])),
        ];
        let quote = prop::option::weighted(0.2, self.related());
        let root = prop::option::weighted(0.7, self.related());
        let parent = prop::option::weighted(0.9, self.related());
        (
            (self.id(), self.author(), self.created(), media),
            select(&PostKind::ALL[..]),
            (self.related(), quote, root, parent),
        )
            .prop_map(|((id, author, created_ms, media), kind, relations)| {
                let (related, quote, root, parent) = relations;
                let of = |own: PostKind| (kind == own).then_some(related);
                let reply = kind == PostKind::Reply;
                Record {
                    id,
                    author,
                    created_ms,
                    kind,
                    media_kind: media.0,
                    media_duration_ms: media.1,
                    reply_to: parent.filter(|_| reply),
                    root: root.filter(|_| reply && parent.is_some()),
                    repost_of: of(PostKind::Repost),
                    quote_of: of(PostKind::Quote).or(quote.filter(|_| reply)),
                }
            })
    }

    fn limits() -> impl Strategy<Value = ReadLimits> + Clone {
        let limit = || select(vec![0, 1, 1, 2, 2, 3, 3, 7, 50, usize::MAX, usize::MAX]);
        (limit(), limit(), limit(), limit(), limit()).prop_map(
            |(results, originals, secondary, videos, scan)| ReadLimits {
                max_results: results,
                max_originals_per_author: originals,
                max_secondary_per_author: secondary,
                max_videos_per_author: videos,
                max_scan_per_author: scan,
            },
        )
    }

    pub(crate) fn reading(self) -> impl Strategy<Value = Reading> + Clone {
        let window = prop_oneof![
            3 => Just((0, i64::MAX)),
            1 => Just((i64::MIN, i64::MAX)),
            3 => (self.any_time(), self.any_time()),
            1 => self.usual_time().prop_map(|at_ms| (at_ms, at_ms)),
        ];
        (
            prop::option::of(self.author()),
            prop::collection::vec(self.author(), 0..8),
            prop::collection::vec(self.id(), 0..6),
            window,
            any::<bool>(),
            prop_oneof![1 => Just(NO_LIMITS), 2 => Self::limits()],
            any::<u64>(),
        )
            .prop_map(
                |(viewer, following, excluded, window, videos_only, limits, start)| Reading {
                    viewer,
                    following,
                    excluded: excluded.into_iter().collect(),
                    oldest_ms: window.0,
                    newest_ms: window.1,
                    videos_only,
                    limits,
                    start,
                },
            )
    }

    pub(crate) fn statement(self) -> impl Strategy<Value = (Id, i64, bool)> + Clone {
        (self.id(), self.any_time(), prop::bool::weighted(0.7))
    }

    pub(crate) fn operation(self) -> impl Strategy<Value = Operation> + Clone {
        let said = self.statement();
        prop_oneof![
            60 => self.record().prop_map(Operation::Insert),
            4 => prop::collection::vec(self.record(), 0..40).prop_map(Operation::InsertAll),
            6 => any::<usize>().prop_map(Operation::Repeat),
            20 => said.prop_map(|(id, at_ms, deleted)| Operation::SetDeleted(id, at_ms, deleted)),
            2 => self.any_time().prop_map(Operation::Trim),
            1 => Just(Operation::Clear),
            2 => Just(Operation::Restart),
            20 => self.reading().prop_map(Operation::Read),
        ]
    }
}

/// Small and large caps, with and without accounts that nobody follows.
pub(crate) fn settings() -> impl Strategy<Value = StoreSettings> {
    let cap = prop_oneof![3 => 0..5_usize, 2 => Just(40), 2 => Just(5000), 1 => Just(usize::MAX)];
    let retention =
        prop_oneof![6 => Just(RETENTION_MS), 1 => Just(1 << 34), 1 => Just(0), 1 => Just(u64::MAX)];
    let hidden = prop::collection::vec(DENSE.author(), 0..3);
    (cap, retention, hidden).prop_map(|(cap, retention_ms, hidden_authors)| StoreSettings {
        retention_ms,
        max_posts_per_timeline: cap,
        max_bytes: u64::MAX,
        hidden_authors,
    })
}
