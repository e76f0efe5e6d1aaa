//! Numbers that were read now and then of one process type: CPU and memory of its dynos, and its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ropewalk_autoscale::{HISTORY, Measure, Reading};
use ropewalk_model::DynoId;
use ropewalk_scheduler::Usage;

/// Most readings that are kept: several numbers every few seconds for as long as they count.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Readings {
    kept: VecDeque<Kept>,
    /// CPU time of each dyno when it was last looked at, and when that was, since the server began.
    before: BTreeMap<DynoId, (Duration, Duration)>,
}

#[derive(Debug)]
struct Kept {
    second: u64,
    of: What,
    value: f64,
}

#[derive(Debug)]
enum What {
    Cpu,
    Memory,
    Own(String),
}

impl Readings {
    /// As the decision takes them.
    pub(super) fn all(&self) -> Vec<Reading<'_>> {
        let reading = |kept: &'_ Kept| -> (u64, f64) { (kept.second, kept.value) };
        let all = self.kept.iter().map(|kept| {
            let (second, value) = reading(kept);
            let of = match &kept.of {
                What::Cpu => Measure::Cpu,
                What::Memory => Measure::Memory,
                What::Own(name) => Measure::Own(name),
            };
            Reading { second, of, value }
        });
        all.collect()
    }

    /// Notes what ready dynos use, `at` so long after the server began. `quota`: bytes of memory that each may use.
    ///
    /// CPU is in percent of what the dyno may use at most, or of one CPU where that is not limited.
    pub(super) fn note_usage(
        &mut self,
        usage: &BTreeMap<DynoId, Usage>,
        quota: &BTreeMap<DynoId, u64>,
        at: Duration,
        now: u64,
    ) {
        let (mut cpu, mut memory) = (Vec::new(), Vec::new());
        let mut before = BTreeMap::new();
        for (dyno, used) in usage {
            let Some(quota) = quota.get(dyno).filter(|bytes| **bytes > 0) else {
                continue;
            };
            memory.push(100.0 * used.memory as f64 / *quota as f64);
            if let Some((time, when)) = self.before.get(dyno)
                && at > *when
            {
                let busy = used.cpu_time.saturating_sub(*time).as_secs_f64();
                let most = used.cpu_limit.unwrap_or(1.0).max(0.001);
                cpu.push(100.0 * busy / (at - *when).as_secs_f64() / most);
            }
            before.insert(*dyno, (used.cpu_time, at));
        }
        self.before = before;
        for (of, values) in [(What::Cpu, cpu), (What::Memory, memory)] {
            if !values.is_empty() {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                self.keep(of, mean, now);
            }
        }
    }

    pub(super) fn note_own(&mut self, name: &str, value: f64, now: u64) {
        self.keep(What::Own(name.to_owned()), value, now);
    }

    fn keep(&mut self, of: What, value: f64, now: u64) {
        self.kept.push_back(Kept {
            second: now,
            of,
            value,
        });
        let oldest = now.saturating_sub(HISTORY);
        while self.kept.len() > MOST || self.kept.front().is_some_and(|kept| kept.second < oldest) {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn used(memory: u64, millis: u64, cpu_limit: Option<f64>) -> Usage {
        Usage {
            memory,
            cpu_time: Duration::from_millis(millis),
            cpu_limit,
        }
    }

    #[test]
    fn dynos_are_averaged_and_cpu_is_what_was_used_since_the_last_look() {
        let [one, two] = [1, 2].map(|number| DynoId(Uuid::from_u128(number)));
        let quota = BTreeMap::from([(one, 1000), (two, 1000)]);
        let mut readings = Readings::default();
        let first = BTreeMap::from([(one, used(500, 1000, None))]);
        readings.note_usage(&first, &quota, Duration::from_secs(10), 10);
        let second = BTreeMap::from([
            (one, used(600, 2600, None)),
            (two, used(200, 90_000, Some(0.5))),
        ]);
        readings.note_usage(&second, &quota, Duration::from_secs(12), 12);
        let third = BTreeMap::from([
            (one, used(600, 2600, None)),
            (two, used(200, 91_000, Some(0.5))),
        ]);
        readings.note_usage(&third, &quota, Duration::from_secs(14), 14);
        let told: Vec<(u64, Measure<'_>, f64)> = readings
            .all()
            .into_iter()
            .map(|reading| (reading.second, reading.of, reading.value.round()))
            .collect();
        assert_eq!(
            told,
            [
                (10, Measure::Memory, 50.0),
                (12, Measure::Cpu, 80.0),
                (12, Measure::Memory, 40.0),
                (14, Measure::Cpu, 50.0),
                (14, Measure::Memory, 40.0),
            ]
        );
    }

    #[test]
    fn what_is_too_old_goes_and_there_is_an_end() {
        let mut readings = Readings::default();
        readings.note_own("jobs", 1.0, 5);
        readings.note_own("jobs", 2.0, 6 + HISTORY);
        let all = readings.all();
        assert_eq!((all.len(), all[0].of), (1, Measure::Own("jobs")));
        for _ in 0..MOST + 10 {
            readings.note_own("jobs", 1.0, 400);
        }
        assert_eq!(readings.all().len(), MOST);
    }
}
