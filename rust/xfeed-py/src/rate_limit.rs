//! The rate limiter, with a clock of the caller's.

use parking_lot::Mutex;
use pyo3::prelude::*;
use xfeed_core::rate_limit;

/// So many requests a second from each client.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct RateLimiter {
    inner: Mutex<rate_limit::RateLimiter>,
}

#[pymethods]
impl RateLimiter {
    #[new]
    #[pyo3(signature = (*, per_second, max_clients))]
    fn new(per_second: u64, max_clients: usize) -> Self {
        Self {
            inner: Mutex::new(rate_limit::RateLimiter::new(per_second, max_clients)),
        }
    }

    /// Counts one request of `client` at `now_ns` of a clock that never goes back; None when it
    /// passes, else the nanoseconds after which it would.
    fn check(&self, client: &str, now_ns: u64) -> Option<u64> {
        self.inner.lock().check(client, now_ns).err()
    }
}
