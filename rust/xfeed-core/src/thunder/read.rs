//! The read: newest posts of many authors.
//!
//! A first pass takes originals, which need no look-up. A second one takes replies and reposts, which
//! do, and so looks only at those that are newer than what the first has found. Both keep a buffer
//! of twice the posts that are asked for; whenever it is full, the older half goes and its newest
//! post becomes the bar that later ones must pass. Timelines are in order, so each is left at the
//! first entry below the bar: the cost is one step per account and a few per post of the answer.

use std::cell::OnceCell;
use std::ops::Range;

use super::PostStore;
use super::best::Best;
use super::places::{Ids, Places};
use super::rows::{NOWHERE, Row};
use super::rules::Checks;
use super::timeline::{Entry, Moment};
use super::types::{Found, ReadRequest, Record};
use crate::ids::Id;

/// Accounts between two looks at the deadline; both passes run for each such block, so that a late
/// deadline costs some accounts everything instead of all accounts their replies.
const BLOCK: usize = 64;

/// Entries of a timeline that are looked at together.
const LOT: usize = 16;

/// Authors that are read together: enough that waits for memory overlap, few enough that the bar has
/// risen before the next come.
const TOGETHER: usize = 64;

impl PostStore {
    /// The newest posts of the followed accounts; see [`ReadRequest`].
    ///
    /// Replies and reposts follow the published rules: a repost of the viewer's own or of a deleted
    /// post is left out; a reply is kept when it answers an original that is there, or, one level
    /// further down, when it answers a followed account below the root of its conversation.
    pub fn newest(&self, request: &ReadRequest<'_>) -> Found {
        let (entries, authors, authors_scanned) = self.read(request);
        let posts = entries.iter().map(|entry| self.rows.get(entry.slot()).id);
        Found {
            posts: posts.collect(),
            authors,
            authors_scanned,
        }
    }

    /// As [`Self::newest`], with the records of the posts.
    pub fn newest_records(&self, request: &ReadRequest<'_>) -> (Found, Vec<Record>) {
        let (entries, authors, authors_scanned) = self.read(request);
        let rows = entries.iter().map(|entry| *self.rows.get(entry.slot()));
        let rows: Vec<Row> = rows.collect();
        let found = Found {
            posts: rows.iter().map(|row| row.id).collect(),
            authors,
            authors_scanned,
        };
        // None of these loads waits for another; what follows finds the memory there.
        let touched = rows
            .iter()
            .map(|row| self.rows.links.first(row.links) ^ self.authors.get(row.author).id.0);
        std::hint::black_box(touched.fold(0, |seen, word| seen ^ word));
        let records = rows.iter().map(|row| self.record_of(row)).collect();
        (found, records)
    }

    /// Entries of the answer, newest first; accounts with posts; accounts that were read.
    fn read(&self, request: &ReadRequest<'_>) -> (Vec<Entry>, usize, usize) {
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
                read.secondary(scanned..end);
            }
            scanned = end;
        }
        (read.best.finish(&self.rows), authors, scanned)
    }
}

/// One read under way.
pub(super) struct Read<'a> {
    pub(super) store: &'a PostStore,
    pub(super) request: &'a ReadRequest<'a>,
    /// Places of the followed authors that have posts, in the order in which they are read.
    authors: Vec<u32>,
    pub(super) followed: Places,
    /// The accounts as they were told, also those without posts; made when it is asked for.
    pub(super) told: OnceCell<Ids<'a>>,
    /// `None` when there are none, so that no row needs to be asked for its id.
    excluded: Option<Ids<'a>>,
    oldest: Moment,
    newest: Moment,
    best: Best,
}

impl<'a> Read<'a> {
    fn new(store: &'a PostStore, request: &'a ReadRequest<'a>) -> Self {
        let mut places = Vec::new();
        store.authors.find_many(request.following, &mut places);
        let hidden = &store.settings.hidden_authors;
        let places_of = hidden
            .iter()
            .filter_map(|author| store.authors.find(*author));
        let mut hidden = Places::with_room_for(hidden.len());
        for place in places_of {
            hidden.insert(place);
        }
        let mut followed = Places::with_room_for(places.len());
        places.retain(|place| {
            *place != NOWHERE && !hidden.contains(*place) && followed.insert(*place)
        });
        if request.expired.is_none() {
            // Who posted last comes first: then the bar rises fast, and most of the others are never
            // looked at.
            let newest = |place: &u32| std::cmp::Reverse(store.authors.get(*place).newest);
            places.sort_by_cached_key(newest);
        } else if !places.is_empty() {
            let start = request.start % places.len() as u64;
            places.rotate_left(usize::try_from(start).unwrap_or(0));
        }
        let base_ms = store.base_ms.unwrap_or(0);
        let oldest_ms = request.oldest_ms.max(store.floors.oldest_ms());
        Self {
            store,
            request,
            authors: places,
            followed,
            told: OnceCell::new(),
            excluded: (!request.excluded.is_empty())
                .then(|| Ids::new(request.excluded, &store.index)),
            oldest: Moment::new(base_ms, oldest_ms),
            newest: Moment::new(base_ms, request.newest_ms),
            best: Best::new(request.limits.max_results),
        }
    }

    /// Whether an entry is too old for this read, or below the bar.
    fn is_below(&self, entry: Entry) -> bool {
        let rows = &self.store.rows;
        self.best.is_below(entry, rows) || entry.cmp_time(self.oldest, rows).is_lt()
    }

    /// Takes the newest few entries from `left`, leaves out what is too new or excluded, and gives the
    /// others to `take` until it says no. What is too old or below the bar ends the timeline.
    fn next_lot(&self, left: &mut &'a [Entry], mut take: impl FnMut(Entry) -> bool) {
        let from = left.len().saturating_sub(LOT);
        let lot = &left[from..];
        let below = lot.iter().rposition(|entry| self.is_below(*entry));
        let lot = &lot[below.map_or(0, |at| at + 1)..];
        let rows = &self.store.rows;
        let mut ids = [Id(0); LOT];
        if self.excluded.is_some() {
            // None of these loads waits for another.
            for (id, entry) in ids.iter_mut().zip(lot) {
                *id = rows.get(entry.slot()).id;
            }
        }
        for (i, entry) in lot.iter().enumerate().rev() {
            let is_excluded = self
                .excluded
                .as_ref()
                .is_some_and(|set| set.contains(ids[i]));
            let is_too_new = entry.cmp_time(self.newest, rows).is_gt();
            if !is_excluded && !is_too_new && !take(*entry) {
                *left = &left[..left.len() - (lot.len() - i)];
                return;
            }
        }
        *left = if below.is_some() { &[] } else { &left[..from] };
    }

    /// Timelines with anything for this read. None of the loads waits for another.
    fn open(&self, block: Range<usize>, is_secondary: bool) -> Vec<Cursor<'a>> {
        let authors = self.authors[block].iter();
        let authors = authors.filter(|place| {
            let newest = self.store.authors.get(**place).newest;
            !self.best.is_all_below(newest)
        });
        let cursors = authors.map(|place| {
            let timeline = self.store.authors.get(*place).timeline(is_secondary);
            Cursor::new(timeline.entries())
        });
        let mut cursors: Vec<Cursor<'a>> = cursors.collect();
        let touched = cursors
            .iter()
            .map(|cursor| cursor.left.last().map_or(0, |last| last.slot()));
        std::hint::black_box(touched.fold(0, |seen, slot| seen ^ slot));
        cursors.retain(|cursor| cursor.left.last().is_some_and(|last| !self.is_below(*last)));
        cursors
    }

    fn originals(&mut self, block: Range<usize>) {
        let cap = self.request.limits.max_originals_per_author;
        let mut lot = Vec::new();
        for start in block.clone().step_by(TOGETHER) {
            for mut cursor in self.open(start..block.end.min(start + TOGETHER), false) {
                while !cursor.left.is_empty() && cursor.taken < cap {
                    self.next_lot(&mut cursor.left, |entry| {
                        lot.push(entry);
                        cursor.taken += 1;
                        cursor.taken < cap
                    });
                    for entry in lot.drain(..) {
                        self.best.push(entry, &self.store.rows);
                    }
                }
            }
            self.best.set_bar(&self.store.rows);
        }
        // Look-ups cost more than a cut: the fewer posts still get in, the better.
        self.best.cut(&self.store.rows);
    }

    /// Replies and reposts, in rounds: each round looks at the next few of every author that has not
    /// had its share.
    fn secondary(&mut self, block: Range<usize>) {
        let cap = self.request.limits.max_secondary_per_author;
        let max_scan = self.request.limits.max_scan_per_author;
        let mut asked = Vec::new();
        let mut checks = Checks::default();
        for start in block.clone().step_by(TOGETHER) {
            let mut open = self.open(start..block.end.min(start + TOGETHER), true);
            while !open.is_empty() && cap > 0 {
                asked.clear();
                for (turn, cursor) in open.iter_mut().enumerate() {
                    let wanted = (cap - cursor.taken).min(max_scan - cursor.scanned);
                    self.ask(cursor, wanted, turn, &mut asked);
                }
                let shown = checks.run(self, &asked);
                for ((turn, entry), _) in asked.iter().zip(shown).filter(|(_, shown)| **shown) {
                    open[*turn].taken += 1;
                    self.best.push(*entry, &self.store.rows);
                }
                open.retain(|cursor| {
                    !cursor.left.is_empty() && cursor.taken < cap && cursor.scanned < max_scan
                });
            }
        }
    }

    /// Asks for the next `n` entries of an author, newest first.
    fn ask(&self, cursor: &mut Cursor<'a>, n: usize, turn: usize, asked: &mut Vec<(usize, Entry)>) {
        let end = asked.len().saturating_add(n);
        while asked.len() < end && !cursor.left.is_empty() {
            self.next_lot(&mut cursor.left, |entry| {
                cursor.scanned += 1;
                asked.push((turn, entry));
                asked.len() < end
            });
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
            let author = self.store.authors.get(self.authors[i]);
            let mut left = author.originals.entries();
            videos.clear();
            while !left.is_empty() && videos.len() < cap {
                self.next_lot(&mut left, |entry| {
                    if entry.has_video() {
                        videos.push(entry);
                    }
                    videos.len() < cap
                });
            }
            let mut cursor = Cursor::new(author.secondary.entries());
            while !cursor.left.is_empty() && cursor.scanned < max_scan && cursor.taken < cap {
                asked.clear();
                let wanted = (max_scan - cursor.scanned).min(TOGETHER);
                self.ask(&mut cursor, wanted, 0, &mut asked);
                let shown = checks.run(self, &asked);
                for ((_, entry), _) in asked.iter().zip(shown).filter(|(_, shown)| **shown) {
                    cursor.taken += 1;
                    videos.push(*entry);
                }
            }
            let rows = &self.store.rows;
            videos.sort_unstable_by(|a, b| b.cmp(*a, rows));
            for entry in videos.iter().take(cap) {
                self.best.push(*entry, rows);
            }
        }
    }
}

/// How far an author's timeline has been read.
struct Cursor<'a> {
    /// Entries that are older than what was read.
    left: &'a [Entry],
    scanned: usize,
    taken: usize,
}

impl<'a> Cursor<'a> {
    fn new(left: &'a [Entry]) -> Self {
        Self {
            left,
            scanned: 0,
            taken: 0,
        }
    }
}
