//! Writes valid bytes for every target below the folder that is given: where the fuzzer starts.

#[path = "targets.rs"]
#[allow(dead_code, reason = "every program uses its part")]
mod targets;

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    let seeds = targets::seeds(include_str!("seeds/events.jsonl"));
    for (number, (target, bytes)) in seeds.into_iter().enumerate() {
        let target = Path::new(&folder).join(target);
        fs::create_dir_all(&target)?;
        fs::write(target.join(format!("seed-{number}")), bytes)?;
    }
    Ok(())
}
