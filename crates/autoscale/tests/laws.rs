//! What holds for whatever was measured: the bounds, more dynos for more load, and rest between changes.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use proptest::prelude::*;
use ropewalk_autoscale::{
    Decision, Dynos, Hold, Measure, Memory, Moment, Reading, Reason, Rule, Sample, Signals, decide,
};
use ropewalk_model::monitor;
use ropewalk_model::scaling::{Bounds, Days, Pace, Schedule, Target};

const NOW: u64 = 1000;

/// Ten minutes of any traffic, some seconds unknown.
fn histories() -> impl Strategy<Value = Vec<Sample>> {
    let second = prop_oneof![
        1 => Just(None),
        8 => (0u64..50, 0u64..50, 0u64..3000, 0u64..100).prop_map(Some),
    ];
    // A level for all, so that histories that are late or calm throughout come up too.
    (prop::collection::vec(second, 600), 0u64..3000, 0u64..100).prop_map(
        |(seconds, level, spread)| {
            seconds
                .into_iter()
                .enumerate()
                .filter_map(|(index, known)| {
                    let (requests, answered, p95_ms, in_flight) = known?;
                    Some(Sample {
                        second: NOW - 600 + index as u64,
                        requests,
                        answered,
                        p95_ms: level + p95_ms * spread / 100,
                        in_flight,
                        ..Sample::default()
                    })
                })
                .collect()
        },
    )
}

fn rules() -> impl Strategy<Value = Rule> {
    (1i64..4000, 1i64..20, 0i64..20).prop_map(|(p95, min, more)| by_p95(p95, min, min + more))
}

fn by_p95(p95: i64, min: i64, max: i64) -> Rule {
    Rule::from(monitor::Rule::new(p95, min, max).unwrap())
}

fn rule(targets: &[(&str, f64)], min: i64, max: i64) -> Rule {
    let targets = targets
        .iter()
        .map(|(kind, goal)| Target::parse(kind, *goal).unwrap());
    Rule::new(Bounds::new(min, max).unwrap(), targets.collect()).unwrap()
}

fn at(second: u64) -> Moment {
    Moment {
        second,
        wall: Default::default(),
    }
}

fn traffic(traffic: &[Sample]) -> Signals<'_> {
    Signals {
        traffic,
        readings: &[],
    }
}

fn decided(history: &[Sample], rule: &Rule, current: u32, memory: &Memory, now: u64) -> Decision {
    decide(
        rule,
        &traffic(history),
        &Dynos::ready(current),
        memory,
        &at(now),
    )
}

proptest! {
    #[test]
    fn a_proposal_is_within_the_bounds_and_a_change(
        history in histories(), rule in rules(), current in 0u32..60,
    ) {
        let bounds = rule.bounds();
        let inside = (bounds.min()..=bounds.max()).contains(&current);
        match decided(&history, &rule, current, &Memory::default(), NOW).change() {
            Some(quantity) => {
                prop_assert!((bounds.min()..=bounds.max()).contains(&quantity));
                prop_assert_ne!(quantity, current);
                prop_assert_ne!(current, 0);
                prop_assert!(!inside || quantity <= 2 * current);
                prop_assert!(!inside || quantity + 1 >= current);
            }
            None => prop_assert!(current == 0 || inside),
        }
    }

    #[test]
    fn slower_answers_never_mean_fewer_dynos(
        history in histories(), rule in rules(), current in 1u32..60, slower in prop::collection::vec(0u64..1000, 600),
    ) {
        let after = |history: &[Sample]| decided(history, &rule, current, &Memory::default(), NOW).to;
        let mut late = history.clone();
        for (sample, more) in late.iter_mut().zip(slower) {
            sample.p95_ms += more;
        }
        prop_assert!(after(&late) >= after(&history));
    }

    /// Load that comes and goes, of whatever period: no two changes are closer than the cool-downs, so there is no
    /// flapping with it.
    #[test]
    fn a_square_wave_makes_nobody_flap(half in 5u64..400, high in 500u64..5000, low in 0u64..200) {
        let rule = by_p95(500, 1, 10);
        let (mut history, mut memory, mut current) = (Vec::new(), Memory::default(), 2);
        let mut changes: Vec<(u64, u32)> = vec![(0, current)];
        for now in 1..3600u64 {
            let p95_ms = if (now / half).is_multiple_of(2) { low } else { high };
            history.push(Sample { second: now - 1, requests: 20, answered: 20, p95_ms, in_flight: 3, ..Sample::default() });
            if !now.is_multiple_of(10) {
                continue;
            }
            memory.saw(&Dynos::ready(current), now);
            let decision = decided(&history, &rule, current, &memory, now);
            memory.judged(&decision, now);
            if let Some(quantity) = decision.change() {
                memory.done(&decision, now);
                current = quantity;
                changes.push((now, current));
            }
        }
        for pair in changes.windows(2).skip(1) {
            let (rest, up) = (pair[1].0 - pair[0].0, pair[1].1 > pair[0].1);
            prop_assert!(rest >= if up { 60 } else { 300 }, "{:?}", changes);
        }
        // The load is the same throughout, so what was too much once is not tried again within the hour.
        let downs_after_ups = changes.windows(3).filter(|three| {
            three[1].1 > three[0].1 && three[2].1 < three[1].1
        }).count();
        prop_assert!(downs_after_ups <= 1, "{:?}", changes);
    }
}

fn seconds(from: u64, to: u64, requests: u64, p95_ms: u64) -> impl Iterator<Item = Sample> {
    (from..to).map(move |second| Sample {
        second,
        requests,
        answered: requests,
        p95_ms,
        busy_ms: requests * p95_ms,
        ..Sample::default()
    })
}

fn quantity(history: &[Sample], current: u32, memory: &Memory) -> Option<u32> {
    let rule = by_p95(500, 1, 10);
    decided(history, &rule, current, memory, NOW).change()
}

#[test]
fn half_a_minute_of_late_answers_is_enough() {
    let none = Memory::default();
    let late = |from| -> Vec<Sample> {
        seconds(NOW - 60, from, 5, 100)
            .chain(seconds(from, NOW, 5, 700))
            .collect()
    };
    assert_eq!(quantity(&late(NOW - 20), 2, &none), None);
    assert_eq!(quantity(&late(NOW - 30), 2, &none), Some(3));
    let over: Vec<Sample> = seconds(NOW - 60, NOW - 10, 5, 700)
        .chain(seconds(NOW - 10, NOW, 5, 100))
        .collect();
    assert_eq!(quantity(&over, 2, &none), None, "it is over already");
    let alone: Vec<Sample> = (0..6)
        .flat_map(|bucket| seconds(NOW - 60 + 10 * bucket, NOW - 59 + 10 * bucket, 1, 9000))
        .collect();
    assert_eq!(quantity(&alone, 2, &none), None, "six requests say nothing");
}

#[test]
fn the_step_up_is_as_large_as_the_trouble_and_says_why() {
    let rule = by_p95(500, 1, 10);
    let step = |current, p95_ms| {
        let history: Vec<Sample> = seconds(NOW - 60, NOW, 5, p95_ms).collect();
        decided(&history, &rule, current, &Memory::default(), NOW)
    };
    assert_eq!(
        step(2, 812).to_string(),
        "From 2 to 4: p95 812 ms over 500 ms."
    );
    for (current, p95_ms, quantity) in [
        (2, 500, 3),
        (2, 812, 4),
        (4, 750, 6),
        (4, 30_000, 8),
        (8, 30_000, 10),
    ] {
        assert_eq!(
            step(current, p95_ms).change(),
            Some(quantity),
            "{current} {p95_ms}"
        );
    }
    let most = step(10, 30_000);
    assert_eq!(
        (most.change(), most.reason),
        (None, Reason::Bound { max: 10 })
    );
}

#[test]
fn fewer_dynos_need_five_calm_minutes() {
    let none = Memory::default();
    let calm = |p95_ms| -> Vec<Sample> { seconds(NOW - 300, NOW, 5, p95_ms).collect() };
    assert_eq!(quantity(&calm(200), 4, &none), Some(3));
    assert_eq!(quantity(&calm(301), 4, &none), None);
    assert_eq!(quantity(&calm(300), 2, &none), Some(1));
    assert_eq!(quantity(&calm(200), 1, &none), None);
    let short: Vec<Sample> = seconds(NOW - 200, NOW, 5, 200).collect();
    assert_eq!(quantity(&short, 4, &none), None, "too little is known");
    let idle: Vec<Sample> = seconds(NOW - 300, NOW, 0, 0).collect();
    assert_eq!(quantity(&idle, 4, &none), Some(3));
    assert_eq!(quantity(&[], 4, &none), None, "nothing is known");
    let stuck: Vec<Sample> = calm(200)
        .into_iter()
        .map(|sample| Sample {
            answered: if sample.second < NOW - 60 { 5 } else { 0 },
            ..sample
        })
        .collect();
    assert_eq!(quantity(&stuck, 4, &none), None, "a minute without answers");
}

#[test]
fn changes_by_others_and_deploys_begin_the_rest_anew() {
    let late: Vec<Sample> = seconds(NOW - 60, NOW, 5, 700).collect();
    let mut memory = Memory::default();
    memory.saw(&Dynos::ready(1), NOW - 200);
    memory.saw(&Dynos::ready(2), NOW - 30);
    assert_eq!(quantity(&late, 2, &memory), None);
    let mut memory = Memory::default();
    memory.unsettled(NOW - 59);
    assert_eq!(quantity(&late, 2, &memory), None);
    let mut memory = Memory::default();
    memory.unsettled(NOW - 60);
    memory.saw(&Dynos::ready(2), NOW - 60);
    assert_eq!(quantity(&late, 2, &memory), Some(3));
}

#[test]
fn none_means_off() {
    let late: Vec<Sample> = seconds(NOW - 60, NOW, 5, 700).collect();
    assert_eq!(quantity(&late, 0, &Memory::default()), None);
    assert_eq!(quantity(&late, 30, &Memory::default()), Some(10));
}

/// Numbers that nobody measures, and the edges of those that somebody may.
fn absurd() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(-1.0),
        Just(0.0),
        0.0..1e6,
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0_u64..500, 1 => Just(0), 1 => Just(u64::MAX), 1 => any::<u64>()]
}

/// A few seconds of anything, some of them twice or yet to come.
fn anything() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (
        NOW - 70..NOW + 3,
        any_count(),
        any_count(),
        any_count(),
        any_count(),
        any_count(),
        any_count(),
    );
    prop::collection::vec(sample, 0..12).prop_map(|samples| {
        let one = |(second, requests, answered, p95_ms, busy_ms, in_flight, waiting)| Sample {
            second,
            requests,
            answered,
            p95_ms,
            busy_ms,
            in_flight,
            waiting,
            given_up: waiting % 3,
            queue_ms: (busy_ms % 2 == 0).then_some(p95_ms),
        };
        samples.into_iter().map(one).collect()
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kinds = [
        "p95",
        "concurrency",
        "rps",
        "queue",
        "cpu",
        "memory",
        "metric:jobs",
    ];
    let targets = prop::collection::vec((0.0..1.0_f64, any::<bool>()), kinds.len());
    let rest = prop::option::of(0_u32..600);
    let step = prop::option::of(1_u32..5);
    (
        targets,
        1_i64..10,
        0_i64..90,
        rest,
        step,
        any::<[bool; 2]>(),
    )
        .prop_map(move |(targets, min, more, rest, step, [panic, dry_run])| {
            let goal = |share: f64| 1.0 + share * 99.0;
            let mut wanted: Vec<(&str, f64)> = kinds
                .iter()
                .zip(targets)
                .filter(|(_, (_, is_wanted))| *is_wanted)
                .map(|(kind, (share, _))| (*kind, goal(share)))
                .collect();
            if wanted.is_empty() {
                wanted.push(("concurrency", 5.0));
            }
            let pace = Pace {
                up_rest: rest,
                down_after: rest.map(|rest| rest + 10),
                down_rest: rest,
                most_up: step,
                most_down: step,
                panic,
            };
            let rule = rule(&wanted, min, min + more);
            rule.with_pace(pace).unwrap().with_dry_run(dry_run)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_measured_the_bounds_hold_and_a_dry_run_changes_nothing(
        history in anything(),
        values in prop::collection::vec(absurd(), 0..3),
        rule in any_rule(),
        wanted in 0_u32..120,
        ready in prop_oneof![0_u32..120, Just(u32::MAX)],
        times in 1_u64..4,
    ) {
        let readings: Vec<Reading<'_>> = values
            .iter()
            .flat_map(|value| [Measure::Cpu, Measure::Memory, Measure::Own("jobs")].map(|of| Reading {
                second: NOW - 5,
                of,
                value: *value,
            }))
            .collect();
        let signals = Signals { traffic: &history, readings: &readings };
        let bounds = rule.bounds();
        let mut memory = Memory::default();
        let mut wanted = wanted;
        for time in 0..times {
            let now = NOW + time * 400;
            let dynos = Dynos { wanted, ready, hold: Hold::Free };
            memory.saw(&dynos, now);
            let decision = decide(&rule, &signals, &dynos, &memory, &at(now));
            memory.judged(&decision, now);
            prop_assert!(!decision.to_string().is_empty());
            prop_assert_eq!(decision.from, wanted);
            if decision.to != wanted {
                prop_assert!((bounds.min()..=bounds.max()).contains(&decision.to), "{}", decision);
                prop_assert_ne!(wanted, 0);
            }
            prop_assert!(!rule.is_dry_run() || decision.change().is_none());
            if let Some(quantity) = decision.change() {
                memory.done(&decision, now);
                wanted = quantity;
            }
        }
    }

    /// The seconds before are the same, and as fast answered; more came in the last two.
    #[test]
    fn more_load_never_means_fewer_dynos(
        level in 0_u64..400,
        service_ms in 1_u64..400,
        newest in 0_u64..800,
        more in 1_u64..800,
        waiting in 0_u64..50,
        more_wait in 0_u64..50,
        wanted in 1_u32..60,
        kind in prop::sample::select(vec!["concurrency", "rps"]),
        goal in 1.0..50.0_f64,
    ) {
        let rule = rule(&[(kind, goal)], 1, 100);
        let after = |newest: u64, waiting: u64| {
            let second = |second: u64, requests: u64, waiting: u64| Sample {
                second,
                requests,
                answered: level,
                busy_ms: level * service_ms,
                in_flight: requests * service_ms / 1000 + waiting,
                waiting,
                ..Sample::default()
            };
            let history: Vec<Sample> = (NOW - 20..NOW - 2)
                .map(|at| second(at, level, 0))
                .chain((NOW - 2..NOW).map(|at| second(at, newest, waiting)))
                .collect();
            decided(&history, &rule, wanted, &Memory::default(), NOW).to
        };
        prop_assert!(after(newest + more, waiting + more_wait) >= after(newest, waiting));
    }
}

/// Seconds of the same traffic: so many requests, each taking 50 ms, none of which waits.
fn steady(from: u64, to: u64, requests: u64) -> Vec<Sample> {
    (from..to)
        .map(|second| Sample {
            second,
            requests,
            answered: requests,
            p95_ms: 60,
            busy_ms: 50 * requests,
            in_flight: requests / 20,
            ..Sample::default()
        })
        .collect()
}

/// Seconds and numbers of dynos, from the first decision on.
fn follow(rule: &Rule, history: &[Sample], first: u32) -> Vec<(u64, u32)> {
    let (mut memory, mut current, mut changes) = (Memory::default(), first, Vec::new());
    let end = history.last().unwrap().second + 1;
    for now in (2..=end).step_by(2) {
        let known = history.partition_point(|sample| sample.second < now);
        let old = known.saturating_sub(300);
        memory.saw(&Dynos::ready(current), now);
        let decision = decided(&history[old..known], rule, current, &memory, now);
        memory.judged(&decision, now);
        if let Some(quantity) = decision.change() {
            memory.done(&decision, now);
            current = quantity;
            changes.push((now, current));
        }
    }
    changes
}

#[test]
fn a_step_is_met_within_seconds_and_left_after_minutes_and_then_nothing_moves() {
    let rule = rule(&[("concurrency", 5.0)], 1, 40);
    let mut history = steady(0, 600, 20);
    history.extend(steady(600, 1800, 200));
    history.extend(steady(1800, 4800, 20));
    let changes = follow(&rule, &history, 1);
    let told = format!("{changes:?}");
    let (first, quantity) = changes[0];
    assert!((600..=604).contains(&first) && quantity >= 4, "{told}");
    assert!(
        changes.iter().all(|(at, _)| !(1200..1800).contains(at)),
        "{told}"
    );
    let down = changes.iter().find(|(at, _)| *at >= 1800).unwrap();
    assert!(down.0 >= 1980, "{told}");
    assert_eq!(changes.last().unwrap().1, 1, "{told}");
    assert!(changes.last().unwrap().0 < 2400, "{told}");
}

#[test]
fn a_load_that_comes_back_is_waited_for_longer() {
    let rule = rule(&[("concurrency", 5.0)], 1, 40);
    let mut history = Vec::new();
    for round in 0..10 {
        history.extend(steady(round * 600, round * 600 + 300, 200));
        history.extend(steady(round * 600 + 300, round * 600 + 600, 20));
    }
    let changes = follow(&rule, &history, 4);
    let (early, later): (Vec<_>, Vec<_>) = changes.iter().partition(|(at, _)| *at < 1200);
    assert!(early.iter().any(|(_, dynos)| *dynos < 4), "{changes:?}");
    assert!(later.iter().all(|(_, dynos)| *dynos >= 4), "{changes:?}");
}

#[test]
fn the_target_that_needs_most_counts() {
    let history = steady(NOW - 60, NOW, 100);
    let both = rule(&[("concurrency", 5.0), ("rps", 10.0)], 1, 40);
    let decision = decided(&history, &both, 2, &Memory::default(), NOW);
    assert_eq!(decision.to, 10);
    assert_eq!(
        decision.reason.to_string(),
        "100.0 requests a second, 10 for a dyno"
    );
    assert!(decision.panic);
}

#[test]
fn numbers_that_are_read_scale_workers() {
    let rule = rule(&[("metric:jobs", 100.0), ("cpu", 60.0)], 1, 40);
    let reading = |of, value| Reading {
        second: NOW - 3,
        of,
        value,
    };
    let with = |jobs: f64, cpu: f64| {
        let readings = [
            reading(Measure::Own("jobs"), jobs),
            reading(Measure::Cpu, cpu),
        ];
        let signals = Signals {
            traffic: &[],
            readings: &readings,
        };
        decide(
            &rule,
            &signals,
            &Dynos::ready(4),
            &Memory::default(),
            &at(NOW),
        )
    };
    let jobs = with(730.0, 62.0);
    assert_eq!(
        (jobs.to, jobs.reason.to_string().as_str()),
        (8, "jobs is 730.0, 100 for a dyno")
    );
    let busy = with(10.0, 90.0);
    assert_eq!(
        (busy.to, busy.reason.to_string().as_str()),
        (6, "CPU at 90 %, goal 60 %")
    );
    assert_eq!(with(390.0, 64.0).to, 4, "near enough");
}

#[test]
fn requests_that_wait_are_felt_by_the_queue_target() {
    let rule = rule(&[("queue", 100.0)], 1, 40);
    let mut history = steady(NOW - 60, NOW, 20);
    assert_eq!(decided(&history, &rule, 2, &Memory::default(), NOW).to, 2);
    for sample in history.iter_mut().rev().take(4) {
        sample.waiting = 3;
    }
    let decision = decided(&history, &rule, 2, &Memory::default(), NOW);
    assert_eq!(
        (decision.to, decision.reason.to_string().as_str()),
        (3, "requests wait 150 ms for a dyno, over 100 ms")
    );
}

#[test]
fn steps_and_rests_are_those_of_the_rule() {
    let history = steady(NOW - 60, NOW, 400);
    let slow = Pace {
        up_rest: Some(120),
        most_up: Some(1),
        panic: false,
        ..Pace::default()
    };
    let rule = rule(&[("concurrency", 5.0)], 1, 40)
        .with_pace(slow)
        .unwrap();
    let mut memory = Memory::default();
    assert_eq!(decided(&history, &rule, 2, &memory, NOW).to, 3);
    memory.unsettled(NOW - 119);
    let resting = decided(&history, &rule, 2, &memory, NOW);
    assert_eq!(resting.to, 2);
    assert_eq!(resting.reason, Reason::Resting { seconds: 120 });
}

#[test]
fn a_release_on_its_way_may_bring_dynos_and_takes_none() {
    let rule = rule(&[("concurrency", 5.0)], 2, 40);
    let busy = steady(NOW - 60, NOW, 400);
    let held = |history: &[Sample], wanted, hold| {
        let dynos = Dynos {
            wanted,
            ready: wanted,
            hold,
        };
        decide(
            &rule,
            &traffic(history),
            &dynos,
            &Memory::default(),
            &at(NOW),
        )
        .to
    };
    assert!(held(&busy, 2, Hold::NoFewer) > 2);
    assert_eq!(held(&busy, 2, Hold::Still), 2);
    assert_eq!(held(&busy, 50, Hold::NoFewer), 50);
    assert_eq!(held(&busy, 50, Hold::Free), 40);
}

#[test]
fn a_schedule_sets_the_bounds_even_when_nothing_is_known() {
    let zone = jiff::tz::TimeZone::UTC;
    let office = Bounds::new(5, 9).unwrap();
    let schedule = Schedule::new(Days::weekdays(), 9 * 60, 18 * 60, zone, office).unwrap();
    let rule = rule(&[("concurrency", 5.0)], 1, 3)
        .with_schedules(vec![schedule])
        .unwrap();
    let when = |wall: &str, wanted| {
        let moment = Moment {
            second: NOW,
            wall: wall.parse().unwrap(),
        };
        decide(
            &rule,
            &Signals::default(),
            &Dynos::ready(wanted),
            &Memory::default(),
            &moment,
        )
    };
    let morning = when("2026-11-27T09:00:00Z", 2);
    assert_eq!(
        morning.to_string(),
        "From 2 to 5: at least 5 dynos, Mon Tue Wed Thu Fri 09:00 to 18:00 UTC."
    );
    let night = when("2026-11-27T20:00:00Z", 5);
    assert_eq!((night.to, night.reason), (5, Reason::Unknown));
}

#[test]
fn a_dry_run_advises() {
    let history = steady(NOW - 60, NOW, 400);
    let rule = rule(&[("concurrency", 5.0)], 1, 40).with_dry_run(true);
    let decision = decided(&history, &rule, 2, &Memory::default(), NOW);
    assert_eq!((decision.change(), decision.advice()), (None, Some(6)));
    assert!(
        decision
            .to_string()
            .starts_with("It would go from 2 to 6: ")
    );
}
