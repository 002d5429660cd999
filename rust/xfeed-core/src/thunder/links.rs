//! The ids that records point to: short runs of words, because most posts point nowhere.

use super::chunks::Chunks;

/// Longest run: four posts with their authors, and a duration.
const MAX_RUN: usize = 9;

/// The run of a record without links.
const NO_RUN: u32 = u32::MAX;

/// Runs of words, used again by size; a longer free run is split when there is no shorter one.
#[derive(Debug)]
pub(super) struct Links {
    words: Chunks<u64>,
    /// The first free run of each length; the first word of a free run is the next one.
    free: [u32; MAX_RUN + 1],
}

impl Default for Links {
    fn default() -> Self {
        Self {
            words: Chunks::default(),
            free: [NO_RUN; MAX_RUN + 1],
        }
    }
}

impl Links {
    /// Keeps `words`; `None` when there are 2^32 of them.
    pub(super) fn add(&mut self, words: &[u64]) -> Option<u32> {
        if words.is_empty() {
            return Some(NO_RUN);
        }
        let run = self.take(words.len())?;
        for (at, word) in (run..).zip(words) {
            *self.words.get_mut(at) = *word;
        }
        Some(run)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "runs are short, and positions our own"
    )]
    fn take(&mut self, len: usize) -> Option<u32> {
        for size in len..=MAX_RUN {
            let run = self.free[size];
            if run != NO_RUN {
                self.free[size] = *self.words.get(run) as u32;
                if size > len {
                    self.release(run + len as u32, size - len);
                }
                return Some(run);
            }
        }
        // A run lies in one chunk, so that it is a slice.
        let room = self.words.room_in_chunk() as usize;
        let rest = if room < len { room } else { 0 };
        self.words.len().checked_add((rest + len) as u32)?;
        if rest > 0 {
            let start = self.words.len();
            for _ in 0..rest {
                self.words.push(0);
            }
            self.release(start, rest);
        }
        let start = self.words.len();
        for _ in 0..len {
            self.words.push(0);
        }
        Some(start)
    }

    pub(super) fn remove(&mut self, run: u32, len: usize) {
        if len > 0 {
            self.release(run, len);
        }
    }

    fn release(&mut self, run: u32, len: usize) {
        *self.words.get_mut(run) = u64::from(self.free[len]);
        self.free[len] = run;
    }

    pub(super) fn get(&self, run: u32, len: usize) -> &[u64] {
        if len == 0 {
            return &[];
        }
        self.words.run(run, len)
    }

    /// The first word of a run, 0 of an empty one.
    pub(super) fn first(&self, run: u32) -> u64 {
        if run == NO_RUN {
            0
        } else {
            *self.words.get(run)
        }
    }

    /// Bytes that one more run would add.
    pub(super) fn growth(&self, len: usize) -> usize {
        let is_there = len == 0 || self.free[len..].iter().any(|run| *run != NO_RUN);
        let room = self.words.room_in_chunk() as usize;
        if is_there || (room >= len && room > 0) {
            0
        } else {
            Chunks::<u64>::CHUNK_BYTES
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.bytes()
    }
}
