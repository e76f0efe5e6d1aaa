//! Which containers ended with the host or with its engine, and not by themselves.
//!
//! An engine that goes away without keeping its containers ends them all. That is no crash of theirs: they start again at
//! once, and nothing is counted. All times here are those of the host's clock, which the engine writes.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use ropewalk_engine::Container;

/// An engine that ends tells its last before it has ended its containers, and may end some a little earlier.
const BEFORE: SignedDuration = SignedDuration::from_secs(2);
/// It answers again before it has written of all how they ended.
const AFTER: SignedDuration = SignedDuration::from_secs(5);
/// Outages that are remembered.
const MAX: usize = 16;

/// When the engine was away.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// Since when; the last one may not be over.
    past: VecDeque<(Timestamp, Option<Timestamp>)>,
}

impl Outages {
    /// The engine is not there any more. Said again while it is away, it changes nothing.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        if self.past.back().is_some_and(|(_, until)| until.is_none()) {
            return;
        }
        if self.past.len() == MAX {
            self.past.pop_front();
        }
        self.past.push_back((now, None));
    }

    /// The engine is there.
    pub(crate) fn end(&mut self, now: Timestamp) {
        if let Some((_, until @ None)) = self.past.back_mut() {
            *until = Some(now);
        }
    }

    /// Whether a container that has ended was lost. `booted` is when the host began.
    pub(crate) fn took(&self, container: &Container, booted: Option<Timestamp>) -> bool {
        let (Some(started), Some(finished)) = (container.started_at, container.finished_at) else {
            return false;
        };
        // What the kernel ended for want of memory would have ended all the same.
        if container.exit.is_some_and(|exit| exit.out_of_memory) {
            return false;
        }
        let before_boot = booted.is_some_and(|booted| started < booted);
        before_boot
            || self.past.iter().any(|(since, until)| {
                started < *since
                    && *since - BEFORE <= finished
                    && until.is_none_or(|until| finished <= until + AFTER)
            })
    }
}

/// When the host began, by its clock as it is now.
pub(crate) fn booted() -> Option<Timestamp> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(line.trim().parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use ropewalk_engine::{ContainerId, Exit, Status};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("a time")
    }

    fn ended(started: i64, finished: i64, code: i64) -> Container {
        Container {
            id: ContainerId("c".to_owned()),
            name: "c".to_owned(),
            labels: Default::default(),
            image: String::new(),
            status: Status::Exited,
            ip: None,
            pid: None,
            started_at: Some(at(started)),
            finished_at: Some(at(finished)),
            exit: Some(Exit {
                code,
                out_of_memory: false,
            }),
        }
    }

    #[test]
    fn what_ends_while_the_engine_is_away_is_lost() {
        let mut outages = Outages::default();
        assert!(!outages.took(&ended(0, 100, 137), None));
        outages.begin(at(100));
        outages.begin(at(101));
        assert!(outages.took(&ended(0, 99, 143), None), "a moment before");
        assert!(outages.took(&ended(0, 105, 255), None));
        outages.end(at(110));
        outages.end(at(500));
        assert!(outages.took(&ended(0, 112, 255), None), "written late");
        assert!(!outages.took(&ended(0, 90, 1), None), "a crash before it");
        assert!(!outages.took(&ended(0, 116, 1), None), "a crash after it");
        assert!(!outages.took(&ended(111, 112, 1), None), "began after it");
        let mut killed = ended(0, 105, 137);
        killed.exit = Some(Exit {
            code: 137,
            out_of_memory: true,
        });
        assert!(!outages.took(&killed, None));
    }

    #[test]
    fn what_began_before_the_host_did_is_lost() {
        let outages = Outages::default();
        assert!(outages.took(&ended(0, 60, 255), Some(at(50))));
        assert!(!outages.took(&ended(55, 60, 1), Some(at(50))));
        assert!(booted().is_some_and(|at| at < Timestamp::now()));
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let mut outages = Outages::default();
        for n in 0..100 {
            outages.begin(at(n * 100));
            outages.end(at(n * 100 + 10));
        }
        assert_eq!(outages.past.len(), MAX);
        assert!(outages.took(&ended(0, 9_905, 255), None));
    }
}
