//! Reading: every frame is checked before anybody sees its content.

use std::io::{self, Read};

use super::{
    Checksum, DATA, END, HEAD_LEN, HEADER, Header, MARK, MAX_CONTENT, SECTION, SECTION_END,
    START_LEN, VERSION, damaged, first_checksum, next_checksum,
};
use crate::error::{Error, Result};

/// Reads one snapshot, front to back.
#[derive(Debug)]
pub struct Reader<R: Read> {
    header: Header,
    frames: Frames<R>,
}

/// The frames behind mark and version.
#[derive(Debug)]
struct Frames<R: Read> {
    input: R,
    /// Bytes read and checked.
    position: u64,
    checksum: Checksum,
    /// Head and content of the present frame.
    frame: Vec<u8>,
    /// How much of it was given away.
    taken: usize,
    /// What is being read, for messages.
    place: String,
}

impl<R: Read> Reader<R> {
    /// Reads mark, version and header.
    ///
    /// # Errors
    /// Naming byte and section where the input is no snapshot or is damaged.
    pub fn new(mut input: R) -> Result<Self> {
        let (mut mark, mut version) = ([0; MARK.len()], [0; 4]);
        input
            .read_exact(&mut mark)
            .and_then(|()| input.read_exact(&mut version))
            .map_err(|error| ended(error, 0, "header"))?;
        if mark != *MARK {
            return Err(damaged("byte 0: this is no snapshot, it begins otherwise"));
        }
        let version = u32::from_le_bytes(version);
        if version != VERSION {
            return Err(Error::store(
                "bad_snapshot_format",
                format!("the snapshot has format {version}, this xfeed reads format {VERSION}"),
                "use the xfeed that wrote it, or make a new one with `xfeed snapshot create`",
            ));
        }
        let mut frames = Frames {
            input,
            position: START_LEN,
            checksum: first_checksum(version),
            frame: Vec::new(),
            taken: 0,
            place: "header".into(),
        };
        frames.expect(HEADER, "the header")?;
        let header = serde_json::from_slice(frames.content())
            .map_err(|error| frames.wrong(&format!("the header cannot be read: {error}")))?;
        Ok(Self { header, frames })
    }

    /// What the snapshot says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next section, which must be called `name` and be used up by `read`.
    ///
    /// # Errors
    /// Naming byte and section of what is wrong.
    pub fn section<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut SectionReader<'_, R>) -> Result<T>,
    ) -> Result<T> {
        let frames = &mut self.frames;
        name.clone_into(&mut frames.place);
        frames.expect(SECTION, "its beginning")?;
        if frames.content() != name.as_bytes() {
            let found = String::from_utf8_lossy(frames.content()).into_owned();
            return Err(frames.wrong(&format!("section `{found}` is in its place")));
        }
        frames.taken = frames.frame.len();
        let mut section = SectionReader {
            frames,
            length: 0,
            is_done: false,
            failed: None,
        };
        let result = read(&mut section);
        if let Some(failed) = section.failed.take() {
            return Err(failed);
        }
        match result {
            Ok(value) if section.read(&mut [0]).map_err(Error::from)? == 0 => Ok(value),
            Ok(_) => Err(self.frames.wrong("bytes are left over")),
            Err(error) if error.code == "bad_snapshot" => Err(self.frames.wrong(&error.message)),
            Err(error) => Err(error),
        }
    }

    /// Reads the end; nothing may follow.
    ///
    /// # Errors
    /// When something follows.
    pub fn finish(self) -> Result<Header> {
        let mut frames = self.frames;
        "end".clone_into(&mut frames.place);
        let position = frames.position;
        frames.expect(END, "the end")?;
        if frames.content() != position.to_le_bytes() {
            return Err(frames.wrong("the end does not know how long the file is"));
        }
        if frames.input.read(&mut [0])? > 0 {
            return Err(frames.wrong("bytes follow the end"));
        }
        Ok(self.header)
    }
}

impl<R: Read> Frames<R> {
    fn content(&self) -> &[u8] {
        self.frame.get(HEAD_LEN..).unwrap_or_default()
    }

    fn tag(&self) -> Option<u8> {
        self.frame.first().copied()
    }

    fn wrong(&self, what: &str) -> Error {
        let (place, position) = (&self.place, self.position);
        damaged(format!("section `{place}` before byte {position}: {what}"))
    }

    fn expect(&mut self, tag: u8, what: &str) -> Result<()> {
        self.advance()?;
        if self.tag() == Some(tag) {
            Ok(())
        } else {
            Err(self.wrong(&format!("{what} was expected here")))
        }
    }

    /// Reads the next frame and checks it.
    fn advance(&mut self) -> Result<()> {
        let start = self.position;
        let mut head = [0; HEAD_LEN];
        self.input
            .read_exact(&mut head)
            .map_err(|error| ended(error, start, &self.place))?;
        let [_, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_CONTENT {
            let place = &self.place;
            return Err(damaged(format!(
                "section `{place}` at byte {start}: a frame claims {length} bytes, at most \
                 {MAX_CONTENT} are possible"
            )));
        }
        self.frame.resize(HEAD_LEN + length, 0);
        self.frame[..HEAD_LEN].copy_from_slice(&head);
        let mut checksum = Checksum::default();
        self.input
            .read_exact(&mut self.frame[HEAD_LEN..])
            .and_then(|()| self.input.read_exact(&mut checksum))
            .map_err(|error| ended(error, start, &self.place))?;
        self.checksum = next_checksum(&self.checksum, &self.frame);
        if self.checksum != checksum {
            let place = &self.place;
            return Err(damaged(format!(
                "section `{place}` at byte {start}: the checksum does not match"
            )));
        }
        self.taken = HEAD_LEN;
        self.position += (self.frame.len() + checksum.len()) as u64;
        Ok(())
    }
}

/// The input failed or ended in a frame that begins at `start`.
fn ended(error: io::Error, start: u64, place: &str) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        damaged(format!(
            "section `{place}` at byte {start}: the file ends too early"
        ))
    } else {
        error.into()
    }
}

/// Gives the bytes of one section, then nothing.
#[derive(Debug)]
pub struct SectionReader<'a, R: Read> {
    frames: &'a mut Frames<R>,
    /// Bytes in the frames so far.
    length: u64,
    is_done: bool,
    /// The first thing that went wrong; whoever reads may have lost it on the way.
    failed: Option<Error>,
}

impl<R: Read> SectionReader<'_, R> {
    fn advance(&mut self) -> Result<()> {
        let frames = &mut *self.frames;
        frames.advance()?;
        match frames.tag() {
            Some(DATA) => self.length += frames.content().len() as u64,
            Some(SECTION_END) if frames.content() == self.length.to_le_bytes() => {
                self.is_done = true;
            }
            _ => return Err(frames.wrong("the end of the section was expected here")),
        }
        Ok(())
    }
}

impl<R: Read> Read for SectionReader<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.is_done && self.frames.taken == self.frames.frame.len() {
            if let Err(error) = self.advance() {
                self.is_done = true;
                self.failed = Some(error.clone());
                return Err(io::Error::other(error));
            }
        }
        if self.is_done {
            return Ok(0);
        }
        let rest = &self.frames.frame[self.frames.taken..];
        let given = rest.len().min(into.len());
        into[..given].copy_from_slice(&rest[..given]);
        self.frames.taken += given;
        Ok(given)
    }
}
