//! What an index holds, and how that changes.

use hashbrown::HashMap;

use super::block::{Block, ROWS, padded};
use super::{Dtype, Entry, MAX_KIND, MAX_LENGTH, MAX_WIDTH};
use crate::clock::UnixMs;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Id;

/// Below this share of its room the table of places is made smaller.
const SPARSE: usize = 4;

/// A table for so few places is left as it is.
const SMALL: usize = 4_096;

/// Vectors of posts, searched exactly.
#[derive(Debug)]
pub struct VectorIndex {
    width: usize,
    dtype: Dtype,
    pub(super) blocks: Vec<Block>,
    places: HashMap<Id, u32>,
}

impl VectorIndex {
    /// An empty index of vectors of `width` numbers.
    ///
    /// # Errors
    /// When the width is 0 or more than [`MAX_WIDTH`].
    pub fn new(width: usize, dtype: Dtype) -> Result<Self> {
        if width == 0 || width > MAX_WIDTH {
            return Err(Error::config(
                format!("vectors cannot be `{width}` wide, 1 to {MAX_WIDTH} is allowed"),
                "pass the width of the model's vectors",
            ));
        }
        Ok(Self {
            width,
            dtype,
            blocks: Vec::new(),
            places: HashMap::new(),
        })
    }

    /// Numbers of one vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How vectors are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Number of posts.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the post is in it.
    pub fn contains(&self, id: Id) -> bool {
        self.places.contains_key(&id)
    }

    /// Every post, by id.
    pub fn ids(&self) -> Vec<Id> {
        let mut ids: Vec<Id> = self.places.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// What is known of a post, and its vector as it is stored.
    pub fn get(&self, id: Id) -> Option<(Entry, Vec<f32>)> {
        let (block, row) = self.place(id)?;
        let mut vector = self.blocks[block].vector(row);
        vector.truncate(self.width);
        Some((self.blocks[block].entry(row), vector))
    }

    fn place(&self, id: Id) -> Option<(usize, usize)> {
        let place = *self.places.get(&id)? as usize;
        Some((place / ROWS, place % ROWS))
    }

    /// Bytes that are allocated.
    pub fn used_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Block::used_bytes).sum();
        // A place, its id and a byte of the table for each.
        blocks + self.places.capacity() * (size_of::<(Id, u32)>() + 1) * 8 / 7
    }

    /// Whether [`insert`](Self::insert) will take these.
    ///
    /// # Errors
    /// When the vector has another width, holds a number that is not finite or is longer than
    /// [`MAX_LENGTH`], or the kind is above [`MAX_KIND`].
    pub fn check(&self, entry: &Entry, vector: &[f32]) -> Result<()> {
        let id = entry.id.0;
        if entry.kind > MAX_KIND {
            return Err(Error::shape(
                format!(
                    "post `{id}` has the kind `{}`, 0 to {MAX_KIND} is allowed",
                    entry.kind
                ),
                "number the kinds from 0",
            ));
        }
        check_vector(vector, self.width, || format!("the vector of post `{id}`"))
    }

    /// Adds a post, or replaces it; returns whether it is new.
    ///
    /// # Errors
    /// As [`check`](Self::check), or when there are 2^32 - 1 posts or no memory is left.
    pub fn insert(&mut self, entry: &Entry, vector: &[f32]) -> Result<bool> {
        self.check(entry, vector)?;
        let mut wide = vec![0.0; padded(self.width)];
        wide[..vector.len()].copy_from_slice(vector);
        if let Some((block, row)) = self.place(entry.id) {
            self.blocks[block].set(row, entry, &wide);
            return Ok(false);
        }
        let place = u32::try_from(self.len())
            .ok()
            .filter(|place| *place < u32::MAX)
            .ok_or_else(|| {
                Error::store(
                    "index_full",
                    format!("the index is full with {} posts", self.len()),
                    "delete old posts or use a second index",
                )
            })?;
        let (block, row) = (place as usize / ROWS, place as usize % ROWS);
        if block == self.blocks.len() {
            let mut new = Block::new(self.width, self.dtype);
            new.reserve(row)?;
            self.blocks.push(new);
        }
        self.blocks[block].reserve(row)?;
        self.blocks[block].set(row, entry, &wide);
        self.places.insert(entry.id, place);
        Ok(true)
    }

    /// Removes a post; returns whether it was there. The last post moves to its place.
    pub fn remove(&mut self, id: Id) -> bool {
        let Some((block, row)) = self.place(id) else {
            return false;
        };
        let last_place = self.len() - 1;
        let (last_block, last_row) = (last_place / ROWS, last_place % ROWS);
        let place = self.places.remove(&id);
        if let (Some(place), true) = (place, (block, row) != (last_block, last_row)) {
            let entry = self.blocks[last_block].entry(last_row);
            let vector = self.blocks[last_block].vector(last_row);
            self.blocks[block].set(row, &entry, &vector);
            self.places.insert(entry.id, place);
        }
        self.blocks[last_block].pop();
        if self.blocks[last_block].len() == 0 {
            self.blocks.pop();
        }
        if self.places.capacity() > SPARSE * self.len().max(SMALL) {
            self.places.shrink_to(2 * self.len());
        }
        true
    }

    /// Posts for which `goes` holds.
    fn which(&self, goes: impl Fn(&Block, usize) -> bool) -> Vec<Id> {
        let of_block = |block: &Block| -> Vec<Id> {
            let rows = (0..block.len()).filter(|row| goes(block, *row));
            rows.map(|row| Id(block.ids[row])).collect()
        };
        self.blocks.iter().flat_map(of_block).collect()
    }

    /// Posts of an author.
    pub fn posts_by(&self, author: Id) -> Vec<Id> {
        self.which(|block, row| block.authors[row] == author.0)
    }

    /// Posts made before `oldest_ms`.
    pub fn older_than(&self, oldest_ms: UnixMs) -> Vec<Id> {
        self.which(|block, row| block.times.0 < oldest_ms && block.created_ms[row] < oldest_ms)
    }
}

/// Checks a vector that is called `name` in messages.
pub(super) fn check_vector(
    vector: &[f32],
    width: usize,
    name: impl FnOnce() -> String,
) -> Result<()> {
    if vector.len() != width {
        return Err(Error::shape(
            format!("{} is {} wide, {width} is needed", name(), vector.len()),
            "use vectors of the model that filled the index",
        ));
    }
    // One number that is not finite makes the sum so.
    let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    if square <= MAX_LENGTH * MAX_LENGTH {
        return Ok(());
    }
    let (code, what, hint) = match vector.iter().find(|value| !value.is_finite()) {
        Some(value) => (
            "not_finite",
            format!("holds `{value}`"),
            "leave out what is not finite; nothing of this call was taken",
        ),
        None => (
            "too_long",
            format!(
                "is {:e} long, at most {MAX_LENGTH:e} is allowed",
                square.sqrt()
            ),
            "scale the vectors to unit length",
        ),
    };
    let message = format!("{} {what}", name());
    Err(Error::new(ErrorKind::Shape, code, message, hint))
}
