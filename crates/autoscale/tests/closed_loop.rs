//! The rules in a closed loop with an app: dynos of a few slots each, one queue, and load that changes.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::VecDeque;

use ropewalk_autoscale::{Dynos, Memory, Moment, Rule, Sample, Signals, decide};
use ropewalk_model::monitor;

/// Milliseconds.
const TICK: u64 = 20;
const BOOT: u64 = 10_000;
const TIMEOUT: u64 = 30_000;
/// Requests that a dyno works on at once.
const SLOTS: usize = 5;
/// Mean service time; times are spread exponentially above half of it.
const SERVICE: f64 = 100.0;

/// The same numbers in every run.
struct Chance(u64);

impl Chance {
    /// Above 0, below 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.next().ln()
    }
}

/// An app under load.
struct App {
    chance: Chance,
    /// When each slot is free, in ms.
    slots: Vec<u64>,
    queue: VecDeque<u64>,
    next_arrival: f64,
    /// Ends of requests with the time they took.
    ends: Vec<(u64, u64)>,
    now: u64,
}

impl App {
    fn scale(&mut self, dynos: u32) {
        let wanted = dynos as usize * SLOTS;
        let ready = self.now + BOOT;
        self.slots.resize(wanted, ready);
    }

    /// One second at so many requests a second.
    fn second(&mut self, rate: f64) -> Sample {
        let (second, mut requests) = (self.now / 1000, 0);
        let end = self.now + 1000;
        while self.now < end {
            self.now += TICK;
            while self.next_arrival <= self.now as f64 {
                self.queue.push_back(self.next_arrival as u64);
                self.next_arrival += self.chance.exponential(1000.0 / rate);
                requests += 1;
            }
            for slot in 0..self.slots.len() {
                while self.slots[slot] <= self.now {
                    let Some(came) = self.queue.pop_front() else {
                        break;
                    };
                    if self.now - came > TIMEOUT {
                        self.ends.push((self.now, TIMEOUT));
                        continue;
                    }
                    let took = SERVICE / 2.0 + self.chance.exponential(SERVICE / 2.0);
                    self.slots[slot] = self.now + took as u64;
                    self.ends.push((self.slots[slot], self.slots[slot] - came));
                }
            }
        }
        let mut times = Vec::new();
        self.ends.retain(|(at, took)| {
            let ended = *at <= end;
            if ended {
                times.push(*took);
            }
            !ended
        });
        times.sort_unstable();
        let rank = (times.len() * 95).div_ceil(100).saturating_sub(1);
        Sample {
            second,
            requests,
            answered: times.len() as u64,
            p95_ms: times.get(rank).copied().unwrap_or(0),
            in_flight: (self.queue.len() + self.ends.len()) as u64,
            ..Sample::default()
        }
    }
}

/// What a run came to.
struct Run {
    history: Vec<Sample>,
    /// Second and quantity, after the first.
    changes: Vec<(u64, u32)>,
    /// By the second.
    dynos: Vec<u32>,
}

impl Run {
    /// Seconds of these that missed the goal, in per mille.
    fn late(&self, from: u64, to: u64, goal: u64) -> u64 {
        let of = |late: bool| {
            self.history
                .iter()
                .filter(|sample| (from..to).contains(&sample.second))
                .filter(|sample| !late || sample.p95_ms >= goal)
                .count() as u64
        };
        1000 * of(true) / of(false)
    }

    fn changes(&self, from: u64, to: u64) -> Vec<(u64, u32)> {
        let inside = |change: &&(u64, u32)| (from..to).contains(&change.0);
        self.changes.iter().filter(inside).copied().collect()
    }
}

fn run(rule: Rule, seconds: u64, rate: impl Fn(u64) -> f64) -> Run {
    let mut app = App {
        chance: Chance(0x9e37_79b9_7f4a_7c15),
        slots: vec![0; SLOTS],
        queue: VecDeque::new(),
        next_arrival: 0.0,
        ends: Vec::new(),
        now: 0,
    };
    let (mut memory, mut current) = (Memory::default(), 1);
    let mut run = Run {
        history: Vec::new(),
        changes: Vec::new(),
        dynos: Vec::new(),
    };
    for second in 0..seconds {
        run.history.push(app.second(rate(second)));
        run.dynos.push(current);
        let now = second + 1;
        if !now.is_multiple_of(10) {
            continue;
        }
        let dynos = Dynos::ready(current);
        memory.saw(&dynos, now);
        let signals = Signals {
            traffic: &run.history,
            readings: &[],
        };
        let moment = Moment {
            second: now,
            wall: Default::default(),
        };
        let decision = decide(&rule, &signals, &dynos, &memory, &moment);
        memory.judged(&decision, now);
        if let Some(quantity) = decision.change() {
            memory.done(&decision, now);
            current = quantity;
            app.scale(current);
            run.changes.push((now, current));
        }
    }
    run
}

/// A dyno manages 50 requests a second; the load needs one, then at least four, then one again.
#[test]
fn load_that_changes_is_followed_and_then_left_alone() {
    let rule = Rule::from(monitor::Rule::new(400, 1, 10).unwrap());
    let rate = |second| match second {
        600..4200 => 170.0,
        _ => 20.0,
    };
    let run = run(rule, 7200, rate);
    let at = |second: u64| run.dynos[second as usize];
    let told = format!("{:?}", run.changes);

    assert_eq!(run.changes(0, 600), [], "{told}");
    assert!((4..=8).contains(&at(1000)), "{told}");
    assert_eq!(run.late(1000, 4200, 400), 0, "{told}");
    // Too many come one at a time, then nothing moves while the load does not.
    assert!((4..=5).contains(&at(4200)), "{told}");
    assert!(run.changes(2800, 4200).is_empty(), "{told}");
    let down = run.changes(4200, 7200);
    assert!(
        down.windows(2).all(|pair| pair[1].1 + 1 == pair[0].1),
        "{told}"
    );
    assert_eq!(at(7199), 1, "{told}");
    assert!(run.late(4200, 7200, 400) <= 30, "{told}");
}

/// What was too little is tried again at most once an hour, and given up on within two minutes.
#[test]
fn a_load_between_two_quantities_does_not_swing() {
    for rate in [45.0, 52.0, 95.0, 101.0, 148.0] {
        let rule = Rule::from(monitor::Rule::new(400, 1, 10).unwrap());
        let run = run(rule, 4 * 3600, |_| rate);
        let told = format!("{rate}: {:?}", run.changes);
        let downs = |from, to| {
            run.changes(from, to)
                .windows(2)
                .filter(|pair| pair[1].1 < pair[0].1)
                .count()
        };
        // After the first hour has found the level.
        assert!(downs(3600, 4 * 3600) <= 4, "{told}");
        assert!(run.changes(3600, 4 * 3600).len() <= 8, "{told}");
        assert!(run.late(3600, 4 * 3600, 400) <= 40, "{told}");
    }
}
