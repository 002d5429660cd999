//! Writing: frames with their checksums, one write each.

use std::io::{self, Write};

use super::{
    Checksum, DATA, END, HEAD_LEN, HEADER, Header, MARK, MAX_CONTENT, SECTION, SECTION_END,
    START_LEN, VERSION, first_checksum, next_checksum,
};
use crate::error::Result;

/// Writes one snapshot.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    /// Bytes written.
    position: u64,
    checksum: Checksum,
    /// The frame that is being filled, with room for its head.
    frame: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// When `out` fails or the header has more than 1 MiB.
    pub fn new(mut out: W, header: &Header) -> Result<Self> {
        let text = header.to_json()?;
        out.write_all(MARK)?;
        out.write_all(&VERSION.to_le_bytes())?;
        let mut writer = Self {
            out,
            position: START_LEN,
            checksum: first_checksum(VERSION),
            frame: vec![0; HEAD_LEN],
        };
        writer.whole_frame(HEADER, text.as_bytes())?;
        Ok(writer)
    }

    /// Writes a section; `fill` gives its bytes.
    ///
    /// # Errors
    /// When `fill` does or the output fails.
    pub fn section(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut SectionWriter<'_, W>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.whole_frame(SECTION, name.as_bytes())?;
        let mut section = SectionWriter {
            writer: self,
            length: 0,
        };
        fill(&mut section)?;
        section.flush()?;
        let length = section.length;
        self.whole_frame(SECTION_END, &length.to_le_bytes())
    }

    /// Ends the snapshot and gives the output back, which holds it whole once it is flushed.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        let position = self.position;
        self.whole_frame(END, &position.to_le_bytes())?;
        Ok(self.out)
    }

    fn whole_frame(&mut self, tag: u8, content: &[u8]) -> io::Result<()> {
        self.frame.extend_from_slice(content);
        self.end_frame(tag)
    }

    /// Writes the frame that was filled and begins the next one.
    fn end_frame(&mut self, tag: u8) -> io::Result<()> {
        let length = u32::try_from(self.frame.len() - HEAD_LEN).map_err(io::Error::other)?;
        self.frame[0] = tag;
        self.frame[1..HEAD_LEN].copy_from_slice(&length.to_le_bytes());
        self.checksum = next_checksum(&self.checksum, &self.frame);
        self.frame.extend_from_slice(&self.checksum);
        self.out.write_all(&self.frame)?;
        self.position += self.frame.len() as u64;
        self.frame.truncate(HEAD_LEN);
        Ok(())
    }
}

/// Takes the bytes of one section.
#[derive(Debug)]
pub struct SectionWriter<'a, W: Write> {
    writer: &'a mut Writer<W>,
    length: u64,
}

impl<W: Write> Write for SectionWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HEAD_LEN + MAX_CONTENT - self.writer.frame.len();
        let taken = bytes.len().min(room);
        self.writer.frame.extend_from_slice(&bytes[..taken]);
        self.length += taken as u64;
        if taken == room {
            self.writer.end_frame(DATA)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.writer.frame.len() > HEAD_LEN {
            self.writer.end_frame(DATA)?;
        }
        Ok(())
    }
}
