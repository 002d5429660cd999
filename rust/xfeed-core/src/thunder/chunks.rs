//! Rows in chunks: they never move, so growing costs one chunk and not a copy of everything.

/// Rows per chunk.
const CHUNK: u32 = 2048;

/// A list that grows without moving what is in it; of fewer than 2^32 rows, which its users see to.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Chunks<T> {
    /// Bytes that one more chunk takes.
    pub(super) const CHUNK_BYTES: usize = CHUNK as usize * size_of::<T>();

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn push(&mut self, value: T) {
        if self.is_full() {
            self.chunks.push(Vec::with_capacity(CHUNK as usize));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(value);
            self.len += 1;
        }
    }

    /// Whether the next push takes a new chunk.
    pub(super) fn is_full(&self) -> bool {
        self.len.is_multiple_of(CHUNK)
    }

    pub(super) fn get(&self, at: u32) -> &T {
        &self.chunks[(at / CHUNK) as usize][(at % CHUNK) as usize]
    }

    pub(super) fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[(at / CHUNK) as usize][(at % CHUNK) as usize]
    }

    /// Rows that lie in one chunk.
    pub(super) fn run(&self, at: u32, len: usize) -> &[T] {
        let start = (at % CHUNK) as usize;
        &self.chunks[(at / CHUNK) as usize][start..start + len]
    }

    /// Rows that the last chunk still takes.
    pub(super) fn room_in_chunk(&self) -> u32 {
        (CHUNK - self.len % CHUNK) % CHUNK
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * Self::CHUNK_BYTES + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}
