//! The post store from outside: its public functions against a slow and plain program that says the
//! same (`naive`), its promises one by one, and input that somebody made to break it.

mod adversarial;
mod budget;
mod model;
mod naive;
mod operations;
mod order;
mod posts;
mod regressions;
