//! From ids to places: open addressing over 4-byte cells, in shards.
//!
//! A cell holds a place (28 bits) and a tag of the hash (4 bits); the id itself is read from the row.
//! Shards keep a doubling short, and with it the time that readers wait. The hash is keyed at random,
//! so nobody can choose ids that collide.

use std::hash::BuildHasher as _;

use crate::ids::Id;
use crate::thunder::rows::{NOWHERE, SLOT_BITS};

const SHARD_BITS: u32 = 10;
const EMPTY: u32 = u32::MAX;
const PLACE: u32 = (1 << SLOT_BITS) - 1;
const FIRST_CAPACITY: usize = 8;

/// Cells that lie beside the first one, mostly in the same line of the cache.
const NEAR: usize = 8;

/// Places by id.
#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<Shard>,
    keys: [u64; 2],
    bytes: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// A power of two of them, or none.
    cells: Vec<u32>,
    used: u32,
}

impl Shard {
    fn mask(&self) -> usize {
        self.cells.len().wrapping_sub(1)
    }

    fn is_full(&self) -> bool {
        // Three quarters: an unsuccessful search then looks at eight cells or so.
        (self.used as usize + 1) * 4 > self.cells.len() * 3
    }
}

/// A hash, cut up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hashed(u64);

impl Hashed {
    fn shard(self) -> usize {
        (self.0 >> (64 - SHARD_BITS)) as usize
    }

    fn tag(self) -> u32 {
        ((self.0 >> 32) as u32 & 0xF) << SLOT_BITS
    }

    pub(super) fn start(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }
}

impl Default for Index {
    fn default() -> Self {
        let random = std::hash::RandomState::new();
        Self {
            shards: (0..1 << SHARD_BITS).map(|_| Shard::default()).collect(),
            keys: [random.hash_one(1), random.hash_one(2) | 1],
            bytes: (1 << SHARD_BITS) * size_of::<Shard>(),
        }
    }
}

impl Index {
    pub(super) fn hash(&self, id: Id) -> Hashed {
        // Two rounds of a folded multiplication; the second spreads what the first left together.
        #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        Hashed(fold(
            fold(id.0 ^ self.keys[0], self.keys[1]) ^ self.keys[1],
            0x9E37_79B9_7F4A_7C15,
        ))
    }

    /// Place of `id`; `id_at` reads the id in a place.
    pub(super) fn find(&self, id: Id, id_at: impl Fn(u32) -> Id) -> Option<u32> {
        self.find_hashed(self.hash(id), id, id_at)
    }

    /// The first place with the right tag, [`NOWHERE`] when there is none near: enough to fetch many
    /// rows at once before looking closer.
    pub(super) fn likely(&self, hashed: Hashed) -> u32 {
        let shard = &self.shards[hashed.shard()];
        let start = hashed.start() & shard.mask();
        for cell in shard.cells.iter().skip(start).take(NEAR) {
            if *cell == EMPTY {
                break;
            }
            if cell & !PLACE == hashed.tag() {
                return cell & PLACE;
            }
        }
        NOWHERE
    }

    pub(super) fn find_hashed(
        &self,
        hashed: Hashed,
        id: Id,
        id_at: impl Fn(u32) -> Id,
    ) -> Option<u32> {
        let shard = &self.shards[hashed.shard()];
        if shard.cells.is_empty() {
            return None;
        }
        let mask = shard.mask();
        let mut at = hashed.start() & mask;
        loop {
            let cell = shard.cells[at];
            if cell == EMPTY {
                return None;
            }
            if cell & !PLACE == hashed.tag() && id_at(cell & PLACE) == id {
                return Some(cell & PLACE);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds an id that is not there.
    pub(super) fn insert(&mut self, id: Id, place: u32, id_at: impl Fn(u32) -> Id) {
        let hashed = self.hash(id);
        if self.shards[hashed.shard()].is_full() {
            self.grow(hashed.shard(), id_at);
        }
        let shard = &mut self.shards[hashed.shard()];
        put(&mut shard.cells, hashed, place);
        shard.used += 1;
    }

    /// Adds an id; `false` when it is there.
    pub(super) fn insert_new(
        &mut self,
        id: Id,
        place: u32,
        id_at: impl Fn(u32) -> Id + Copy,
    ) -> bool {
        let is_new = self.find(id, id_at).is_none();
        if is_new {
            self.insert(id, place, id_at);
        }
        is_new
    }

    fn grow(&mut self, shard: usize, id_at: impl Fn(u32) -> Id) {
        let old = std::mem::take(&mut self.shards[shard].cells);
        let capacity = (old.len() * 2).max(FIRST_CAPACITY);
        let mut cells = vec![EMPTY; capacity];
        for cell in old.iter().filter(|cell| **cell != EMPTY) {
            let place = cell & PLACE;
            put(&mut cells, self.hash(id_at(place)), place);
        }
        self.bytes += (cells.len() - old.len()) * size_of::<u32>();
        self.shards[shard].cells = cells;
    }

    /// Makes room for `n` ids in all, before they come.
    pub(super) fn reserve(&mut self, n: usize, id_at: impl Fn(u32) -> Id + Copy) {
        // Shards differ by a few standard deviations; the last doubling is left to those that need it.
        let each = n >> SHARD_BITS;
        for shard in 0..self.shards.len() {
            while (self.shards[shard].cells.len() * 3) / 4 < each {
                self.grow(shard, id_at);
            }
        }
    }

    /// Removes an id that is there; `id_at` must still know it.
    pub(super) fn remove(&mut self, id: Id, id_at: impl Fn(u32) -> Id) {
        let hashed = self.hash(id);
        let keys = |index: &Self, place: u32| index.hash(id_at(place)).start();
        let shard = &self.shards[hashed.shard()];
        let mask = shard.mask();
        let mut hole = hashed.start() & mask;
        loop {
            let Some(&cell) = shard.cells.get(hole).filter(|cell| **cell != EMPTY) else {
                return;
            };
            if cell & !PLACE == hashed.tag() && id_at(cell & PLACE) == id {
                break;
            }
            hole = (hole + 1) & mask;
        }
        // Later cells move up, so that no search stops at the hole before it finds them.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let cell = self.shards[hashed.shard()].cells[at];
            if cell == EMPTY {
                break;
            }
            let home = keys(self, cell & PLACE) & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.shards[hashed.shard()].cells[hole] = cell;
                hole = at;
            }
        }
        let shard = &mut self.shards[hashed.shard()];
        shard.cells[hole] = EMPTY;
        shard.used -= 1;
    }

    /// Bytes that one more id adds at most.
    pub(super) fn growth(&self, id: Id) -> usize {
        let shard = &self.shards[self.hash(id).shard()];
        if shard.is_full() {
            // The old cells are there until the new ones are filled.
            (shard.cells.len() * 2).max(FIRST_CAPACITY) * size_of::<u32>()
        } else {
            0
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn put(cells: &mut [u32], hashed: Hashed, place: u32) {
    let mask = cells.len() - 1;
    let mut at = hashed.start() & mask;
    while cells[at] != EMPTY {
        at = (at + 1) & mask;
    }
    cells[at] = place | hashed.tag();
}
