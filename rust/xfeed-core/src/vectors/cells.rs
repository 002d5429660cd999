//! Numbers of rows in memory that a scan reads at full speed.
//!
//! A scan reads everything once, so it is as fast as the memory; with pages of 4 KiB a third of that
//! goes into finding the pages. From 2 MiB on the system gives large ones.

use crate::embed::map::Memory;
use crate::error::{Error, Result};

/// Size of a large page. An area whose size is no multiple of it is not aligned to it either.
const LARGE_PAGE: usize = 1 << 21;

/// Numbers of `N` bytes each, lowest byte first.
#[derive(Debug, Default)]
pub(super) struct Cells<const N: usize> {
    memory: Option<Memory>,
    len: usize,
}

impl<const N: usize> Cells<N> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn all(&self) -> &[[u8; N]] {
        let bytes = self.memory.as_ref().map_or(&[][..], Memory::bytes);
        &bytes.as_chunks().0[..self.len]
    }

    pub(super) fn all_mut(&mut self) -> &mut [[u8; N]] {
        let len = self.len;
        &mut self.room()[..len]
    }

    /// What there is room for, in use or not.
    fn room(&mut self) -> &mut [[u8; N]] {
        let bytes = self.memory.as_mut().and_then(Memory::bytes_mut);
        bytes.unwrap_or_default().as_chunks_mut().0
    }

    /// Makes room for `len` numbers, or for twice as many as before.
    ///
    /// # Errors
    /// When there is no memory; nothing changes then.
    pub(super) fn reserve(&mut self, len: usize) -> Result<()> {
        if len * N <= self.used_bytes() {
            return Ok(());
        }
        let mut bytes = (len * N).max(2 * self.used_bytes());
        if bytes >= LARGE_PAGE {
            bytes = bytes.next_multiple_of(LARGE_PAGE);
        }
        let memory = Memory::zeroed(bytes).map_err(|error| {
            Error::store(
                "no_memory",
                format!("there is no room for more vectors: {}", error.message),
                "delete old posts, or use a smaller dtype",
            )
        })?;
        let mut more = Self {
            memory: Some(memory),
            len: self.len,
        };
        more.all_mut().copy_from_slice(self.all());
        *self = more;
        Ok(())
    }

    /// Appends zeros, for which there must be room, until there are `len` numbers, or forgets those
    /// from `len` on.
    pub(super) fn resize(&mut self, len: usize) {
        let old = self.len.min(len);
        self.room()[old..len].fill([0; N]);
        self.len = len;
    }

    /// Bytes that there is room for.
    pub(super) fn used_bytes(&self) -> usize {
        self.memory
            .as_ref()
            .map_or(0, |memory| memory.bytes().len())
    }
}
