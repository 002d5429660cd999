//! Random rows of an embedding table: the gather of xfeed, a bare loop that reads the same rows, and a
//! plain copy of them, each in one thread and in two. Prints JSON.
//!
//! `embed <table rows> <width> <gathered rows> <repetitions>`

use std::env;
use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};
use xfeed_core::embed::{Dtype, EmbeddingTable};

type Problem = Box<dyn std::error::Error>;

/// Bytes that travel together.
const LINE: usize = 64;

/// Calls before those that count.
const WARM_UP: usize = 5;

/// Microseconds of single calls.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        result
    }

    /// Median, and the shortest: what is left when other programs are quiet.
    fn report(mut self) -> Value {
        self.0.sort_unstable_by(f64::total_cmp);
        json!({"p50_us": self.0.get(self.0.len() / 2), "min_us": self.0.first()})
    }
}

/// Reads one word of every line of the rows, which is what memory delivers; the sum only keeps the
/// compiler from leaving it out. Few instructions, so that the processor sees many rows ahead.
fn bare_read(cells: &[u8], rows: &[u32], len: usize) -> u64 {
    let mut total = 0_u64;
    for row in rows {
        let start = *row as usize * len;
        for line in cells[start..start + len].as_chunks::<LINE>().0 {
            let word = line.first_chunk().copied().unwrap_or_default();
            total = total.wrapping_add(u64::from_le_bytes(word));
        }
    }
    total
}

/// Copies the rows with the memory copy of the standard library.
fn bare_copy(cells: &[u8], rows: &[u32], len: usize, out: &mut [u8]) {
    for (row, target) in rows.iter().zip(out.chunks_exact_mut(len)) {
        let start = *row as usize * len;
        target.copy_from_slice(&cells[start..start + len]);
    }
}

/// Fresh rows in every repetition, so that none is in a cache because it was just read.
fn random_rows(dice: &mut u64, n_rows: u32, n: usize) -> Vec<u32> {
    (0..n)
        .map(|_| {
            *dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((*dice >> 33) % u64::from(n_rows)).unwrap_or(0)
        })
        .collect()
}

fn halves<T>(items: &[T]) -> (&[T], &[T]) {
    items.split_at(items.len() / 2)
}

fn measure(
    table: &EmbeddingTable,
    n: usize,
    repetitions: usize,
    threads: usize,
) -> Result<Value, Problem> {
    let cells = table.cells();
    let len = table.width() * table.dtype().size();
    let (mut out, mut bytes) = (
        vec![0.0_f32; n * table.width() + LINE],
        vec![0_u8; n * len + LINE],
    );
    // The sides write to whole lines, as into memory that comes from torch.
    let (start, byte) = (
        out.as_ptr().align_offset(LINE),
        bytes.as_ptr().align_offset(LINE),
    );
    let out = &mut out[start..start + n * table.width()];
    let bytes = &mut bytes[byte..byte + n * len];
    let (mut gather, mut read, mut copy) = (Times::default(), Times::default(), Times::default());
    let mut dice = 7;
    for repetition in 0..repetitions + WARM_UP {
        if repetition == WARM_UP {
            (gather, read, copy) = (Times::default(), Times::default(), Times::default());
        }
        let rows = random_rows(&mut dice, table.n_rows(), n);
        gather.time(|| table.gather(&rows, threads, out))?;
        let rows = random_rows(&mut dice, table.n_rows(), n);
        let (low, high) = halves(&rows);
        let total = read.time(|| match threads {
            1 => bare_read(cells, &rows, len),
            _ => {
                let work = || bare_read(cells, high, len);
                let (a, b) = rayon::join(|| bare_read(cells, low, len), work);
                a.wrapping_add(b)
            }
        });
        black_box(total);
        let rows = random_rows(&mut dice, table.n_rows(), n);
        let (low, high) = halves(&rows);
        let (start, end) = bytes.split_at_mut(low.len() * len);
        copy.time(|| match threads {
            1 => {
                bare_copy(cells, low, len, start);
                bare_copy(cells, high, len, end);
            }
            _ => {
                rayon::join(
                    || bare_copy(cells, low, len, start),
                    || bare_copy(cells, high, len, end),
                );
            }
        });
    }
    Ok(json!({
        "threads": threads,
        "bytes": n * len,
        "gather": gather.report(),
        "bare_read": read.report(),
        "bare_copy": copy.report(),
    }))
}

fn main() -> Result<(), Problem> {
    let given: Vec<usize> = env::args()
        .skip(1)
        .map(|it| it.parse())
        .collect::<Result<_, _>>()?;
    let &[n_rows, width, n, repetitions] = given.as_slice() else {
        return Err("embed <table rows> <width> <gathered rows> <repetitions>".into());
    };
    let values: Vec<f32> = (0..=250_u8)
        .map(f32::from)
        .cycle()
        .take(n_rows * width)
        .collect();
    let mut found = Vec::new();
    for dtype in Dtype::ALL {
        let table = EmbeddingTable::from_f32(&values, width, dtype)?;
        for threads in [1, 2] {
            let mut result = measure(&table, n, repetitions, threads)?;
            result["dtype"] = json!(dtype.name());
            found.push(result);
        }
    }
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("{}", Value::from(found));
    }
    Ok(())
}
