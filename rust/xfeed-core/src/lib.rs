//! The engine of xfeed: everything that has to be fast or has to be right, without Python.
//!
//! Reading order, which is also the direction of the arrows: [`ids`], [`clock`], [`action`],
//! [`error`] know nothing; [`event`] checks what comes in; [`thunder`], [`world`] and [`embed`] hold
//! state; [`vectors`] searches and [`phoenix`] computes what models need; [`query`], [`batch`] and
//! [`verdict`] are one request; [`stage`], [`filters`], [`scorers`] and [`selectors`] work on it;
//! [`registry`] is the table of filters.
//!
//! Nothing here reads a clock or opens a socket, and only [`embed`] opens files, to map tables: time
//! and bytes come in as arguments, so that equal inputs give equal answers.

pub mod action;
pub mod batch;
pub mod clock;
mod digest;
pub mod embed;
pub mod error;
pub mod event;
pub mod filters;
pub mod ids;
pub mod keywords;
pub mod phoenix;
pub mod query;
pub mod rate_limit;
pub mod registry;
pub mod scorers;
pub mod selectors;
pub mod shared;
pub mod simd;
pub mod snapshot;
pub mod stage;
pub mod thunder;
pub mod vectors;
pub mod verdict;
mod workers;
pub mod world;

pub use error::{Error, ErrorKind, Result};
