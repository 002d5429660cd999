//! Reads of originals from our store beside sorted sets in Redis.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};
use xfeed_bench::redis::Redis;
use xfeed_bench::sides::{CHUNK, MAX_RESULTS, Ours, Side, Want, fill};
use xfeed_bench::timing::{Times, secs};
use xfeed_bench::workload::Workload;
use xfeed_core::event::PostKind;
use xfeed_core::thunder::Record;

use crate::Effort;
use crate::reads::requests;

const FOLLOWED: [usize; 3] = [100, 1_000, 5_000];
const CAP: usize = 50;
const ROUNDS: usize = 3;

pub(crate) fn run(workload: &Workload, effort: Effort) -> io::Result<Value> {
    let Some(mut redis) = Redis::start()? else {
        return Ok(Value::Null);
    };
    let ours = Ours::new();
    let mut buffer: Vec<Record> = Vec::with_capacity(CHUNK);
    fill(&ours, workload, &mut buffer);
    let empty_bytes = redis.used_bytes()?;
    let start = Instant::now();
    let mut n_originals = 0;
    for first in (0..workload.n_posts()).step_by(CHUNK) {
        let end = workload.n_posts().min(first + CHUNK as u64);
        buffer.clear();
        let rows = (first..end).map(|row| workload.record(row));
        buffer.extend(rows.filter(|record| record.kind == PostKind::Original));
        redis.add(&buffer)?;
        n_originals += buffer.len();
    }
    let fill_secs = secs(start);
    let bytes_per_post = (redis.used_bytes()? - empty_bytes) as f64 / n_originals as f64;
    let mut rows = Vec::new();
    for n_followed in FOLLOWED {
        let asked = requests(workload, &[], effort.viewers / 4, n_followed, 0);
        let mut times: [Times; 3] = Default::default();
        for _ in 0..ROUNDS {
            for request in &asked {
                let following = request.following();
                let theirs = times[0].time(|| redis.newest(following, CAP, MAX_RESULTS))?;
                let same = times[1].time(|| ours.newest(request, Want::Originals));
                assert!(same == theirs, "answers differ");
                times[2].time(|| ours.newest(request, Want::All));
            }
        }
        let [redis, originals, all] = times.map(Times::report);
        rows.push(json!({
            "followed": n_followed, "redis": redis, "ours": originals, "ours_all": all,
        }));
    }
    Ok(json!({"reads": rows, "bytes_per_post": bytes_per_post, "fill_secs": fill_secs}))
}
