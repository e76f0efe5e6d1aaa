//! The planner by example, then by the thousand: a small world that carries plans out, disturbed at random.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use ropewalk_engine::Exit;
use ropewalk_model::check::{Answer, Check, Probe, Tally};
use ropewalk_model::dyno_setting::{Order, Rollout};
use ropewalk_model::{AppDynoSettings, AppId, DynoId, DynoSize, DynoState, ProcessType, Sizes};
use ropewalk_slug::Used;
use ropewalk_store::{Dyno, Retire};
use uuid::Uuid;

use super::*;

const APP: AppId = AppId(Uuid::nil());

/// Rows and containers, and a clock that only moves when told. Rows change at once; what is done to containers
/// keeps its dyno busy until it is finished, which may be many turns later.
struct World {
    desired: Desired,
    dynos: Vec<Seen>,
    under_way: Vec<(DynoId, Work)>,
    now: Timestamp,
    policy: Policy,
    next_id: u128,
    failed: Vec<String>,
    /// The largest quantity of each type that was ever wanted, where that is kept.
    most: BTreeMap<String, u32>,
}

/// What is being done to a dyno's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Launch,
    Clear,
    /// Container and row go.
    Remove,
}

fn spec(version: u32, types: &[&str]) -> Spec {
    let commands = types
        .iter()
        .map(|t| (ProcessType::parse(t).unwrap(), format!("run {t}")))
        .collect();
    Spec {
        version,
        commands,
        ..Spec::default()
    }
}

fn wanted(name: &str, quantity: u32) -> Wanted {
    Wanted {
        process_type: ProcessType::parse(name).unwrap(),
        quantity,
        size: DynoSize::DEFAULT,
    }
}

fn port(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl World {
    fn new(current: Spec, formation: Vec<Wanted>) -> Self {
        Self {
            desired: Desired {
                app: APP,
                current,
                candidate: None,
                candidate_since: Timestamp::from_second(1_000_000).unwrap(),
                formation,
                usual_size: DynoSize::DEFAULT,
                settings: AppDynoSettings::default(),
                sleep: None,
            },
            dynos: Vec::new(),
            under_way: Vec::new(),
            now: Timestamp::from_second(1_000_000).unwrap(),
            policy: Policy::default(),
            next_id: 1,
            failed: Vec::new(),
            most: BTreeMap::new(),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.desired, &self.dynos, &self.policy, self.now)
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
    }

    fn find(&mut self, id: DynoId) -> Option<&mut Seen> {
        self.dynos.iter_mut().find(|one| one.dyno.id == id)
    }

    fn begin(&mut self, id: DynoId, work: Work) {
        let one = self.find(id).unwrap();
        assert!(!one.busy, "{work:?} of a dyno that is busy: {:?}", one.dyno);
        one.busy = true;
        self.under_way.push((id, work));
    }

    fn finish(&mut self, index: usize) {
        let (id, work) = self.under_way.remove(index);
        let now = self.now;
        if let Some(one) = self.find(id) {
            one.busy = false;
            match work {
                Work::Launch => one.seat = Seat::Running { since: now },
                Work::Clear => one.seat = Seat::Absent,
                Work::Remove => self.dynos.retain(|one| one.dyno.id != id),
            }
        }
    }

    fn finish_all(&mut self) {
        while !self.under_way.is_empty() {
            self.finish(0);
        }
    }

    /// A row, and the launch of its container.
    fn insert(&mut self, create: Create) {
        let id = DynoId(Uuid::from_u128(self.next_id));
        self.next_id += 1;
        let dyno = Dyno {
            id,
            app: create.app,
            name: create.name,
            release_version: create.version,
            size: create.size,
            command: create.command,
            state: DynoState::Starting,
            reason: None,
            crashes: create.crashes,
            retire: None,
            one_off: false,
            attached: false,
            time_to_live: None,
            created_at: self.now,
            updated_at: self.now,
        };
        self.dynos.push(Seen {
            dyno,
            seat: Seat::Absent,
            tally: Tally::default(),
            written: Used::default(),
            listening: vec![],
            drained: true,
            frozen: false,
            busy: false,
            lost: false,
        });
        self.begin(id, Work::Launch);
    }

    fn apply(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Create(create) => self.insert(create),
            Action::Replace { dyno, create } => {
                let before = self.dynos.len();
                self.dynos.retain(|one| one.dyno.id != dyno);
                assert_eq!(self.dynos.len() + 1, before, "one goes, one comes");
                self.insert(create);
            }
            Action::Launch { dyno } => self.begin(dyno, Work::Launch),
            Action::Mark {
                dyno,
                state,
                reason,
                crashes,
                ..
            } => {
                if let Some(one) = self.find(dyno) {
                    one.dyno.state = state;
                    one.dyno.reason = reason;
                    one.dyno.crashes = crashes;
                    one.dyno.updated_at = now;
                }
            }
            Action::Cycle { dyno } => {
                if let Some(one) = self.find(dyno) {
                    one.dyno.retire = one.dyno.retire.or(Some(Retire::Replace));
                }
            }
            Action::Freeze { dyno } | Action::Thaw { dyno } => {
                let one = self.find(dyno).unwrap();
                assert!(matches!(one.seat, Seat::Running { .. }) && !one.busy);
                one.frozen = matches!(action, Action::Freeze { .. });
                one.dyno.state = match one.frozen {
                    true => DynoState::Idle,
                    false => DynoState::Up,
                };
                one.dyno.updated_at = now;
            }
            Action::Interrupt { dyno } => panic!("{dyno} is nobody's"),
            Action::Clear { dyno } => self.begin(dyno, Work::Clear),
            Action::Stop { dyno } | Action::Discard { dyno } => self.begin(dyno, Work::Remove),
            Action::Promote { version, .. } => {
                let candidate = self.desired.candidate.take().unwrap();
                assert_eq!(candidate.version, version);
                self.desired.current = candidate;
            }
            Action::Fail {
                version, reason, ..
            } => {
                let candidate = self.desired.candidate.take().unwrap();
                assert_eq!(candidate.version, version);
                self.failed.push(reason);
            }
        }
    }

    /// One pass, whose work is finished before the next; `true` when something was done.
    fn turn(&mut self) -> bool {
        let acted = self.act();
        self.finish_all();
        acted
    }

    /// One pass; `true` when something was begun.
    fn act(&mut self) -> bool {
        let actions = self.plan().actions;
        let acted = !actions.is_empty();
        for action in actions {
            let concludes = matches!(action, Action::Promote { .. } | Action::Fail { .. });
            self.apply(action);
            if concludes {
                break;
            }
        }
        acted
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            if !self.turn() {
                return;
            }
        }
        panic!("no rest after 200 turns: {:?}", self.plan());
    }

    /// Every web dyno binds its port.
    fn bind_all(&mut self) {
        for one in &mut self.dynos {
            if matches!(one.seat, Seat::Running { .. }) {
                one.listening = vec![port("0.0.0.0:5000")];
            }
        }
    }

    fn end(&mut self, name: &str, code: i64) {
        for one in &mut self.dynos {
            if one.dyno.name.to_string() == name && matches!(one.seat, Seat::Running { .. }) {
                one.seat = Seat::Ended {
                    exit: Exit {
                        code,
                        out_of_memory: false,
                    },
                };
            }
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .dynos
            .iter()
            .map(|one| {
                format!(
                    "{} v{} {}",
                    one.dyno.name,
                    one.dyno.release_version,
                    one.dyno.state.as_str()
                )
            })
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_formation_is_filled_and_then_left_alone() {
    let mut world = World::new(
        spec(2, &["web", "worker"]),
        vec![wanted("web", 2), wanted("worker", 1)],
    );
    world.turn();
    world.bind_all();
    world.settle();
    assert_eq!(
        world.names(),
        ["web.1 v2 up", "web.2 v2 up", "worker.1 v2 up"]
    );
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn a_deploy_keeps_the_old_dynos_until_every_new_one_is_up() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 2)]);
    world.turn();
    world.bind_all();
    world.settle();
    world.desired.candidate = Some(spec(3, &["web"]));
    world.settle();
    assert_eq!(
        world.names(),
        [
            "web.1 v2 up",
            "web.1 v3 starting",
            "web.2 v2 up",
            "web.2 v3 starting"
        ]
    );
    world.bind_all();
    world.settle();
    assert_eq!(world.names(), ["web.1 v3 up", "web.2 v3 up"]);
    assert_eq!(world.desired.current.version, 3);
}

#[test]
fn a_deploy_that_crashes_is_reverted_and_says_why() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 2)]);
    world.turn();
    world.bind_all();
    world.settle();
    world.desired.candidate = Some(spec(3, &["web"]));
    world.settle();
    for one in &mut world.dynos {
        if one.dyno.release_version == 3 && one.dyno.name.number == 2 {
            one.seat = Seat::Ended {
                exit: Exit {
                    code: 1,
                    out_of_memory: false,
                },
            };
        }
    }
    world.settle();
    assert_eq!(world.failed, ["web.2 crashed: exit 1"]);
    assert_eq!(world.names(), ["web.1 v2 up", "web.2 v2 up"]);
}

#[test]
fn a_port_on_loopback_is_no_port_and_the_reason_says_so() {
    let mut world = World::new(spec(1, &[]), vec![wanted("web", 1)]);
    world.desired.candidate = Some(spec(2, &["web"]));
    world.settle();
    world.dynos[0].listening = vec![port("127.0.0.1:5000")];
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 starting"]);
    assert!(world.plan().wake_at.is_some());
    world.pass(61);
    world.settle();
    assert_eq!(world.failed.len(), 1);
    assert!(world.failed[0].contains("R10"), "{:?}", world.failed);
    assert!(
        world.failed[0].contains("127.0.0.1:5000"),
        "{:?}",
        world.failed
    );
    assert!(world.dynos.is_empty());
}

#[test]
fn the_release_command_runs_once_and_before_any_dyno() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    world.bind_all();
    world.settle();
    world.desired.candidate = Some(spec(3, &["web", "release"]));
    world.settle();
    assert_eq!(world.names(), ["release.3 v3 up", "web.1 v2 up"]);
    world.end("release.3", 0);
    world.settle();
    assert_eq!(
        world.names(),
        ["release.3 v3 down", "web.1 v2 up", "web.1 v3 starting"]
    );
    world.bind_all();
    world.settle();
    assert_eq!(world.names(), ["web.1 v3 up"]);

    world.desired.candidate = Some(spec(4, &["web", "release"]));
    world.settle();
    world.end("release.4", 1);
    world.settle();
    assert_eq!(world.failed, ["release command failed: exit 1"]);
    assert_eq!(world.names(), ["web.1 v3 up"]);
}

#[test]
fn crashes_restart_at_once_then_back_off() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    world.bind_all();
    world.settle();
    world.end("web.1", 0);
    world.settle();
    assert_eq!(
        world.names(),
        ["web.1 v2 starting"],
        "exit 0 of a web dyno is a crash, restarted at once"
    );
    world.end("web.1", 1);
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 crashed"]);
    let wake = world.plan().wake_at.unwrap();
    let wait = wake.duration_since(world.now).as_secs();
    assert!((10..=12).contains(&wait), "{wait}");
    world.now = wake;
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 starting"]);
    assert_eq!(world.dynos[0].dyno.crashes, 2);
    // Up for long: the next crash counts as the first.
    world.bind_all();
    world.settle();
    world.pass(601);
    world.end("web.1", 1);
    world.turn();
    assert_eq!(world.dynos[0].dyno.crashes, 1);
}

#[test]
fn what_the_hosts_restart_ended_starts_at_once_and_counts_as_no_crash() {
    let mut world = World::new(
        spec(2, &["web", "worker"]),
        vec![wanted("web", 1), wanted("worker", 1)],
    );
    world.turn();
    world.bind_all();
    world.settle();
    for _ in 0..3 {
        for name in ["web.1", "worker.1"] {
            world.end(name, 255);
        }
        for one in &mut world.dynos {
            one.lost = true;
        }
        world.turn();
        assert_eq!(world.names(), ["web.1 v2 down", "worker.1 v2 down"]);
        assert_eq!(world.dynos[0].dyno.reason.as_deref(), Some(LOST));
        world.settle();
        world.bind_all();
        world.settle();
        assert_eq!(world.names(), ["web.1 v2 up", "worker.1 v2 up"]);
        assert!(world.dynos.iter().all(|one| one.dyno.crashes == 0));
    }
}

#[test]
fn a_candidate_outlives_a_restart_of_the_host_but_its_release_command_is_not_run_again() {
    let mut world = World::new(spec(1, &[]), vec![wanted("web", 1)]);
    world.desired.candidate = Some(spec(2, &["web"]));
    world.settle();
    world.end("web.1", 255);
    world.dynos[0].lost = true;
    world.settle();
    world.bind_all();
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 up"]);
    world.desired.candidate = Some(spec(3, &["web", "release"]));
    world.settle();
    world.end("release.3", 255);
    for one in &mut world.dynos {
        one.lost = one.dyno.name.process_type.is_one_off();
    }
    world.settle();
    assert_eq!(world.failed, [format!("release command failed: {LOST}")]);
    assert_eq!(world.names(), ["web.1 v2 up"]);
}

#[test]
fn an_app_says_how_long_its_dynos_may_boot_and_finish() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    let settings = &mut world.desired.settings.all;
    settings.boot_timeout = Some(Duration::from_secs(180));
    settings.stop_grace = Some(Duration::from_secs(120));
    world.settle();
    world.pass(179);
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 starting"]);
    world.pass(2);
    world.act();
    assert_eq!(world.names(), ["web.1 v2 crashed"]);
    let reason = world.dynos[0].dyno.reason.clone().unwrap_or_default();
    assert!(reason.contains("within 180 seconds"), "{reason}");
    world.finish_all();
    world.settle();
    world.bind_all();
    world.settle();
    world.desired.formation[0].quantity = 0;
    world.dynos[0].drained = false;
    world.settle();
    world.pass(119);
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 down"]);
    world.pass(2);
    world.settle();
    assert!(world.dynos.is_empty());
}

#[test]
fn dynos_that_cycle_give_way_to_others_and_not_all_at_once() {
    let mut world = World::new(
        spec(2, &["web", "worker"]),
        vec![wanted("web", 8), wanted("worker", 1)],
    );
    let day = Duration::from_secs(86_400);
    world.desired.settings.part(Some(&ProcessType::web())).cycle = Some(day);
    world.turn();
    world.bind_all();
    world.settle();
    let first: Vec<DynoId> = world.dynos.iter().map(|one| one.dyno.id).collect();
    world.pass(86_399);
    world.settle();
    assert!(world.plan().wake_at.is_some());
    let kept = |world: &World| {
        let ids = world.dynos.iter().map(|one| one.dyno.id);
        ids.filter(|id| first.contains(id)).count()
    };
    assert_eq!(kept(&world), 9);
    let mut steps = 0;
    while kept(&world) > 1 {
        let before = kept(&world);
        world.now = world.plan().wake_at.expect("the next one's time");
        world.settle();
        let up =
            |one: &&Seen| one.dyno.name.process_type.is_web() && one.dyno.state == DynoState::Up;
        assert!(
            world.dynos.iter().filter(up).count() >= 8,
            "{:?}",
            world.names()
        );
        world.bind_all();
        world.settle();
        steps += usize::from(kept(&world) < before);
    }
    assert!(steps > 2, "all went in {steps} steps");
    let longest = 86_399 + 86_400 * 15 / 100 + 1;
    let passed = world.now.as_second() - 1_000_000;
    assert!(passed <= longest + 86_400, "{passed}");
    // A release is under way: its dynos are others anyway.
    world.pass(100_000);
    world.desired.candidate = Some(spec(3, &["web"]));
    let cycles = |plan: &Plan| {
        plan.actions
            .iter()
            .any(|action| matches!(action, Action::Cycle { .. }))
    };
    assert!(!cycles(&world.plan()));
}

/// An app of web dynos and workers that is up, and a candidate that its next plans see.
fn deploying(web: u32, worker: u32, set: impl Fn(&mut AppDynoSettings)) -> World {
    let types = &["web", "worker"];
    let formation = vec![wanted("web", web), wanted("worker", worker)];
    let mut world = World::new(spec(2, types), formation);
    set(&mut world.desired.settings);
    world.settle();
    world.bind_all();
    world.settle();
    world.desired.candidate = Some(spec(3, types));
    world.desired.candidate_since = world.now;
    world
}

fn worker() -> ProcessType {
    ProcessType::parse("worker").unwrap()
}

#[test]
fn a_worker_that_crashes_at_once_fails_its_deploy_and_the_old_one_comes_back() {
    let mut world = deploying(1, 1, |_| {});
    world.settle();
    world.bind_all();
    world.settle();
    assert_eq!(
        world.names(),
        ["web.1 v2 up", "web.1 v3 up", "worker.1 v3 up"]
    );
    world.pass(3);
    world.end("worker.1", 1);
    world.settle();
    assert_eq!(world.failed, ["worker.1 crashed: exit 1"]);
    assert_eq!(world.names(), ["web.1 v2 up", "worker.1 v2 up"]);

    world.desired.candidate = Some(spec(4, &["web", "worker"]));
    world.desired.candidate_since = world.now;
    world.settle();
    world.bind_all();
    world.settle();
    world.now = world.plan().wake_at.expect("the worker has settled");
    world.settle();
    assert_eq!(world.names(), ["web.1 v4 up", "worker.1 v4 up"]);
}

#[test]
fn a_worker_that_starts_first_is_beside_the_old_one_until_it_has_settled() {
    let mut world = deploying(0, 1, |settings| {
        settings.part(Some(&worker())).order = Some(Order::StartFirst);
    });
    world.settle();
    assert_eq!(world.names(), ["worker.1 v2 up", "worker.1 v3 up"]);
    world.pass(5);
    world.settle();
    assert_eq!(world.names(), ["worker.1 v3 up"]);
}

#[test]
fn a_rolling_deploy_takes_places_by_and_by_and_both_releases_serve() {
    for (surge, batch, first) in [
        (
            1,
            1,
            [
                "web.1 v2 up",
                "web.1 v3 starting",
                "web.2 v2 up",
                "web.3 v2 up",
            ]
            .as_slice(),
        ),
        (
            0,
            1,
            ["web.1 v3 starting", "web.2 v2 up", "web.3 v2 up"].as_slice(),
        ),
        (
            0,
            2,
            ["web.1 v3 starting", "web.2 v3 starting", "web.3 v2 up"].as_slice(),
        ),
    ] {
        let mut world = deploying(3, 0, |settings| {
            settings.all.rollout = Some(Rollout::Rolling);
            settings.all.surge = Some(surge);
            settings.all.batch = Some(batch);
        });
        world.settle();
        assert_eq!(world.names(), first, "surge {surge}, batch {batch}");
        for _ in 0..3 {
            world.bind_all();
            world.settle();
        }
        assert_eq!(world.names(), ["web.1 v3 up", "web.2 v3 up", "web.3 v3 up"]);
        assert_eq!(world.desired.current.version, 3);
    }
}

#[test]
fn a_rolling_deploy_that_fails_goes_back_as_it_came() {
    let mut world = deploying(3, 0, |settings| {
        settings.all.rollout = Some(Rollout::Rolling);
    });
    world.settle();
    world.bind_all();
    world.settle();
    let half = [
        "web.1 v3 up",
        "web.2 v2 up",
        "web.2 v3 starting",
        "web.3 v2 up",
    ];
    assert_eq!(world.names(), half);
    let second = world
        .dynos
        .iter_mut()
        .find(|one| one.dyno.state == DynoState::Starting);
    second.unwrap().seat = Seat::Ended {
        exit: Exit {
            code: 1,
            out_of_memory: false,
        },
    };
    for _ in 0..4 {
        world.settle();
        let serving = world
            .dynos
            .iter()
            .filter(|one| one.dyno.state == DynoState::Up);
        assert!(serving.count() >= 3, "{:?}", world.names());
        world.bind_all();
    }
    assert_eq!(world.failed, ["web.2 crashed: exit 1"]);
    assert_eq!(world.names(), ["web.1 v2 up", "web.2 v2 up", "web.3 v2 up"]);
}

#[test]
fn a_singleton_is_never_there_twice_whatever_its_type_and_its_quantity() {
    let mut world = deploying(3, 3, |settings| settings.all.singleton = Some(true));
    assert_eq!(world.dynos.len(), 2);
    for _ in 0..20 {
        world.act();
        for name in ["web", "worker"] {
            let of = |one: &&Seen| one.dyno.name.process_type.as_str() == name;
            assert!(
                world.dynos.iter().filter(of).count() <= 1,
                "{:?}",
                world.names()
            );
        }
        world.bind_all();
        world.finish_all();
        world.pass(3);
    }
    assert_eq!(world.names(), ["web.1 v3 up", "worker.1 v3 up"]);
}

#[test]
fn a_deploy_whose_dynos_do_not_pass_in_time_is_reverted_and_says_why() {
    let mut world = deploying(1, 0, |settings| {
        settings.all.boot_timeout = Some(Duration::from_secs(180));
        settings.all.deadline = Some(Duration::from_secs(90));
    });
    world.settle();
    let wake = world.plan().wake_at.unwrap();
    assert_eq!(wake.duration_since(world.now).as_secs(), 90);
    world.pass(91);
    world.settle();
    assert_eq!(
        world.failed,
        ["its dynos did not pass within 90 seconds: web.1 was still starting"]
    );
    assert_eq!(world.names(), ["web.1 v2 up"]);
}

#[test]
fn the_release_command_has_a_limit_of_its_own_and_the_size_that_it_was_given() {
    let mut world = deploying(1, 0, |_| {});
    let large = Sizes::default().find("performance-m").unwrap();
    world.desired.formation.push(Wanted {
        size: large,
        ..wanted("release", 0)
    });
    world.desired.candidate = Some(spec(3, &["web", "worker", "release"]));
    world.settle();
    let command = |world: &World| {
        let mut dynos = world.dynos.iter();
        dynos
            .find(|one| one.dyno.name.process_type.is_one_off())
            .cloned()
            .unwrap()
    };
    assert_eq!(command(&world).dyno.size, large);
    world.pass(1800);
    world.settle();
    world.end("release.3", 0);
    world.settle();
    assert_eq!(world.failed, [""; 0]);
    world.bind_all();
    world.settle();
    assert_eq!(world.names(), ["web.1 v3 up"]);
}

#[test]
fn dynos_of_a_size_whose_limits_were_changed_give_way_one_after_the_other() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 3)]);
    world.turn();
    world.bind_all();
    world.settle();
    let before = world.names();
    for wanted in &mut world.desired.formation {
        wanted.size.memory_mib *= 2;
        wanted.size.revision += 1;
    }
    world.settle();
    for _ in 0..20 {
        let up = world
            .dynos
            .iter()
            .filter(|one| one.dyno.state == DynoState::Up);
        assert!(up.count() >= 3, "{:?}", world.names());
        world.bind_all();
        world.settle();
        world.pass(60);
    }
    assert_eq!(world.names(), before);
    let revisions = world.dynos.iter().map(|one| one.dyno.size.revision);
    assert_eq!(revisions.collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn places_to_boot_go_to_the_candidate_first() {
    let mut world = deploying(8, 0, |_| {});
    for one in &mut world.dynos {
        one.dyno.retire = Some(Retire::Replace);
    }
    world.act();
    let starting = world
        .dynos
        .iter()
        .filter(|one| one.dyno.state == DynoState::Starting);
    let versions: Vec<u32> = starting.map(|one| one.dyno.release_version).collect();
    assert_eq!(versions, [3; 8]);
}

#[test]
fn requests_in_flight_have_the_time_that_is_said_of_them() {
    let mut world = deploying(1, 0, |settings| {
        settings.all.stop_grace = Some(Duration::from_secs(10));
        settings.all.drain = Some(Duration::from_secs(200));
    });
    world.desired.candidate = None;
    world.desired.formation[0].quantity = 0;
    world.dynos[0].drained = false;
    world.pass(1);
    world.settle();
    world.pass(199);
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 down"]);
    world.pass(2);
    world.settle();
    assert!(world.dynos.is_empty());
}

/// What a dyno answered so far, the newest last.
fn answered(check: &Check, answers: &[bool]) -> Tally {
    let mut tally = Tally::default();
    for good in answers {
        let answer = match good {
            true => Answer::Good,
            false => Answer::Bad("answered 503".to_owned()),
        };
        tally.hear(answer, check);
    }
    tally
}

/// An app whose web dynos and workers are asked over HTTP.
fn checked_world() -> (World, Check) {
    let check = Check::new(Probe::http("/up", None).unwrap());
    let mut current = spec(2, &["web", "worker"]);
    for name in ["web", "worker"] {
        let of = ProcessType::parse(name).unwrap();
        current.checks.insert(of, check.clone());
    }
    let formation = vec![wanted("web", 1), wanted("worker", 1)];
    (World::new(current, formation), check)
}

#[test]
fn a_dyno_with_a_check_is_up_when_it_passed_whatever_its_type() {
    let (mut world, check) = checked_world();
    world.settle();
    world.bind_all();
    world.settle();
    let starting = ["web.1 v2 starting", "worker.1 v2 starting"];
    assert_eq!(world.names(), starting);
    for one in &mut world.dynos {
        one.tally = answered(&check, &[false, false, false, false]);
    }
    world.settle();
    assert_eq!(
        world.names(),
        starting,
        "bad answers end nothing that boots"
    );
    for one in &mut world.dynos {
        one.tally = answered(&check, &[false, true]);
    }
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 up", "worker.1 v2 up"]);
    // The check of a web dyno may be a command, which knows nothing of ports.
    let (mut world, check) = checked_world();
    world.settle();
    for one in &mut world.dynos {
        one.tally = answered(&check, &[true]);
    }
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 starting", "worker.1 v2 up"]);
}

#[test]
fn a_dyno_that_fails_its_check_is_restarted_and_the_reason_says_what_it_answered() {
    let (mut world, check) = checked_world();
    world.settle();
    world.bind_all();
    for one in &mut world.dynos {
        one.tally = answered(&check, &[true, false, false]);
    }
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 up", "worker.1 v2 up"]);
    for one in &mut world.dynos {
        one.tally = answered(&check, &[true, false, false, false]);
    }
    world.act();
    assert_eq!(world.names(), ["web.1 v2 crashed", "worker.1 v2 crashed"]);
    for one in &world.dynos {
        let reason = one.dyno.reason.as_deref();
        let why = "check failed: GET /up answered 503 (3 times)";
        assert_eq!(reason, Some(why));
    }
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 starting", "worker.1 v2 starting"]);
    // One that sleeps is not asked, and what was known of it says nothing.
    world.desired.sleep = Some(SleepTier::Frozen);
    world.desired.settings.all.sleep = Some(true);
    for one in &mut world.dynos {
        one.dyno.state = DynoState::Idle;
        one.frozen = true;
        one.tally = answered(&check, &[false, false, false]);
    }
    assert_eq!(world.plan().actions, []);
}

#[test]
fn web_dynos_of_all_apps_start_before_any_other() {
    let types = ["web", "worker"];
    let formation = vec![wanted("worker", 2), wanted("web", 2)];
    let mut world = World::new(spec(2, &types), formation);
    let names = |actions: &[Action], world: &World| {
        let name = |action: &Action| match action {
            Action::Create(create) => Some(create.name.to_string()),
            Action::Launch { dyno } => {
                let one = world.dynos.iter().find(|one| one.dyno.id == *dyno);
                one.map(|one| one.dyno.name.to_string())
            }
            _ => None,
        };
        let mut names: Vec<String> = actions.iter().filter_map(name).collect();
        names.sort();
        names
    };
    for turn in ["rows that are written", "launches that failed"] {
        let (at_once, after) = web_first(world.plan().actions, &world.dynos);
        assert_eq!(names(&at_once, &world), ["web.1", "web.2"], "{turn}");
        assert_eq!(names(&after, &world), ["worker.1", "worker.2"], "{turn}");
        world.turn();
        for one in &mut world.dynos {
            one.busy = false;
            one.seat = Seat::Absent;
        }
        world.under_way.clear();
    }
}

#[test]
fn a_dyno_that_wrote_more_than_its_size_may_ends_at_once_and_another_takes_its_place() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 2)]);
    world.turn();
    world.bind_all();
    world.settle();
    let mib = |mib: u64| Used {
        bytes: mib << 20,
        ..Used::default()
    };
    let most = DynoSize::DEFAULT.disk_mib;
    world.dynos[0].written = mib(most);
    assert_eq!(world.plan().actions, []);
    world.dynos[0].written = mib(most + 1);
    world.turn();
    let reason = "disk quota exceeded: it wrote 4097 MiB, and a Standard-1X may write 4096 MiB";
    assert_eq!(world.dynos[0].dyno.state, DynoState::Crashed);
    assert_eq!(world.dynos[0].dyno.reason.as_deref(), Some(reason));
    world.settle();
    world.bind_all();
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 up", "web.2 v2 up"]);
    // Where the size has no limit nothing is too much.
    for one in &mut world.dynos {
        one.dyno.size.disk_mib = 0;
        one.written = Used {
            beyond: true,
            ..mib(1 << 40)
        };
    }
    for wanted in &mut world.desired.formation {
        wanted.size.disk_mib = 0;
    }
    assert_eq!(world.plan().actions, []);
}

#[test]
fn a_candidate_that_does_not_pass_its_check_in_time_is_reverted_and_says_what_it_answered() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    world.bind_all();
    world.settle();
    let mut check = Check::new(Probe::http("/up", None).unwrap());
    check.grace = Some(Duration::from_secs(120));
    let mut candidate = spec(3, &["web"]);
    candidate.checks.insert(ProcessType::web(), check.clone());
    world.desired.candidate = Some(candidate);
    world.settle();
    world.bind_all();
    for one in &mut world.dynos {
        one.tally = answered(&check, &[false; 7]);
    }
    world.pass(119);
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 up", "web.1 v3 starting"]);
    assert!(world.plan().wake_at.is_some());
    world.pass(2);
    world.settle();
    assert_eq!(
        world.failed,
        [
            "web.1 crashed: check failed: GET /up answered 503 (7 times); it did not pass within 120 seconds of launch"
        ]
    );
    assert_eq!(world.names(), ["web.1 v2 up"]);
}

/// One dyno in each state, of each kind, with each container: what a plan makes of it.
fn arrows() -> std::collections::BTreeSet<(String, String)> {
    const STATES: [DynoState; 5] = [
        DynoState::Starting,
        DynoState::Up,
        DynoState::Idle,
        DynoState::Crashed,
        DynoState::Down,
    ];
    let exit = |code| Seat::Ended {
        exit: Exit {
            code,
            out_of_memory: false,
        },
    };
    let since = Timestamp::from_second(1_000_000).unwrap();
    let seats = [
        Seat::Absent,
        Seat::Made,
        Seat::Running { since },
        exit(0),
        exit(1),
    ];
    let mut arrows = std::collections::BTreeSet::new();
    let mut arrow = |from: &str, to: &str| {
        arrows.insert((from.to_owned(), to.to_owned()));
    };
    let kinds = ["web", "worker", "release", "run"];
    let turns = (0..2).flat_map(|quantity| [0, 30, 10_000].map(|age| (quantity, age)));
    let sleeps = [None, Some(SleepTier::Frozen)];
    let turns = turns.flat_map(|(quantity, age)| sleeps.map(|sleep| (quantity, age, sleep)));
    for (quantity, age, sleep) in turns {
        for (kind, state, seat) in kinds.iter().flat_map(|kind| {
            STATES
                .iter()
                .flat_map(move |state| seats.map(move |seat| (*kind, *state, seat)))
        }) {
            if state == DynoState::Idle && matches!(kind, "run" | "release") {
                continue;
            }
            for bits in 0..32u8 {
                let mut world = World::new(
                    spec(2, &["web", "worker"]),
                    vec![wanted("web", quantity), wanted("worker", quantity)],
                );
                world.turn();
                for (_, to) in world.dynos.iter().map(|one| ("[*]", one.dyno.state)) {
                    arrow("[*]", to.as_str());
                }
                world.dynos.clear();
                world.under_way.clear();
                let process_type = ProcessType::parse(kind).unwrap();
                world.insert(Create {
                    app: APP,
                    name: ropewalk_model::DynoName {
                        process_type: process_type.clone(),
                        number: 1,
                    },
                    version: if kind == "release" { 3 } else { 2 },
                    size: DynoSize::DEFAULT,
                    command: String::new(),
                    crashes: 1,
                    why: Trigger::Scale,
                });
                world.pass(age);
                let candidate = bits & 1 != 0;
                world.desired.candidate = candidate.then(|| spec(3, &["web", "release"]));
                world.desired.sleep = sleep.filter(|_| !candidate);
                let one = &mut world.dynos[0];
                one.busy = false;
                one.dyno.state = state;
                one.seat = seat;
                one.dyno.one_off = kind == "run";
                one.dyno.attached = kind == "run" && bits & 2 != 0;
                one.dyno.time_to_live = (kind == "run").then_some(60);
                one.lost = bits & 4 != 0;
                one.drained = true;
                one.frozen = state == DynoState::Idle;
                one.dyno.retire = (bits & 8 != 0).then_some(Retire::Stop);
                if bits & 16 != 0 {
                    one.listening = vec![port("0.0.0.0:5000")];
                }
                let id = one.dyno.id;
                for action in world.plan().actions {
                    match action {
                        Action::Mark {
                            dyno, state: to, ..
                        } if dyno == id && to != state => {
                            arrow(state.as_str(), to.as_str());
                        }
                        Action::Freeze { dyno } if dyno == id => arrow(state.as_str(), "idle"),
                        Action::Thaw { dyno } if dyno == id => arrow(state.as_str(), "up"),
                        Action::Stop { dyno }
                        | Action::Discard { dyno }
                        | Action::Replace { dyno, .. }
                            if dyno == id =>
                        {
                            arrow(state.as_str(), "[*]");
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    arrows
}

#[test]
fn the_diagram_of_a_dynos_states_is_what_plans_do() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lifecycles/dyno.md");
    let page = std::fs::read_to_string(page).unwrap();
    let drawn: std::collections::BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| line.trim().split_once(" --> "))
        .filter_map(|(from, rest)| Some((from.to_owned(), rest.split_once(':')?.0.to_owned())))
        .collect();
    assert_eq!(arrows(), drawn);
}

#[test]
fn a_restart_boots_the_successor_of_a_web_dyno_first_and_of_a_worker_last() {
    let mut world = World::new(
        spec(2, &["web", "clock"]),
        vec![wanted("web", 1), wanted("clock", 1)],
    );
    world.turn();
    world.bind_all();
    world.settle();
    for one in &mut world.dynos {
        one.dyno.retire = Some(Retire::Replace);
    }
    world.turn();
    assert_eq!(
        world.names(),
        ["clock.1 v2 down", "web.1 v2 starting", "web.1 v2 up"]
    );
    world.bind_all();
    world.settle();
    assert_eq!(world.names(), ["clock.1 v2 up", "web.1 v2 up"]);
    assert!(world.dynos.iter().all(|one| one.dyno.retire.is_none()));
}

#[test]
fn an_attached_one_off_is_interrupted_when_it_is_to_stop_and_left_alone_otherwise() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    let one = &mut world.dynos[0];
    one.dyno.one_off = true;
    one.dyno.attached = true;
    one.dyno.state = DynoState::Up;
    one.busy = true;
    let id = one.dyno.id;
    world.desired.formation.clear();
    assert_eq!(world.plan().actions, []);
    world.dynos[0].dyno.retire = Some(Retire::Replace);
    assert_eq!(world.plan().actions, []);
    world.dynos[0].dyno.retire = Some(Retire::Stop);
    assert_eq!(world.plan().actions, [Action::Interrupt { dyno: id }]);
    // Any other action that holds a dyno brings it to its end by itself.
    world.dynos[0].dyno.attached = false;
    assert_eq!(world.plan().actions, []);
}

#[test]
fn a_one_off_of_a_formations_type_is_none_of_its_business() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    world.bind_all();
    world.settle();
    let mut one_off = world.dynos[0].clone();
    one_off.dyno.id = DynoId(Uuid::from_u128(4_821));
    one_off.dyno.name.number = 4_821;
    one_off.dyno.one_off = true;
    one_off.dyno.state = DynoState::Starting;
    one_off.listening.clear();
    let id = one_off.dyno.id;
    world.dynos.push(one_off);
    // It waits for no port, and neither scaling nor a release ends it.
    world.desired.formation = vec![wanted("web", 0)];
    world.desired.current = spec(3, &["web"]);
    world.settle();
    assert_eq!(world.names(), ["web.4821 v2 up"]);
    // Its end is no crash.
    let exit = Exit {
        code: 1,
        out_of_memory: false,
    };
    world.find(id).unwrap().seat = Seat::Ended { exit };
    world.settle();
    assert!(world.dynos.is_empty());
}

#[test]
fn a_one_off_that_has_run_as_long_as_it_may_is_stopped() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    world.desired.formation.clear();
    let since = world.now;
    let one = &mut world.dynos[0];
    let id = one.dyno.id;
    one.dyno.one_off = true;
    one.dyno.time_to_live = Some(60);
    one.dyno.state = DynoState::Up;
    one.seat = Seat::Running { since };
    let end = since.checked_add(SignedDuration::from_secs(60)).unwrap();
    for (attached, busy) in [(false, false), (true, true)] {
        let one = &mut world.dynos[0];
        (one.dyno.attached, one.busy) = (attached, busy);
        world.now = since;
        world.pass(59);
        let plan = world.plan();
        assert_eq!((plan.actions, plan.wake_at), (vec![], Some(end)));
        world.pass(1);
        let actions = world.plan().actions;
        match busy {
            true => assert_eq!(actions, [Action::Interrupt { dyno: id }]),
            false => assert!(
                matches!(&actions[..], [Action::Mark { dyno, state: DynoState::Down, .. }] if *dyno == id),
                "{actions:?}"
            ),
        }
    }
}

#[test]
fn dynos_of_a_sleeping_app_are_frozen_once_nothing_is_under_way_and_thawed_when_it_wakes() {
    let mut world = World::new(
        spec(2, &["web", "worker", "clock"]),
        vec![wanted("web", 1), wanted("worker", 1), wanted("clock", 1)],
    );
    let worker = ProcessType::parse("worker").unwrap();
    world.desired.settings.part(Some(&worker)).sleep = Some(true);
    world.turn();
    world.bind_all();
    world.settle();
    let web = |world: &mut World, drained| {
        let is_web = |one: &&mut Seen| one.dyno.name.process_type.is_web();
        world.dynos.iter_mut().find(is_web).unwrap().drained = drained;
    };
    web(&mut world, false);
    world.desired.sleep = Some(SleepTier::Frozen);
    world.settle();
    let names = ["clock.1 v2 up", "web.1 v2 up", "worker.1 v2 idle"];
    assert_eq!(world.names(), names, "a request is under way");
    web(&mut world, true);
    world.settle();
    let names = ["clock.1 v2 up", "web.1 v2 idle", "worker.1 v2 idle"];
    assert_eq!(world.names(), names);
    // Another run of the server does not know what it froze, and makes sure of it.
    world.dynos.iter_mut().for_each(|one| one.frozen = false);
    world.settle();
    assert_eq!(world.names(), names);
    assert_eq!(world.dynos.iter().filter(|one| one.frozen).count(), 2);
    // Whoever woke it wrote that they are up, and could not thaw one.
    world.desired.sleep = None;
    for one in &mut world.dynos {
        one.dyno.state = DynoState::Up;
    }
    world.settle();
    assert!(world.dynos.iter().all(|one| !one.frozen));
    world.desired.sleep = Some(SleepTier::Frozen);
    world.settle();
    // Deeper: none of them is wanted, as observe says, and the worker that does not sleep stays.
    world.desired.sleep = Some(SleepTier::Stopped);
    for name in ["web", "worker"] {
        let of = |wanted: &&mut Wanted| wanted.process_type.as_str() == name;
        world
            .desired
            .formation
            .iter_mut()
            .find(of)
            .unwrap()
            .quantity = 0;
    }
    world.settle();
    assert_eq!(world.names(), ["clock.1 v2 up"]);
}

#[test]
fn a_dyno_with_requests_in_flight_is_stopped_only_after_the_drain_time() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.turn();
    world.bind_all();
    world.settle();
    world.desired.formation = vec![wanted("web", 0)];
    world.dynos[0].drained = false;
    world.settle();
    assert_eq!(world.names(), ["web.1 v2 down"]);
    world.pass(29);
    world.settle();
    assert_eq!(world.dynos.len(), 1);
    world.pass(2);
    world.settle();
    assert!(world.dynos.is_empty());
}

/// Something that happens to an app or its host.
#[derive(Debug, Clone)]
enum Disturbance {
    Scale {
        web: u32,
        worker: u32,
    },
    Deploy {
        release_phase: bool,
    },
    Kill {
        index: usize,
        code: i64,
    },
    Vanish {
        index: usize,
    },
    /// The host or its engine goes, and all containers with it.
    PowerCut,
    Bind,
    /// The app falls asleep.
    Sleep,
    Wake,
    Pass {
        seconds: i64,
    },
    Restart {
        index: usize,
    },
    /// The server dies and leaves all work where it is.
    Die,
    Finish {
        index: usize,
    },
    Turn,
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    prop_oneof![
        (0..5u32, 0..3u32).prop_map(|(web, worker)| Disturbance::Scale { web, worker }),
        any::<bool>().prop_map(|release_phase| Disturbance::Deploy { release_phase }),
        (0..8usize, 0..2i64).prop_map(|(index, code)| Disturbance::Kill { index, code }),
        (0..8usize).prop_map(|index| Disturbance::Vanish { index }),
        Just(Disturbance::PowerCut),
        Just(Disturbance::Bind),
        Just(Disturbance::Sleep),
        Just(Disturbance::Wake),
        (1..700i64).prop_map(|seconds| Disturbance::Pass { seconds }),
        (0..8usize).prop_map(|index| Disturbance::Restart { index }),
        Just(Disturbance::Die),
        (0..8usize).prop_map(|index| Disturbance::Finish { index }),
        (0..8usize).prop_map(|index| Disturbance::Finish { index }),
        Just(Disturbance::Turn),
        Just(Disturbance::Turn),
        Just(Disturbance::Turn),
    ]
}

fn disturb(world: &mut World, what: Disturbance, next_version: &mut u32) {
    match what {
        Disturbance::Scale { web, worker } => {
            for (name, quantity) in [("web", web), ("worker", worker)] {
                let most = world.most.entry(name.to_owned()).or_default();
                *most = quantity.max(*most);
            }
            world.desired.formation = vec![
                wanted("web", web),
                wanted("worker", worker),
                wanted("release", 0),
            ];
        }
        Disturbance::Deploy { release_phase } => {
            let types: &[&str] = if release_phase {
                &["web", "worker", "release"]
            } else {
                &["web", "worker"]
            };
            world.desired.candidate = Some(spec(*next_version, types));
            world.desired.sleep = None;
            world.desired.candidate_since = world.now;
            *next_version += 1;
        }
        Disturbance::Kill { index, code } => {
            if let Some(one) = world.dynos.get_mut(index)
                && matches!(one.seat, Seat::Running { .. })
            {
                one.seat = Seat::Ended {
                    exit: Exit {
                        code,
                        out_of_memory: false,
                    },
                };
            }
        }
        Disturbance::Vanish { index } => {
            if let Some(one) = world.dynos.get_mut(index) {
                one.frozen = false;
                one.seat = Seat::Absent;
            }
        }
        Disturbance::PowerCut => {
            for one in &mut world.dynos {
                if matches!(one.seat, Seat::Running { .. }) {
                    one.lost = true;
                    one.seat = Seat::Ended {
                        exit: Exit {
                            code: 255,
                            out_of_memory: false,
                        },
                    };
                }
            }
        }
        Disturbance::Bind => world.bind_all(),
        Disturbance::Sleep => {
            let awake = world.desired.candidate.is_some();
            world.desired.sleep = Some(SleepTier::Frozen).filter(|_| !awake);
        }
        Disturbance::Wake => world.desired.sleep = None,
        Disturbance::Pass { seconds } => world.pass(seconds),
        Disturbance::Restart { index } => {
            if let Some(one) = world.dynos.get_mut(index) {
                one.dyno.retire = Some(Retire::Replace);
            }
        }
        Disturbance::Die => {
            world.under_way.clear();
            for one in &mut world.dynos {
                one.busy = false;
                one.frozen = false;
            }
        }
        Disturbance::Finish { index } => {
            if index < world.under_way.len() {
                world.finish(index);
            }
        }
        Disturbance::Turn => {
            world.act();
        }
    }
}

/// Web dynos of the current release that serve, and nobody asked to stop at once; two of one name count as one.
fn runs_well(world: &World) -> usize {
    let in_place = Way::of(&world.desired.settings, &ProcessType::web()).is_in_place();
    let serves = |one: &&Seen| {
        one.dyno.name.process_type.is_web()
            && (in_place || one.dyno.release_version == world.desired.current.version)
            && matches!(one.dyno.state, DynoState::Up | DynoState::Idle)
            && one.dyno.retire != Some(Retire::Stop)
            && matches!(one.seat, Seat::Running { .. })
    };
    let serving = world.dynos.iter().filter(serves);
    if in_place {
        return serving.count();
    }
    let names = serving.map(|one| &one.dyno.name);
    names.collect::<std::collections::BTreeSet<_>>().len()
}

/// What an app may ask of its rollouts.
fn rollouts() -> impl Strategy<Value = AppDynoSettings> {
    let web = (any::<bool>(), 0..3u32, 1..3u32, any::<bool>());
    let worker = (any::<bool>(), 1..3u32, any::<bool>(), any::<bool>());
    (web, worker).prop_map(|(web, worker)| {
        let rolling = |is: bool| is.then_some(Rollout::Rolling);
        let mut settings = AppDynoSettings::default();
        let of_web = settings.part(Some(&ProcessType::web()));
        of_web.rollout = rolling(web.0);
        of_web.surge = Some(web.1);
        of_web.batch = Some(web.2);
        of_web.singleton = Some(web.3 && !web.0);
        let of_worker = settings.part(Some(&ProcessType::parse("worker").unwrap()));
        of_worker.rollout = rolling(worker.0);
        of_worker.batch = Some(worker.1);
        of_worker.order = worker.2.then_some(Order::StartFirst);
        of_worker.singleton = Some(worker.3);
        settings
    })
}

/// So many web dynos that run well a plan leaves, if there are as many.
fn least(world: &World) -> usize {
    let of = ProcessType::web();
    let wanted = world.desired.formation[0].quantity;
    let wanted = world
        .desired
        .settings
        .most(&of)
        .unwrap_or(wanted)
        .min(wanted);
    let fewer = match Way::of(&world.desired.settings, &of) {
        Way::Beside => 0,
        Way::InPlace { surge, batch, .. } => batch.saturating_sub(surge),
    };
    wanted.saturating_sub(fewer) as usize
}

/// What must hold whatever happens.
fn check(world: &World, before: &[String]) {
    let mut by_slot: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for one in &world.dynos {
        if one.dyno.state != DynoState::Down && one.dyno.retire.is_none() {
            let key = (one.dyno.name.to_string(), one.dyno.release_version);
            *by_slot.entry(key).or_default() += 1;
        }
        let name = &one.dyno.name;
        if name.process_type.as_str() == "worker"
            && world.desired.settings.of(&name.process_type).order != Some(Order::StartFirst)
        {
            let twins = world
                .dynos
                .iter()
                .filter(|other| other.dyno.name == *name)
                .count();
            assert!(
                twins == 1,
                "{name} is there {twins} times: {:?}, before: {before:?}",
                world.names()
            );
        }
    }
    let commands = world
        .dynos
        .iter()
        .filter(|one| one.dyno.name.process_type.as_str() == "release");
    assert!(
        commands.count() <= 1,
        "two release commands: {:?}, before: {before:?}",
        world.names()
    );
    for name in ["web", "worker"] {
        let of = ProcessType::parse(name).unwrap();
        let rows = |one: &&Seen| one.dyno.name.process_type == of;
        let count = world.dynos.iter().filter(rows).count();
        if let (Way::InPlace { surge, .. }, Some(most)) =
            (Way::of(&world.desired.settings, &of), world.most.get(name))
        {
            let most = world.desired.settings.most(&of).unwrap_or(most + surge);
            assert!(
                count <= most as usize,
                "{count} dynos of {name}, not {most}: {:?}, before: {before:?}",
                world.names()
            );
        }
    }
    for (slot, count) in by_slot {
        assert!(
            count == 1,
            "{slot:?} is filled {count} times: {:?}, before: {before:?}",
            world.names()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_formation_comes_back(
        events in prop::collection::vec(disturbance(), 1..60),
        cycles in any::<bool>(),
        asked in prop::option::of(rollouts()),
    ) {
        let mut world = World::new(spec(1, &["web", "worker"]), vec![wanted("web", 2), wanted("worker", 1)]);
        world.desired.settings = asked.unwrap_or_default();
        world.most = BTreeMap::from([("web".to_owned(), 2), ("worker".to_owned(), 1)]);
        world.desired.settings.all.cycle = cycles.then(|| Duration::from_secs(3600));
        let mut next_version = 2;
        for event in events {
            let before = world.names();
            let serving = |world: &World| {
                world.dynos.iter().filter(|one| {
                    one.dyno.name.process_type.is_web()
                        && one.dyno.release_version == world.desired.current.version
                        && matches!(one.dyno.state, DynoState::Up | DynoState::Idle)
                }).count()
            };
            let is_turn = matches!(event, Disturbance::Turn);
            let (old, was) = (world.desired.current.version, serving(&world));
            let floor = runs_well(&world);
            disturb(&mut world, event, &mut next_version);
            check(&world, &before);
            let web = least(&world);
            let wanted = world.desired.formation[0].quantity;
            if is_turn && old == world.desired.current.version {
                prop_assert!(runs_well(&world) >= floor.min(web), "a plan took a dyno away that was wanted");
            }
            if is_turn && old != world.desired.current.version && was > 0 && wanted > 0 {
                prop_assert!(serving(&world) > 0, "a promotion left nothing serving");
            }
        }
        // Then somebody asks for it, and everything goes well for a while.
        world.desired.sleep = None;
        let mut still = 0;
        for _ in 0..40 {
            // Whether it stays so, too.
            if still == 3 {
                break;
            }
            world.bind_all();
            let names: Vec<String> = world.dynos.iter()
                .filter(|one| one.dyno.name.process_type.as_str() == "release")
                .map(|one| one.dyno.name.to_string()).collect();
            for name in names {
                world.end(&name, 0);
            }
            world.pass(30);
            world.act();
            check(&world, &[]);
            world.desired.settings.all.cycle = None;
            world.finish_all();
            check(&world, &[]);
            let is_still = world.desired.candidate.is_none() && world.plan() == Plan::default();
            still = if is_still { still + 1 } else { 0 };
        }
        let mut expected = Vec::new();
        for wanted in &world.desired.formation {
            let most = world.desired.settings.most(&wanted.process_type);
            for n in 1..=most.unwrap_or(wanted.quantity).min(wanted.quantity) {
                expected.push(format!("{}.{n} v{} up", wanted.process_type, world.desired.current.version));
            }
        }
        expected.sort();
        prop_assert!(world.desired.candidate.is_none());
        prop_assert_eq!(world.names(), expected);
        prop_assert_eq!(world.plan(), Plan::default());
    }
}

#[test]
fn back_off_never_ends_a_restart_loop() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 1)]);
    world.policy.steady_after = Duration::from_secs(600);
    let mut restarts = 0;
    for _ in 0..7200 {
        world.turn();
        if matches!(
            world.dynos.first().map(|one| one.seat),
            Some(Seat::Running { .. })
        ) {
            restarts += 1;
            world.end("web.1", 1);
        }
        world.pass(1);
    }
    assert!(
        (10..30).contains(&restarts),
        "{restarts} restarts in two hours"
    );
}

/// Both crash, again and again, and the engine is slow: each action takes a few passes.
#[test]
fn two_dynos_that_crash_back_off_though_work_takes_its_time() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 2)]);
    let mut starts = 0;
    for second in 0..1800 {
        world.act();
        check(&world, &[]);
        if second % 3 == 2 {
            let launches = |world: &World| {
                let launches = world.under_way.iter();
                launches.filter(|(_, work)| *work == Work::Launch).count()
            };
            starts += launches(&world);
            world.finish_all();
        }
        world.end("web.1", 1);
        world.end("web.2", 1);
        world.pass(1);
    }
    assert!(
        (10..24).contains(&starts),
        "{starts} starts in half an hour"
    );
}

#[test]
fn a_release_command_waits_for_the_one_before_it() {
    let mut world = World::new(spec(2, &["web"]), vec![wanted("web", 0)]);
    world.desired.candidate = Some(spec(3, &["web", "release"]));
    world.settle();
    assert_eq!(world.names(), ["release.3 v3 up"]);
    // Config vars are set while it migrates.
    world.desired.candidate = Some(spec(4, &["web", "release"]));
    for _ in 0..5 {
        world.act();
        assert_eq!(world.names(), ["release.3 v3 down"]);
    }
    world.finish_all();
    world.settle();
    assert_eq!(world.names(), ["release.4 v4 up"]);
}
