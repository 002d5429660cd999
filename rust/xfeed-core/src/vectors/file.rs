//! An index as bytes: whole, or refused.
//!
//! ```text
//! "xfeedvec", version u32, width u32, dtype u8, number of posts u64
//! posts by id, in parts of at most 256: ids u64, authors u64, times i64, kinds u8, then the
//!   numbers of one vector after the other (bfloat16: u16, otherwise f32)
//! SHA-256 of everything before
//! ```
//! Numbers are little-endian. Equal indexes give equal bytes. What a file claims about its length is
//! never believed ahead of the bytes, and nothing is given out before the checksum was compared.

use std::io::{self, Read, Write};

use half::bf16;
use sha2::{Digest as _, Sha256};

use super::{Dtype, Entry, VectorIndex};
use crate::error::{Error, Result};
use crate::ids::Id;

/// The version that is written; others are refused.
const VERSION: u32 = 1;

const MARK: &[u8; 8] = b"xfeedvec";

/// Posts of one part.
const PART: usize = 256;

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::store(
        "bad_vectors",
        format!("the file of vectors is damaged: {what}"),
        "remove the file; the index is made anew from the posts",
    )
}

struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        let hash = Sha256::new();
        Self { inner, hash }
    }
}

impl<T: Write> Hashing<T> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<T: Read> Hashing<T> {
    fn bytes(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.inner.read_exact(&mut bytes).map_err(cut_off)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes(N)?);
        Ok(array)
    }

    fn list<const N: usize, X>(
        &mut self,
        len: usize,
        read: impl Fn([u8; N]) -> X,
    ) -> Result<Vec<X>> {
        let bytes = self.bytes(len * N)?;
        let (all, _) = bytes.as_chunks::<N>();
        Ok(all.iter().map(|one| read(*one)).collect())
    }
}

fn cut_off(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        damaged("it ends too early")
    } else {
        error.into()
    }
}

impl VectorIndex {
    /// Writes everything to `out`.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let mut out = Hashing::new(out);
        let width = u32::try_from(self.width()).unwrap_or(u32::MAX);
        out.put(MARK)?;
        out.put(&VERSION.to_le_bytes())?;
        out.put(&width.to_le_bytes())?;
        out.put(&[self.dtype() as u8])?;
        out.put(&(self.len() as u64).to_le_bytes())?;
        for ids in self.ids().chunks(PART) {
            let rows: Vec<(Entry, Vec<f32>)> = ids.iter().filter_map(|id| self.get(*id)).collect();
            let mut part = Vec::new();
            part.extend(rows.iter().flat_map(|(entry, _)| entry.id.0.to_le_bytes()));
            part.extend(
                rows.iter()
                    .flat_map(|(entry, _)| entry.author.0.to_le_bytes()),
            );
            part.extend(
                rows.iter()
                    .flat_map(|(entry, _)| entry.created_ms.to_le_bytes()),
            );
            part.extend(rows.iter().map(|(entry, _)| entry.kind));
            let numbers = rows.iter().flat_map(|(_, vector)| vector);
            match self.dtype() {
                Dtype::Bfloat16 => {
                    part.extend(numbers.flat_map(|value| bf16::from_f32(*value).to_le_bytes()));
                }
                _ => part.extend(numbers.flat_map(|value| value.to_le_bytes())),
            }
            out.put(&part)?;
        }
        let hash = out.hash.finalize();
        out.inner.write_all(&hash)?;
        out.inner.flush()?;
        Ok(())
    }

    /// Reads what [`write`](Self::write) wrote; nothing may follow.
    ///
    /// # Errors
    /// When the input is no such file, is damaged, or fails.
    pub fn read(input: impl Read) -> Result<Self> {
        let mut input = Hashing::new(input);
        if input.array()? != *MARK {
            return Err(damaged("it begins otherwise"));
        }
        let version = u32::from_le_bytes(input.array()?);
        if version != VERSION {
            return Err(Error::store(
                "bad_vectors_format",
                format!("the file of vectors has format {version}, this xfeed reads {VERSION}"),
                "remove the file; the index is made anew from the posts",
            ));
        }
        let width = u32::from_le_bytes(input.array()?) as usize;
        let [dtype] = input.array()?;
        let dtype = Dtype::NAMES.iter().find(|(known, _)| *known as u8 == dtype);
        let (dtype, _) = dtype.ok_or_else(|| damaged("its dtype is unknown"))?;
        let mut index = Self::new(width, *dtype).map_err(|error| damaged(error.message))?;
        let n_rows = u64::from_le_bytes(input.array()?);
        while (index.len() as u64) < n_rows {
            let rest = usize::try_from(n_rows - index.len() as u64).unwrap_or(PART);
            index.read_part(rest.min(PART), &mut input)?;
        }
        let hash = input.hash.finalize();
        let mut written = [0; 32];
        input.inner.read_exact(&mut written).map_err(cut_off)?;
        if hash.as_slice() != written {
            return Err(damaged("its checksum does not fit"));
        }
        if input.inner.read(&mut [0])? > 0 {
            return Err(damaged("bytes follow its end"));
        }
        Ok(index)
    }

    fn read_part(&mut self, len: usize, input: &mut Hashing<impl Read>) -> Result<()> {
        let ids = input.list(len, u64::from_le_bytes)?;
        let authors = input.list(len, u64::from_le_bytes)?;
        let times = input.list(len, i64::from_le_bytes)?;
        let kinds = input.bytes(len)?;
        let width = self.width();
        let numbers = match self.dtype() {
            Dtype::Bfloat16 => input.list(len * width, |two| bf16::from_le_bytes(two).to_f32())?,
            _ => input.list(len * width, f32::from_le_bytes)?,
        };
        for (row, vector) in numbers.chunks_exact(width).enumerate() {
            let entry = Entry {
                id: Id(ids[row]),
                author: Id(authors[row]),
                created_ms: times[row],
                kind: kinds[row],
            };
            let added = self.insert(&entry, vector);
            if !added.map_err(|error| damaged(error.message))? {
                return Err(damaged(format!("post `{}` is in it twice", ids[row])));
            }
        }
        Ok(())
    }
}
