//! Values to bytes.

use std::io::{self, Write};

use crate::clock::UnixMs;
use crate::ids::Id;

/// Writes values one after the other; [`super::Decoder`] reads them in the same order.
///
/// Ids take 8 bytes; other integers and lengths 1 to 10, seven bits each, small ones first.
pub(crate) struct Encoder<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
}

const BUFFER_LEN: usize = 1 << 16;

impl<'a> Encoder<'a> {
    /// An encoder in front of `out`.
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            buffer: Vec::with_capacity(BUFFER_LEN),
        }
    }

    /// Hands everything on.
    ///
    /// # Errors
    /// When the output fails.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.out.write_all(&self.buffer)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_LEN {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// An integer.
    ///
    /// # Errors
    /// When the output fails; so for all below.
    pub(crate) fn u64(&mut self, mut value: u64) -> io::Result<()> {
        let mut bytes = [0; 10];
        let mut len = 0;
        loop {
            let low = value.to_le_bytes()[0] & 0x7f;
            value >>= 7;
            bytes[len] = if value == 0 { low } else { low | 0x80 };
            len += 1;
            if value == 0 {
                return self.bytes(&bytes[..len]);
            }
        }
    }

    /// A count or a length.
    pub(crate) fn count(&mut self, len: usize) -> io::Result<()> {
        self.u64(len as u64)
    }

    /// A moment; those near 1970 are short, before and after.
    pub(crate) fn ms(&mut self, at_ms: UnixMs) -> io::Result<()> {
        let sign = (at_ms >> 63).cast_unsigned();
        self.u64((at_ms << 1).cast_unsigned() ^ sign)
    }

    /// A number with its exact bits.
    pub(crate) fn f32(&mut self, value: f32) -> io::Result<()> {
        self.bytes(&value.to_bits().to_le_bytes())
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, value: bool) -> io::Result<()> {
        self.bytes(&[u8::from(value)])
    }

    /// A small number.
    pub(crate) fn u8(&mut self, value: u8) -> io::Result<()> {
        self.bytes(&[value])
    }

    /// An id.
    pub(crate) fn id(&mut self, id: Id) -> io::Result<()> {
        self.bytes(&id.0.to_le_bytes())
    }

    /// A text.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.count(text.len())?;
        self.bytes(text.as_bytes())
    }

    /// An optional value: its presence, then the value.
    pub(crate) fn option<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        self.flag(value.is_some())?;
        value.map_or(Ok(()), |value| write(self, value))
    }
}
