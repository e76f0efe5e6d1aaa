//! How long to wait before the next try: doubling, with chance in it so that not all drains of a target come at once.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Between a half and the whole of the wait that is due.
    pub(crate) fn next(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.longest);
        due.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 60 * second);
        for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.next();
            assert!(
                wait >= second * whole / 2 && wait <= second * whole,
                "{wait:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= second);
    }
}
