//! Our store beside sorted sets in Redis: originals alone, where both must give the same answer, and
//! both lists, where Redis knows no rule for replies.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};
use xfeed_bench::redis::{ORIGINALS, Redis, SECONDARY};
use xfeed_bench::sides::{CHUNK, LIMITS, Ours, Side, Want, fill};
use xfeed_bench::timing::{Times, secs};
use xfeed_bench::workload::Workload;
use xfeed_core::thunder::Record;

use crate::Effort;
use crate::reads::{FOLLOWED, requests};

const ROUNDS: usize = 2;

pub(crate) fn run(workload: &Workload, effort: Effort) -> io::Result<Value> {
    let Some(mut redis) = Redis::start()? else {
        return Ok(Value::Null);
    };
    let ours = Ours::new();
    let mut buffer: Vec<Record> = Vec::with_capacity(CHUNK);
    fill(&ours, workload, &mut buffer);
    let (bytes_per_post, posts_per_s) = fill_redis(&mut redis, workload, &mut buffer)?;
    let originals = [(ORIGINALS, LIMITS.max_originals_per_author)];
    let both = [originals[0], (SECONDARY, LIMITS.max_secondary_per_author)];
    let n = LIMITS.max_results;
    let mut rows = Vec::new();
    for n_followed in FOLLOWED {
        let asked = requests(workload, &[], effort.viewers / 2, n_followed, 0);
        let mut times: [Times; 4] = Default::default();
        // As with the other peer each side answers everybody in turn; the first round warms up.
        for round in 0..=ROUNDS {
            let mut answers = Vec::new();
            for request in &asked {
                let following = request.following();
                answers.push(times[0].time(|| redis.newest(following, &originals, n))?);
            }
            for (request, theirs) in asked.iter().zip(&answers) {
                let same = times[1].time(|| ours.newest(request, Want::Originals));
                assert!(same == *theirs, "the originals of Redis and ours differ");
            }
            for request in &asked {
                times[2].time(|| redis.newest(request.following(), &both, n))?;
            }
            for request in &asked {
                times[3].time(|| ours.newest(request, Want::All));
            }
            if round == 0 {
                times = Default::default();
            }
        }
        let [theirs, same, theirs_both, all] = times.map(Times::report);
        rows.push(
            json!({"followed": n_followed, "wanted": "originals", "ours": same, "redis": theirs}),
        );
        rows.push(
            json!({"followed": n_followed, "wanted": "all", "ours": all, "redis": theirs_both}),
        );
    }
    Ok(json!({"reads": rows, "bytes_per_post": bytes_per_post, "posts_per_s": posts_per_s}))
}

/// Bytes a post and posts a second.
fn fill_redis(
    redis: &mut Redis,
    workload: &Workload,
    buffer: &mut Vec<Record>,
) -> io::Result<(f64, f64)> {
    let empty_bytes = redis.used_bytes()?;
    let mut took = 0.0;
    for first in (0..workload.n_posts()).step_by(CHUNK) {
        let end = workload.n_posts().min(first + CHUNK as u64);
        buffer.clear();
        buffer.extend((first..end).map(|row| workload.record(row)));
        let start = Instant::now();
        redis.add(buffer)?;
        took += secs(start);
    }
    let bytes = redis.used_bytes()? - empty_bytes;
    let n_posts = workload.n_posts() as f64;
    Ok((bytes as f64 / n_posts, n_posts / took))
}
