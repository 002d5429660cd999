//! Both stores behind the same few calls. A request comes as plain lists on either side; what a side
//! makes of them, sets for example, is part of its time.

use std::time::Instant;

use xfeed_core::ids::Id;
use xfeed_core::shared::Shared;
use xfeed_core::thunder::{PREFETCHED, PostStore, ReadLimits, ReadRequest, Record, StoreSettings};

use crate::published::{Post, Published};
use crate::workload::{START_MS, Viewer, Workload};

/// Posts a writer applies between two readers.
pub const MAX_BATCH: usize = 256;
/// Messages the published server applies at once.
const PUBLISHED_BATCH: usize = 1_000;
/// Records made at a time, so that making them is neither timed nor counted as memory.
pub const CHUNK: usize = 100_000;
/// Nothing of the workload is older.
const RETENTION_MS: u64 = 8 * 86_400_000;

/// The published limits of a read.
pub const LIMITS: ReadLimits = ReadLimits {
    max_results: 1_200,
    max_originals_per_author: 50,
    max_secondary_per_author: 30,
    max_videos_per_author: 100,
    max_scan_per_author: 500,
};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Originals, replies and reposts.
    All,
    /// Originals only, for peers that know no other rules.
    Originals,
}

/// A request as it comes in.
pub struct Request {
    viewer: Id,
    following: Vec<Id>,
    excluded: Vec<Id>,
    plain_following: Vec<i64>,
    plain_excluded: Vec<i64>,
}

impl Request {
    /// What `viewer` asks for, when it has seen `excluded`.
    pub fn new(viewer: &Viewer, excluded: Vec<Id>) -> Self {
        let plain = |ids: &[Id]| ids.iter().map(|id| id.0.cast_signed()).collect();
        Self {
            viewer: viewer.id,
            plain_following: plain(&viewer.following),
            plain_excluded: plain(&excluded),
            following: viewer.following.clone(),
            excluded,
        }
    }

    /// Whom the viewer follows.
    pub fn following(&self) -> &[Id] {
        &self.following
    }
}

/// A side of the comparison.
pub trait Side: Sync {
    /// Adds posts, as fast as it can, while readers read.
    fn insert(&self, records: &[Record]);
    /// The answer, newest first.
    fn newest(&self, request: &Request, want: Want) -> Vec<u64>;
}

/// The store of this project, behind the lock that it is used with.
pub struct Ours(Shared<PostStore>);

impl Ours {
    /// An empty store.
    pub fn new() -> Self {
        Self(Shared::new(PostStore::new(settings())))
    }

    /// The store inside.
    pub fn shared(&self) -> &Shared<PostStore> {
        &self.0
    }
}

impl Default for Ours {
    fn default() -> Self {
        Self::new()
    }
}

/// Settings of the store for this workload.
pub fn settings() -> StoreSettings {
    StoreSettings {
        retention_ms: RETENTION_MS,
        max_posts_per_timeline: 5_000,
        max_bytes: u64::MAX,
        hidden_authors: Vec::new(),
    }
}

impl Side for Ours {
    fn insert(&self, records: &[Record]) {
        let mut outcomes = Vec::new();
        let groups = records.chunks(PREFETCHED);
        self.0
            .write_batches(groups, MAX_BATCH / PREFETCHED, |store, group| {
                outcomes.clear();
                store.insert_all(group, &mut outcomes);
            });
    }

    fn newest(&self, request: &Request, want: Want) -> Vec<u64> {
        let mut limits = LIMITS;
        if want == Want::Originals {
            limits.max_secondary_per_author = 0;
        }
        let request = ReadRequest {
            viewer: Some(request.viewer),
            following: &request.following,
            excluded: &request.excluded,
            oldest_ms: START_MS,
            newest_ms: i64::MAX,
            videos_only: false,
            limits,
            start: 0,
            expired: None,
        };
        let found = self.0.read(|store| store.newest(&request));
        found.posts.into_iter().map(|id| id.0).collect()
    }
}

impl Side for Published {
    fn insert(&self, records: &[Record]) {
        for batch in records.chunks(PUBLISHED_BATCH) {
            let batch: Vec<Post> = batch.iter().map(Post::from).collect();
            let newest_ms = batch.iter().map(Post::created_ms).max();
            self.insert(batch, newest_ms.map_or(0, |newest_ms| newest_ms + 1));
        }
    }

    fn newest(&self, request: &Request, want: Want) -> Vec<u64> {
        assert!(
            want == Want::All,
            "the published layout has one kind of read"
        );
        let found = self.newest(
            request.viewer.0.cast_signed(),
            &request.plain_following,
            &request.plain_excluded,
            LIMITS.max_results,
        );
        found.into_iter().map(i64::cast_unsigned).collect()
    }
}

/// Fills a side with all posts; returns the seconds that inserting them took.
pub fn fill(side: &dyn Side, workload: &Workload, buffer: &mut Vec<Record>) -> f64 {
    let mut took = 0.0;
    let mut row = 0;
    while row < workload.n_posts() {
        let end = workload.n_posts().min(row + CHUNK as u64);
        buffer.clear();
        buffer.extend((row..end).map(|row| workload.record(row)));
        let start = Instant::now();
        side.insert(buffer);
        took += start.elapsed().as_secs_f64();
        row = end;
    }
    took
}
