//! The world around the routers: clients, and dynos that take several requests at once and let the rest wait inside.
//!
//! Ten dynos of five places each; requests come by chance, most short, one in ten long. Measured after a fifth of the
//! time, when the beginning is forgotten.

use std::collections::VecDeque;

use ropewalk_router::balance::Choice;
use ropewalk_router::health::Event;

use super::dice::Dice;
use super::events::Events;
use super::router::{Policy, Router};

const DYNOS: usize = 10;
pub(super) const PLACES: usize = 5;
/// Mean time in a dyno of usual speed, in seconds: 90 % take 30 ms, 10 % take 230 ms, spread around that.
const MEAN: f64 = 0.05;
/// Until a refusal comes; until a router gives up on a connection that nobody answers; until a failing dyno answers.
const REFUSAL: f64 = 0.000_5;
const NO_ANSWER: f64 = 0.25;
/// The same by Heroku's rule.
const NO_ANSWER_HEROKU: f64 = 5.0;
const FAILURE: f64 = 0.001;
/// Between two looks at all dynos, and two probes.
const LOOK: f64 = 0.02;
const PROBE: f64 = 1.0;
/// Most dynos that one request is offered to.
const ATTEMPTS: u32 = 10;

/// What is the matter with the dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    Equal,
    /// Speeds from 0.6 to 1.4.
    Mixed,
    /// The first takes five times as long.
    Slow,
    /// The first refuses connections.
    Dead,
    /// The first answers no connection.
    Silent,
    /// The first answers 500 in a millisecond.
    Failing,
}

impl Scene {
    pub(super) const ALL: [Self; 6] = [
        Self::Equal,
        Self::Mixed,
        Self::Slow,
        Self::Dead,
        Self::Silent,
        Self::Failing,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal dynos",
            Self::Mixed => "speeds 0.6 to 1.4",
            Self::Slow => "one 5 times slower",
            Self::Dead => "one refuses connections",
            Self::Silent => "one answers no connection",
            Self::Failing => "one answers 500 in 1 ms",
        }
    }

    fn load(self) -> f64 {
        match self {
            Self::Equal | Self::Mixed => 0.8,
            _ => 0.7,
        }
    }

    fn speed(self, dyno: usize) -> f64 {
        const MIXED: [f64; DYNOS] = [0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.1, 1.2, 1.3, 1.4];
        match self {
            Self::Mixed => MIXED[dyno],
            Self::Slow if dyno == 0 => 0.2,
            _ => 1.0,
        }
    }

    fn useless(self) -> Option<usize> {
        matches!(self, Self::Dead | Self::Silent | Self::Failing).then_some(0)
    }
}

/// What came out of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    /// Percent of requests that failed, or took more than 30 s.
    pub(super) failed: f64,
    /// Most requests of one dyno by its fair share.
    pub(super) share: f64,
    /// Deviation of the dynos' loads at one moment, by their mean; the mean of all moments.
    pub(super) unevenness: f64,
    /// Longest line inside one dyno.
    pub(super) inside: f64,
    /// Percent of moments in which a place was free and a request waited.
    pub(super) idle: f64,
}

enum Happens {
    Arrival,
    /// A dyno has done a request.
    Done {
        request: usize,
        dyno: usize,
    },
    /// No connection was made.
    Refused {
        request: usize,
        dyno: usize,
    },
    Look,
    Probe,
}

struct Request {
    came: f64,
    router: usize,
    work: f64,
    tried: u32,
    /// The number of its router's choice that sent it.
    since: u64,
}

#[derive(Default)]
struct Dyno {
    busy: usize,
    inside: VecDeque<usize>,
    served: u64,
}

struct World {
    scene: Scene,
    dice: Dice,
    events: Events<Happens>,
    routers: Vec<Router>,
    dynos: Vec<Dyno>,
    requests: Vec<Request>,
    from: f64,
    times: Vec<f64>,
    failed: u64,
    looks: u64,
    unevenness: f64,
    inside: usize,
    idle: u64,
}

/// Runs `seconds` of one scene.
pub(super) fn run(
    scene: Scene,
    policy: Policy,
    routers: usize,
    seconds: f64,
    seed: u64,
) -> Outcome {
    let useless = scene.useless();
    let mut world = World {
        scene,
        dice: Dice::new(seed),
        events: Events::new(),
        routers: (0..routers)
            .map(|number| Router::new(policy, DYNOS, useless, number * 3))
            .collect(),
        dynos: (0..DYNOS).map(|_| Dyno::default()).collect(),
        requests: Vec::new(),
        from: seconds / 5.0,
        times: Vec::new(),
        failed: 0,
        looks: 0,
        unevenness: 0.0,
        inside: 0,
        idle: 0,
    };
    world.events.plan(0.0, Happens::Arrival);
    world.events.plan(world.from, Happens::Look);
    world.events.plan(PROBE, Happens::Probe);
    while let Some((now, event)) = world.events.next() {
        if now > seconds {
            break;
        }
        world.happens(now, event);
    }
    world.outcome(seconds)
}

impl World {
    fn happens(&mut self, now: f64, event: Happens) {
        match event {
            Happens::Arrival => {
                let mean = MEAN / (self.scene.load() * (DYNOS * PLACES) as f64);
                let next = now + self.dice.pause(mean);
                self.events.plan(next, Happens::Arrival);
                let work = match self.dice.unit() < 0.9 {
                    true => self.dice.spread(0.03, 0.6),
                    false => self.dice.spread(0.23, 0.8),
                };
                let router = self.dice.below(self.routers.len());
                self.requests.push(Request {
                    came: now,
                    router,
                    work,
                    tried: 0,
                    since: 0,
                });
                let request = self.requests.len() - 1;
                // Those who came earlier go first.
                if !self.routers[router].line.is_empty() || !self.route(request, now) {
                    self.routers[router].line.push_back(request);
                }
            }
            Happens::Done { request, dyno } => self.done(request, dyno, now),
            Happens::Refused { request, dyno } => {
                let (router, since) = (self.requests[request].router, self.requests[request].since);
                self.routers[router].left(dyno, since);
                self.routers[router].observe(dyno, Event::Refused, now);
                self.requests[request].tried |= 1 << dyno;
                if !self.route(request, now) {
                    self.routers[router].line.push_front(request);
                }
            }
            Happens::Look => {
                self.events.plan(now + LOOK, Happens::Look);
                self.look();
            }
            Happens::Probe => {
                self.events.plan(now + PROBE, Happens::Probe);
                for router in 0..self.routers.len() {
                    for dyno in self.routers[router].to_probe(now) {
                        let event = match self.scene.useless() == Some(dyno) {
                            true => Event::Refused,
                            false => Event::Connected,
                        };
                        self.routers[router].observe(dyno, event, now);
                    }
                    self.serve_line(router, now);
                }
            }
        }
    }

    /// `false` when it has to wait.
    fn route(&mut self, request: usize, now: f64) -> bool {
        let (router, tried) = (self.requests[request].router, self.requests[request].tried);
        let chance = self.dice.below(1 << 20);
        match self.routers[router].choose(tried, now, chance) {
            Choice::Send(dyno) if tried.count_ones() < ATTEMPTS => {
                self.send(request, dyno, now);
                true
            }
            Choice::Full => false,
            Choice::Send(_) | Choice::Nobody => {
                self.failed += u64::from(self.requests[request].came > self.from);
                true
            }
        }
    }

    fn send(&mut self, request: usize, dyno: usize, now: f64) {
        let first = dyno == 0;
        let router = &self.routers[self.requests[request].router];
        let policy = router.policy;
        self.requests[request].since = router.choices();
        let (after, event) = match self.scene {
            Scene::Dead if first => (REFUSAL, Happens::Refused { request, dyno }),
            Scene::Silent if first => {
                let patience = match policy {
                    Policy::Ours(_) | Policy::Ideal(_) => NO_ANSWER,
                    Policy::Random | Policy::RoundRobin => NO_ANSWER_HEROKU,
                };
                (patience, Happens::Refused { request, dyno })
            }
            Scene::Failing if first => (FAILURE, Happens::Done { request, dyno }),
            _ if self.dynos[dyno].busy < PLACES => {
                self.dynos[dyno].busy += 1;
                (self.work(request, dyno), Happens::Done { request, dyno })
            }
            _ => {
                self.dynos[dyno].inside.push_back(request);
                return;
            }
        };
        self.events.plan(now + after, event);
    }

    fn done(&mut self, request: usize, dyno: usize, now: f64) {
        let (router, came) = (self.requests[request].router, self.requests[request].came);
        let measured = came > self.from;
        if measured {
            self.times.push(now - came);
        }
        self.routers[router].left(dyno, self.requests[request].since);
        if self.scene == Scene::Failing && dyno == 0 {
            self.failed += u64::from(measured);
            self.routers[router].observe(dyno, Event::Failed, now);
        } else {
            self.dynos[dyno].served += u64::from(measured);
            self.routers[router].observe(dyno, Event::Answered, now);
            match self.dynos[dyno].inside.pop_front() {
                Some(next) => {
                    let at = now + self.work(next, dyno);
                    self.events.plan(
                        at,
                        Happens::Done {
                            request: next,
                            dyno,
                        },
                    );
                }
                None => self.dynos[dyno].busy -= 1,
            }
        }
        self.serve_line(router, now);
    }

    fn serve_line(&mut self, router: usize, now: f64) {
        while let Some(&first) = self.routers[router].line.front() {
            if !self.route(first, now) {
                break;
            }
            self.routers[router].line.pop_front();
        }
    }

    fn work(&self, request: usize, dyno: usize) -> f64 {
        self.requests[request].work / self.scene.speed(dyno)
    }

    fn look(&mut self) {
        let useless = self.scene.useless();
        let live = || (0..DYNOS).filter(|dyno| Some(*dyno) != useless);
        let loads: Vec<f64> = live()
            .map(|dyno| {
                let held = self.dynos[dyno].busy + self.dynos[dyno].inside.len();
                held as f64 / self.scene.speed(dyno)
            })
            .collect();
        let mean = loads.iter().sum::<f64>() / loads.len() as f64;
        if mean > 0.0 {
            self.looks += 1;
            let square = loads.iter().map(|load| (load - mean).powi(2)).sum::<f64>();
            self.unevenness += (square / loads.len() as f64).sqrt() / mean;
        }
        let inside = live().map(|dyno| self.dynos[dyno].inside.len());
        self.inside = self.inside.max(inside.clone().max().unwrap_or(0));
        let waiting = inside.sum::<usize>()
            + self
                .routers
                .iter()
                .map(|router| router.line.len())
                .sum::<usize>();
        let free = live()
            .map(|dyno| PLACES - self.dynos[dyno].busy)
            .sum::<usize>();
        self.idle += u64::from(waiting > 0 && free > 0);
    }

    fn outcome(mut self, seconds: f64) -> Outcome {
        // Who still waits inside a dyno or in line has a time too, though nobody knows yet how long.
        let inside = self.dynos.iter().flat_map(|dyno| &dyno.inside);
        let in_line = self.routers.iter().flat_map(|router| &router.line);
        let unfinished: Vec<f64> = inside
            .chain(in_line)
            .map(|request| &self.requests[*request])
            .filter(|request| request.came > self.from && seconds - request.came > 1.0)
            .map(|request| seconds - request.came)
            .collect();
        self.times.extend(unfinished);
        self.times.sort_by(f64::total_cmp);
        let count = self.times.len().max(1);
        let at = |part: f64| {
            let index = ((count as f64 * part) as usize).min(count - 1);
            self.times.get(index).copied().unwrap_or(0.0) * 1000.0
        };
        let late = self.times.iter().filter(|time| **time > 30.0).count() as f64;
        let useless = self.scene.useless();
        let live = || (0..DYNOS).filter(|dyno| Some(*dyno) != useless);
        let speed: f64 = live().map(|dyno| self.scene.speed(dyno)).sum();
        let served: f64 = live().map(|dyno| self.dynos[dyno].served as f64).sum();
        let share = live()
            .map(|dyno| {
                let fair = served * self.scene.speed(dyno) / speed;
                self.dynos[dyno].served as f64 / fair
            })
            .fold(0.0, f64::max);
        Outcome {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            failed: (self.failed as f64 + late) / count as f64 * 100.0,
            share,
            unevenness: self.unevenness / self.looks.max(1) as f64,
            inside: self.inside as f64,
            idle: self.idle as f64 / self.looks.max(1) as f64 * 100.0,
        }
    }
}
