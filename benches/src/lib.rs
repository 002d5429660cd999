//! The Rust side of the benches: a workload that Python makes as well, number for number, the
//! published layout to compare the store with, and how both are timed.

pub mod published;
pub mod redis;
pub mod sides;
pub mod timing;
pub mod workload;
