//! Authors with their timelines.

use super::chunks::Chunks;
use super::index::{Hashed, Index};
use super::rows::NOWHERE;
use super::timeline::Timeline;
use crate::ids::Id;

/// An author. A free place has empty timelines. One line of the cache, so that looking one up and
/// finding its timelines costs one wait.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Author {
    pub(super) id: Id,
    /// Originals and quotes.
    pub(super) originals: Timeline,
    /// Replies and reposts.
    pub(super) secondary: Timeline,
    /// No entry has a later time; readers pass by without a look at the timelines. May be too late
    /// after the newest post has gone.
    pub(super) newest: u64,
}

impl Author {
    fn new(id: Id) -> Self {
        Self {
            id,
            originals: Timeline::default(),
            secondary: Timeline::default(),
            newest: 0,
        }
    }

    /// Makes [`Self::newest`] exact.
    pub(super) fn find_newest(&mut self) {
        let time = |timeline: &Timeline| timeline.entries().last().map_or(0, |last| last.time());
        self.newest = time(&self.originals).max(time(&self.secondary));
    }

    pub(super) fn timeline(&self, is_secondary: bool) -> &Timeline {
        if is_secondary {
            &self.secondary
        } else {
            &self.originals
        }
    }

    pub(super) fn timeline_mut(&mut self, is_secondary: bool) -> &mut Timeline {
        if is_secondary {
            &mut self.secondary
        } else {
            &mut self.originals
        }
    }
}

/// All authors that have posts in the store.
#[derive(Debug)]
pub(super) struct Authors {
    places: Chunks<Author>,
    index: Index,
    /// The first free place; the id of a free place is the next one.
    free: u32,
    n_free: u32,
}

impl Default for Authors {
    fn default() -> Self {
        Self {
            places: Chunks::default(),
            index: Index::default(),
            free: NOWHERE,
            n_free: 0,
        }
    }
}

impl Authors {
    /// Places, also free ones.
    pub(super) fn places(&self) -> u32 {
        self.places.len()
    }

    pub(super) fn len(&self) -> u32 {
        self.places.len() - self.n_free
    }

    pub(super) fn get(&self, place: u32) -> &Author {
        self.places.get(place)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> &mut Author {
        self.places.get_mut(place)
    }

    pub(super) fn find(&self, id: Id) -> Option<u32> {
        self.index.find(id, |place| self.places.get(place).id)
    }

    /// Where an author may be; see [`Index::likely`].
    pub(super) fn likely(&self, id: Id) -> u32 {
        self.index.likely(self.index.hash(id))
    }

    /// Places of many authors, [`NOWHERE`] for those that have no posts. Several at a time, so that
    /// the memory is asked for several at a time.
    pub(super) fn find_many(&self, ids: &[Id], places: &mut Vec<u32>) {
        let id_at = |place| self.places.get(place).id;
        find_many(&self.index, ids, id_at, places);
    }

    pub(super) fn find_or_add(&mut self, id: Id) -> u32 {
        if let Some(place) = self.find(id) {
            return place;
        }
        let author = Author::new(id);
        let place = self.free;
        let place = if place == NOWHERE {
            self.places.push(author);
            self.places.len() - 1
        } else {
            self.free = u32::try_from(self.places.get(place).id.0).unwrap_or(NOWHERE);
            self.n_free -= 1;
            *self.places.get_mut(place) = author;
            place
        };
        let authors = &self.places;
        self.index.insert(id, place, |place| authors.get(place).id);
        place
    }

    /// Whether the place is not free.
    pub(super) fn is_used(&self, place: u32) -> bool {
        let id = self.places.get(place).id;
        self.find(id) == Some(place)
    }

    /// Forgets an author without posts.
    pub(super) fn remove(&mut self, place: u32) {
        let authors = &self.places;
        let id = authors.get(place).id;
        self.index.remove(id, |place| authors.get(place).id);
        *self.places.get_mut(place) = Author::new(Id(u64::from(self.free)));
        self.free = place;
        self.n_free += 1;
    }

    /// Bytes that one more author adds at most.
    pub(super) fn growth(&self, id: Id) -> usize {
        let place = if self.free == NOWHERE && self.places.is_full() {
            Chunks::<Author>::CHUNK_BYTES
        } else {
            0
        };
        place + self.index.growth(id)
    }

    /// Without the timelines.
    pub(super) fn bytes(&self) -> usize {
        self.places.bytes() + self.index.bytes()
    }
}

/// How many look-ups are under way at a time.
const GROUP: usize = 16;

/// Places of `ids` in an index, [`NOWHERE`] for those that are not there.
pub(super) fn find_many(
    index: &Index,
    ids: &[Id],
    id_at: impl Fn(u32) -> Id + Copy,
    places: &mut Vec<u32>,
) {
    places.clear();
    places.reserve(ids.len());
    let mut hashed = [Hashed::default(); GROUP];
    let mut likely = [(NOWHERE, Id(0)); GROUP];
    for group in ids.chunks(GROUP) {
        for (hashed, id) in hashed.iter_mut().zip(group) {
            *hashed = index.hash(*id);
        }
        // Each loop asks for memory that does not depend on the loop's other turns.
        for (likely, hashed) in likely.iter_mut().zip(&hashed) {
            likely.0 = index.likely(*hashed);
        }
        for likely in &mut likely[..group.len()] {
            if likely.0 != NOWHERE {
                likely.1 = id_at(likely.0);
            }
        }
        for ((id, hashed), likely) in group.iter().zip(&hashed).zip(&likely) {
            let place = if likely.0 != NOWHERE && likely.1 == *id {
                Some(likely.0)
            } else {
                index.find_hashed(*hashed, *id, id_at)
            };
            places.push(place.unwrap_or(NOWHERE));
        }
    }
}
