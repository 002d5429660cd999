//! The native half of the Thunder bench; `benches/python/bench_thunder.py` runs it and reads what it
//! prints, which is one JSON object.
//!
//! ```text
//! thunder digest|reads|redis|ours|published N_AUTHORS N_POSTS [quick]
//! ```

#![expect(
    clippy::cast_precision_loss,
    reason = "figures of a bench are never that exact"
)]

mod fill;
mod reads;
mod redis;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use xfeed_bench::workload::Workload;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    /// Viewers that follow 100 or 1,000 accounts; half as many follow 5,000.
    viewers: u64,
    /// Seconds that each side is timed for in one workload.
    secs: f64,
    /// Posts that come in while readers read.
    incoming: u64,
}

const FULL: Effort = Effort {
    viewers: 200,
    secs: 1.5,
    incoming: 2_000_000,
};

const QUICK: Effort = Effort {
    viewers: 10,
    secs: 0.1,
    incoming: 50_000,
};

fn run(words: &[String]) -> Result<Value, String> {
    let usage = || "usage: thunder digest|reads|redis|ours|published N_AUTHORS N_POSTS [quick]";
    let [job, authors, posts, rest @ ..] = words else {
        return Err(usage().to_owned());
    };
    let number = |text: &String| {
        text.parse()
            .map_err(|_| format!("`{text}` is not a number"))
    };
    let workload = Workload::new(number(authors)?, number(posts)?);
    let effort = if rest.is_empty() { FULL } else { QUICK };
    match job.as_str() {
        "digest" => Ok(json!({"digest": workload.digest()})),
        "reads" => Ok(reads::run(&workload, effort)),
        "redis" => redis::run(&workload, effort).map_err(|error| error.to_string()),
        "ours" => fill::ours(&workload).map_err(|error| error.to_string()),
        "published" => Ok(fill::published(&workload)),
        _ => Err(usage().to_owned()),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mut sink, text, code): (Box<dyn Write>, _, _) = match run(&words) {
        Ok(found) => (Box::new(io::stdout()), found.to_string(), ExitCode::SUCCESS),
        Err(message) => (Box::new(io::stderr()), message, ExitCode::FAILURE),
    };
    match writeln!(sink, "{text}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
