#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "every program runs one target")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::index(bytes));
