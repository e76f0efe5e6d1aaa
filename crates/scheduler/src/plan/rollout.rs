//! The formation's next step: which dynos are missing, which are too many, and whether the candidate passed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ropewalk_model::dyno::jittered_delay;
use ropewalk_model::{DynoId, DynoName, DynoSize, DynoState, ProcessType};
use ropewalk_store::{Dyno, Retire};

use super::dyno::{is_formation, is_web};
use super::{Action, Create, Desired, Plan, Policy, Seat, Seen, Spec, Trigger, Wanted, Way, after};

pub(super) fn step(
    desired: &Desired,
    seen: &[Seen],
    policy: &Policy,
    now: Timestamp,
    plan: &mut Plan,
) {
    let mut rollout = Rollout {
        desired,
        seen,
        policy,
        now,
        plan,
        booting: booting(seen),
    };
    rollout.retire_other_releases();
    // First, for places to boot go to what somebody waits for.
    let stage = match &desired.candidate {
        Some(candidate) => rollout.advance(candidate),
        None => Stage::Before,
    };
    let candidate = desired.candidate.as_ref();
    match stage {
        Stage::Before => {
            rollout.fill(&desired.current, |_| true, Trigger::Scale);
        }
        Stage::InPlace => {
            let taken = |of: &ProcessType| {
                Way::of(&desired.settings, of).is_in_place()
                    && candidate.is_some_and(|spec| spec.commands.contains_key(of))
            };
            rollout.fill(&desired.current, |of| !taken(of), Trigger::Scale);
        }
        // The next plan is another one.
        Stage::Over => {}
    }
}

/// How far a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its dynos are beside the current ones, or not there yet.
    Before,
    /// Some of them are in the place of current ones.
    InPlace,
    /// It passed, or did not.
    Over,
}

struct Rollout<'a> {
    desired: &'a Desired,
    seen: &'a [Seen],
    policy: &'a Policy,
    now: Timestamp,
    plan: &'a mut Plan,
    booting: usize,
}

/// What the slots of one release came to.
#[derive(Debug, PartialEq, Eq)]
enum Slots {
    AllUp,
    Waiting,
    Crashed { dyno: DynoId, reason: String },
}

/// At what pace dynos take others' places; see [`Way::InPlace`].
#[derive(Debug, Clone, Copy)]
struct Pace {
    surge: u32,
    batch: u32,
    unique: bool,
}

fn worse(one: Slots, other: Slots) -> Slots {
    match (one, other) {
        (Slots::AllUp, other) => other,
        (one, Slots::AllUp) => one,
        (_, crashed @ Slots::Crashed { .. }) => crashed,
        (one, Slots::Waiting) => one,
    }
}

fn booting(seen: &[Seen]) -> usize {
    seen.iter()
        .filter(|one| is_formation(&one.dyno) && one.dyno.state == DynoState::Starting)
        .count()
}

fn is_release_command(one: &Seen) -> bool {
    one.dyno.name.process_type == ProcessType::release()
}

/// Whether requests go to it, or will when its app wakes, and nobody asked for its end at once.
fn serves(one: &Seen) -> bool {
    is_web(&one.dyno) && works(one)
}

/// The same of a dyno that may be of any type.
fn works(one: &Seen) -> bool {
    matches!(one.dyno.state, DynoState::Up | DynoState::Idle)
        && one.dyno.retire != Some(Retire::Stop)
        && matches!(one.seat, Seat::Running { .. })
}

impl Rollout<'_> {
    /// Dynos of releases that neither serve nor are about to.
    fn retire_other_releases(&mut self) {
        let candidate = self.desired.candidate.as_ref().map(|spec| spec.version);
        for one in self.seen {
            let version = one.dyno.release_version;
            let kept = match one.dyno.name.process_type.as_str() {
                _ if one.dyno.one_off => true,
                "release" => Some(version) == candidate,
                _ => {
                    version == self.desired.current.version
                        || Some(version) == candidate
                        || self.gives_way(&one.dyno.name.process_type)
                }
            };
            if !kept {
                self.down(
                    one,
                    &format!("replaced by v{}", self.desired.current.version),
                );
            }
        }
    }

    /// Whether what is there of a type goes by and by, as its successors come.
    fn gives_way(&self, of: &ProcessType) -> bool {
        let formation = &self.desired.formation;
        self.way(of).is_in_place()
            && self.desired.current.commands.contains_key(of)
            && formation.iter().any(|wanted| wanted.process_type == *of)
    }

    fn way(&self, of: &ProcessType) -> Way {
        Way::of(&self.desired.settings, of)
    }

    fn down(&mut self, one: &Seen, reason: &str) {
        if one.dyno.state == DynoState::Down {
            return;
        }
        let dyno = one.dyno.id;
        // The dyno's own step may have said so already, or something else: this overrides it.
        self.plan.actions.retain(|action| {
            !matches!(action, Action::Mark { dyno: id, .. } | Action::Launch { dyno: id } | Action::Clear { dyno: id }
                | Action::Freeze { dyno: id } | Action::Thaw { dyno: id }
                if *id == dyno)
        });
        self.plan.push(Action::Mark {
            dyno,
            state: DynoState::Down,
            reason: Some(reason.to_owned()),
            crashes: one.dyno.crashes,
            exit: None,
        });
    }

    /// The candidate: release command, then the dynos that boot beside others, then those that take others' places,
    /// then promotion.
    fn advance(&mut self, spec: &Spec) -> Stage {
        let settings = self.desired.settings.clone();
        let in_place = |of: &ProcessType| Way::of(&settings, of).is_in_place();
        // Once it has begun there is no way back but failing.
        let begun = self.seen.iter().any(|one| {
            is_formation(&one.dyno)
                && one.dyno.release_version == spec.version
                && one.dyno.state != DynoState::Down
                && in_place(&one.dyno.name.process_type)
        });
        match self.release_phase(spec) {
            Slots::AllUp => {}
            Slots::Waiting => return Stage::Before,
            Slots::Crashed { dyno, reason } => {
                let reason = format!("release command failed: {reason}");
                return self.fail(spec, reason, Some(dyno));
            }
        }
        let beside = self.fill(spec, |of| !in_place(of), Trigger::Release);
        if let Slots::Crashed { dyno, reason } = beside {
            return self.fail(spec, reason, Some(dyno));
        }
        let mut all = beside;
        let goes_on = begun || all == Slots::AllUp;
        if goes_on {
            match self.fill(spec, in_place, Trigger::Release) {
                Slots::Crashed { dyno, reason } => return self.fail(spec, reason, Some(dyno)),
                Slots::Waiting => all = Slots::Waiting,
                Slots::AllUp => {}
            }
        }
        if all == Slots::AllUp {
            self.plan.push(Action::Promote {
                app: self.desired.app,
                version: spec.version,
            });
            return Stage::Over;
        }
        if let Some(reason) = self.is_late(spec) {
            return self.fail(spec, reason, None);
        }
        match goes_on {
            true => Stage::InPlace,
            false => Stage::Before,
        }
    }

    /// Why a candidate whose dynos have not passed is given up, when it is time.
    fn is_late(&mut self, spec: &Spec) -> Option<String> {
        let deadline = self.desired.settings.all.deadline;
        let deadline = deadline.unwrap_or(self.policy.deadline);
        // The release command has a limit of its own.
        let command = self
            .seen
            .iter()
            .find(|one| is_release_command(one) && one.dyno.release_version == spec.version);
        let since = command.map_or(self.desired.candidate_since, |one| one.dyno.updated_at);
        let until = after(since.max(self.desired.candidate_since), deadline);
        if self.now < until {
            self.plan.wake(until);
            return None;
        }
        let waits = self.seen.iter().map(|one| &one.dyno).find(|dyno| {
            is_formation(dyno)
                && dyno.release_version == spec.version
                && dyno.state == DynoState::Starting
        });
        let who = match waits {
            Some(dyno) => format!("{} was still starting", dyno.name),
            None => "not all of its dynos had taken their places".to_owned(),
        };
        let seconds = deadline.as_secs();
        let time = match seconds % 60 {
            0 => format!("{} minutes", seconds / 60),
            _ => format!("{seconds} seconds"),
        };
        Some(format!("its dynos did not pass within {time}: {who}"))
    }

    fn fail(&mut self, spec: &Spec, reason: String, dyno: Option<DynoId>) -> Stage {
        self.plan.push(Action::Fail {
            app: self.desired.app,
            version: spec.version,
            reason,
            dyno,
        });
        Stage::Over
    }

    fn release_phase(&mut self, spec: &Spec) -> Slots {
        let Some(command) = spec.commands.get(&ProcessType::release()) else {
            return Slots::AllUp;
        };
        let found = self.seen.iter().map(|one| &one.dyno).find(|dyno| {
            dyno.name.process_type.as_str() == "release" && dyno.release_version == spec.version
        });
        match found {
            // Another's may still migrate, and two at once would work against each other. Each row that is not of
            // the candidate goes once its command has ended.
            None if self.seen.iter().any(is_release_command) => Slots::Waiting,
            None => {
                // The number is the release's: one command a release, whatever happens to the server.
                let name = DynoName {
                    process_type: ProcessType::release(),
                    number: spec.version,
                };
                let mut formation = self.desired.formation.iter();
                let row = formation.find(|wanted| wanted.process_type == name.process_type);
                let size = row.map_or(self.desired.usual_size, |wanted| wanted.size);
                self.create(spec, name, size, command.clone(), 0, Trigger::ReleasePhase);
                Slots::Waiting
            }
            Some(dyno) => match dyno.state {
                DynoState::Down => Slots::AllUp,
                DynoState::Crashed => Slots::Crashed {
                    dyno: dyno.id,
                    reason: dyno.reason.clone().unwrap_or_default(),
                },
                _ => Slots::Waiting,
            },
        }
    }

    /// Fills the slots of a release for the process types that `of` picks, and empties those it should not have.
    fn fill(&mut self, spec: &Spec, of: impl Fn(&ProcessType) -> bool, why: Trigger) -> Slots {
        let mut all = Slots::AllUp;
        let wanted: Vec<&Wanted> = self
            .desired
            .formation
            .iter()
            .filter(|wanted| {
                !wanted.process_type.is_one_off()
                    && of(&wanted.process_type)
                    && spec.commands.contains_key(&wanted.process_type)
            })
            .collect();
        for wanted in &wanted {
            let quantity = self.quantity(wanted);
            if let Way::InPlace {
                surge,
                batch,
                unique,
            } = self.way(&wanted.process_type)
            {
                let pace = Pace {
                    surge,
                    batch,
                    unique,
                };
                all = worse(all, self.roll(spec, wanted, quantity, pace, why));
                continue;
            }
            for number in 1..=quantity {
                let name = DynoName {
                    process_type: wanted.process_type.clone(),
                    number,
                };
                all = worse(all, self.slot(spec, name, wanted.size, why));
            }
        }
        let kept = |dyno: &Dyno| {
            wanted.iter().any(|wanted| {
                wanted.process_type == dyno.name.process_type && dyno.name.number <= wanted.quantity
            })
        };
        let rolled = |dyno: &Dyno| {
            let name = &dyno.name.process_type;
            Way::of(&self.desired.settings, name).is_in_place()
                && wanted.iter().any(|wanted| wanted.process_type == *name)
        };
        let here = |one: &&Seen| {
            is_formation(&one.dyno)
                && one.dyno.release_version == spec.version
                && of(&one.dyno.name.process_type)
                && !rolled(&one.dyno)
        };
        let web = wanted.iter().find(|wanted| wanted.process_type.is_web());
        let web = web.map_or(0, |wanted| wanted.quantity as usize);
        let serving = self.seen.iter().filter(here).filter(|one| serves(one));
        let mut standing_in = web.saturating_sub(serving.filter(|one| kept(&one.dyno)).count());
        for one in self.seen.iter().filter(here).filter(|one| !kept(&one.dyno)) {
            // One that serves stays until those that shall stay do: they may be booting, or have crashed.
            if standing_in > 0 && serves(one) {
                standing_in -= 1;
            } else {
                let asleep = self.desired.tier_of(&one.dyno.name.process_type).is_some();
                self.down(one, if asleep { "asleep" } else { "scaled down" });
            }
        }
        all
    }

    /// How many there shall be of a type.
    fn quantity(&self, wanted: &Wanted) -> u32 {
        let most = self.desired.settings.most(&wanted.process_type);
        most.map_or(wanted.quantity, |most| wanted.quantity.min(most))
    }

    /// Whether a dyno counts as one of its release: a candidate's that serves no requests has to stay up for a while.
    fn has_settled(&mut self, one: &Seen) -> bool {
        let is_candidate = one.dyno.release_version != self.desired.current.version;
        let until = after(one.dyno.updated_at, self.policy.settle);
        if is_web(&one.dyno) || !is_candidate || self.now >= until {
            return true;
        }
        self.plan.wake(until);
        false
    }

    /// Fills the slots of one process type by and by, whatever release has them: as many rows as `surge` allows, and no
    /// fewer that work than `batch` does.
    fn roll(
        &mut self,
        spec: &Spec,
        wanted: &Wanted,
        quantity: u32,
        pace: Pace,
        why: Trigger,
    ) -> Slots {
        let Some(command) = spec.commands.get(&wanted.process_type).cloned() else {
            return Slots::AllUp;
        };
        let seen = self.seen;
        let rows = || {
            seen.iter().filter(|one| {
                is_formation(&one.dyno) && one.dyno.name.process_type == wanted.process_type
            })
        };
        let is_fresh = |one: &Seen| {
            let dyno = &one.dyno;
            dyno.release_version == spec.version
                && dyno.state != DynoState::Down
                && dyno.retire.is_none()
                && dyno.size == wanted.size
                && (1..=quantity).contains(&dyno.name.number)
        };
        let mut all = Slots::AllUp;
        let mut taken: BTreeSet<u32> = BTreeSet::new();
        // Those that work, and those of the release that do not yet.
        let (mut working, mut coming) = (0, 0);
        for one in rows().filter(|one| is_fresh(one)) {
            if !taken.insert(one.dyno.name.number) {
                self.down(one, "one too many");
                continue;
            }
            match one.dyno.state {
                DynoState::Crashed => {
                    coming += 1;
                    all = worse(all, self.crashed_slot(spec, one, command.clone()));
                }
                _ if works(one) && self.has_settled(one) => working += 1,
                DynoState::Idle => {}
                _ => {
                    coming += 1;
                    all = worse(all, Slots::Waiting);
                }
            }
        }
        let missing: Vec<u32> = (1..=quantity)
            .filter(|slot| !taken.contains(slot))
            .collect();
        let olds = rows().filter(|one| one.dyno.state != DynoState::Down && !is_fresh(one));
        let (mut olds, idle): (Vec<&Seen>, Vec<&Seen>) = olds.partition(|one| works(one));
        for one in idle {
            self.down(one, &self.gone(one));
        }
        working += olds.len();
        let replaces = !olds.is_empty();
        // Those that nobody wants any more go first, then those whose successors are there.
        olds.sort_by_key(|one| {
            let slot = one.dyno.name.number;
            (slot <= quantity, !taken.contains(&slot), slot)
        });
        let quantity = quantity as usize;
        let missing_at_most = pace.batch.saturating_sub(pace.surge) as usize;
        let floor = quantity.saturating_sub(missing_at_most);
        let surplus = working.saturating_sub(floor);
        if !missing.is_empty() || olds.len() > surplus {
            all = worse(all, Slots::Waiting);
        }
        for one in olds.into_iter().take(surplus) {
            self.down(one, &self.gone(one));
        }
        let room = (quantity + pace.surge as usize).saturating_sub(rows().count());
        // Where none is replaced there is nothing to go slowly for.
        let at_once = match replaces {
            true => (pace.batch as usize).saturating_sub(coming),
            false => usize::MAX,
        };
        let free = missing.into_iter().map(|number| DynoName {
            process_type: wanted.process_type.clone(),
            number,
        });
        let free = free.filter(|name| !pace.unique || rows().all(|one| one.dyno.name != *name));
        let why = match rows().count() {
            0 => why,
            _ => Trigger::Replace,
        };
        for name in free.take(room.min(at_once)) {
            self.create(spec, name, wanted.size, command.clone(), 0, why);
        }
        all
    }

    /// Why an old one goes.
    fn gone(&self, one: &Seen) -> String {
        let version = one.dyno.release_version;
        match self.desired.candidate.as_ref() {
            Some(candidate) if version != candidate.version => {
                format!("replaced by v{}", candidate.version)
            }
            None if version != self.desired.current.version => {
                format!("replaced by v{}", self.desired.current.version)
            }
            _ => "replaced".to_owned(),
        }
    }

    fn slot(&mut self, spec: &Spec, name: DynoName, size: DynoSize, why: Trigger) -> Slots {
        let Some(command) = spec.commands.get(&name.process_type).cloned() else {
            return Slots::AllUp;
        };
        let here: Vec<&Seen> = self
            .seen
            .iter()
            .filter(|one| {
                is_formation(&one.dyno)
                    && one.dyno.name == name
                    && one.dyno.release_version == spec.version
                    && one.dyno.state != DynoState::Down
            })
            .collect();
        let (fresh, stale): (Vec<&Seen>, Vec<&Seen>) = here
            .into_iter()
            .partition(|one| one.dyno.retire.is_none() && one.dyno.size == size);
        let Some(first) = fresh.first() else {
            return self.empty_slot(spec, name, size, command, &stale, why);
        };
        for extra in &fresh[1..] {
            self.down(extra, "one too many");
        }
        match first.dyno.state {
            // The row says up, the engine does not: its own step says so next time.
            DynoState::Up | DynoState::Idle if !matches!(first.seat, Seat::Running { .. }) => {
                Slots::Waiting
            }
            DynoState::Up if !self.has_settled(first) => Slots::Waiting,
            DynoState::Up | DynoState::Idle => {
                for one in &stale {
                    self.down(one, "replaced");
                }
                Slots::AllUp
            }
            DynoState::Crashed => self.crashed_slot(spec, first, command),
            _ => Slots::Waiting,
        }
    }

    fn empty_slot(
        &mut self,
        spec: &Spec,
        name: DynoName,
        size: DynoSize,
        command: String,
        stale: &[&Seen],
        why: Trigger,
    ) -> Slots {
        let why = if stale.is_empty() {
            why
        } else {
            Trigger::Replace
        };
        for one in stale
            .iter()
            .filter(|one| one.dyno.state == DynoState::Crashed)
        {
            self.down(one, "replaced");
        }
        self.create(spec, name, size, command, 0, why);
        Slots::Waiting
    }

    fn crashed_slot(&mut self, spec: &Spec, one: &Seen, command: String) -> Slots {
        let dyno: &Dyno = &one.dyno;
        let is_candidate = spec.version != self.desired.current.version;
        if is_candidate {
            return Slots::Crashed {
                dyno: dyno.id,
                reason: format!(
                    "{} crashed: {}",
                    dyno.name,
                    dyno.reason.clone().unwrap_or_default()
                ),
            };
        }
        let at = after(dyno.updated_at, jittered_delay(dyno.id, dyno.crashes));
        if one.busy || one.seat != Seat::Absent {
            return Slots::Waiting;
        }
        if self.now < at {
            self.plan.wake(at);
            return Slots::Waiting;
        }
        if self.booting < self.policy.boot_parallel {
            self.booting += 1;
            let create = Create {
                app: self.desired.app,
                name: dyno.name.clone(),
                version: spec.version,
                size: dyno.size,
                command,
                crashes: dyno.crashes,
                why: Trigger::Crash,
            };
            self.plan.push(Action::Replace {
                dyno: dyno.id,
                create,
            });
        }
        Slots::Waiting
    }

    fn create(
        &mut self,
        spec: &Spec,
        name: DynoName,
        size: DynoSize,
        command: String,
        crashes: u32,
        why: Trigger,
    ) {
        if self.booting >= self.policy.boot_parallel {
            return;
        }
        self.booting += 1;
        let app = self.desired.app;
        self.plan.push(Action::Create(Create {
            app,
            name,
            version: spec.version,
            size,
            command,
            crashes,
            why,
        }));
    }
}
