//! NumPy arrays as slices, or a `ShapeError` that says how to fix the call.

use numpy::{
    Element, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use xfeed_core::Error;

use crate::error::to_py;

fn not_contiguous(name: &str) -> PyErr {
    to_py(Error::shape(
        format!("`{name}` is not C-contiguous and aligned"),
        format!("pass np.require({name}, requirements=\"CA\")"),
    ))
}

/// Borrows a one-dimensional array.
pub(crate) fn slice1<'a, T: Element>(
    array: &'a PyReadonlyArray1<'_, T>,
    name: &str,
) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| not_contiguous(name))
}

/// Borrows a two-dimensional array; returns its elements and its width.
pub(crate) fn slice2<'a, T: Element>(
    array: &'a PyReadonlyArray2<'_, T>,
    name: &str,
) -> PyResult<(&'a [T], usize)> {
    if !array.is_c_contiguous() {
        return Err(not_contiguous(name));
    }
    let width = array.shape().get(1).copied().unwrap_or(0);
    Ok((array.as_slice().map_err(|_| not_contiguous(name))?, width))
}

/// Borrows a two-dimensional array for writing, when it has exactly the shape `expected`.
pub(crate) fn slice2_mut<'a, T: Element>(
    array: &'a mut PyReadwriteArray2<'_, T>,
    name: &str,
    expected: (usize, usize),
) -> PyResult<&'a mut [T]> {
    let shape = array.shape();
    if shape != [expected.0, expected.1] {
        return Err(to_py(Error::shape(
            format!(
                "`{name}` has the shape {shape:?}, ({}, {}) is needed",
                expected.0, expected.1
            ),
            format!(
                "allocate np.empty(({}, {}), dtype=...)",
                expected.0, expected.1
            ),
        )));
    }
    if !array.is_c_contiguous() {
        return Err(not_contiguous(name));
    }
    array.as_slice_mut().map_err(|_| not_contiguous(name))
}
