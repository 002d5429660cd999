//! Memory of tables: pages of their own, or a part of a file that is read as it is needed.
//!
//! # What a map cannot protect from
//!
//! A mapped table is the file. Lengths are checked when it is opened, but when somebody cuts the file
//! afterwards, the next read behind its new end stops the process with `SIGBUS`, and when somebody
//! overwrites it in place, numbers change. Replace such a file by renaming another one over it: an open
//! map keeps the file that it was made of. [`Memory::read`] makes a copy that nothing can change.
#![expect(
    clippy::inline_always,
    reason = "what `simd_fn!` calls must be inlined, else it keeps narrow instructions"
)]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut, MmapOptions};

use crate::error::{Error, Result};

/// Bytes of a table.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Pages that belong to nobody else.
    Owned(MmapMut),
    /// A part of a mapped file.
    Mapped(Arc<Mmap>, Range<usize>),
}

impl Memory {
    /// Zeros. Large pages where the system has them: a random row of a table of hundreds of megabytes
    /// otherwise costs a walk through the page tables too.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let pages = MmapMut::map_anon(len.max(1)).map_err(|error| no_memory(len, &error))?;
        #[cfg(target_os = "linux")]
        // A system without large pages says so, and small ones do as well.
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Self::Owned(pages))
    }

    /// Part of `map`, which must lie inside it.
    pub(super) fn mapped(map: &Arc<Mmap>, part: Range<usize>) -> Self {
        Self::Mapped(Arc::clone(map), part)
    }

    /// A copy of a part of `file`.
    pub(super) fn read(mut file: &File, part: Range<usize>) -> Result<Self> {
        let mut memory = Self::zeroed(part.len())?;
        file.seek(SeekFrom::Start(part.start as u64))?;
        if let Some(bytes) = memory.bytes_mut() {
            file.read_exact(&mut bytes[..part.len()])?;
        }
        Ok(memory)
    }

    /// All bytes; of own pages there may be more than were asked for.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(pages) => pages,
            Self::Mapped(map, part) => map.get(part.clone()).unwrap_or_default(),
        }
    }

    /// The bytes of own pages; a file is never written to.
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Self::Owned(pages) => Some(pages),
            Self::Mapped(..) => None,
        }
    }

    pub(super) fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped(..))
    }

    /// While the guard lives, the system reads ahead: for passes over all of it.
    pub(super) fn read_in_order(&self) -> InOrder<'_> {
        #[cfg(unix)]
        if let Self::Mapped(map, part) = self {
            // Only a hint, as in `map_file`.
            let _ = map.advise_range(memmap2::Advice::Sequential, part.start, part.len());
        }
        InOrder(self)
    }
}

/// See [`Memory::read_in_order`].
pub(super) struct InOrder<'a>(&'a Memory);

impl Drop for InOrder<'_> {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Memory::Mapped(map, part) = self.0 {
            let _ = map.advise_range(memmap2::Advice::Random, part.start, part.len());
        }
    }
}

fn no_memory(len: usize, error: &std::io::Error) -> Error {
    Error::store(
        "no_memory",
        format!("there is no room for {len} bytes of a table: {error}"),
        "use fewer rows, a smaller dtype, or map the table from a file",
    )
}

/// Maps a whole file for reading in no particular order. The module says what this does not guard
/// against.
pub(super) fn map_file(file: &File) -> Result<Arc<Mmap>> {
    // SAFETY: the bytes are only read, as numbers for which any bits are valid, so a writer elsewhere
    // can change results but not break an invariant; a cut file ends the process, as documented.
    #[expect(unsafe_code, reason = "a file can change behind a map's back")]
    let map = unsafe { MmapOptions::new().map(file) }?;
    #[cfg(unix)]
    // Only a hint: rows are far from each other, so reading ahead would read what nobody needs.
    let _ = map.advise(memmap2::Advice::Random);
    Ok(Arc::new(map))
}

/// Asks the processor to fetch `bytes` into its second cache; changes nothing but time. That cache can
/// wait for about twice as many lines as the first one, and rows are read once anyway.
#[inline(always)]
pub(super) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint reads nothing, never faults, and the address is inside `bytes`.
        #[expect(unsafe_code, reason = "the intrinsic takes an address")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
