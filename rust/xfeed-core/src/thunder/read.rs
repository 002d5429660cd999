//! The read: newest posts of many authors.
//!
//! A first pass takes originals, which need no look-up. A second one takes replies and reposts, which
//! do, and so looks only at those that are newer than what the first has found. Both keep a buffer
//! of twice the posts that are asked for; whenever it is full, the older half goes and its newest
//! post becomes the bar that later ones must pass. Timelines are in order, so each is left at the
//! first entry below the bar: the cost is one step per account and a few per post of the answer.

use std::cmp::Ordering;
use std::ops::Range;

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

/// Authors whose posts are looked up together: enough that waits for memory overlap, few enough that
/// the bar rises between one lot and the next.
const CHECKED_TOGETHER: usize = 32;

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
                let limits = request.limits;
                let cap = limits.max_secondary_per_author;
                read.rounds(scanned..end, true, cap, limits.max_scan_per_author);
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

    fn is_too_new(&self, entry: Entry) -> bool {
        entry.cmp_time(self.newest, &self.store.rows).is_gt()
    }

    fn originals(&mut self, block: Range<usize>) {
        let cap = self.request.limits.max_originals_per_author;
        if !self.request.excluded.is_empty() {
            self.rounds(block, false, cap, usize::MAX);
            return;
        }
        for (place, last) in self.heads(block, false) {
            if last.is_none_or(|last| self.is_below(last)) {
                continue;
            }
            let timeline = &self.store.authors.get(place).originals;
            let mut taken = 0;
            for entry in timeline.entries().iter().rev() {
                if taken == cap || self.is_below(*entry) {
                    break;
                }
                if !self.is_too_new(*entry) {
                    self.best.push(*entry, &self.store.rows);
                    taken += 1;
                }
            }
        }
    }

    /// Authors with the newest entry of a timeline each; none of the loads waits for another.
    fn heads(&self, block: Range<usize>, is_secondary: bool) -> Vec<(u32, Option<Entry>)> {
        let authors = self.authors[block].iter();
        authors
            .map(|place| {
                let timeline = self.store.authors.get(*place).timeline(is_secondary);
                (*place, timeline.entries().last().copied())
            })
            .collect()
    }

    /// What needs look-ups, in rounds: each round looks at the next few posts of every author that
    /// has not had its share.
    fn rounds(&mut self, block: Range<usize>, is_secondary: bool, cap: usize, max_scan: usize) {
        let heads = self.heads(block, is_secondary);
        let mut open: Vec<Cursor> = heads
            .iter()
            .filter(|(_, last)| cap > 0 && last.is_some_and(|last| !self.is_below(last)))
            .map(|(place, _)| Cursor::new(*place, is_secondary, self.store))
            .collect();
        let mut asked = Vec::new();
        let mut checks = Checks::default();
        while !open.is_empty() {
            for together in open.chunks_mut(CHECKED_TOGETHER) {
                asked.clear();
                for (turn, cursor) in together.iter_mut().enumerate() {
                    let wanted = (cap - cursor.taken).min(max_scan - cursor.scanned);
                    self.next_entries(cursor, wanted, turn, &mut asked);
                }
                let verdicts = checks.run(self, &asked, is_secondary);
                for ((turn, entry), verdict) in asked.iter().zip(verdicts) {
                    let cursor = &mut together[*turn];
                    cursor.scanned += usize::from(*verdict != Verdict::Excluded);
                    if *verdict == Verdict::Shown {
                        cursor.taken += 1;
                        self.best.push(*entry, &self.store.rows);
                    }
                }
            }
            open.retain(|cursor| {
                cursor.left > 0 && cursor.taken < cap && cursor.scanned < max_scan
            });
        }
    }

    /// The next `n` entries of an author, newest first.
    fn next_entries(
        &self,
        cursor: &mut Cursor,
        n: usize,
        turn: usize,
        asked: &mut Vec<(usize, Entry)>,
    ) {
        let author = self.store.authors.get(cursor.author);
        let entries = author.timeline(cursor.is_secondary).entries();
        let end = asked.len().saturating_add(n);
        while cursor.left > 0 && asked.len() < end {
            let entry = entries[cursor.left - 1];
            if self.is_below(entry) {
                cursor.left = 0;
                break;
            }
            cursor.left -= 1;
            if !self.is_too_new(entry) {
                asked.push((turn, entry));
            }
        }
    }

    /// Posts with a video and reposts of them; both lists of an author share its limit.
    fn videos(&mut self, block: Range<usize>) {
        let cap = self.request.limits.max_videos_per_author;
        let max_scan = self.request.limits.max_scan_per_author;
        let mut checks = Checks::default();
        let mut asked = Vec::new();
        let mut videos: Vec<Entry> = Vec::new();
        for i in block {
            let place = self.authors[i];
            let entries = self.store.authors.get(place).originals.entries();
            let fresh = entries
                .iter()
                .rev()
                .take_while(|entry| !self.is_below(**entry));
            let wanted = fresh.filter(|entry| {
                entry.has_video() && !self.is_too_new(**entry) && !self.is_excluded(**entry)
            });
            videos.clear();
            videos.extend(wanted.take(cap));
            let mut cursor = Cursor::new(place, true, self.store);
            let mut n_reposts = 0;
            while cursor.left > 0 && cursor.scanned < max_scan && n_reposts < cap {
                asked.clear();
                let wanted = (max_scan - cursor.scanned).min(CHECKED_TOGETHER);
                self.next_entries(&mut cursor, wanted, 0, &mut asked);
                let verdicts = checks.run(self, &asked, true);
                for ((_, entry), verdict) in asked.iter().zip(verdicts) {
                    cursor.scanned += usize::from(*verdict != Verdict::Excluded);
                    if *verdict == Verdict::Shown {
                        n_reposts += 1;
                        videos.push(*entry);
                    }
                }
            }
            let rows = &self.store.rows;
            videos.sort_unstable_by(|a, b| b.cmp(*a, rows));
            for entry in videos.iter().take(cap) {
                self.best.push(*entry, rows);
            }
        }
    }

    fn is_excluded(&self, entry: Entry) -> bool {
        let id = || self.store.rows.get(entry.slot()).id;
        !self.request.excluded.is_empty() && self.request.excluded.contains(&id())
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
        // Hidden when either says so, the store or the sender.
        let viewer = self.request.viewer;
        if viewer.is_some() && (author == viewer || related.author == viewer) {
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

/// How far an author's timeline has been read.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    author: u32,
    is_secondary: bool,
    /// Entries that are older than what was read.
    left: usize,
    scanned: usize,
    taken: usize,
}

impl Cursor {
    fn new(author: u32, is_secondary: bool, store: &PostStore) -> Self {
        let timeline = store.authors.get(author).timeline(is_secondary);
        Self {
            author,
            is_secondary,
            left: timeline.entries().len(),
            scanned: 0,
            taken: 0,
        }
    }
}

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Excluded,
    Hidden,
    Shown,
}

/// Look-ups of many posts at a time, so that the memory is asked for many at a time.
#[derive(Default)]
struct Checks {
    rows: Vec<Row>,
    links: Vec<Unpacked>,
    targets: Vec<Id>,
    slots: Vec<u32>,
    verdicts: Vec<Verdict>,
}

impl Checks {
    fn run(&mut self, read: &Read<'_>, asked: &[(usize, Entry)], is_secondary: bool) -> &[Verdict] {
        let rows = &read.store.rows;
        let excluded = read.request.excluded;
        self.rows.clear();
        self.rows
            .extend(asked.iter().map(|(_, entry)| *rows.get(entry.slot())));
        self.verdicts.clear();
        self.verdicts.extend(self.rows.iter().map(|row| {
            if !excluded.is_empty() && excluded.contains(&row.id) {
                Verdict::Excluded
            } else {
                Verdict::Shown
            }
        }));
        if !is_secondary {
            return &self.verdicts; // Originals follow no other rule.
        }
        self.links.clear();
        self.links
            .extend(self.rows.iter().map(|row| rows.unpack(row)));
        self.targets.clear();
        // A post that points nowhere needs no target; its own id stands in.
        let target = |(row, links): (&Row, &Unpacked)| {
            let target = links.repost_of.or(links.reply_to);
            target.map_or(row.id, |target| target.post)
        };
        self.targets
            .extend(self.rows.iter().zip(&self.links).map(target));
        let id_at = |slot| rows.get(slot).id;
        find_many(&read.store.index, &self.targets, id_at, &mut self.slots);
        let oldest_ms = read.store.floors.oldest_ms();
        let looked_up = self.rows.iter().zip(&self.links).zip(&self.slots);
        for (((row, links), slot), verdict) in looked_up.zip(&mut self.verdicts) {
            let target = (*slot != NOWHERE).then(|| rows.get(*slot));
            let target = target.filter(|target| target.created_ms() >= oldest_ms);
            if *verdict == Verdict::Shown && !read.shows(row, links, target) {
                *verdict = Verdict::Hidden;
            }
        }
        &self.verdicts
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
