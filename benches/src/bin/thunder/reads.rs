//! Reads of our store beside the published layout: equal answers first, then times, alone and while
//! posts come in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use xfeed_bench::published::Published;
use xfeed_bench::sides::{CHUNK, Ours, Request, Side, Want, fill};
use xfeed_bench::timing::{Times, secs};
use xfeed_bench::workload::{SPAN_MS, Workload};
use xfeed_core::thunder::Record;

use crate::Effort;

pub(crate) const FOLLOWED: [usize; 3] = [100, 1_000, 5_000];
const EXCLUDED: [usize; 2] = [0, 10_000];
/// Viewers whose answers are compared before anything is timed.
const COMPARED: usize = 20;

pub(crate) fn requests(
    workload: &Workload,
    ranks: &[u32],
    n_viewers: u64,
    n_followed: usize,
    n_excluded: usize,
) -> Vec<Request> {
    let request = |number| {
        let viewer = workload.viewer(number, n_followed);
        let seen = workload.seen(&viewer, ranks, n_excluded);
        Request::new(&viewer, seen)
    };
    (0..n_viewers).map(request).collect()
}

pub(crate) fn run(workload: &Workload, effort: Effort) -> Value {
    let ours = Ours::new();
    let published = Published::new(4 * SPAN_MS);
    let mut buffer = Vec::with_capacity(CHUNK);
    fill(&ours, workload, &mut buffer);
    fill(&published, workload, &mut buffer);
    published.sort();
    let sides: [&dyn Side; 2] = [&ours, &published];
    let ranks = workload.ranks();
    let mut rows = Vec::new();
    for n_followed in FOLLOWED {
        for n_excluded in EXCLUDED {
            let viewers = if n_followed > 1_000 {
                effort.viewers / 2
            } else {
                effort.viewers
            };
            let asked = requests(workload, &ranks, viewers, n_followed, n_excluded);
            let results = compare(sides, &asked);
            let [ours, published] = in_turns(sides, &asked, effort).map(Times::report);
            rows.push(json!({
                "followed": n_followed, "excluded": n_excluded, "results": results,
                "ours": ours, "published": published,
            }));
        }
    }
    let asked = requests(workload, &ranks, effort.viewers, 1_000, 0);
    let incoming = effort.incoming;
    let end = workload.n_posts() + incoming;
    let records: Vec<Record> = (workload.n_posts()..end)
        .map(|row| workload.record(row))
        .collect();
    let [ours, published] = sides.map(|side| while_ingesting(side, &asked, &records, effort));
    json!({"reads": rows, "while_ingesting": {"ours": ours, "published": published}})
}

/// Mean length of the answers.
fn compare(sides: [&dyn Side; 2], asked: &[Request]) -> f64 {
    let mut n_results = 0;
    for (viewer, request) in asked.iter().enumerate().take(COMPARED) {
        let [ours, published] = sides.map(|side| side.newest(request, Want::All));
        assert!(
            ours == published,
            "viewer {viewer} gets different answers: {}",
            differences(&ours, &published)
        );
        n_results += ours.len();
    }
    n_results as f64 / asked.len().min(COMPARED) as f64
}

fn differences(ours: &[u64], published: &[u64]) -> String {
    let place = ours
        .iter()
        .zip(published)
        .position(|(ours, published)| ours != published);
    format!(
        "{} and {} posts, first difference at {place:?}",
        ours.len(),
        published.len()
    )
}

/// Every side answers everybody, then the other does, and who begins changes: no side finds the
/// caches that it needs next warmed by the other.
fn in_turns(sides: [&dyn Side; 2], asked: &[Request], effort: Effort) -> [Times; 2] {
    let mut times = [Times::default(), Times::default()];
    let mut spent = [0.0; 2];
    let mut round = 0;
    // The first round warms up. A slow side may need more than its time for one round.
    while round < 2 || spent.iter().any(|secs| *secs < effort.secs) {
        for which in [round % 2, (round + 1) % 2] {
            if round > 1 && spent[which] >= effort.secs {
                continue;
            }
            let start = Instant::now();
            for request in asked {
                times[which].time(|| sides[which].newest(request, Want::All));
            }
            if round == 0 {
                times[which] = Times::default();
            } else {
                spent[which] += secs(start);
            }
        }
        round += 1;
    }
    times
}

fn while_ingesting(
    side: &dyn Side,
    asked: &[Request],
    records: &[Record],
    effort: Effort,
) -> Value {
    let mut idle = Times::default();
    let start = Instant::now();
    while secs(start) < effort.secs {
        for request in asked {
            idle.time(|| side.newest(request, Want::All));
        }
    }
    let mut busy = Times::default();
    let done = AtomicBool::new(false);
    let took = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let start = Instant::now();
            for chunk in records.chunks(CHUNK) {
                side.insert(chunk);
            }
            done.store(true, Ordering::Release);
            secs(start)
        });
        for request in asked.iter().cycle() {
            if done.load(Ordering::Acquire) {
                break;
            }
            busy.time(|| side.newest(request, Want::All));
        }
        writer.join().expect("the writer does not panic")
    });
    json!({
        "idle": idle.report(), "busy": busy.report(),
        "posts_per_s": records.len() as f64 / took,
    })
}
