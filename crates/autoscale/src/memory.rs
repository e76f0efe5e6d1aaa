//! What was done and needed before: it keeps the next step from coming too early, or from undoing the last.

use std::collections::VecDeque;

use crate::decide::Decision;
use crate::signals::Dynos;
use crate::wish::Need;

/// For how long a load that was too much is remembered, in seconds.
const REMEMBERED: u64 = 3600;
/// Seconds after a step down in which lateness is laid to that step.
const PROBATION: u64 = 300;
/// Seconds of which one need is kept, the greatest.
const TEN: u64 = 10;
/// Longest time for which fewer must have done.
const LONGEST: u64 = 1800;
/// Seconds after a panic in which nobody goes.
const PANIC: u64 = 60;
/// Seconds after a step down within which a load that comes back was to be waited for.
const RETURN: u64 = 900;
/// How often the time before dynos go doubles at most.
const DOUBLINGS: u32 = 3;
/// Seconds that a dyno takes to boot, as long as none was seen to.
const BOOT: u64 = 10;
/// Longest boot that is looked ahead for.
const LONGEST_BOOT: u64 = 120;

/// What is remembered of one process type. After a restart of the server it has what it is told of changes
/// ([`Memory::recall`]), and nothing of needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    quantity: Option<u32>,
    changed: Option<u64>,
    /// When the last change was a step down of ours.
    lowered: Option<u64>,
    strain: Option<Strain>,
    /// By ten seconds, oldest first.
    needs: VecDeque<(u64, Need)>,
    panicked: Option<u64>,
    /// Our last steps down: when, from how many dynos, and to how many.
    fell: Option<(u64, u32, u32)>,
    /// How often a load came back soon after a step down, and when it last did.
    returns: Option<(u32, u64)>,
    /// Since when dynos of ours boot.
    booting: Option<u64>,
    /// How long they took.
    boot: Option<u64>,
}

/// A load that was too much for so many dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Strain {
    at: u64,
    /// Requests a minute.
    requests: u64,
    dynos: u32,
}

impl Memory {
    /// Notes how many dynos there are, before each decision. A change by whomever begins the rests anew.
    pub fn saw(&mut self, dynos: &Dynos, now: u64) {
        if self.quantity.is_some_and(|known| known != dynos.wanted) {
            self.changed = Some(now);
            self.lowered = None;
            self.fell = None;
        }
        self.quantity = Some(dynos.wanted);
        if let Some(since) = self.booting
            && dynos.ready >= dynos.wanted
        {
            let took = now.saturating_sub(since).clamp(1, LONGEST_BOOT);
            self.boot = Some(self.boot.map_or(took, |known| known.midpoint(took)));
            self.booting = None;
        }
    }

    /// Notes that the app is in no state to be judged, as during a deploy; the rests begin when that ends.
    pub fn unsettled(&mut self, now: u64) {
        self.changed = Some(now);
    }

    /// Notes what was decided, whether or not it is carried out.
    pub fn judged(&mut self, decision: &Decision, now: u64) {
        if decision.panic {
            self.panicked = Some(now);
        }
        let Some(need) = decision.need else {
            return;
        };
        let ten = now / TEN;
        match self.needs.back_mut() {
            Some((last, known)) if *last >= ten => *known = known.or(need),
            _ => self.needs.push_back((ten, need)),
        }
        let oldest = ten.saturating_sub(LONGEST / TEN + 1);
        while self.needs.front().is_some_and(|(first, _)| *first < oldest) {
            self.needs.pop_front();
        }
    }

    /// Takes up what was done before it was forgotten, oldest first; `now` is when.
    pub fn recall(&mut self, from: u32, to: u32, panic: bool, now: u64) {
        if panic {
            self.panicked = Some(now);
        }
        self.step(from, to, now);
        // Those have booted, or nobody knows since when they do.
        self.booting = None;
    }

    /// Notes that a decision was carried out.
    pub fn done(&mut self, decision: &Decision, now: u64) {
        let (from, to) = (decision.from, decision.to);
        if let Some(requests) = decision.strain {
            self.strain = Some(Strain {
                at: now,
                requests,
                dynos: from,
            });
        }
        self.step(from, to, now);
    }

    fn step(&mut self, from: u32, to: u32, now: u64) {
        if to > from {
            self.booting = Some(now);
            // Half of the way back is a return: what came before it may have been more than was needed.
            if let Some((at, before, after)) = self.fell
                && u64::from(to) * 2 >= u64::from(before) + u64::from(after)
                && now.saturating_sub(at) < RETURN
            {
                let times = self.doublings(now) + 1;
                self.returns = Some((times.min(DOUBLINGS), now));
                self.fell = None;
            }
        }
        if to < from {
            // Of steps down that follow each other, the height of the first counts.
            let height = match self.fell {
                Some((at, before, _)) if now.saturating_sub(at) < RETURN => before.max(from),
                _ => from,
            };
            self.fell = Some((now, height, to));
        }
        self.quantity = Some(to);
        self.changed = Some(now);
        self.lowered = (to < from).then_some(now);
    }

    /// Whether the last change is at least so many seconds ago.
    pub(crate) fn rested(&self, seconds: u64, now: u64) -> bool {
        self.changed
            .is_none_or(|changed| now.saturating_sub(changed) >= seconds)
    }

    /// Whether one dyno was just taken away, so that giving it back will do.
    pub(crate) fn lately_lowered(&self, now: u64) -> bool {
        self.lowered
            .is_some_and(|lowered| now.saturating_sub(lowered) < PROBATION)
    }

    /// Whether so many requests a minute come close (four fifths) to what was lately too much for a dyno.
    pub(crate) fn would_strain(&self, requests: u64, dynos: u32, now: u64) -> bool {
        let Some(strain) = &self.strain else {
            return false;
        };
        let expected = u128::from(requests) * u128::from(strain.dynos) * 5;
        let too_much = u128::from(strain.requests) * u128::from(dynos) * 4;
        now.saturating_sub(strain.at) < REMEMBERED && requests > 0 && expected >= too_much
    }

    /// Whether much more was needed within the last minute.
    pub(crate) fn lately_panicked(&self, now: u64) -> bool {
        self.panicked
            .is_some_and(|panicked| now.saturating_sub(panicked) < PANIC)
    }

    /// How long fewer must have done: twice as long each time that a load came back soon after a step down.
    pub(crate) fn patience(&self, usual: u64, now: u64) -> u64 {
        (usual << self.doublings(now)).min(LONGEST.max(usual))
    }

    /// The greatest steady need of the last so many seconds; `None` where that long is not remembered.
    pub(crate) fn steady(&self, seconds: u64, now: u64) -> Option<f64> {
        let oldest = now.saturating_sub(seconds) / TEN;
        let (first, _) = self.needs.front()?;
        (*first <= oldest).then(|| self.most(oldest, |need| need.steady))
    }

    /// The greatest passing need of the last so many seconds.
    pub(crate) fn surge(&self, seconds: u64, now: u64) -> f64 {
        self.most(now.saturating_sub(seconds) / TEN, |need| need.surge)
    }

    /// Seconds that a dyno takes to boot.
    pub(crate) fn boot(&self) -> u64 {
        self.boot.unwrap_or(BOOT)
    }

    /// Seconds until a dyno that is asked for now, or was already, is there.
    pub(crate) fn until_ready(&self, now: u64) -> u64 {
        match self.booting {
            Some(since) => self.boot().saturating_sub(now.saturating_sub(since)),
            None => self.boot(),
        }
    }

    /// One is forgotten with each hour.
    fn doublings(&self, now: u64) -> u32 {
        self.returns.map_or(0, |(times, at)| {
            let hours = now.saturating_sub(at) / REMEMBERED;
            times.saturating_sub(u32::try_from(hours).unwrap_or(u32::MAX))
        })
    }

    fn most(&self, oldest: u64, of: impl Fn(&Need) -> f64) -> f64 {
        let recent = self.needs.iter().filter(|(ten, _)| *ten >= oldest);
        recent.map(|(_, need)| of(need)).fold(0.0, f64::max)
    }
}
