//! The decision: every target says what it needs, the most counts, and the bounds hold before all.

use std::fmt;

use ropewalk_model::scaling::{Bounds, Pace, Rule, Schedule, Target};

use crate::demand;
use crate::gauge;
use crate::memory::Memory;
use crate::pain;
use crate::reason::Reason;
use crate::recent::Recent;
use crate::signals::{Dynos, Hold, Measure, Moment, Signals};
use crate::wish::{Need, Wish};

/// Seconds in which nobody may have waited when dynos go.
const UNQUEUED: usize = 10;

/// How many dynos there should be, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// How many are asked for now.
    pub from: u32,
    /// How many should be; the same where nothing is to change. Within the bounds, unless it is off or left alone.
    pub to: u32,
    pub reason: Reason,
    /// It is advice only.
    pub dry_run: bool,
    /// The load needed at least twice the dynos that were ready.
    pub panic: bool,
    pub(crate) strain: Option<u64>,
    pub(crate) need: Option<Need>,
}

impl Decision {
    /// What to write where `ps:scale` writes; `None` when nothing is to change, and always in a dry run.
    pub fn change(&self) -> Option<u32> {
        (self.to != self.from && !self.dry_run).then_some(self.to)
    }

    /// What a dry run would have changed.
    pub fn advice(&self) -> Option<u32> {
        (self.to != self.from && self.dry_run).then_some(self.to)
    }
}

/// One sentence.
impl fmt::Display for Decision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to, reason) = (self.from, self.to, &self.reason);
        match (from == to, self.dry_run) {
            (true, _) => write!(out, "It stays at {from}: {reason}."),
            (false, false) => write!(out, "From {from} to {to}: {reason}."),
            (false, true) => write!(out, "It would go from {from} to {to}: {reason}."),
        }
    }
}

/// How many dynos a process type should have.
///
/// Takes nothing from a process type of which nothing is known, and never turns one on that was scaled to none, for that
/// is how one is turned off. Tell `memory` what was [seen](Memory::saw) before, and what was [decided](Memory::judged)
/// and [done](Memory::done) after.
pub fn decide(
    rule: &Rule,
    signals: &Signals<'_>,
    dynos: &Dynos,
    memory: &Memory,
    now: &Moment,
) -> Decision {
    let wanted = dynos.wanted;
    let mut decision = Decision {
        from: wanted,
        to: wanted,
        reason: Reason::Fits,
        dry_run: rule.is_dry_run(),
        panic: false,
        strain: None,
        need: None,
    };
    if wanted == 0 || dynos.hold == Hold::Still {
        decision.reason = match wanted {
            0 => Reason::Off,
            _ => Reason::Alone,
        };
        return decision;
    }
    let recent = Recent::new(signals.traffic, now.second);
    let wishes: Vec<Wish> = rule
        .targets()
        .iter()
        .map(|target| {
            let asked = Asked {
                signals,
                recent: &recent,
                dynos,
                memory,
                pace: rule.pace(),
                now: now.second,
            };
            asked.wish(target)
        })
        .collect();
    decision.need = wishes.iter().filter_map(|wish| wish.need).reduce(Need::or);
    decision.panic = rule.pace().panic && wishes.iter().any(|wish| wish.panic);

    let (bounds, schedule) = rule.bounds_at(now.wall);
    if let Some((to, reason)) = outside(wanted, bounds, schedule, dynos.hold)
        // Without anything known, none is taken away.
        && (to > wanted || wishes.iter().any(|wish| wish.why_floor != Reason::Unknown))
    {
        (decision.to, decision.reason) = (to, reason);
        return decision;
    }
    let step = up(&wishes, wanted, bounds, rule.pace(), &decision, memory, now)
        .or_else(|| down(&wishes, dynos, bounds, rule.pace(), &recent, memory, now));
    if let Some(step) = step {
        (decision.to, decision.reason, decision.strain) = step;
    }
    decision
}

/// Number, why, and the load that was too much.
type Step = (u32, Reason, Option<u64>);

/// Back to what may be.
fn outside(
    wanted: u32,
    bounds: Bounds,
    schedule: Option<&Schedule>,
    hold: Hold,
) -> Option<(u32, Reason)> {
    let schedule = schedule.map(Schedule::to_string);
    let (min, max) = (bounds.min(), bounds.max());
    if wanted < min {
        return Some((min, Reason::AtLeast { min, schedule }));
    }
    (wanted > max && hold == Hold::Free).then_some((max, Reason::AtMost { max, schedule }))
}

/// More dynos, or why there are none although more are needed.
fn up(
    wishes: &[Wish],
    wanted: u32,
    bounds: Bounds,
    pace: &Pace,
    decision: &Decision,
    memory: &Memory,
    now: &Moment,
) -> Option<Step> {
    let wish = wishes.iter().max_by_key(|wish| wish.up)?;
    if wish.up <= wanted {
        return None;
    }
    if wanted >= bounds.max() {
        let max = bounds.max();
        return Some((wanted, Reason::Bound { max }, None));
    }
    let rest = pace.up_rest.map_or(wish.up_rest, u64::from);
    if !decision.panic && !memory.rested(rest, now.second) {
        return Some((wanted, Reason::Resting { seconds: rest }, None));
    }
    let most = match pace.most_up {
        Some(most) if !decision.panic => wanted.saturating_add(most),
        _ => bounds.max(),
    };
    let to = wish.up.min(most).min(bounds.max());
    Some((to, wish.why_up.clone(), wish.strain))
}

/// Fewer dynos, or why there are none although some target could do with fewer.
fn down(
    wishes: &[Wish],
    dynos: &Dynos,
    bounds: Bounds,
    pace: &Pace,
    recent: &Recent,
    memory: &Memory,
    now: &Moment,
) -> Option<Step> {
    let wanted = dynos.wanted;
    let wish = wishes.iter().max_by_key(|wish| wish.floor)?;
    let stay = |reason| Some((wanted, reason, None));
    if wish.floor >= wanted {
        return stay(wish.why_floor.clone());
    }
    if wanted == bounds.min() {
        return None;
    }
    if dynos.hold == Hold::NoFewer {
        return stay(Reason::Deploying);
    }
    if recent.anybody_waited(UNQUEUED) {
        return stay(Reason::Queued);
    }
    if memory.lately_panicked(now.second) {
        return stay(Reason::Panicked);
    }
    let usual = wishes.iter().map(|wish| wish.down_rest).max().unwrap_or(0);
    let rest = pace.down_rest.map_or(usual, u64::from);
    if !memory.rested(rest, now.second) {
        return stay(Reason::Resting { seconds: rest });
    }
    let least = pace.most_down.map_or(0, |most| wanted.saturating_sub(most));
    let to = wish.floor.max(least).max(bounds.min());
    Some((to, wish.why_floor.clone(), None))
}

/// What a target is judged from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) signals: &'a Signals<'a>,
    pub(crate) recent: &'a Recent,
    pub(crate) dynos: &'a Dynos,
    pub(crate) memory: &'a Memory,
    pub(crate) pace: &'a Pace,
    pub(crate) now: u64,
}

impl Asked<'_> {
    fn wish(&self, target: &Target) -> Wish {
        match target {
            Target::P95 { ms } => pain::late(self, *ms),
            Target::QueueTime { ms } => pain::queued(self, *ms),
            Target::Concurrency { per_dyno } => demand::concurrency(self, *per_dyno),
            Target::Rate { per_dyno } => demand::rate(self, *per_dyno),
            Target::Cpu { percent } => gauge::used(self, Measure::Cpu, *percent),
            Target::Memory { percent } => gauge::used(self, Measure::Memory, *percent),
            Target::Own { name, per_dyno } => gauge::own(self, name, *per_dyno),
        }
    }
}
