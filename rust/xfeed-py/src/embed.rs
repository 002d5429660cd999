//! Hash embeddings.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2,
    ToPyArray,
};
use parking_lot::{Mutex, RwLock};
use pyo3::prelude::*;
use xfeed_core::{Error, Result, embed};

use crate::convert::{slice1, slice2, slice2_mut};
use crate::detach::{detached, unlocked};
use crate::error::to_py;
use crate::snapshot::named;

/// Hash functions of one entity: `((id * scale + bias) mod 2^64, signed) mod modulus`.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct HashFamily {
    inner: embed::HashFamily,
}

#[pymethods]
impl HashFamily {
    #[new]
    fn new(scales: Vec<u64>, biases: Vec<u64>, modulus: i64) -> PyResult<Self> {
        embed::HashFamily::new(scales, biases, modulus)
            .map(|inner| Self { inner })
            .map_err(to_py)
    }

    /// Number of functions.
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// Writes the row of every id under every function to `out` (uint32, shape `(n, functions)`).
    fn rows(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u64>,
        n_rows: u32,
        mut out: PyReadwriteArray2<'_, u32>,
    ) -> PyResult<()> {
        // A copy, as everywhere: another thread may write to the array meanwhile.
        let ids = slice1(&ids, "ids")?.to_vec();
        let out = slice2_mut(&mut out, "out", (ids.len(), self.inner.len()))?;
        unlocked(py, || {
            let rows = self.inner.for_table(n_rows).rows(&ids);
            out.iter_mut().zip(rows).for_each(|(slot, row)| *slot = row);
        });
        Ok(())
    }
}

/// Rows of numbers that ids are hashed to, owned or mapped from a safetensors file. Any number of
/// threads may read one table; a step of training waits for them.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct EmbeddingTable {
    inner: RwLock<embed::EmbeddingTable>,
    dtype: embed::Dtype,
    n_rows: u32,
    width: usize,
    nbytes: usize,
    is_mapped: bool,
}

impl From<embed::EmbeddingTable> for EmbeddingTable {
    fn from(table: embed::EmbeddingTable) -> Self {
        Self {
            dtype: table.dtype(),
            n_rows: table.n_rows(),
            width: table.width(),
            nbytes: table.nbytes(),
            is_mapped: table.is_mapped(),
            inner: RwLock::new(table),
        }
    }
}

#[pymethods]
impl EmbeddingTable {
    /// A table of the numbers of `array` (float32, shape `(n, width)`), rounded to nearest.
    #[staticmethod]
    #[pyo3(signature = (array, dtype="float32"))]
    fn from_array(py: Python<'_>, array: PyReadonlyArray2<'_, f32>, dtype: &str) -> PyResult<Self> {
        let dtype = embed::Dtype::parse(dtype).map_err(to_py)?;
        let (values, width) = slice2(&array, "array")?;
        detached(py, || embed::EmbeddingTable::from_f32(values, width, dtype)).map(Self::from)
    }

    /// A table of zeros, to be trained.
    #[staticmethod]
    #[pyo3(signature = (n_rows, width, dtype="float32"))]
    fn zeros(py: Python<'_>, n_rows: usize, width: usize, dtype: &str) -> PyResult<Self> {
        let dtype = embed::Dtype::parse(dtype).map_err(to_py)?;
        detached(py, || embed::EmbeddingTable::zeroed(n_rows, width, dtype)).map(Self::from)
    }

    /// The tensor `tensor` of the safetensors file `path`: F32, F16, BF16, or I8 with its scales in
    /// `<tensor>.scale`. Only the header is read, rows come from the file when they are asked for;
    /// with `copy` everything is read now, and later changes of the file do not matter.
    #[staticmethod]
    #[pyo3(signature = (path, tensor, copy=false))]
    fn open(py: Python<'_>, path: PathBuf, tensor: &str, copy: bool) -> PyResult<Self> {
        let open = || {
            let file = File::open(&path)?;
            embed::EmbeddingTable::open(&file, tensor, copy)
        };
        detached(py, || open().map_err(|error| named(&path, error))).map(Self::from)
    }

    /// Rows, row 0 being padding.
    #[getter]
    fn n_rows(&self) -> u32 {
        self.n_rows
    }

    /// Numbers in a row.
    #[getter]
    fn width(&self) -> usize {
        self.width
    }

    /// How the numbers are stored: `float32`, `float16`, `bfloat16` or `int8`.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.dtype.name()
    }

    /// Bytes of all numbers and scales.
    #[getter]
    fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Whether rows come from a file when they are asked for.
    #[getter]
    fn is_mapped(&self) -> bool {
        self.is_mapped
    }

    /// Copies rows (uint32, shape `(n,)`) into `out` (float32, shape `(n, width)`), with at most
    /// `threads` threads; 0 for as many as win. Do not touch `out` from elsewhere during the call.
    #[pyo3(signature = (rows, out, threads=0))]
    fn gather(
        &self,
        py: Python<'_>,
        rows: PyReadonlyArray1<'_, u32>,
        mut out: PyReadwriteArray2<'_, f32>,
        threads: usize,
    ) -> PyResult<()> {
        let rows = slice1(&rows, "rows")?.to_vec();
        let out = slice2_mut(&mut out, "out", (rows.len(), self.width))?;
        detached(py, || self.inner.read().gather(&rows, threads, out))
    }

    /// Hashes `ids` (uint64, shape `(n,)`) and copies their rows into `out` (float32): side by side,
    /// shape `(n, functions * width)`, or with `sum` added up, shape `(n, width)`. Id 0 is padding and
    /// has row 0. `threads` and `out` as in `gather`.
    #[pyo3(signature = (family, ids, out, sum=false, threads=0))]
    fn gather_hashed(
        &self,
        py: Python<'_>,
        family: &HashFamily,
        ids: PyReadonlyArray1<'_, u64>,
        mut out: PyReadwriteArray2<'_, f32>,
        sum: bool,
        threads: usize,
    ) -> PyResult<()> {
        let ids = slice1(&ids, "ids")?.to_vec();
        let family = &family.inner;
        let width = if sum {
            self.width
        } else {
            family.len() * self.width
        };
        let out = slice2_mut(&mut out, "out", (ids.len(), width))?;
        detached(py, || {
            self.inner
                .read()
                .gather_hashed(family, &ids, sum, threads, out)
        })
    }

    /// Stores `array` (float32, shape `(n, width)`), rounded to nearest, in the rows from `first_row` on
    /// of an owned table. Where a number cannot be held, rows before it have changed.
    fn write(
        &self,
        py: Python<'_>,
        first_row: u32,
        array: PyReadonlyArray2<'_, f32>,
    ) -> PyResult<()> {
        let (values, width) = slice2(&array, "array")?;
        if width != self.width {
            return Err(to_py(Error::shape(
                format!("rows of {width} numbers, the table's have {}", self.width),
                "pass rows of the table's width",
            )));
        }
        detached(py, || self.inner.write().write(first_row, values))
    }

    /// The whole table, float32 `(n_rows, width)`.
    fn to_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let shape = (self.n_rows as usize, self.width);
        // Made by Python: without memory that is an exception there and a panic here.
        let array = py
            .import("numpy")?
            .call_method1("empty", (shape, "float32"))?;
        let array = array.cast_into::<PyArray2<f32>>()?;
        let mut borrowed = array.readwrite();
        let out = slice2_mut(&mut borrowed, "out", shape)?;
        detached(py, || self.inner.read().to_f32(out))?;
        drop(borrowed);
        Ok(array)
    }

    /// The first row with a number that is not finite, or None.
    fn first_not_finite(&self, py: Python<'_>) -> Option<u32> {
        unlocked(py, || self.inner.read().first_not_finite())
    }
}

/// Writes tables by name to a new safetensors file and forces it to the disk. The scales of an int8
/// table `NAME` are the tensor `NAME.scale`.
#[pyfunction]
pub(crate) fn write_tables(
    py: Python<'_>,
    path: PathBuf,
    tables: Vec<(String, Py<EmbeddingTable>)>,
) -> PyResult<()> {
    let write = || -> Result<File> {
        let tables: Vec<_> = tables
            .iter()
            .map(|(name, it)| (name, it.get().inner.read_recursive()))
            .collect();
        let tables: Vec<_> = tables
            .iter()
            .map(|(name, table)| (name.as_str(), &**table))
            .collect();
        let file = File::options().write(true).create_new(true).open(&path)?;
        embed::write_tables(&tables, &mut BufWriter::new(&file))?;
        Ok(file)
    };
    // The tables are free again before the disk has it all.
    let write = || -> Result<()> { Ok(write()?.sync_all()?) };
    detached(py, || write().map_err(|error| named(&path, error)))
}

/// Row-wise AdaGrad for one table of `n_rows` rows: an accumulator per row, and the step that touched it
/// last. `half_life_steps` halves accumulators after so many steps, `weight_decay` makes touched rows
/// fade; both by one step, or with `lazy_decay` by the steps since the row was touched.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct RowAdagrad {
    inner: Mutex<embed::RowAdagrad>,
}

#[pymethods]
impl RowAdagrad {
    #[new]
    #[pyo3(signature = (n_rows, *, half_life_steps=None, weight_decay=0.0, lazy_decay=false))]
    fn new(
        n_rows: u32,
        half_life_steps: Option<f64>,
        weight_decay: f64,
        lazy_decay: bool,
    ) -> PyResult<Self> {
        let decay = embed::Decay {
            half_life_steps,
            weight_decay,
            is_lazy: lazy_decay,
        };
        let inner = Mutex::new(embed::RowAdagrad::new(n_rows, decay).map_err(to_py)?);
        Ok(Self { inner })
    }

    /// Updates `rows` (uint32, shape `(n,)`, strictly ascending) of an owned float32 or bfloat16 table
    /// by `gradients` (float32, shape `(n, width)`), as step number `step`, counted from 0. Row 0 stays
    /// as it is. A gradient that is not finite is an error, and nothing has changed then.
    fn step(
        &self,
        py: Python<'_>,
        table: &EmbeddingTable,
        rows: PyReadonlyArray1<'_, u32>,
        gradients: PyReadonlyArray2<'_, f32>,
        step: u32,
        rate: f32,
    ) -> PyResult<()> {
        let rows = slice1(&rows, "rows")?.to_vec();
        let (gradients, _) = slice2(&gradients, "gradients")?;
        detached(py, || {
            let mut state = self.inner.lock();
            state.step(&mut table.inner.write(), &rows, gradients, step, rate)
        })
    }

    /// Accumulators (float32, shape `(n_rows,)`) and the steps that touched the rows last (uint32).
    fn state<'py>(
        &self,
        py: Python<'py>,
    ) -> (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<u32>>) {
        let state = unlocked(py, || self.inner.lock().clone());
        let (accumulators, touched) = state.state();
        (accumulators.to_pyarray(py), touched.to_pyarray(py))
    }

    /// Takes up what `state` gave.
    fn set_state(
        &self,
        py: Python<'_>,
        accumulators: PyReadonlyArray1<'_, f32>,
        touched: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<()> {
        let accumulators = slice1(&accumulators, "accumulators")?;
        let touched = slice1(&touched, "touched")?;
        detached(py, || self.inner.lock().set_state(accumulators, touched))
    }
}
