//! Threads of the package's own: pools that are made when first asked for, and made again after a fork.
//!
//! A forked child has none of its parent's threads, so work that is handed to a pool of the parent
//! would wait for ever. Pools are known by the process that made them.

use std::sync::Arc;
use std::thread::available_parallelism;

use parking_lot::Mutex;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, ErrorKind, Result};

/// Most threads that may be asked for.
pub const MAX_THREADS: usize = 256;

/// Most pools that a process keeps: callers use one number of threads, or a few.
const MAX_POOLS: usize = 4;

/// A pool, and the process and the number of threads that it was made for.
struct Kept {
    process: u32,
    n_threads: usize,
    pool: Arc<ThreadPool>,
}

/// Pools by last use, the latest last.
static POOLS: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// Who does the work.
pub(crate) enum Workers {
    /// The caller.
    Caller,
    /// Threads of a pool.
    Pool(Arc<ThreadPool>),
}

impl Workers {
    /// So many threads.
    ///
    /// # Errors
    /// The number is 0 or above [`MAX_THREADS`], or the system gives no more threads.
    pub(crate) fn new(n_threads: usize) -> Result<Self> {
        if n_threads == 0 || n_threads > MAX_THREADS {
            return Err(Error::config(
                format!("`threads` must lie in 1 to {MAX_THREADS}, got `{n_threads}`"),
                "pass the number of free cores",
            ));
        }
        if n_threads == 1 {
            return Ok(Self::Caller);
        }
        let process = std::process::id();
        let mut pools = POOLS.lock();
        let is_it = |kept: &Kept| kept.process == process && kept.n_threads == n_threads;
        let kept = match pools.iter().position(is_it) {
            Some(at) => pools.remove(at),
            None => Kept {
                process,
                n_threads,
                pool: Arc::new(pool_of(n_threads)?),
            },
        };
        let pool = Arc::clone(&kept.pool);
        pools.push(kept);
        // A pool of the parent is left as it is: to end threads that are not there is not safe.
        let own = |kept: &Kept| kept.process == process;
        if pools.iter().filter(|kept| own(kept)).count() > MAX_POOLS
            && let Some(oldest) = pools.iter().position(own)
        {
            pools.remove(oldest);
        }
        Ok(Self::Pool(pool))
    }

    /// As many threads as the machine runs at once; the caller where the system gives no threads.
    pub(crate) fn of_machine() -> Self {
        let n_threads = available_parallelism().map_or(1, usize::from);
        Self::new(n_threads.min(MAX_THREADS)).unwrap_or(Self::Caller)
    }

    /// How many work at a time.
    pub(crate) fn n(&self) -> usize {
        match self {
            Self::Caller => 1,
            Self::Pool(pool) => pool.current_num_threads(),
        }
    }

    /// Does every task, in any order.
    pub(crate) fn each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T) + Send + Sync) {
        match self {
            Self::Pool(pool) if tasks.len() > 1 => {
                pool.install(|| tasks.into_par_iter().with_max_len(1).for_each(work));
            }
            _ => tasks.into_iter().for_each(work),
        }
    }
}

fn pool_of(n_threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|i| format!("xfeed-{i}"))
        .build()
        .map_err(|error| {
            let hint = "raise the limit of threads or pass `threads=1`";
            Error::new(ErrorKind::Config, "no_threads", error.to_string(), hint)
        })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_task_is_done_once_by_any_number_of_threads() {
        for n_threads in [1, 2, 3] {
            let sum = AtomicUsize::new(0);
            let workers = Workers::new(n_threads).unwrap();
            assert_eq!(workers.n(), n_threads);
            workers.each((0..100).collect(), |task| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4_950);
        }
        assert!(Workers::new(0).is_err());
        assert!(Workers::new(MAX_THREADS + 1).is_err());
    }

    #[test]
    fn a_process_keeps_few_pools() {
        for n_threads in 2..20 {
            Workers::new(n_threads).unwrap();
        }
        assert!(POOLS.lock().len() <= MAX_POOLS);
    }
}
