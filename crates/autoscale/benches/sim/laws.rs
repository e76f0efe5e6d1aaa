//! Who says how many: the product, and what others are documented to do.
//!
//! Each sees the same of the world, a second late, and decides as often as the original does.

use ropewalk_autoscale::{Dynos, HISTORY, Hold, Memory, Moment, Rule, Sample, Signals, decide};
use ropewalk_model::scaling::{Bounds, Target};

use super::world::{LEAST, MOST, PLACES, p95};

/// A second that is over.
pub(super) struct Seen {
    pub(super) sample: Sample,
    /// How long clients waited for the answers that were begun in it, in ms.
    pub(super) responses: Vec<f64>,
    /// Mean of the places that were taken.
    pub(super) places: f64,
}

pub(super) trait Law {
    /// Asked each second.
    fn want(&mut self, seen: &[Seen], wanted: u32, ready: u32) -> u32;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Ours,
    OursByTime,
    Heroku,
    Hpa,
    Kpa,
}

impl Name {
    pub(super) const ALL: [Name; 5] = [
        Name::Ours,
        Name::OursByTime,
        Name::Heroku,
        Name::Hpa,
        Name::Kpa,
    ];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Ours => "Ropewalk, concurrency 5",
            Self::OursByTime => "Ropewalk, p95 350 ms",
            Self::Heroku => "Heroku-like, p95 350 ms",
            Self::Hpa => "HPA, 60 % of the places",
            Self::Kpa => "Knative KPA, 70 % of 5",
        }
    }

    pub(super) fn law(self) -> Box<dyn Law> {
        match self {
            Self::Ours => Box::new(Ours::new("concurrency", PLACES as f64)),
            Self::OursByTime => Box::new(Ours::new("p95", 350.0)),
            Self::Heroku => Box::new(Heroku::default()),
            Self::Hpa => Box::new(Hpa::default()),
            Self::Kpa => Box::new(Kpa::default()),
        }
    }
}

/// The product's decision, asked each 2 s.
struct Ours {
    rule: Option<Rule>,
    memory: Memory,
    samples: Vec<Sample>,
}

impl Ours {
    fn new(kind: &str, goal: f64) -> Self {
        let bounds = Bounds::new(i64::from(LEAST), i64::from(MOST));
        let target = Target::parse(kind, goal);
        let rule = bounds
            .and_then(|bounds| target.and_then(|target| Rule::new(bounds, vec![target])))
            .ok();
        Self {
            rule,
            memory: Memory::default(),
            samples: Vec::new(),
        }
    }
}

impl Law for Ours {
    fn want(&mut self, seen: &[Seen], wanted: u32, ready: u32) -> u32 {
        let now = seen.len() as u64;
        self.samples.extend(seen.last().map(|seen| seen.sample));
        let (0, Some(rule)) = (now % 2, &self.rule) else {
            return wanted;
        };
        let old = self.samples.len().saturating_sub(HISTORY as usize);
        let signals = Signals {
            traffic: &self.samples[old..],
            readings: &[],
        };
        let dynos = Dynos {
            wanted,
            ready,
            hold: Hold::Free,
        };
        let moment = Moment {
            second: now,
            wall: Default::default(),
        };
        self.memory.saw(&dynos, now);
        let decision = decide(rule, &signals, &dynos, &self.memory, &moment);
        self.memory.judged(&decision, now);
        match decision.change() {
            Some(quantity) => {
                self.memory.done(&decision, now);
                quantity
            }
            None => wanted,
        }
    }
}

/// One dyno a minute by the p95 of the last minute, as its documentation has it; down after five calm minutes.
#[derive(Default)]
struct Heroku {
    changed: Option<u64>,
    low_since: Option<u64>,
}

impl Law for Heroku {
    fn want(&mut self, seen: &[Seen], wanted: u32, _ready: u32) -> u32 {
        let now = seen.len() as u64;
        if !now.is_multiple_of(60) {
            return wanted;
        }
        let minute = &seen[seen.len().saturating_sub(60)..];
        let mut times: Vec<f64> = minute
            .iter()
            .flat_map(|second| second.responses.iter().copied())
            .collect();
        let p95 = p95(&mut times);
        let rested = self.changed.is_none_or(|changed| now - changed >= 60);
        if p95 >= 230.0 {
            self.low_since = None;
        }
        if p95 > 350.0 && rested {
            self.changed = Some(now);
            return wanted + 1;
        }
        if p95 < 230.0 && now - *self.low_since.get_or_insert(now) >= 300 && rested {
            self.changed = Some(now);
            return wanted.saturating_sub(1);
        }
        wanted
    }
}

/// Kubernetes' by utilisation: each 15 s, a tenth of tolerance, twice as many or four more at once, down to what was most
/// in five minutes.
#[derive(Default)]
struct Hpa {
    recommended: Vec<(u64, u32)>,
}

impl Law for Hpa {
    fn want(&mut self, seen: &[Seen], wanted: u32, ready: u32) -> u32 {
        let now = seen.len() as u64;
        if !now.is_multiple_of(15) {
            return wanted;
        }
        let last = &seen[seen.len().saturating_sub(30)..];
        let taken = last.iter().map(|second| second.places).sum::<f64>() / last.len() as f64;
        let ratio = taken / f64::from(ready.max(1)) / PLACES as f64 / 0.6;
        let desired = match (ratio - 1.0).abs() <= 0.1 {
            true => wanted,
            false => (f64::from(ready) * ratio).ceil() as u32,
        };
        self.recommended.push((now, desired));
        self.recommended.retain(|(at, _)| now - at < 300);
        if desired > wanted {
            return desired.min((2 * wanted).max(wanted + 4));
        }
        let most = self.recommended.iter().map(|(_, count)| *count).max();
        most.unwrap_or(wanted).min(wanted)
    }
}

/// Knative's by concurrency: a minute in calm, six seconds in panic, each 2 s.
#[derive(Default)]
struct Kpa {
    panic_until: Option<u64>,
    panic_most: u32,
}

impl Law for Kpa {
    fn want(&mut self, seen: &[Seen], wanted: u32, ready: u32) -> u32 {
        let now = seen.len() as u64;
        if !now.is_multiple_of(2) {
            return wanted;
        }
        let for_mean = |seconds: usize| {
            let last = &seen[seen.len().saturating_sub(seconds)..];
            let sum: u64 = last.iter().map(|second| second.sample.in_flight).sum();
            let mean = sum as f64 / last.len().max(1) as f64;
            (mean / (0.7 * PLACES as f64)).ceil() as u32
        };
        let (stable, panic) = (for_mean(60), for_mean(6));
        let panics = self.panic_until.is_some_and(|until| now < until);
        if panic >= 2 * ready.max(1) {
            if !panics {
                self.panic_most = 0;
            }
            self.panic_until = Some(now + 60);
        }
        if self.panic_until.is_some_and(|until| now < until) {
            self.panic_most = self.panic_most.max(panic).max(ready);
            return self.panic_most.max(stable);
        }
        stable.max(ready / 2)
    }
}
