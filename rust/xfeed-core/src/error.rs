//! One error type for the engine. Every message says what was wrong, which value, what was allowed.

use std::fmt;

/// Result of every fallible engine call.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of thing went wrong; decides the Python exception class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// An array has the wrong length, width or order.
    Shape,
    /// A setting is outside its bounds or unknown.
    Config,
    /// An event or an id was refused at the border.
    Event,
    /// A file cannot be read, written or believed.
    Store,
}

/// An error with a stable code, a message for people and a hint for the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Which exception this becomes at the border.
    pub kind: ErrorKind,
    /// Stable, machine-readable code such as `bad_shape`.
    pub code: &'static str,
    /// What was wrong, with the value.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, " (hint: {})", self.hint)?;
        }
        Ok(())
    }
}

impl Error {
    /// Builds an error of any kind.
    pub fn new(
        kind: ErrorKind,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// An array that does not fit.
    pub fn shape(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, "bad_shape", message, hint)
    }

    /// A setting that cannot be used.
    pub fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, "bad_config", message, hint)
    }

    /// A file that cannot be used.
    pub fn store(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Store, code, message, hint)
    }
}

/// What a reader or writer failed with. One of ours that travelled inside comes out as it was.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(other) => Self::store(
                "io_failed",
                other.to_string(),
                "free disk space or mend the disk and try again",
            ),
        }
    }
}
