//! Everything that decodes bytes, on valid bytes and on bytes that were damaged in many ways; the
//! targets are those of `make fuzz`. What a fuzzer ever found lies in `fuzz/found` and is tried again.
#![cfg(not(loom))]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/targets.rs"]
mod targets;

const LINES: &str = include_str!("../../../fuzz/seeds/events.jsonl");

fn run(target: &str, bytes: &[u8]) {
    match target {
        "json" => targets::json(bytes),
        "protobuf" => targets::protobuf(bytes),
        "snapshot" => targets::snapshot(bytes),
        "store" => targets::store(bytes),
        "tensors" => targets::tensors(bytes),
        "index" => targets::index(bytes),
        other => panic!("there is no target `{other}`"),
    }
}

/// SplitMix64: the same damage in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value ^ (value >> 27)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).expect("below a length")
    }
}

/// Between one and four times: another bit, another byte, bytes gone, doubled, or from elsewhere.
fn damage(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        let end = (at + 1 + dice.below(16)).min(bytes.len());
        match dice.below(6) {
            _ if bytes.is_empty() => bytes.extend_from_slice(other),
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(end),
            _ => {
                let from = dice.below(other.len());
                let part = &other[from..other.len().min(from + 24)];
                bytes.splice(at..end, part.iter().copied());
            }
        }
    }
}

fn rounds() -> u64 {
    let many = std::env::var("XFEED_DAMAGE_ROUNDS").ok();
    many.map_or(60, |many| many.parse().expect("a number"))
}

#[test]
fn valid_bytes_are_accepted() {
    let accepted = |line: &str| xfeed_core::event::decode(line.as_bytes(), None).is_ok();
    assert!(LINES.lines().all(accepted));
    for (target, bytes) in targets::seeds(LINES) {
        run(target, &bytes);
        if target == "snapshot" {
            assert!(xfeed_core::world::World::read_snapshot(&*bytes, None).is_ok());
            assert_eq!(targets::seal(&bytes), bytes);
        }
    }
}

#[test]
fn damaged_bytes_are_refused_or_mean_something_and_never_panic() {
    let seeds = targets::seeds(LINES);
    let mut dice = Dice(7);
    for (target, bytes) in &seeds {
        let of_this_kind = |seed: &&(&str, Vec<u8>)| seed.0 == *target;
        let others: Vec<_> = seeds.iter().filter(of_this_kind).collect();
        let alone = if others.len() == 1 { 40 } else { 1 };
        for _ in 0..rounds() * alone {
            let mut damaged = bytes.clone();
            damage(&mut damaged, &others[dice.below(others.len())].1, &mut dice);
            run(target, &damaged);
        }
    }
}

#[test]
fn an_event_cut_at_every_length_or_changed_in_every_byte_does_no_harm() {
    for (target, bytes) in targets::seeds(LINES) {
        if bytes.len() < 300 {
            for at in 0..bytes.len() {
                run(target, &bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_add(1);
                run(target, &changed);
            }
        }
    }
}

#[test]
fn what_a_fuzzer_found_stays_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/found");
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (target, _) = name.split_once('-').expect("named `<target>-<what>`");
        run(target, &fs::read(&path).expect("it can be read"));
    }
}
