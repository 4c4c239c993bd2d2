//! Where clean activations lie: in memory up to a budget, beyond it in files that go with the runner.

use crate::Error;
use flyroom_tensor::Tensor;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What memory may hold, and the folder for the rest.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub bytes: usize,
    pub folder: PathBuf,
}

/// Activations of one site for the whole set, `[input, ..]`.
#[derive(Debug, Clone)]
pub(super) enum Held {
    Memory(Arc<Tensor>),
    File(Arc<Spilled>),
}

/// Little-endian floats in a file that is removed with the last who holds it.
#[derive(Debug)]
pub(super) struct Spilled {
    path: PathBuf,
    shape: Vec<usize>,
}

impl Drop for Spilled {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Activations that are still arriving, input by input.
pub(super) enum Arriving {
    Memory(Vec<f32>),
    File(Spilled, BufWriter<File>),
}

impl Arriving {
    /// Values of `shape` are expected; with a folder they go to a file there.
    pub fn new(shape: &[usize], folder: Option<&Path>) -> Result<Self, Error> {
        let Some(folder) = folder else { return Ok(Self::Memory(vec![])) };
        // Runners of several threads and processes may share the folder.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("activations-{}-{next}.f32", std::process::id()));
        let file = File::create_new(&path).map_err(|e| Error::file(&path, e))?;
        Ok(Self::File(Spilled { path, shape: shape.to_vec() }, BufWriter::new(file)))
    }

    pub fn extend(&mut self, values: &[f32]) -> Result<(), Error> {
        match self {
            Self::Memory(all) => all.extend_from_slice(values),
            Self::File(spilled, file) => {
                for x in values {
                    let written = file.write_all(&x.to_le_bytes());
                    written.map_err(|e| Error::file(&spilled.path, e))?;
                }
            }
        }
        Ok(())
    }

    pub fn finish(self, shape: &[usize]) -> Result<Held, Error> {
        Ok(match self {
            Self::Memory(all) => Held::Memory(Arc::new(Tensor::new(shape, all)?)),
            Self::File(spilled, mut file) => {
                file.flush().map_err(|e| Error::file(&spilled.path, e))?;
                Held::File(Arc::new(spilled))
            }
        })
    }
}

impl Held {
    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Memory(t) => 4 * t.data().len(),
            Self::File(_) => 0,
        }
    }

    /// All inputs; from a file they are read anew each time.
    pub fn whole(&self) -> Result<Arc<Tensor>, Error> {
        match self {
            Self::Memory(t) => Ok(t.clone()),
            Self::File(f) => {
                let n = f.shape.iter().product();
                Ok(Arc::new(Tensor::new(&f.shape, f.floats(0, n)?)?))
            }
        }
    }

    /// One input.
    pub fn row(&self, input: usize) -> Result<Vec<f32>, Error> {
        match self {
            Self::Memory(t) => Ok(t.row(input).to_vec()),
            Self::File(f) => {
                let size: usize = f.shape[1..].iter().product();
                f.floats(input * size, size)
            }
        }
    }
}

impl Spilled {
    fn floats(&self, first: usize, count: usize) -> Result<Vec<f32>, Error> {
        let read = || -> std::io::Result<Vec<f32>> {
            let mut file = BufReader::new(File::open(&self.path)?);
            file.seek(SeekFrom::Start(4 * first as u64))?;
            let mut out = Vec::with_capacity(count);
            let mut bytes = [0; 4];
            for _ in 0..count {
                file.read_exact(&mut bytes)?;
                out.push(f32::from_le_bytes(bytes));
            }
            Ok(out)
        };
        read().map_err(|e| Error::file(&self.path, e))
    }
}
