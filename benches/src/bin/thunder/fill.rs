//! One store in a process of its own: how fast it takes posts, how much memory they need, and, for
//! ours, how long a snapshot takes beside a plain copy of the same bytes.

use std::io;

use serde_json::{Value, json};
use xfeed_bench::published::Published;
use xfeed_bench::sides::{CHUNK, Ours, Side, fill};
use xfeed_bench::timing::resident;
use xfeed_bench::workload::{SPAN_MS, Workload};

fn filled(side: &dyn Side, workload: &Workload) -> Value {
    // Filled and emptied once, so that its pages are there before anything is counted.
    let mut buffer: Vec<_> = (0..CHUNK as u64).map(|row| workload.record(row)).collect();
    let (before, _) = resident();
    let took = fill(side, workload, &mut buffer);
    let (after, peak) = resident();
    let n_posts = workload.n_posts() as f64;
    json!({
        "posts_per_s": n_posts / took,
        "bytes_per_post": after.saturating_sub(before) as f64 / n_posts,
        "peak_bytes_per_post": peak.saturating_sub(before) as f64 / n_posts,
    })
}

pub(crate) fn published(workload: &Workload) -> Value {
    filled(&Published::new(4 * SPAN_MS), workload)
}

pub(crate) fn ours(workload: &Workload) -> io::Result<Value> {
    let side = Ours::new();
    let mut found = filled(&side, workload);
    let store = side.into_inner();
    found["counted_bytes_per_post"] =
        json!(store.read(|store| store.used_bytes()) as f64 / workload.n_posts() as f64);
    Ok(found)
}
