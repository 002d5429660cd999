//! The engine of xfeed.

pub mod action;
pub mod embed;
pub mod error;

pub use error::{Error, ErrorKind, Result};
