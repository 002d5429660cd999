//! So many requests a second from each client, counted without a queue.
//!
//! The generic cell rate algorithm: of every client one number is kept, the moment at which its next
//! request would come if it asked evenly. A client that was quiet may ask a second's worth at once. The
//! limit is per client, so a noisy one starves nobody else. At most `max_clients` are told apart; when
//! more are busy at the same time, those that find no place share one limit, so that made-up names cost
//! neither memory nor the places of others.

use std::hash::Hasher;

use hashbrown::HashMap;
use siphasher::sip::SipHasher24;

/// One request, in the unit of [`RateLimiter::busy_until`].
const REQUEST: u128 = 1_000_000_000;

/// Fewer clients than this are not worth a search for quiet ones.
const MIN_SWEEP_LEN: usize = 1024;

/// When all places are taken, quiet clients are searched for this often and not at every new name.
const SWEEP_EVERY_NS: u128 = 10_000_000;

/// Counts requests. Time comes in as an argument, from any clock that never goes back.
#[derive(Debug)]
pub struct RateLimiter {
    per_second: u64,
    max_clients: usize,
    /// By hash of the name: until when the client's requests keep it busy, in nanoseconds times
    /// `per_second`, which makes a request a whole number.
    busy_until: HashMap<u64, u128>,
    /// Shared by the clients that found no place.
    others: u128,
    next_sweep_len: usize,
    next_sweep: u128,
}

impl RateLimiter {
    /// Lets `per_second` requests of each client pass in a second, and as many at once.
    pub fn new(per_second: u64, max_clients: usize) -> Self {
        Self {
            per_second,
            max_clients,
            busy_until: HashMap::new(),
            others: 0,
            next_sweep_len: MIN_SWEEP_LEN,
            next_sweep: 0,
        }
    }

    /// Counts one request of `client` at `now_ns`.
    ///
    /// # Errors
    /// When it is one too many: the nanoseconds after which it would pass.
    pub fn check(&mut self, client: &str, now_ns: u64) -> Result<(), u64> {
        let per_second = u128::from(self.per_second);
        let now = u128::from(now_ns) * per_second;
        let busy_until = self.entry(client, now);
        let busy = (*busy_until).max(now);
        let ahead = busy - now;
        let allowed = per_second.saturating_sub(1) * REQUEST;
        if ahead > allowed || per_second == 0 {
            let wait = (ahead.saturating_sub(allowed)).div_ceil(per_second.max(1));
            return Err(u64::try_from(wait).unwrap_or(u64::MAX));
        }
        *busy_until = busy + REQUEST;
        Ok(())
    }

    fn entry(&mut self, client: &str, now: u128) -> &mut u128 {
        let mut hasher = SipHasher24::new_with_keys(0x7866_6565_642d_7261, 2);
        hasher.write(client.as_bytes());
        let client = hasher.finish();
        if self.busy_until.contains_key(&client) {
            return self.busy_until.entry(client).or_insert(0);
        }
        let len = self.busy_until.len();
        let is_full = len >= self.max_clients && now >= self.next_sweep;
        if is_full || (len < self.max_clients && len >= self.next_sweep_len) {
            // A client that is not busy any more is like one that was never there.
            self.busy_until.retain(|_, until| *until > now);
            self.next_sweep_len = (self.busy_until.len() * 2).max(MIN_SWEEP_LEN);
            self.next_sweep = now + SWEEP_EVERY_NS * u128::from(self.per_second);
        }
        if self.busy_until.len() >= self.max_clients {
            return &mut self.others;
        }
        self.busy_until.entry(client).or_insert(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn passed(limiter: &mut RateLimiter, client: &str, now_ns: u64, requests: usize) -> usize {
        (0..requests)
            .filter(|_| limiter.check(client, now_ns).is_ok())
            .count()
    }

    #[test]
    fn a_burst_of_a_second_passes_and_then_one_each_interval() {
        let mut limiter = RateLimiter::new(8000, 10);
        assert_eq!(passed(&mut limiter, "a", 5, 8001), 8000);
        assert_eq!(limiter.check("a", 5), Err(125_000));
        assert_eq!(limiter.check("a", 5 + 124_999), Err(1));
        assert_eq!(passed(&mut limiter, "a", 5 + MS, 100), 8);
        assert_eq!(passed(&mut limiter, "a", 5 + 2000 * MS, 9000), 8000);
    }

    #[test]
    fn rates_that_do_not_divide_a_second_stay_exact() {
        let mut limiter = RateLimiter::new(7, 10);
        let mut count = passed(&mut limiter, "a", 0, 100);
        for ms in 1..=10_000 {
            count += passed(&mut limiter, "a", ms * MS, 3);
        }
        assert_eq!(count, 7 + 70);
    }

    #[test]
    fn a_noisy_client_takes_nothing_from_another() {
        let mut limiter = RateLimiter::new(10, 10);
        passed(&mut limiter, "noisy", 0, 1000);
        assert_eq!(passed(&mut limiter, "quiet", 0, 10), 10);
    }

    #[test]
    fn made_up_names_share_one_limit_and_take_no_memory() {
        let mut limiter = RateLimiter::new(10, 100);
        assert_eq!(passed(&mut limiter, "early", 0, 5), 5);
        let found: usize = (0..10_000)
            .map(|i| passed(&mut limiter, &format!("made up {i}"), 0, 1))
            .sum();
        assert_eq!(found, 99 + 10);
        assert_eq!(limiter.busy_until.len(), 100);
        assert_eq!(passed(&mut limiter, "early", 0, 10), 5);
        assert_eq!(passed(&mut limiter, "late", 2_000 * MS, 10), 10);
        assert_eq!(limiter.busy_until.len(), 1);
    }

    #[test]
    fn a_clock_at_its_end_is_no_trouble() {
        let mut limiter = RateLimiter::new(u64::MAX, 10);
        assert_eq!(limiter.check("a", u64::MAX), Ok(()));
        assert_eq!(RateLimiter::new(1, 0).check("a", 0), Ok(()));
        assert!(RateLimiter::new(0, 10).check("a", 0).is_err());
    }
}
