//! Bytes to values; every value is checked, and no length is believed before its bytes are there.

use std::io::Read;

use super::damaged;
use crate::clock::UnixMs;
use crate::error::{Error, Result};
use crate::ids::Id;

/// Reads what [`super::Encoder`] wrote.
pub(crate) struct Decoder<'a> {
    input: &'a mut dyn Read,
    buffer: Vec<u8>,
    taken: usize,
}

const BUFFER_LEN: usize = 1 << 16;

/// Longest text in bytes; an event has at most 64 KiB, and a muted word may grow when it is folded.
const MAX_TEXT_LEN: usize = 1 << 21;

/// Most places that are set aside on the word of a count.
const MAX_AHEAD: usize = 1 << 12;

impl<'a> Decoder<'a> {
    /// A decoder behind `input`. It reads to the end of `input`, so give it one section.
    pub(crate) fn new(input: &'a mut dyn Read) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When bytes are left.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.taken < self.buffer.len() || self.refill()? > 0 {
            return Err(damaged("more bytes than values"));
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<usize> {
        self.buffer.resize(BUFFER_LEN, 0);
        self.taken = 0;
        let got = self.input.read(&mut self.buffer)?;
        self.buffer.truncate(got);
        Ok(got)
    }

    fn fill(&mut self, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            if self.taken == self.buffer.len() && self.refill()? == 0 {
                return Err(damaged("fewer bytes than values"));
            }
            let rest = &self.buffer[self.taken..];
            let got = rest.len().min(into.len());
            into[..got].copy_from_slice(&rest[..got]);
            self.taken += got;
            into = &mut into[got..];
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// An integer.
    ///
    /// # Errors
    /// When the bytes are not such a value or end; so for all below.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("an integer of more than 64 bits"))
    }

    /// A count or a length.
    pub(crate) fn count(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| damaged("a count of more than this machine has"))
    }

    /// A number that goes on being counted up, with room for that.
    pub(crate) fn tally(&mut self, limit: u64) -> Result<u64> {
        let value = self.u64()?;
        if value < limit {
            Ok(value)
        } else {
            Err(damaged(format!(
                "a tally of {value}, less than {limit} is possible"
            )))
        }
    }

    /// A moment.
    pub(crate) fn ms(&mut self) -> Result<UnixMs> {
        let folded = self.u64()?;
        Ok((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()))
    }

    /// A finite number.
    pub(crate) fn f32(&mut self) -> Result<f32> {
        let value = f32::from_bits(u32::from_le_bytes(self.array()?));
        if value.is_finite() {
            Ok(value)
        } else {
            Err(damaged(format!("the number `{value}`")))
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(damaged(format!("`{other}` instead of 0 or 1"))),
        }
    }

    /// A small number.
    pub(crate) fn u8(&mut self) -> Result<u8> {
        if let Some(byte) = self.buffer.get(self.taken) {
            self.taken += 1;
            return Ok(*byte);
        }
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// An id.
    pub(crate) fn id(&mut self) -> Result<Id> {
        Ok(Id(u64::from_le_bytes(self.array()?)))
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<String> {
        let len = self.count()?;
        if len > MAX_TEXT_LEN {
            return Err(damaged(format!(
                "a text of {len} bytes, at most {MAX_TEXT_LEN} are possible"
            )));
        }
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let have = bytes.len();
            bytes.resize(len.min(have + BUFFER_LEN), 0);
            self.fill(&mut bytes[have..])?;
        }
        String::from_utf8(bytes).map_err(|error| damaged(format!("a text that is none: {error}")))
    }

    /// An optional value.
    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        self.flag()?.then(|| read(self)).transpose()
    }

    /// Entries with their keys, which must be there in ascending order, each once; `add` takes them.
    pub(crate) fn entries<K: Ord + Clone, V>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(K, V)>,
        mut add: impl FnMut(K, V),
    ) -> Result<()> {
        let n = self.count()?;
        let mut last = None;
        for _ in 0..n {
            let (key, value) = read(self)?;
            if last.as_ref().is_some_and(|last| last >= &key) {
                return Err(damaged("entries that are not in order"));
            }
            last = Some(key.clone());
            add(key, value);
        }
        Ok(())
    }

    /// A list.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let n = self.count()?;
        let mut list = Vec::with_capacity(n.min(MAX_AHEAD));
        for _ in 0..n {
            list.push(read(self)?);
        }
        list.shrink_to_fit();
        Ok(list)
    }

    /// An error about a value that cannot be in a snapshot.
    pub(crate) fn wrong(what: impl Into<String>) -> Error {
        damaged(what)
    }
}
