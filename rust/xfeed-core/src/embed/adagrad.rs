//! Row-wise AdaGrad: the optimizer of embedding tables, which touches only the rows that a step used.
//!
//! For a row with gradient `g`: `a = a * 2^(-d / half life) + mean(g^2)` and
//! `row = row * exp(-d * weight decay) - rate * g / (sqrt(a) + 1e-10)`, where `d` is 1, or with lazy decay
//! the number of steps since the row was last touched (for the first time: since step 0). One
//! accumulator per row, not per number, so the state is a small part of the table (Duchi et al., 2011,
//! in the form of the published training; decay is decoupled from the gradient). In a bfloat16 table the
//! gradient, the decayed row, the update and their difference are each rounded to bfloat16.
//!
//! Rows are independent, so the result does not depend on the number of threads. Row 0 is padding and
//! stays as it is.
#![expect(
    clippy::inline_always,
    reason = "what `simd_fn!` calls must be inlined, else it keeps narrow instructions"
)]

use super::cells::{Bfloat16, Dtype, Float32, Trained};
use super::table::EmbeddingTable;
use crate::error::{Error, ErrorKind, Result};
use crate::simd::simd_fn;
use crate::workers::Workers;

/// Keeps the first division finite.
const EPS: f32 = 1e-10;

/// Largest step. A row moves by at most `rate * sqrt(width)` then, so 2^32 steps cannot make it infinite.
const MAX_RATE: f32 = 1e6;

/// Rows that one task updates.
const TASK_ROWS: usize = 1 << 9;

/// How old accumulators and rows fade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    /// Steps after which an accumulator counts half; None for never.
    pub half_life_steps: Option<f64>,
    /// Rate at which touched rows fade.
    pub weight_decay: f64,
    /// Whether a touched row catches up on the steps in which it was not touched.
    pub is_lazy: bool,
}

/// The state of the optimizer of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct RowAdagrad {
    decay: Decay,
    accumulators: Vec<f32>,
    /// Step that touched a row last; 0 before any did.
    touched: Vec<u32>,
}

impl RowAdagrad {
    /// The state before the first step on a table of `n_rows` rows.
    ///
    /// # Errors
    /// When the half-life is not positive or the weight decay negative.
    pub fn new(n_rows: u32, decay: Decay) -> Result<Self> {
        let half_life = decay.half_life_steps.unwrap_or(1.0);
        if !(half_life > 0.0 && decay.weight_decay >= 0.0 && decay.weight_decay.is_finite()) {
            return Err(Error::config(
                format!(
                    "half-life `{half_life}` and weight decay `{}`",
                    decay.weight_decay
                ),
                "use a half-life above 0 (or none) and a weight decay of at least 0",
            ));
        }
        let n_rows = n_rows as usize;
        Ok(Self {
            decay,
            accumulators: vec![0.0; n_rows],
            touched: vec![0; n_rows],
        })
    }

    /// One accumulator per row, and the step that touched it last.
    pub fn state(&self) -> (&[f32], &[u32]) {
        (&self.accumulators, &self.touched)
    }

    /// Takes a state up again.
    ///
    /// # Errors
    /// When a length does not fit, or an accumulator is negative or not finite.
    pub fn set_state(&mut self, accumulators: &[f32], touched: &[u32]) -> Result<()> {
        let n_rows = self.accumulators.len();
        if accumulators.len() != n_rows || touched.len() != n_rows {
            return Err(Error::shape(
                format!(
                    "{} accumulators, {} steps",
                    accumulators.len(),
                    touched.len()
                ),
                format!("give {n_rows} of each, one per row"),
            ));
        }
        if let Some(row) = accumulators
            .iter()
            .position(|sum| !(sum.is_finite() && *sum >= 0.0))
        {
            return Err(bad_gradient(row, "accumulator"));
        }
        self.accumulators.copy_from_slice(accumulators);
        self.touched.copy_from_slice(touched);
        Ok(())
    }

    /// Updates the rows `rows` (strictly ascending) of `table` by their gradients (`width` each), as
    /// step number `step`, counted from 0.
    ///
    /// # Errors
    /// When a length or the order does not fit, the table is mapped or of another dtype than float32 and
    /// bfloat16, or a gradient is not finite; nothing has changed then.
    pub fn step(
        &mut self,
        table: &mut EmbeddingTable,
        rows: &[u32],
        gradients: &[f32],
        step: u32,
        rate: f32,
    ) -> Result<()> {
        let width = table.width();
        self.check(table, rows, gradients, rate)?;
        let n_rows = table.n_rows() as usize;
        let len = width * table.dtype().size();
        let dtype = table.dtype();
        let Some(cells) = table.cells.bytes_mut() else {
            return Err(not_trainable("mapped"));
        };
        let skip = usize::from(rows.first() == Some(&0));
        let work = Work {
            cells: &mut cells[..n_rows * len],
            accumulators: &mut self.accumulators,
            touched: &mut self.touched,
            first_row: 0,
            rows: &rows[skip..],
            gradients: &gradients[skip * width..],
        };
        let plan = Plan {
            dtype,
            width,
            decay: self.decay,
            step,
            rate,
        };
        let mut tasks = Vec::new();
        work.split(&plan, &mut tasks);
        let workers = match tasks.len() {
            0 | 1 => Workers::Caller,
            _ => Workers::of_machine(),
        };
        workers.each(tasks, |work| update(work, &plan));
        Ok(())
    }

    fn check(
        &self,
        table: &EmbeddingTable,
        rows: &[u32],
        gradients: &[f32],
        rate: f32,
    ) -> Result<()> {
        let width = table.width();
        if self.accumulators.len() != table.n_rows() as usize {
            return Err(Error::shape(
                format!(
                    "{} accumulators, {} rows",
                    self.accumulators.len(),
                    table.n_rows()
                ),
                "make one optimizer for each table, with its number of rows",
            ));
        }
        if rows.len().checked_mul(width) != Some(gradients.len()) {
            return Err(Error::shape(
                format!(
                    "{} floats of gradient for {} rows",
                    gradients.len(),
                    rows.len()
                ),
                format!("give gradients of shape ({}, {width})", rows.len()),
            ));
        }
        table.check_rows(rows)?;
        if let Some(at) = (1..rows.len()).find(|at| rows[at - 1] >= rows[*at]) {
            return Err(Error::shape(
                format!("row `{}` comes after row `{}`", rows[at], rows[at - 1]),
                "add up the gradients of equal rows and sort, as np.unique does",
            ));
        }
        if !matches!(table.dtype(), Dtype::Float32 | Dtype::Bfloat16) {
            return Err(not_trainable(table.dtype().name()));
        }
        if !(-MAX_RATE..=MAX_RATE).contains(&rate) {
            return Err(Error::config(
                format!("the rate `{rate}` does not lie in -{MAX_RATE} to {MAX_RATE}"),
                "use a smaller rate",
            ));
        }
        let bad = rows.iter().zip(gradients.chunks_exact(width));
        match bad
            .into_iter()
            .find(|(_, gradient)| !mean_square(gradient).is_finite())
        {
            Some((row, _)) => Err(bad_gradient(*row as usize, "gradient")),
            None => Ok(()),
        }
    }
}

fn bad_gradient(row: usize, what: &str) -> Error {
    Error::new(
        ErrorKind::Shape,
        "not_finite",
        format!("the {what} of row `{row}` is not a number that can be used"),
        "leave this step out; a smaller rate or clipped gradients help",
    )
}

fn not_trainable(what: &str) -> Error {
    Error::config(
        format!("a table that is {what} cannot be trained"),
        "train an owned table of float32 or bfloat16, then store it as you like",
    )
}

simd_fn! {
    /// Mean of squares.
    fn mean_square(values: &[f32]) -> f32 {
        mean_square_of::<Float32>(values)
    }
}

/// Mean of squares of what the table's dtype leaves of `values`, in sixteen sums.
#[inline(always)]
fn mean_square_of<C: Trained>(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (parts, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            let value = C::round(*value);
            *sum += value * value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        let value = C::round(*value);
        *sum += value * value;
    }
    #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^24")]
    let n = values.len() as f32;
    sums.iter().sum::<f32>() / n
}

struct Plan {
    dtype: Dtype,
    width: usize,
    decay: Decay,
    step: u32,
    rate: f32,
}

impl Plan {
    /// Factors of the accumulator and of the row.
    #[inline(always)]
    fn fade(&self, touched: u32) -> (f32, f32) {
        let steps = if self.decay.is_lazy {
            self.step.saturating_sub(touched)
        } else {
            1
        };
        let steps = f64::from(steps);
        let half_life = self.decay.half_life_steps;
        #[expect(clippy::cast_possible_truncation, reason = "both are between 0 and 1")]
        let factors = (
            half_life.map_or(1.0, |half_life| (-steps / half_life).exp2() as f32),
            (-steps * self.decay.weight_decay).exp() as f32,
        );
        factors
    }
}

/// A range of the table and the rows in it that change.
struct Work<'a> {
    cells: &'a mut [u8],
    accumulators: &'a mut [f32],
    touched: &'a mut [u32],
    first_row: u32,
    rows: &'a [u32],
    gradients: &'a [f32],
}

impl<'a> Work<'a> {
    /// Halves the work until it is small. Rows ascend, so the halves are ranges of the table.
    fn split(self, plan: &Plan, tasks: &mut Vec<Work<'a>>) {
        if self.rows.len() <= TASK_ROWS {
            return tasks.push(self);
        }
        let middle = self.rows.len() / 2;
        let cut = self.rows[middle];
        let at = (cut - self.first_row) as usize;
        let (cells, more_cells) = self.cells.split_at_mut(at * plan.width * plan.dtype.size());
        let (accumulators, more_accumulators) = self.accumulators.split_at_mut(at);
        let (touched, more_touched) = self.touched.split_at_mut(at);
        let (rows, more_rows) = self.rows.split_at(middle);
        let (gradients, more_gradients) = self.gradients.split_at(middle * plan.width);
        let first_row = self.first_row;
        let low = Work {
            cells,
            accumulators,
            touched,
            first_row,
            rows,
            gradients,
        };
        let high = Work {
            cells: more_cells,
            accumulators: more_accumulators,
            touched: more_touched,
            first_row: cut,
            rows: more_rows,
            gradients: more_gradients,
        };
        low.split(plan, tasks);
        high.split(plan, tasks);
    }
}

simd_fn! {
    fn update(work: Work<'_>, plan: &Plan) {
        match plan.dtype {
            Dtype::Bfloat16 => update_cells::<Bfloat16>(work, plan),
            _ => update_cells::<Float32>(work, plan),
        }
    }
}

#[inline(always)]
fn update_cells<C: Trained>(work: Work<'_>, plan: &Plan) {
    let len = plan.width * plan.dtype.size();
    for (row, gradient) in work
        .rows
        .iter()
        .zip(work.gradients.chunks_exact(plan.width))
    {
        let at = (*row - work.first_row) as usize;
        let (fade, keep) = plan.fade(work.touched[at]);
        let sum = work.accumulators[at] * fade + mean_square_of::<C>(gradient);
        let sum = sum.min(f32::MAX);
        work.accumulators[at] = sum;
        work.touched[at] = plan.step;
        let scale = plan.rate / (sum.sqrt() + EPS);
        let cells = C::cells_mut(&mut work.cells[at * len..][..len]);
        for (cell, gradient) in cells.iter_mut().zip(gradient) {
            let kept = C::round(C::value(*cell, 1.0) * keep);
            let update = C::round(C::round(*gradient) * scale);
            *cell = C::raw(kept - update);
        }
    }
}
