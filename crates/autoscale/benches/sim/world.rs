//! An app behind a router: one line, dynos with five places each that take time to boot, and a law that says how many.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use ropewalk_autoscale::Sample;

use super::dice::Dice;
use super::laws::{Law, Name, Seen};
use super::trace::{LENGTH, Trace};

/// Requests that a dyno works on at once.
pub(super) const PLACES: usize = 5;
pub(super) const LEAST: u32 = 1;
pub(super) const MOST: u32 = 40;
const FIRST: u32 = 3;
/// A request that waited for longer is late.
const LATE: f64 = 0.5;
/// And one that waited for longer than that is given up on.
const PATIENCE: f64 = 30.0;
/// Answers of a second should be quicker than that, 95 of 100.
const TARGET_MS: f64 = 500.0;

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) requests: f64,
    /// Waited at all, waited for long or were given up on, were given up on.
    pub(super) queued: f64,
    pub(super) late: f64,
    pub(super) failed: f64,
    /// Seconds whose answers missed the target.
    pub(super) late_seconds: f64,
    pub(super) dyno_seconds: f64,
    pub(super) changes: f64,
    /// From a jump of the load to the first step up, the longest.
    pub(super) reaction: f64,
    /// Changes after the first quarter of an hour, and steps up that follow a step down there.
    pub(super) settled_changes: f64,
    pub(super) settled_returns: f64,
}

/// With no more dynos than the mean load fills without rest. Nothing that answers in time can do with fewer.
pub(super) fn least_dyno_seconds(trace: Trace) -> f64 {
    (0..LENGTH as u64)
        .map(|second| trace.at_once(second as f64) / PLACES as f64)
        .map(|dynos| dynos.ceil().max(f64::from(LEAST)))
        .sum()
}

pub(super) fn run(trace: Trace, name: Name, boot: f64, seed: u64) -> Outcome {
    World::new(trace, boot, seed).run(name.law())
}

/// A time that has an order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct At(f64, f64);

impl Eq for At {}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct World {
    trace: Trace,
    boot: f64,
    /// What clients do, whatever the law.
    dice: Dice,
    now: f64,
    ready: u32,
    /// When those that boot are ready.
    booting: VecDeque<f64>,
    /// When requests that are worked on end, and how long they took.
    busy: BinaryHeap<Reverse<At>>,
    /// When requests that wait came, and how long they will take.
    line: VecDeque<(f64, f64)>,
    second: Second,
    outcome: Outcome,
}

/// What happened in the second that is going on.
#[derive(Default)]
struct Second {
    requests: u64,
    given_up: u64,
    /// In ms: with a dyno, on the whole.
    services: Vec<f64>,
    responses: Vec<f64>,
    /// Integral of places taken.
    place_seconds: f64,
}

impl World {
    fn new(trace: Trace, boot: f64, seed: u64) -> Self {
        Self {
            trace,
            boot,
            dice: Dice::new(seed),
            now: 0.0,
            ready: FIRST,
            booting: VecDeque::new(),
            busy: BinaryHeap::new(),
            line: VecDeque::new(),
            second: Second::default(),
            outcome: Outcome::default(),
        }
    }

    fn run(mut self, mut law: Box<dyn Law>) -> Outcome {
        let mut arrival = self.next_arrival(0.0);
        let mut seen = Vec::new();
        let mut changes: Vec<(f64, bool)> = Vec::new();
        let mut tick = 1.0;
        while tick <= LENGTH {
            let ready = self.booting.front().copied().unwrap_or(f64::INFINITY);
            let end = self.busy.peek().map_or(f64::INFINITY, |next| next.0.0);
            let next = tick.min(arrival).min(ready).min(end);
            self.pass(next);
            if next == end {
                if let Some(Reverse(At(_, took))) = self.busy.pop() {
                    self.second.services.push(took * 1000.0);
                }
                self.serve();
            } else if next == ready {
                self.booting.pop_front();
                self.ready += 1;
                self.serve();
            } else if next == arrival {
                self.arrive();
                arrival = self.next_arrival(next);
            } else {
                seen.push(self.close());
                let wanted = self.wanted();
                let asked = law.want(&seen, wanted, self.ready).clamp(LEAST, MOST);
                if asked != wanted {
                    changes.push((self.now, asked > wanted));
                    self.scale(asked);
                }
                tick += 1.0;
            }
        }
        self.outcome.changes = changes.len() as f64;
        self.outcome.reaction = reaction(self.trace, &changes);
        changes.retain(|change| change.0 > 900.0);
        self.outcome.settled_changes = changes.len() as f64;
        let returns = changes.windows(2).filter(|two| !two[0].1 && two[1].1);
        self.outcome.settled_returns = returns.count() as f64;
        self.outcome
    }

    fn wanted(&self) -> u32 {
        self.ready + self.booting.len() as u32
    }

    fn places(&self) -> usize {
        self.ready as usize * PLACES
    }

    fn pass(&mut self, to: f64) {
        let seconds = to - self.now;
        self.outcome.dyno_seconds += f64::from(self.wanted()) * seconds;
        self.second.place_seconds += self.busy.len() as f64 * seconds;
        self.now = to;
    }

    /// By chance, as often as the trace has it: candidates at its peak, some of which are none.
    fn next_arrival(&mut self, mut at: f64) -> f64 {
        let peak = self.trace.peak();
        loop {
            at += self.dice.pause(1.0 / peak);
            if at > LENGTH || self.dice.unit() * peak < self.trace.rate(at) {
                return at;
            }
        }
    }

    fn arrive(&mut self) {
        let service = self.trace.service(self.now, &mut self.dice);
        self.second.requests += 1;
        self.outcome.requests += 1.0;
        self.line.push_back((self.now, service));
        self.serve();
        if !self.line.is_empty() {
            self.outcome.queued += 1.0;
        }
    }

    fn serve(&mut self) {
        while self.busy.len() < self.places() {
            let Some((came, service)) = self.line.pop_front() else {
                return;
            };
            let wait = self.now - came;
            if wait > LATE {
                self.outcome.late += 1.0;
            }
            if wait > PATIENCE {
                self.outcome.failed += 1.0;
                self.second.given_up += 1;
                self.second.responses.push(PATIENCE * 1000.0);
                continue;
            }
            self.second.responses.push((wait + service) * 1000.0);
            self.busy.push(Reverse(At(self.now + service, service)));
        }
    }

    fn scale(&mut self, asked: u32) {
        let wanted = self.wanted();
        for _ in wanted..asked {
            self.booting.push_back(self.now + self.boot);
        }
        for _ in asked..wanted {
            // What still boots goes first; a dyno that goes ends what it works on.
            if self.booting.pop_back().is_none() {
                self.ready -= 1;
            }
        }
    }

    fn close(&mut self) -> Seen {
        let mut second = std::mem::take(&mut self.second);
        let p95_ms = p95(&mut second.services);
        let response_ms = p95(&mut second.responses);
        if response_ms > TARGET_MS {
            self.outcome.late_seconds += 1.0;
        }
        let sample = Sample {
            second: self.now as u64 - 1,
            requests: second.requests,
            answered: second.services.len() as u64,
            p95_ms: p95_ms as u64,
            busy_ms: second.services.iter().sum::<f64>() as u64,
            in_flight: (self.busy.len() + self.line.len()) as u64,
            waiting: self.line.len() as u64,
            given_up: second.given_up,
            queue_ms: None,
        };
        Seen {
            sample,
            responses: second.responses,
            places: second.place_seconds,
        }
    }
}

fn reaction(trace: Trace, changes: &[(f64, bool)]) -> f64 {
    let first = |jump: f64| {
        let up = changes.iter().find(|(at, up)| *up && *at > jump);
        up.map_or(f64::INFINITY, |(at, _)| at - jump)
    };
    trace.jumps().iter().copied().map(first).fold(0.0, f64::max)
}

pub(super) fn p95(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let rank = (times.len() * 95).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or(0.0)
}
