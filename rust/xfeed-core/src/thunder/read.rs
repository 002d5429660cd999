//! The read: newest posts of many authors.
//!
//! A first pass takes originals, which need no look-up. A second one takes replies and reposts, which
//! do, and so looks only at those that are newer than what the first has found. Both keep a buffer
//! of twice the posts that are asked for; whenever it is full, the older half goes and its newest
//! post becomes the bar that later ones must pass. Timelines are in order, so each is left at the
//! first entry below the bar: the cost is one step per account and a few per post of the answer.

use std::cmp::Ordering;

use super::PostStore;
use super::authors::find_many;
use super::rows::{NOWHERE, Row, Rows, Unpacked};
use super::timeline::{Entry, Moment};
use super::types::{Found, ReadRequest};
use crate::event::PostKind;
use crate::ids::Id;

/// Accounts between two looks at the deadline; both passes run for each such block, so that a late
/// deadline costs some accounts everything instead of all accounts their replies.
const BLOCK: usize = 64;

/// Replies and reposts that are looked up together.
const CHECKED_TOGETHER: usize = 512;

impl PostStore {
    /// The newest posts of the followed accounts; see [`ReadRequest`].
    ///
    /// Replies and reposts follow the published rules: a repost of the viewer's own or of a deleted
    /// post is left out; a reply is kept when it answers an original that is there, or, one level
    /// further down, when it answers a followed account below the root of its conversation.
    pub fn newest(&self, request: &ReadRequest<'_>) -> Found {
        let mut read = Read::new(self, request);
        let authors = read.authors.len();
        let mut scanned = 0;
        let block = if request.expired.is_some() {
            BLOCK
        } else {
            authors
        };
        while scanned < authors && !request.expired.is_some_and(|expired| expired()) {
            let end = (scanned + block).min(authors);
            if request.videos_only {
                read.videos(scanned..end);
            } else {
                read.originals(scanned..end);
                read.secondary(scanned..end, request.limits.max_secondary_per_author);
            }
            scanned = end;
        }
        Found {
            posts: read.finish(),
            authors,
            authors_scanned: scanned,
        }
    }
}

/// One read under way.
struct Read<'a> {
    store: &'a PostStore,
    request: &'a ReadRequest<'a>,
    /// Places of the followed authors that have posts, in the order in which they are read.
    authors: Vec<u32>,
    /// One bit per place of an author.
    followed: Vec<u64>,
    oldest: Moment,
    newest: Moment,
    best: Best,
}

impl<'a> Read<'a> {
    fn new(store: &'a PostStore, request: &'a ReadRequest<'a>) -> Self {
        let mut found = Vec::new();
        store.authors.find_many(request.following, &mut found);
        let mut followed = vec![0_u64; store.authors.places().div_ceil(64)];
        for hidden in &store.settings.hidden_authors {
            if let Some(place) = store.authors.find(*hidden) {
                set(&mut followed, place);
            }
        }
        let mut authors: Vec<u32> = Vec::with_capacity(found.len());
        // A hidden author counts as met already, and so is not read.
        authors.extend(
            found
                .into_iter()
                .filter(|place| *place != NOWHERE && set(&mut followed, *place)),
        );
        for hidden in &store.settings.hidden_authors {
            if let Some(place) = store.authors.find(*hidden) {
                followed[place as usize / 64] &= !(1 << (place % 64));
            }
        }
        if !authors.is_empty() {
            let start = request.start % authors.len() as u64;
            authors.rotate_left(start as usize);
        }
        let base_ms = store.base_ms.unwrap_or(0);
        let oldest_ms = request.oldest_ms.max(store.floors.oldest_ms());
        Self {
            store,
            request,
            authors,
            followed,
            oldest: Moment::new(base_ms, oldest_ms),
            newest: Moment::new(base_ms, request.newest_ms),
            best: Best::new(request.limits.max_results),
        }
    }

    /// Whether an entry is too old for this read, or below the bar.
    fn is_below(&self, entry: Entry) -> bool {
        let rows = &self.store.rows;
        entry.cmp_time(self.oldest, rows).is_lt() || self.best.is_below(entry, rows)
    }

    /// Whether an entry is neither too new for this read nor excluded.
    fn is_wanted(&self, entry: Entry) -> bool {
        let rows = &self.store.rows;
        entry.cmp_time(self.newest, rows).is_le()
            && (self.request.excluded.is_empty()
                || !self.request.excluded.contains(&rows.get(entry.slot()).id))
    }

    fn originals(&mut self, block: std::ops::Range<usize>) {
        let cap = self.request.limits.max_originals_per_author;
        for i in block {
            let timeline = &self.store.authors.get(self.authors[i]).originals;
            let mut taken = 0;
            for entry in timeline.entries().iter().rev() {
                if taken == cap || self.is_below(*entry) {
                    break;
                }
                if self.is_wanted(*entry) {
                    self.best.push(*entry, &self.store.rows);
                    taken += 1;
                }
            }
        }
    }

    /// Replies and reposts, in rounds: each round looks at the next few of every author that has not
    /// had its share.
    fn secondary(&mut self, block: std::ops::Range<usize>, cap: usize) {
        let max_scan = self.request.limits.max_scan_per_author;
        let mut open: Vec<Cursor> = block
            .map(|i| Cursor::new(self.authors[i], self.store))
            .filter(|cursor| cursor.left > 0 && cap > 0)
            .collect();
        let mut asked = Vec::new();
        let mut checks = Checks::default();
        while !open.is_empty() {
            let mut still_open = Vec::with_capacity(open.len());
            for together in open.chunks_mut(CHECKED_TOGETHER) {
                asked.clear();
                for (turn, cursor) in together.iter_mut().enumerate() {
                    let wanted = (cap - cursor.taken).min(max_scan - cursor.scanned);
                    self.next_entries(cursor, wanted, turn, &mut asked);
                }
                let shown = checks.run(self, &asked);
                for ((turn, entry), shown) in asked.iter().zip(shown) {
                    if *shown {
                        together[*turn].taken += 1;
                        self.best.push(*entry, &self.store.rows);
                    }
                }
                still_open.extend(together.iter().filter(|cursor| {
                    cursor.left > 0 && cursor.taken < cap && cursor.scanned < max_scan
                }));
            }
            open = still_open;
        }
    }

    /// The next `n` entries of an author that are not excluded, newest first.
    fn next_entries(
        &self,
        cursor: &mut Cursor,
        n: usize,
        turn: usize,
        asked: &mut Vec<(usize, Entry)>,
    ) {
        let entries = self.store.authors.get(cursor.author).secondary.entries();
        let end = asked.len().saturating_add(n);
        while cursor.left > 0 && asked.len() < end {
            let entry = entries[cursor.left - 1];
            if self.is_below(entry) {
                cursor.left = 0;
                break;
            }
            cursor.left -= 1;
            if self.is_wanted(entry) {
                cursor.scanned += 1;
                asked.push((turn, entry));
            }
        }
    }

    /// Posts with a video and reposts of them; both lists of an author share its limit.
    fn videos(&mut self, block: std::ops::Range<usize>) {
        let cap = self.request.limits.max_videos_per_author;
        let max_scan = self.request.limits.max_scan_per_author;
        let mut checks = Checks::default();
        let mut asked = Vec::new();
        for i in block {
            let place = self.authors[i];
            let author = self.store.authors.get(place);
            let originals = author.originals.entries().iter().rev();
            let mut videos: Vec<Entry> = originals
                .take_while(|entry| !self.is_below(**entry))
                .filter(|entry| entry.has_video() && self.is_wanted(**entry))
                .take(cap)
                .copied()
                .collect();
            let mut cursor = Cursor::new(place, self.store);
            asked.clear();
            self.next_entries(&mut cursor, max_scan, 0, &mut asked);
            let shown = checks.run(self, &asked);
            let reposts = asked.iter().zip(shown).filter(|(_, shown)| **shown);
            videos.extend(reposts.take(cap).map(|((_, entry), _)| *entry));
            let rows = &self.store.rows;
            videos.sort_unstable_by(|a, b| b.cmp(*a, rows));
            for entry in videos.into_iter().take(cap) {
                self.best.push(entry, rows);
            }
        }
    }

    /// Whether a reply or a repost is shown, given the row of what it answers or repeats.
    fn shows(&self, row: &Row, links: &Unpacked, target: Option<&Row>) -> bool {
        match row.kind() {
            PostKind::Repost => self.shows_repost(links, target),
            PostKind::Reply => !self.request.videos_only && self.shows_reply(links, target),
            PostKind::Original | PostKind::Quote => true,
        }
    }

    fn shows_repost(&self, links: &Unpacked, source: Option<&Row>) -> bool {
        let Some(related) = links.repost_of else {
            return !self.request.videos_only;
        };
        let store = self.store;
        let author = source.map(|row| store.authors.get(row.author).id);
        if self.request.viewer.is_some() && author.or(related.author) == self.request.viewer {
            return false;
        }
        if self.request.videos_only {
            return source.is_some_and(|row| {
                !row.is_dead() && row.kind() != PostKind::Reply && store.record_of(row).has_video()
            });
        }
        match source {
            Some(row) => !row.is_dead(),
            None => !store.tombstones.is_deleted(related.post),
        }
    }

    fn shows_reply(&self, links: &Unpacked, parent: Option<&Row>) -> bool {
        let Some(reply_to) = links.reply_to else {
            return true;
        };
        let Some(parent) = parent.filter(|row| !row.is_dead()) else {
            return false;
        };
        if !parent.is_secondary() {
            return true;
        }
        let Some(root) = links.root else {
            return false;
        };
        let above = self.store.rows.unpack(parent).reply_to;
        above.is_some_and(|above| above.post == root.post)
            && match reply_to.author {
                Some(author) => self.follows(author),
                None => has(&self.followed, parent.author),
            }
    }

    fn follows(&self, author: Id) -> bool {
        match self.store.authors.find(author) {
            Some(place) => has(&self.followed, place),
            // Followed, and without posts of its own.
            None => {
                self.request.following.contains(&author)
                    && !self.store.settings.hidden_authors.contains(&author)
            }
        }
    }

    fn finish(self) -> Vec<Id> {
        let rows = &self.store.rows;
        let entries = self.best.finish(rows);
        entries
            .iter()
            .map(|entry| rows.get(entry.slot()).id)
            .collect()
    }
}

/// How far an author's replies and reposts have been read.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    author: u32,
    /// Entries that are older than what was read.
    left: usize,
    scanned: usize,
    taken: usize,
}

impl Cursor {
    fn new(author: u32, store: &PostStore) -> Self {
        Self {
            author,
            left: store.authors.get(author).secondary.entries().len(),
            scanned: 0,
            taken: 0,
        }
    }
}

/// Look-ups of many replies and reposts at a time, so that the memory is asked for many at a time.
#[derive(Default)]
struct Checks {
    rows: Vec<(Row, Unpacked)>,
    targets: Vec<Id>,
    slots: Vec<u32>,
    shown: Vec<bool>,
}

impl Checks {
    fn run(&mut self, read: &Read<'_>, asked: &[(usize, Entry)]) -> &[bool] {
        let rows = &read.store.rows;
        self.rows.clear();
        self.rows.extend(asked.iter().map(|(_, entry)| {
            let row = *rows.get(entry.slot());
            (row, Unpacked::default())
        }));
        self.targets.clear();
        for (row, links) in &mut self.rows {
            *links = rows.unpack(row);
            let target = links.repost_of.or(links.reply_to);
            // A post that points nowhere is never found as its own target, and needs not be.
            self.targets
                .push(target.map_or(row.id, |target| target.post));
        }
        let id_at = |slot| rows.get(slot).id;
        find_many(&read.store.index, &self.targets, id_at, &mut self.slots);
        self.shown.clear();
        let oldest_ms = read.store.floors.oldest_ms();
        let checked = self
            .rows
            .iter()
            .zip(&self.slots)
            .map(|((row, links), slot)| {
                let target = (*slot != NOWHERE).then(|| rows.get(*slot));
                let target = target.filter(|target| target.created_ms() >= oldest_ms);
                read.shows(row, links, target)
            });
        self.shown.extend(checked);
        &self.shown
    }
}

/// The newest entries so far.
struct Best {
    n: usize,
    entries: Vec<Entry>,
    /// The oldest of `n` entries that were there once: nothing older can be in the answer.
    bar: Option<Entry>,
}

impl Best {
    fn new(n: usize) -> Self {
        Self {
            n,
            entries: Vec::with_capacity(n.min(1 << 16).saturating_mul(2)),
            bar: None,
        }
    }

    fn is_below(&self, entry: Entry, rows: &Rows) -> bool {
        self.bar
            .is_some_and(|bar| entry.cmp(bar, rows) == Ordering::Less)
            || self.n == 0
    }

    fn push(&mut self, entry: Entry, rows: &Rows) {
        self.entries.push(entry);
        if self.entries.len() >= self.n.saturating_mul(2) {
            self.cut(rows);
        }
    }

    fn cut(&mut self, rows: &Rows) {
        if self.n == 0 {
            self.entries.clear();
        } else if self.entries.len() > self.n {
            let (_, bar, _) = self
                .entries
                .select_nth_unstable_by(self.n - 1, |a, b| b.cmp(*a, rows));
            self.bar = Some(*bar);
            self.entries.truncate(self.n);
        }
    }

    fn finish(mut self, rows: &Rows) -> Vec<Entry> {
        self.cut(rows);
        self.entries.sort_unstable_by(|a, b| b.cmp(*a, rows));
        self.entries
    }
}

fn has(bits: &[u64], at: u32) -> bool {
    bits[at as usize / 64] >> (at % 64) & 1 == 1
}

/// Sets a bit; returns whether it was not set.
fn set(bits: &mut [u64], at: u32) -> bool {
    let word = &mut bits[at as usize / 64];
    let is_new = *word >> (at % 64) & 1 == 0;
    *word |= 1 << (at % 64);
    is_new
}
