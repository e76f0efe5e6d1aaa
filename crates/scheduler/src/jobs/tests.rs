//! What is due, in a world of rows without a database, whose clock goes where it wants.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ropewalk_model::job::{JobName, Source, TIME_LIMIT};
use ropewalk_model::{AppId, DynoId, DynoName};
use ropewalk_store::JobSettings;
use uuid::Uuid;

use super::*;

fn start() -> Timestamp {
    "2027-03-27T00:00:00Z".parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn job(number: u128, schedule: &str, overlap: Overlap, missed: Missed) -> Job {
    Job {
        id: JobId(Uuid::from_u128(number)),
        app: AppId(Uuid::nil()),
        settings: JobSettings {
            name: JobName::parse(&format!("job-{number}")).unwrap(),
            schedule: schedule.parse().unwrap(),
            time_zone: TimeZone::UTC,
            command: "true".to_owned(),
            size: None,
            time_limit: TIME_LIMIT,
            overlap,
            missed,
            is_active: true,
        },
        source: Source::Cli,
        decided_until: start(),
        created_at: start(),
        updated_at: start(),
    }
}

/// A row of a run, and what became of its dyno.
#[derive(Debug, Clone)]
struct Row {
    run: JobRun,
    dyno: Option<DynoState>,
    starts: u32,
}

/// The ledger, as far as jobs are in it, and the dynos.
#[derive(Debug)]
struct World {
    jobs: Vec<Job>,
    rows: BTreeMap<(JobId, Timestamp), Row>,
    now: Timestamp,
    /// Whether each look starts what it may at once.
    boots: bool,
}

impl World {
    fn new(jobs: Vec<Job>) -> Self {
        Self {
            jobs,
            rows: BTreeMap::new(),
            now: start(),
            boots: true,
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let jobs = self.jobs.iter();
        jobs.map(|job| Seen {
            job: job.clone(),
            open: self
                .rows
                .values()
                .filter(|row| row.run.job == job.id && row.run.state.is_open())
                .map(|row| OpenRun {
                    run: row.run.clone(),
                    dyno_state: row.dyno,
                })
                .collect(),
        })
        .collect()
    }

    /// Looks until nothing is to be done; gives how many looks that took.
    fn settle(&mut self) -> usize {
        for look in 0..1_000 {
            let due = due(&self.seen(), self.now);
            assert!(due.wake_at.is_none_or(|at| at > self.now));
            if due.steps.is_empty() {
                return look;
            }
            for (job, step) in due.steps {
                self.apply(job, step);
            }
            self.check();
            if self.boots {
                self.boot();
            }
        }
        panic!("it never settles");
    }

    fn boot(&mut self) {
        for row in self.rows.values_mut() {
            if row.dyno == Some(DynoState::Starting) {
                row.dyno = Some(DynoState::Up);
            }
        }
    }

    fn apply(&mut self, id: JobId, step: Step) {
        let now = self.now;
        match step {
            Step::Take { slot, replace } => {
                if self.take(id, slot, RunState::Waiting) {
                    for run in replace {
                        let row = self.rows.get_mut(&(id, run.slot_at)).unwrap();
                        match row.run.state {
                            RunState::Waiting => row.run.state = RunState::Skipped,
                            // It takes its time to end.
                            _ => row.dyno = Some(DynoState::Down),
                        }
                    }
                }
            }
            Step::Pass { slot, state, .. } => {
                self.take(id, slot, state);
            }
            Step::Rewind { to } => self.job(id).decided_until = to,
            Step::Start { run } => {
                let row = self.rows.get_mut(&(id, run.slot_at)).unwrap();
                assert_eq!(row.run.state, RunState::Waiting);
                row.run.state = RunState::Running;
                row.run.dyno = Some((
                    DynoId(Uuid::nil()),
                    DynoName::parse("scheduler.1000").unwrap(),
                ));
                row.run.started_at = Some(now);
                row.dyno = Some(DynoState::Starting);
                row.starts += 1;
            }
            Step::GiveUp { run, state, .. } => {
                self.rows.get_mut(&(id, run.slot_at)).unwrap().run.state = state;
            }
            Step::Lose { run } => {
                self.rows.get_mut(&(id, run.slot_at)).unwrap().run.state = RunState::Failed;
            }
        }
    }

    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.iter_mut().find(|job| job.id == id).unwrap()
    }

    /// As the ledger's key has it: once.
    fn take(&mut self, id: JobId, slot: Timestamp, state: RunState) -> bool {
        let job = self.job(id);
        job.decided_until = slot;
        let (schedule, zone) = (&job.settings.schedule, &job.settings.time_zone);
        let next = schedule.next_after(zone, slot - SignedDuration::from_nanos(1));
        assert_eq!(next, Some(slot), "no slot of the schedule");
        let run = JobRun {
            job: id,
            slot_at: slot,
            trigger: Trigger::Schedule,
            state,
            dyno: None,
            exit_code: None,
            reason: None,
            started_at: None,
            ended_at: None,
        };
        let row = Row {
            run,
            dyno: None,
            starts: 0,
        };
        let is_new = !self.rows.contains_key(&(id, slot));
        self.rows.entry((id, slot)).or_insert(row);
        is_new
    }

    /// What holds at any time.
    fn check(&self) {
        let running = |id: JobId| {
            let rows = self.rows.values();
            rows.filter(move |row| row.run.job == id && row.run.state == RunState::Running)
        };
        for job in &self.jobs {
            if job.settings.overlap != Overlap::Allow {
                assert!(running(job.id).count() <= 1, "two of {:?}", job.id);
            }
        }
        let starting = self
            .rows
            .values()
            .filter(|row| row.dyno == Some(DynoState::Starting));
        assert!(starting.count() <= STARTS);
        for ((id, slot), row) in &self.rows {
            assert!(row.starts <= 1, "{slot} ran twice");
            let job = self.jobs.iter().find(|job| job.id == *id).unwrap();
            if let Some(started) = row.run.started_at
                && job.settings.missed == Missed::Skip
            {
                assert!(started.duration_since(*slot) <= LATE);
            }
        }
    }

    /// Some dynos end, and their rows go.
    fn end(&mut self, chosen: impl Fn(usize) -> bool) {
        for (index, row) in self.rows.values_mut().enumerate() {
            if row.dyno == Some(DynoState::Down) || (row.dyno.is_some() && chosen(index)) {
                row.dyno = None;
                row.run.state = RunState::Succeeded;
            }
        }
    }

    /// Slots that ran, as minutes.
    fn ran(&self) -> Vec<i64> {
        let ran = self.rows.values().filter(|row| row.starts > 0);
        ran.map(|row| row.run.slot_at.duration_since(start()).as_mins())
            .collect()
    }

    fn states(&self) -> Vec<RunState> {
        self.rows.values().map(|row| row.run.state).collect()
    }
}

#[test]
fn a_slot_runs_when_it_comes_and_not_before() {
    let mut world = World::new(vec![job(1, "*/5 * * * *", Overlap::Skip, Missed::Skip)]);
    assert_eq!(world.settle(), 0);
    assert_eq!(
        due(&world.seen(), world.now).wake_at,
        Some(start() + minutes(5))
    );
    for minute in 1..=11 {
        world.now = start() + minutes(minute);
        world.settle();
        world.end(|_| true);
    }
    assert_eq!(world.ran(), [5, 10]);
}

#[test]
fn what_was_missed_is_skipped_or_runs_once() {
    for (missed, ran, state) in [
        (Missed::Skip, vec![], RunState::Missed),
        (Missed::Once, vec![300], RunState::Succeeded),
    ] {
        let mut world = World::new(vec![job(1, "0 * * * *", Overlap::Skip, missed)]);
        // Nothing looked for five hours and a bit.
        world.now = start() + minutes(330);
        world.settle();
        world.end(|_| true);
        assert_eq!(world.ran(), ran, "{missed:?}");
        assert_eq!(world.states(), [state]);
    }
    // A few minutes are late and not missed.
    let mut world = World::new(vec![job(1, "0 * * * *", Overlap::Skip, Missed::Skip)]);
    world.now = start() + minutes(69);
    world.settle();
    assert_eq!(world.ran(), [60]);
}

#[test]
fn runs_that_overlap_are_skipped_allowed_or_replaced() {
    let after = |overlap| {
        let mut world = World::new(vec![job(1, "* * * * *", overlap, Missed::Skip)]);
        for minute in 1..=2 {
            world.now = start() + minutes(minute);
            world.settle();
        }
        let before = world.states();
        // Only what was told to end.
        world.end(|_| false);
        world.settle();
        (before, world.ran())
    };
    use RunState::{Running, Skipped, Waiting};
    assert_eq!(after(Overlap::Skip), (vec![Running, Skipped], vec![1]));
    assert_eq!(after(Overlap::Allow), (vec![Running, Running], vec![1, 2]));
    assert_eq!(
        after(Overlap::Replace),
        (vec![Running, Waiting], vec![1, 2])
    );
}

#[test]
fn many_jobs_of_one_minute_start_a_few_at_a_time() {
    let jobs = (0..50).map(|number| job(number, "0 * * * *", Overlap::Skip, Missed::Skip));
    let mut world = World::new(jobs.collect());
    world.boots = false;
    world.now = start() + minutes(60);
    for round in 1..=7 {
        world.settle();
        assert_eq!(world.ran().len(), (round * STARTS).min(50));
        world.boot();
    }
    // Ten minutes later those that did not get their turn would have been missed.
    let jobs = (0..50).map(|number| job(number, "0 * * * *", Overlap::Skip, Missed::Skip));
    let mut world = World::new(jobs.collect());
    world.boots = false;
    world.now = start() + minutes(60);
    world.settle();
    world.now = start() + minutes(71);
    world.settle();
    let missed = world
        .states()
        .into_iter()
        .filter(|state| *state == RunState::Missed);
    assert_eq!(missed.count(), 50 - STARTS);
}

#[test]
fn a_clock_that_was_ahead_stops_nothing_when_it_is_right_again() {
    let mut world = World::new(vec![job(1, "0 * * * *", Overlap::Skip, Missed::Skip)]);
    for minute in [60, 60 * 24 * 400, 61, 120, 119, 120, 180] {
        world.now = start() + minutes(minute);
        world.settle();
        world.end(|_| true);
    }
    assert_eq!(world.ran(), [60, 120, 180, 60 * 24 * 400]);
}

#[test]
fn a_paused_job_does_not_run_and_one_whose_dyno_is_lost_has_failed() {
    let mut paused = job(1, "* * * * *", Overlap::Skip, Missed::Once);
    paused.settings.is_active = false;
    let mut world = World::new(vec![paused]);
    world.now = start() + minutes(5);
    assert_eq!(world.settle(), 0);

    let mut world = World::new(vec![job(1, "0 * * * *", Overlap::Skip, Missed::Skip)]);
    world.now = start() + minutes(60);
    world.settle();
    world.rows.values_mut().for_each(|row| row.dyno = None);
    world.settle();
    assert_eq!(world.states(), [RunState::Failed]);
}

fn jobs() -> impl Strategy<Value = Vec<Job>> {
    let schedules = [
        "* * * * *",
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "0 0 * * 0",
    ];
    let one = (
        select(schedules.to_vec()),
        select(Overlap::ALL.to_vec()),
        select(Missed::ALL.to_vec()),
        any::<bool>(),
    );
    vec(one, 1..12).prop_map(|wanted| {
        let wanted = wanted.into_iter().zip(1..);
        let made = wanted.map(|((schedule, overlap, missed, is_local), number)| {
            let mut job = job(number, schedule, overlap, missed);
            if is_local {
                job.settings.time_zone =
                    ropewalk_model::time_zone::find("Europe/Vienna").unwrap().0;
            }
            job
        });
        made.collect()
    })
}

#[derive(Debug, Clone)]
enum Event {
    /// The clock goes on, or is set, by so many seconds.
    Clock(i64),
    /// Dynos end: those whose index is a multiple.
    End(usize),
    Boot,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1_i64..300).prop_map(Event::Clock),
        1 => (-7_200_i64..0).prop_map(Event::Clock),
        1 => (3_600_i64..200_000).prop_map(Event::Clock),
        3 => (1_usize..5).prop_map(Event::End),
        3 => Just(Event::Boot),
    ];
    vec(event, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// [`World::check`] holds after each look, and each look comes to an end.
    #[test]
    fn nothing_runs_twice_wherever_the_clock_goes(jobs in jobs(), events in events(), boots: bool) {
        let mut world = World::new(jobs);
        world.boots = boots;
        for event in events {
            match event {
                Event::Clock(seconds) => world.now += SignedDuration::from_secs(seconds),
                Event::End(every) => world.end(|index| index.is_multiple_of(every)),
                Event::Boot => world.boot(),
            }
            world.settle();
        }
    }

    #[test]
    fn with_a_clock_that_goes_on_every_slot_is_decided(jobs in jobs(), steps in vec(1_i64..60, 1..200)) {
        let mut world = World::new(jobs);
        for seconds in steps {
            world.now += SignedDuration::from_secs(seconds);
            world.settle();
            world.end(|_| true);
        }
        for job in world.jobs.clone() {
            let mut wanted = BTreeSet::new();
            let mut at = start();
            let (schedule, zone) = (&job.settings.schedule, &job.settings.time_zone);
            while let Some(slot) = schedule.next_after(zone, at).filter(|slot| *slot <= world.now) {
                wanted.insert(slot);
                at = slot;
            }
            let rows = world.rows.values().filter(|row| row.run.job == job.id);
            let ran: BTreeSet<Timestamp> = rows.filter(|row| row.starts == 1).map(|row| row.run.slot_at).collect();
            prop_assert_eq!(ran, wanted);
        }
    }
}
