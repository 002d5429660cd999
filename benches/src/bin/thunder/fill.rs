//! One store in a process of its own: how fast it takes posts, how much memory they need, and, for
//! ours, how long a snapshot takes beside a plain copy of the same bytes.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use xfeed_bench::published::Published;
use xfeed_bench::sides::{CHUNK, Ours, Side, fill, settings};
use xfeed_bench::timing::{resident, secs};
use xfeed_bench::workload::{SPAN_MS, Workload};
use xfeed_core::thunder::PostStore;

const BUFFER: usize = 1 << 20;

fn filled(side: &dyn Side, workload: &Workload) -> Value {
    // Full once before anything is counted, so that its pages are not taken for the store's.
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
    let folder = std::env::temp_dir().join(format!("xfeed-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let snapshot = side.shared().freeze(|store| {
        found["counted_bytes_per_post"] =
            json!(store.used_bytes() as f64 / workload.n_posts() as f64);
        snapshot(store, &folder)
    });
    fs::remove_dir_all(&folder)?;
    found["snapshot"] = snapshot?;
    Ok(found)
}

/// Seconds to write and to read a snapshot, and the same bytes as they are; files are synced to the
/// disk, and reads find them in the memory of the system.
fn snapshot(store: &PostStore, folder: &Path) -> io::Result<Value> {
    let path = folder.join("snapshot");
    let start = Instant::now();
    let mut out = BufWriter::with_capacity(BUFFER, File::create_new(&path)?);
    store.encode(&mut out)?;
    out.into_inner()?.sync_all()?;
    let write_secs = secs(start);

    let start = Instant::now();
    let mut input = BufReader::with_capacity(BUFFER, File::open(&path)?);
    let loaded = PostStore::decode(&mut input, settings()).map_err(io::Error::other)?;
    let load_secs = secs(start);
    assert!(
        loaded.digest() == store.digest(),
        "the snapshot holds another state"
    );
    drop(loaded);

    let start = Instant::now();
    let bytes = fs::read(&path)?;
    let plain_load_secs = secs(start);
    let start = Instant::now();
    let mut plain = File::create_new(folder.join("plain"))?;
    plain.write_all(&bytes)?;
    plain.sync_all()?;
    let plain_write_secs = secs(start);
    Ok(json!({
        "bytes": bytes.len(),
        "write_secs": write_secs, "plain_write_secs": plain_write_secs,
        "load_secs": load_secs, "plain_load_secs": plain_load_secs,
    }))
}
