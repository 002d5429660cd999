//! Clocks, quantiles and memory.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Times of single calls, in nanoseconds.
#[derive(Default)]
pub struct Times(Vec<u64>);

impl Times {
    /// Calls `work` and keeps how long it took.
    pub fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        let took = start.elapsed().as_nanos();
        self.0.push(u64::try_from(took).unwrap_or(u64::MAX));
        result
    }

    /// Number of calls.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was timed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Median and 99th percentile in microseconds, and the number of calls.
    pub fn report(mut self) -> Value {
        self.0.sort_unstable();
        let micros = |percent: usize| {
            let place = self.0.len().saturating_sub(1) * percent / 100;
            let nanos = self.0.get(place).copied().unwrap_or(0);
            Duration::from_nanos(nanos).as_secs_f64() * 1e6
        };
        json!({"p50_us": micros(50), "p99_us": micros(99), "n": self.0.len()})
    }
}

/// Seconds since `start`.
pub fn secs(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// Bytes of this process in memory now, and the most there ever were.
///
/// # Panics
/// Where there is no `/proc`.
pub fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").expect("a Linux with /proc");
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a number of KiB")
    };
    (kib("VmRSS:") * 1024, kib("VmHWM:") * 1024)
}
