//! Threads of the kernel: pools of their own, made when first asked for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, ErrorKind, Result};

/// Most threads that may be asked for.
pub const MAX_THREADS: usize = 256;

/// Pools by process and size: a forked child has none of its parent's threads.
type Pools = Mutex<HashMap<(u32, usize), Arc<ThreadPool>>>;

/// Who does the work.
pub(super) enum Workers {
    /// The caller.
    Caller,
    /// Threads of a pool.
    Pool(Arc<ThreadPool>),
}

impl Workers {
    /// So many threads.
    pub(super) fn new(n_threads: usize) -> Result<Self> {
        static POOLS: OnceLock<Pools> = OnceLock::new();
        if n_threads == 0 || n_threads > MAX_THREADS {
            return Err(Error::config(
                format!("`threads` must lie in 1 to {MAX_THREADS}, got `{n_threads}`"),
                "pass the number of free cores",
            ));
        }
        if n_threads == 1 {
            return Ok(Self::Caller);
        }
        let mut pools = POOLS.get_or_init(Pools::default).lock();
        let key = (std::process::id(), n_threads);
        if let Some(pool) = pools.get(&key) {
            return Ok(Self::Pool(Arc::clone(pool)));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|i| format!("xfeed-phoenix-{i}"))
            .build()
            .map_err(|error| {
                let hint = "raise the limit of threads or pass `threads=1`";
                Error::new(ErrorKind::Config, "no_threads", error.to_string(), hint)
            })?;
        let pool = Arc::new(pool);
        pools.insert(key, Arc::clone(&pool));
        Ok(Self::Pool(pool))
    }

    /// How many work at a time.
    pub(super) fn n(&self) -> usize {
        match self {
            Self::Caller => 1,
            Self::Pool(pool) => pool.current_num_threads(),
        }
    }

    /// Does every task, in any order.
    pub(super) fn each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T) + Send + Sync) {
        match self {
            Self::Pool(pool) if tasks.len() > 1 => {
                pool.install(|| tasks.into_par_iter().with_max_len(1).for_each(work));
            }
            _ => tasks.into_iter().for_each(work),
        }
    }
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
}
