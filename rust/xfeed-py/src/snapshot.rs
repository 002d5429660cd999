//! Snapshots as files: the engine reads and writes bytes, the files are opened here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use xfeed_core::snapshot::{Header, Reader};
use xfeed_core::world::{World, WorldSettings};
use xfeed_core::{Error, Result};

use crate::detach::detached;
use crate::error::to_py;

/// A snapshot that is written and may not be on the disk yet.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct SnapshotFile {
    file: File,
    path: PathBuf,
    header: Header,
}

#[pymethods]
impl SnapshotFile {
    /// What it says about itself, as JSON.
    fn header(&self) -> PyResult<String> {
        self.header.to_json().map_err(to_py)
    }

    /// Forces it to the disk.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            let synced = self.file.sync_all();
            synced.map_err(|error| named(&self.path, error.into()))
        })
    }
}

/// Writes `world` to a new file.
pub(crate) fn write(
    world: &World,
    path: PathBuf,
    source: &str,
    offsets: BTreeMap<String, u64>,
) -> Result<SnapshotFile> {
    create(path, |file| world.write_snapshot(source, offsets, file))
}

/// Gives a new file to `write`.
pub(crate) fn create(
    path: PathBuf,
    write: impl FnOnce(&File) -> Result<Header>,
) -> Result<SnapshotFile> {
    let open = File::options().write(true).create_new(true).open(&path);
    let written = open.map_err(Error::from).and_then(|file| {
        let header = write(&file)?;
        Ok((file, header))
    });
    let (file, header) = written.map_err(|error| named(&path, error))?;
    Ok(SnapshotFile { file, path, header })
}

/// Reads the world in a file.
pub(crate) fn read(path: &Path, settings: Option<&WorldSettings>) -> Result<(World, Header)> {
    let read = || World::read_snapshot(open(path)?, settings);
    read().map_err(|error| named(path, error))
}

pub(crate) fn open(path: &Path) -> Result<BufReader<File>> {
    // Room for two frames.
    Ok(BufReader::with_capacity(1 << 21, File::open(path)?))
}

/// The error with the name of the file.
pub(crate) fn named(path: &Path, error: Error) -> Error {
    let message = format!("`{}`: {}", path.display(), error.message);
    Error { message, ..error }
}

/// What the snapshot in `path` says about itself, as JSON; the rest of the file is not looked at.
#[pyfunction]
pub(crate) fn snapshot_header(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let header = detached(py, || {
        let read = || Ok(Reader::new(open(&path)?)?.header().clone());
        read().map_err(|error| named(&path, error))
    })?;
    header.to_json().map_err(to_py)
}

/// Loads the snapshot in `path`, compares the state with its hash, and returns its header as JSON.
#[pyfunction]
pub(crate) fn verify_snapshot(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let header = detached(py, || {
        let (world, header) = read(&path, None)?;
        world
            .check_hash(&header)
            .map_err(|error| named(&path, error))?;
        Ok(header)
    })?;
    header.to_json().map_err(to_py)
}
