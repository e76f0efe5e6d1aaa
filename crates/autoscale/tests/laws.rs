//! What holds for whatever was measured: the bounds, more dynos for slower answers, and rest between changes.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use proptest::prelude::*;
use ropewalk_autoscale::{Memory, Rule, Sample, propose};

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
                    })
                })
                .collect()
        },
    )
}

fn rules() -> impl Strategy<Value = Rule> {
    (1i64..4000, 1i64..20, 0i64..20)
        .prop_map(|(p95, min, more)| Rule::new(p95, min, min + more).unwrap())
}

proptest! {
    #[test]
    fn a_proposal_is_within_the_bounds_and_a_change(
        history in histories(), rule in rules(), current in 0u32..60,
    ) {
        match propose(&history, &rule, current, &Memory::default(), NOW) {
            Some(proposal) => {
                prop_assert!((rule.min()..=rule.max()).contains(&proposal.quantity));
                prop_assert_ne!(proposal.quantity, current);
                prop_assert_ne!(current, 0);
                let inside = (rule.min()..=rule.max()).contains(&current);
                prop_assert!(!inside || proposal.quantity <= 2 * current);
                prop_assert!(!inside || proposal.quantity + 1 >= current);
            }
            None => prop_assert!(current == 0 || (rule.min()..=rule.max()).contains(&current)),
        }
    }

    #[test]
    fn slower_answers_never_mean_fewer_dynos(
        history in histories(), rule in rules(), current in 1u32..60, slower in prop::collection::vec(0u64..1000, 600),
    ) {
        let after = |history: &[Sample]| {
            propose(history, &rule, current, &Memory::default(), NOW).map_or(current, |proposal| proposal.quantity)
        };
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
        let rule = Rule::new(500, 1, 10).unwrap();
        let (mut history, mut memory, mut current) = (Vec::new(), Memory::default(), 2);
        let mut changes: Vec<(u64, u32)> = vec![(0, current)];
        for now in 1..3600u64 {
            let p95_ms = if (now / half).is_multiple_of(2) { low } else { high };
            history.push(Sample { second: now - 1, requests: 20, answered: 20, p95_ms, in_flight: 3 });
            if !now.is_multiple_of(10) {
                continue;
            }
            memory.saw(current, now);
            if let Some(proposal) = propose(&history, &rule, current, &memory, now) {
                memory.done(&proposal, now);
                current = proposal.quantity;
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
        in_flight: 0,
    })
}

fn quantity(history: &[Sample], current: u32, memory: &Memory) -> Option<u32> {
    let rule = Rule::new(500, 1, 10).unwrap();
    propose(history, &rule, current, memory, NOW).map(|proposal| proposal.quantity)
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
    let rule = Rule::new(500, 1, 10).unwrap();
    let step = |current, p95_ms| {
        let history: Vec<Sample> = seconds(NOW - 60, NOW, 5, p95_ms).collect();
        propose(&history, &rule, current, &Memory::default(), NOW)
    };
    assert_eq!(step(2, 812).unwrap().why, "p95 812 ms over 500 ms");
    for (current, p95_ms, quantity) in [
        (2, 500, 3),
        (2, 812, 4),
        (4, 750, 6),
        (4, 30_000, 8),
        (8, 30_000, 10),
    ] {
        assert_eq!(
            step(current, p95_ms).unwrap().quantity,
            quantity,
            "{current} {p95_ms}"
        );
    }
    assert_eq!(step(10, 30_000), None);
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
    memory.saw(1, NOW - 200);
    memory.saw(2, NOW - 30);
    assert_eq!(quantity(&late, 2, &memory), None);
    let mut memory = Memory::default();
    memory.unsettled(NOW - 59);
    assert_eq!(quantity(&late, 2, &memory), None);
    let mut memory = Memory::default();
    memory.unsettled(NOW - 60);
    memory.saw(2, NOW - 60);
    assert_eq!(quantity(&late, 2, &memory), Some(3));
}

#[test]
fn none_means_off() {
    let late: Vec<Sample> = seconds(NOW - 60, NOW, 5, 700).collect();
    assert_eq!(quantity(&late, 0, &Memory::default()), None);
    assert_eq!(quantity(&late, 30, &Memory::default()), Some(10));
}
