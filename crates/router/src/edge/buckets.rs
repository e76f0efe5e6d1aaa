//! What each client address has left of its rate.
//!
//! One number for an address: when it will have everything back that it spent. Bounded: when too many addresses are
//! known, those that have it back, or nearly, are forgotten, which costs nobody a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most addresses of one app, about 300 KiB.
const MOST: usize = 10_000;

/// So many requests at once, and another after each `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In microseconds, at least 1.
    pub(crate) interval: u64,
    /// At least 1.
    pub(crate) burst: u64,
}

/// Those of one app; carried from table to table.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<HashMap<u64, u64>>);

impl Buckets {
    /// Spends a request of an address at `now`, in microseconds; or else says how long to wait for one.
    pub(crate) fn spend(&self, ip: IpAddr, rate: Rate, now: u64) -> Result<(), Duration> {
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(ip);
        let known = full_at.get(&key).copied();
        let next = spend(known.unwrap_or(0), rate, now)?;
        if known.is_none() && full_at.len() >= MOST {
            forget(&mut full_at, now);
        }
        full_at.insert(key, next);
        Ok(())
    }
}

/// When the address will have everything back after one more request; or how long until it may make one.
fn spend(full_at: u64, rate: Rate, now: u64) -> Result<u64, Duration> {
    let from = full_at.max(now);
    let debt = rate.interval.saturating_mul(rate.burst - 1);
    match (from - now).checked_sub(debt) {
        Some(wait) if wait > 0 => Err(Duration::from_micros(wait)),
        _ => Ok(from.saturating_add(rate.interval)),
    }
}

/// Clients of IPv6 have a network of 64 bits to choose addresses from.
fn key(ip: IpAddr) -> u64 {
    match ip {
        // Where no address of IPv6 begins.
        IpAddr::V4(v4) => (0xffff << 32) | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or(0),
    }
}

/// Those who have everything back, and if they are few, the quarter that will have it first.
fn forget(full_at: &mut HashMap<u64, u64>, now: u64) {
    full_at.retain(|_, at| *at > now);
    let few = MOST - MOST / 4;
    if full_at.len() <= few {
        return;
    }
    let mut times: Vec<u64> = full_at.values().copied().collect();
    let at = times.len() - few - 1;
    let (_, &mut first, _) = times.select_nth_unstable(at);
    full_at.retain(|_, at| *at > first);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        interval: 100_000,
        burst: 3,
    };

    #[test]
    fn a_burst_and_then_one_after_each_interval() {
        let buckets = Buckets::default();
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut now = 5_000_000;
        for _ in 0..3 {
            assert_eq!(buckets.spend(ip, RATE, now), Ok(()));
        }
        let wait = Duration::from_micros(100_000);
        assert_eq!(buckets.spend(ip, RATE, now), Err(wait));
        // To be refused costs nothing.
        assert_eq!(buckets.spend(ip, RATE, now), Err(wait));
        now += 99_999;
        assert_eq!(buckets.spend(ip, RATE, now), Err(Duration::from_micros(1)));
        now += 1;
        assert_eq!(buckets.spend(ip, RATE, now), Ok(()));
        assert!(buckets.spend(ip, RATE, now).is_err());
        // After a pause all of the burst is there again, and no more.
        now += 60_000_000;
        for _ in 0..3 {
            assert_eq!(buckets.spend(ip, RATE, now), Ok(()));
        }
        assert!(buckets.spend(ip, RATE, now).is_err());
    }

    #[test]
    fn addresses_do_not_share_but_networks_of_64_bits_do() {
        let buckets = Buckets::default();
        let one = Rate { burst: 1, ..RATE };
        for (ip, passes) in [
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("2001:db8:0:1::1", true),
            ("::1", true),
        ] {
            let passed = buckets.spend(ip.parse().unwrap(), one, 1_000_000).is_ok();
            assert_eq!(passed, passes, "{ip}");
        }
    }

    #[test]
    fn memory_is_bounded_and_those_who_spent_most_are_remembered() {
        let buckets = Buckets::default();
        let greedy = IpAddr::from([192, 0, 2, 1]);
        let now = 1_000_000;
        for _ in 0..3 {
            buckets.spend(greedy, RATE, now).unwrap();
        }
        for n in 0..4 * u32::try_from(MOST).unwrap() {
            let ip = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            buckets.spend(ip, RATE, now + u64::from(n % 7)).unwrap();
            assert!(buckets.0.lock().unwrap().len() <= MOST);
        }
        assert!(buckets.spend(greedy, RATE, now).is_err());
        // Once everybody has everything back, nobody need be known.
        let later = now + 10_000_000;
        for n in 0..u32::try_from(MOST).unwrap() {
            let ip = IpAddr::from((0x0b00_0000 + n).to_be_bytes());
            buckets.spend(ip, RATE, later).unwrap();
        }
        assert!(buckets.0.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let slowest = Rate {
            interval: u64::MAX,
            burst: u64::MAX,
        };
        assert_eq!(spend(u64::MAX, slowest, 1), Ok(u64::MAX));
        let one = Rate {
            interval: 1,
            burst: 1,
        };
        assert!(spend(u64::MAX, one, 0).is_err());
    }
}
