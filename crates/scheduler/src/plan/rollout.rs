//! The formation's next step: which dynos are missing, which are too many, and whether the candidate passed.

use jiff::Timestamp;
use ropewalk_model::dyno::jittered_delay;
use ropewalk_model::{DynoId, DynoName, DynoSize, DynoState, ProcessType};
use ropewalk_store::{Dyno, Retire};

use super::dyno::{is_formation, is_web};
use super::{Action, Create, Desired, Plan, Policy, Seat, Seen, Spec, Trigger, Wanted, after};

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
    rollout.fill(&desired.current, |_| true, Trigger::Scale);
    if let Some(candidate) = &desired.candidate {
        rollout.advance(candidate);
    }
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
#[derive(PartialEq, Eq)]
enum Slots {
    AllUp,
    Waiting,
    Crashed { dyno: DynoId, reason: String },
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
    is_web(&one.dyno)
        && matches!(one.dyno.state, DynoState::Up | DynoState::Idle)
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
                _ => version == self.desired.current.version || Some(version) == candidate,
            };
            if !kept {
                self.down(
                    one,
                    &format!("replaced by v{}", self.desired.current.version),
                );
            }
        }
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

    /// The candidate: release command, then web dynos, then promotion.
    fn advance(&mut self, spec: &Spec) {
        match self.release_phase(spec) {
            Slots::AllUp => {}
            Slots::Waiting => return,
            Slots::Crashed { dyno, reason } => {
                let reason = format!("release command failed: {reason}");
                return self.fail(spec, reason, dyno);
            }
        }
        match self.fill(spec, ProcessType::is_web, Trigger::Release) {
            Slots::AllUp => {
                self.plan.push(Action::Promote {
                    app: self.desired.app,
                    version: spec.version,
                });
            }
            Slots::Waiting => {}
            Slots::Crashed { dyno, reason } => self.fail(spec, reason, dyno),
        }
    }

    fn fail(&mut self, spec: &Spec, reason: String, dyno: DynoId) {
        self.plan.push(Action::Fail {
            app: self.desired.app,
            version: spec.version,
            reason,
            dyno,
        });
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
                self.create(
                    spec,
                    name,
                    DynoSize::DEFAULT,
                    command.clone(),
                    0,
                    Trigger::ReleasePhase,
                );
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
            for number in 1..=wanted.quantity {
                let name = DynoName {
                    process_type: wanted.process_type.clone(),
                    number,
                };
                match self.slot(spec, name, wanted.size, why) {
                    Slots::AllUp => {}
                    Slots::Waiting if all == Slots::AllUp => all = Slots::Waiting,
                    Slots::Waiting => {}
                    crashed @ Slots::Crashed { .. } => all = crashed,
                }
            }
        }
        let kept = |dyno: &Dyno| {
            wanted.iter().any(|wanted| {
                wanted.process_type == dyno.name.process_type && dyno.name.number <= wanted.quantity
            })
        };
        let here =
            |one: &&Seen| is_formation(&one.dyno) && one.dyno.release_version == spec.version;
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
        if !name.process_type.is_web() {
            for one in stale {
                self.down(one, "replaced");
            }
            // Not before every other dyno of this name has ended, whatever its release.
            if self.seen.iter().any(|one| one.dyno.name == name) {
                return Slots::Waiting;
            }
        }
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
