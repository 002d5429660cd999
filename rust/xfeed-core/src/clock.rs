//! Time is an input. Nothing in this crate reads a clock.

/// Milliseconds since 1970, UTC.
pub type UnixMs = i64;

/// How long ago `then` was; `None` when it lies in the future.
pub fn age_ms(now: UnixMs, then: UnixMs) -> Option<u64> {
    u64::try_from(i128::from(now) - i128::from(then)).ok()
}

/// The moment `duration_ms` before `now`, never before the smallest moment.
pub fn before(now: UnixMs, duration_ms: u64) -> UnixMs {
    i64::try_from(i128::from(now) - i128::from(duration_ms)).unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_has_no_age_and_the_limits_do_not_wrap() {
        assert_eq!(age_ms(10, 11), None);
        assert_eq!(age_ms(10, 10), Some(0));
        assert_eq!(age_ms(i64::MAX, i64::MIN), Some(u64::MAX));
        assert_eq!(age_ms(i64::MIN, i64::MAX), None);
    }

    #[test]
    fn going_back_stops_at_the_smallest_moment() {
        assert_eq!(before(5, 3), 2);
        assert_eq!(before(i64::MIN + 1, u64::MAX), i64::MIN);
    }
}
