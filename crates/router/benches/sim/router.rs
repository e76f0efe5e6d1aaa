//! One router of the simulation: the product's choice and judgement, with counters of its own.

use std::collections::VecDeque;

use ropewalk_router::balance::{self, Candidate, Choice};
use ropewalk_router::health::{Answers, Event, Health, Standing};

/// By what a router chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The product's, with this many requests at once for each dyno.
    Ours(Option<u64>),
    /// The same with a limit, told from the start which dyno is of no use: as good as a router can be.
    Ideal(u64),
    /// Heroku's: any dyno by chance, a refused connection keeps a dyno out for 5 s.
    Random,
    /// One after the other.
    RoundRobin,
}

pub(super) struct Router {
    pub(super) policy: Policy,
    load: Vec<u64>,
    health: Vec<Health>,
    answers: Answers,
    turn: usize,
    /// Choices that took a dyno.
    choices: u64,
    /// What [`Candidate::picked`] says of each dyno.
    picked: Vec<u64>,
    /// Of no use, for [`Policy::Ideal`].
    useless: Option<usize>,
    pub(super) line: VecDeque<usize>,
}

impl Router {
    pub(super) fn new(policy: Policy, dynos: usize, useless: Option<usize>, turn: usize) -> Self {
        Self {
            policy,
            load: vec![0; dynos],
            health: vec![Health::default(); dynos],
            answers: Answers::default(),
            turn,
            choices: dynos as u64,
            // Each router begins elsewhere.
            picked: (0..dynos)
                .map(|dyno| ((dyno + turn) % dynos) as u64)
                .collect(),
            useless,
            line: VecDeque::new(),
        }
    }

    /// `chance` is a number by chance.
    pub(super) fn choose(&mut self, tried: u32, now: f64, chance: usize) -> Choice {
        self.turn = self.turn.wrapping_add(1);
        let view = |index: usize| Candidate {
            load: self.load[index],
            picked: self.picked[index],
            standing: self.standing(index, now),
            tried: tried & (1 << index) != 0,
        };
        let choice = match self.policy {
            Policy::Ours(limit) => balance::pick(self.load.len(), limit, view),
            Policy::Ideal(limit) => balance::pick(self.load.len(), Some(limit), view),
            Policy::Random => self.one_of(tried, now, chance),
            Policy::RoundRobin => self.one_of(tried, now, self.turn),
        };
        if let Choice::Send(index) = choice {
            self.load[index] += 1;
            self.choices += 1;
            self.picked[index] = self.choices;
        }
        choice
    }

    /// Without a look at loads: of the dynos that it has not tried, and those that are not left out if there are any.
    fn one_of(&self, tried: u32, now: f64, number: usize) -> Choice {
        let untried = || (0..self.load.len()).filter(|dyno| tried & (1 << dyno) == 0);
        let well: Vec<_> = untried()
            .filter(|dyno| !self.is_left_out(*dyno, now))
            .collect();
        let from = match well.is_empty() {
            true => untried().collect(),
            false => well,
        };
        match from.len() {
            0 => Choice::Nobody,
            count => Choice::Send(from[number % count]),
        }
    }

    /// A request has ended, of whose choice `since` was the number.
    pub(super) fn left(&mut self, dyno: usize, since: u64) {
        self.picked[dyno] += balance::rest(since, self.choices, self.load[dyno]);
        self.load[dyno] -= 1;
    }

    /// The number of the last choice.
    pub(super) fn choices(&self) -> u64 {
        self.choices
    }

    /// What the product's table does with an event.
    pub(super) fn observe(&mut self, dyno: usize, event: Event, now: f64) {
        let judged = match self.policy {
            Policy::Ours(_) => true,
            Policy::Ideal(_) => false,
            // They look at connections only.
            Policy::Random | Policy::RoundRobin => {
                matches!(event, Event::Refused | Event::Connected)
            }
        };
        let before = self.answers;
        match event {
            Event::Answered => self.answers.answered += 1,
            Event::Failed => self.answers.failed += 1,
            Event::Refused | Event::Connected => {}
        }
        if !judged {
            return;
        }
        let left_out = (0..self.load.len())
            .filter(|other| *other != dyno && self.is_left_out(*other, now))
            .count();
        let caps = balance::may_eject(self.load.len(), left_out);
        self.health[dyno].observe(event, before, caps, millis(now));
    }

    /// Dynos that are to be asked for a connection.
    pub(super) fn to_probe(&self, now: f64) -> Vec<usize> {
        (0..self.load.len())
            .filter(|dyno| self.health[*dyno].standing(millis(now)) == Standing::Probe)
            .collect()
    }

    fn standing(&self, dyno: usize, now: f64) -> Standing {
        match self.policy {
            Policy::Ideal(_) if self.useless == Some(dyno) => Standing::Out,
            _ => self.health[dyno].standing(millis(now)),
        }
    }

    fn is_left_out(&self, dyno: usize, now: f64) -> bool {
        matches!(self.standing(dyno, now), Standing::Out | Standing::Probe)
    }
}

fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}
