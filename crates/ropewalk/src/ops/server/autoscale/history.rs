//! What one app did in the last minutes, second by second.

use std::collections::VecDeque;

use ropewalk_api_types::router::AppStats;
use ropewalk_autoscale::{HISTORY, Sample};
use ropewalk_model::ResponseTimes;
use ropewalk_model::response_times::lowest_of;

/// Samples of the last [`HISTORY`] seconds, oldest first, one a second at most.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Sample>);

impl History {
    /// Adds a router's report that came in this second.
    pub(super) fn add(&mut self, stats: &AppStats, now: u64) {
        self.push(sample(stats, now));
    }

    /// A second that is over and of which nobody reported anything had no traffic.
    pub(super) fn close(&mut self, now: u64) {
        if let Some(second) = now.checked_sub(1)
            && self.0.back().is_none_or(|last| last.second < second)
        {
            self.push(Sample {
                second,
                ..Sample::default()
            });
        }
    }

    pub(super) fn samples(&mut self) -> &[Sample] {
        self.0.make_contiguous()
    }

    fn push(&mut self, sample: Sample) {
        match self.0.back_mut() {
            Some(last) if last.second >= sample.second => last.add(&sample),
            _ => self.0.push_back(sample),
        }
        let oldest = sample.second.saturating_sub(HISTORY);
        while self.0.front().is_some_and(|first| first.second < oldest) {
            self.0.pop_front();
        }
    }
}

fn sample(stats: &AppStats, second: u64) -> Sample {
    // The router's own answers have no time, but for those to requests that it gave up on.
    let by_dynos: u64 = stats.classes.iter().skip(1).sum();
    let given_up = match stats.p95_ms {
        0 => 0,
        _ => stats.classes[0],
    };
    let code = |name| stats.codes.get(name).copied().unwrap_or(0);
    Sample {
        second,
        requests: stats.requests,
        answered: by_dynos.saturating_add(given_up),
        p95_ms: stats.p95_ms,
        busy_ms: busy_ms(stats),
        in_flight: stats.in_flight,
        waiting: stats.waiting,
        // A router that does not tell them apart: an H12 of a dyno that was too slow is late anyway.
        given_up: stats
            .given_up
            .unwrap_or_else(|| code("H11").saturating_add(code("H12"))),
        queue_ms: queue_ms(stats),
    }
}

/// How long requests waited for a dyno, where that is measured and nobody waits still: who does has waited longer than is
/// counted yet.
fn queue_ms(stats: &AppStats) -> Option<u64> {
    let waits: ResponseTimes = stats.queue.as_ref()?.iter().copied().collect();
    match (waits.percentile(95), stats.waiting) {
        (Some(ms), _) => Some(ms),
        (None, 0) => Some(0),
        (None, _) => None,
    }
}

/// What answers took together: each counted at the middle of its bucket.
fn busy_ms(stats: &AppStats) -> u64 {
    let middle = |bucket: u16| {
        let bucket = usize::from(bucket);
        lowest_of(bucket).midpoint(lowest_of(bucket + 1))
    };
    stats.times.iter().fold(0, |sum: u64, (bucket, count)| {
        sum.saturating_add(count.saturating_mul(middle(*bucket)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_kept_once_and_not_for_ever() {
        let mut history = History::default();
        let stats = AppStats {
            requests: 3,
            classes: [1, 0, 2, 0, 0, 0],
            in_flight: 1,
            p95_ms: 40,
            ..AppStats::default()
        };
        history.close(0);
        history.close(5);
        history.add(&stats, 5);
        history.add(&stats, 5);
        history.close(6);
        history.close(6);
        let seen: Vec<(u64, u64, u64)> = history
            .samples()
            .iter()
            .map(|sample| (sample.second, sample.requests, sample.answered))
            .collect();
        assert_eq!(seen, [(4, 0, 0), (5, 6, 6)]);
        history.close(5 + HISTORY + 2);
        assert_eq!(history.samples().len(), 1);
    }

    #[test]
    fn who_waits_and_who_is_refused_in_line_is_told() {
        let stats = AppStats {
            requests: 9,
            in_flight: 8,
            waiting: 6,
            codes: [
                ("H11".to_owned(), 2),
                ("H12".to_owned(), 1),
                ("H18".to_owned(), 4),
            ]
            .into(),
            times: vec![(4, 10), (8, 1)],
            ..AppStats::default()
        };
        let sample = sample(&stats, 1);
        assert_eq!((sample.waiting, sample.given_up), (6, 3));
        // 4 ms and 8 ms.
        assert_eq!(sample.busy_ms, 48);
    }

    #[test]
    fn waits_are_those_that_the_router_measured() {
        let of = |queue, waiting| {
            let stats = AppStats {
                queue,
                waiting,
                given_up: Some(1),
                codes: [("H12".to_owned(), 9)].into(),
                ..AppStats::default()
            };
            let sample = sample(&stats, 1);
            (sample.queue_ms, sample.given_up)
        };
        assert_eq!(of(Some(vec![(0, 90), (8, 10)]), 0), (Some(8), 1));
        assert_eq!(of(Some(vec![(0, 96), (8, 4)]), 0), (Some(0), 1));
        assert_eq!(of(Some(Vec::new()), 0), (Some(0), 1));
        assert_eq!(of(Some(Vec::new()), 5), (None, 1), "nobody was let through");
        assert_eq!(of(None, 0), (None, 1));
    }

    #[test]
    fn answers_of_the_router_count_when_they_took_time() {
        let only = |p95_ms| AppStats {
            classes: [4, 0, 0, 0, 0, 0],
            p95_ms,
            ..AppStats::default()
        };
        assert_eq!(sample(&only(0), 1).answered, 0);
        assert_eq!(sample(&only(28_672), 1).answered, 4);
    }
}
