//! What is due, and what is said, in one situation after another.

use ropewalk_store::AcmeOrder;

use super::*;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn before(ago: SignedDuration) -> Timestamp {
    now().checked_sub(ago).unwrap()
}

fn later(wait: SignedDuration) -> Timestamp {
    now().checked_add(wait).unwrap()
}

fn wanted(n: u128, host: &str) -> Wanted {
    Wanted {
        domain: Uuid::from_u128(n),
        app: Some(AppId(Uuid::from_u128(1))),
        leads: false,
        host: host.to_owned(),
        asked_at: None,
        status: None,
        reason: None,
        served: Served::Nothing,
    }
}

/// Served by a certificate of 90 days that began so long ago.
fn held(n: u128, host: &str, age: SignedDuration) -> Wanted {
    let from = before(age);
    Wanted {
        served: Served::Held(Held {
            endpoint: Uuid::from_u128(1000 + n),
            from,
            until: from.checked_add(DAY * 90).unwrap(),
            window: Asked::At {
                window: None,
                again: later(HOUR),
            },
        }),
        status: Some(AcmStatus::Ok),
        ..wanted(n, host)
    }
}

fn order(host: &str, ago: SignedDuration, outcome: Option<Outcome>) -> AcmeOrder {
    AcmeOrder {
        id: Uuid::from_u128(u128::try_from(ago.as_secs()).unwrap()),
        hostname: host.to_owned(),
        app: Some(AppId(Uuid::from_u128(1))),
        challenge: Challenge::Http,
        began_at: before(ago),
        outcome,
        reason: outcome.map(|outcome| format!("it was {}", outcome.as_str())),
    }
}

fn seen(domains: Vec<Wanted>, mut orders: Vec<AcmeOrder>) -> Seen {
    orders.sort_by_key(|order| order.began_at);
    Seen {
        domains,
        orders,
        ..Seen::default()
    }
}

/// Which names are ordered, and how.
fn ordered(actions: &[Action]) -> Vec<(&str, Challenge)> {
    let orders = actions.iter().filter_map(|action| match action {
        Action::Order(order) => Some((order.host.as_str(), order.challenge)),
        _ => None,
    });
    orders.collect()
}

/// What is said, of whichever domain.
fn said(actions: &[Action]) -> Vec<(Option<AcmStatus>, Option<&str>)> {
    let said = actions.iter().filter_map(|action| match action {
        Action::Say { status, reason, .. } => Some((*status, reason.as_deref())),
        _ => None,
    });
    said.collect()
}

fn run(seen: &Seen) -> Vec<Action> {
    plan(seen, &Policy::default(), now())
}

const HOST: &str = "www.example.com";

#[test]
fn a_new_name_is_ordered_once() {
    let mut seen = seen(vec![wanted(1, HOST)], Vec::new());
    let actions = run(&seen);
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
    assert_eq!(said(&actions), [(Some(AcmStatus::Pending), None)]);
    // Once that is said, it is not said again; and one order at a time is enough.
    seen.domains[0].status = Some(AcmStatus::Pending);
    seen.in_flight.insert(HOST.to_owned());
    assert_eq!(run(&seen), []);
    // Verified stays said while the order is under way, and no longer.
    seen.domains[0].status = Some(AcmStatus::Verified);
    assert_eq!(run(&seen), []);
    seen.in_flight.clear();
    assert_eq!(said(&run(&seen)), [(Some(AcmStatus::Pending), None)]);
}

#[test]
fn a_certificate_that_somebody_brought_is_left_alone() {
    let mut domain = wanted(1, HOST);
    domain.served = Served::Brought;
    assert_eq!(run(&seen(vec![domain.clone()], Vec::new())), []);
    domain.status = Some(AcmStatus::Ok);
    assert_eq!(said(&run(&seen(vec![domain], Vec::new()))), [(None, None)]);
}

#[test]
fn a_fresh_certificate_is_left_alone_and_an_ended_one_is_as_none() {
    assert_eq!(run(&seen(vec![held(1, HOST, DAY)], Vec::new())), []);
    let actions = run(&seen(vec![held(1, HOST, DAY * 91)], Vec::new()));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
    assert_eq!(said(&actions), [(Some(AcmStatus::Pending), None)]);
}

#[test]
fn without_a_window_it_is_renewed_after_two_thirds_of_its_life() {
    // Sixty days, and at most three more: the moment is the certificate's own.
    let mut moments = HashSet::new();
    for n in 0..50 {
        let Served::Held(held) = held(n, HOST, DAY).served else {
            panic!("held");
        };
        let age = renew_at(&held).duration_since(held.from);
        assert!(age >= DAY * 60 && age <= DAY * 63, "{age:?}");
        assert_eq!(renew_at(&held), renew_at(&held));
        moments.insert(age);
    }
    assert!(moments.len() > 40, "{}", moments.len());
    assert_eq!(
        ordered(&run(&seen(vec![held(1, HOST, DAY * 59)], Vec::new()))),
        []
    );
    let actions = run(&seen(vec![held(1, HOST, DAY * 64)], Vec::new()));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
    assert_eq!(said(&actions), [], "it is still served");
}

#[test]
fn a_window_of_the_authority_comes_before_that() {
    let with = |start: Timestamp, end: Timestamp| {
        let mut domain = held(1, HOST, DAY * 10);
        let Served::Held(held) = &mut domain.served else {
            panic!("held");
        };
        held.window = Asked::At {
            window: Some(Window { start, end }),
            again: later(HOUR),
        };
        domain
    };
    let over = with(before(DAY * 2), before(DAY));
    let actions = run(&seen(vec![over], Vec::new()));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
    let Some(Action::Order(order)) = actions.first() else {
        panic!("{actions:?}");
    };
    assert_eq!(order.replaces, Some(Uuid::from_u128(1001)));
    let to_come = with(later(HOUR), later(DAY));
    assert_eq!(run(&seen(vec![to_come], Vec::new())), []);
    // Inside of it, at a moment of its own.
    let Served::Held(inside) = with(before(DAY), later(DAY)).served else {
        panic!("held");
    };
    let at = renew_at(&inside);
    assert!(at >= before(DAY) && at < later(DAY), "{at}");
    // A window after the end is not waited for.
    let Served::Held(absurd) = with(later(DAY * 500), later(DAY * 600)).served else {
        panic!("held");
    };
    assert!(renew_at(&absurd) <= absurd.until.checked_sub(DAY * 9).unwrap());
}

#[test]
fn windows_are_asked_for_when_they_are_not_known_or_old() {
    let mut domains: Vec<Wanted> = (0..9).map(|n| held(n, &format!("{n}.test"), DAY)).collect();
    assert_eq!(run(&seen(domains.clone(), Vec::new())), []);
    for domain in &mut domains {
        let Served::Held(held) = &mut domain.served else {
            panic!("held");
        };
        held.window = Asked::Never;
    }
    let actions = run(&seen(domains.clone(), Vec::new()));
    assert_eq!(actions.len(), WINDOWS, "a few at a time: {actions:?}");
    assert!(matches!(actions[0], Action::AskWindow { .. }));
    let Served::Held(held) = &mut domains[0].served else {
        panic!("held");
    };
    held.window = Asked::At {
        window: None,
        again: now(),
    };
    assert_eq!(run(&seen(vec![domains[0].clone()], Vec::new())).len(), 1);
    // Not while the authority is away.
    let away = order("x.test", SignedDuration::from_secs(10), Some(Outcome::Away));
    let actions = run(&seen(domains, vec![away]));
    assert!(
        actions
            .iter()
            .all(|action| !matches!(action, Action::AskWindow { .. }))
    );
}

#[test]
fn a_failure_is_said_and_waited_after_longer_and_longer() {
    let mut orders = Vec::new();
    let mut waits = Vec::new();
    let mut ago = DAY * 7;
    for _ in 0..9 {
        orders.push(order(HOST, ago, Some(Outcome::Refused)));
        let past: Vec<&AcmeOrder> = orders.iter().collect();
        let next = Failures::of(&past, None).next_try(HOST).unwrap();
        waits.push(next.duration_since(before(ago)).as_mins());
        ago = ago.checked_sub(HOUR * 13).unwrap();
    }
    for (wait, least) in waits.iter().zip([1, 5, 15, 45, 120, 360, 720, 720, 720]) {
        assert!(
            *wait >= least && *wait <= least + least / 4 + 1,
            "{waits:?}"
        );
    }
    let failed = order(HOST, SignedDuration::from_secs(30), Some(Outcome::Refused));
    let actions = run(&seen(vec![wanted(1, HOST)], vec![failed]));
    assert_eq!(ordered(&actions), []);
    assert_eq!(
        said(&actions),
        [(Some(AcmStatus::Failing), Some("it was refused"))]
    );
    let failed = order(HOST, MINUTE * 2, Some(Outcome::Refused));
    let actions = run(&seen(vec![wanted(1, HOST)], vec![failed]));
    assert_eq!(
        ordered(&actions),
        [(HOST, Challenge::TlsAlpn)],
        "another way"
    );
}

#[test]
fn a_name_that_failed_too_often_waits_until_somebody_asks() {
    let orders: Vec<AcmeOrder> = (1..=10)
        .map(|n| order(HOST, DAY * n, Some(Outcome::Refused)))
        .collect();
    let mut seen = seen(vec![wanted(1, HOST)], orders);
    let actions = run(&seen);
    assert_eq!(ordered(&actions), []);
    assert_eq!(
        said(&actions),
        [(Some(AcmStatus::Failed), Some("it was refused"))]
    );
    seen.domains[0].asked_at = Some(before(MINUTE));
    let actions = run(&seen);
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
    assert_eq!(said(&actions), [(Some(AcmStatus::Pending), None)]);
    // One fewer, and it goes on by itself.
    seen.domains[0].asked_at = None;
    seen.orders.remove(0);
    assert_eq!(ordered(&run(&seen)).len(), 1);
}

#[test]
fn a_name_whose_certificate_is_still_good_is_never_given_up() {
    let orders = |n: i32| {
        (1..=n)
            .map(|n| order(HOST, DAY * n, Some(Outcome::Refused)))
            .collect::<Vec<_>>()
    };
    // Long before its end nothing is said of it.
    let domain = held(1, HOST, DAY * 66);
    let actions = run(&seen(vec![domain], orders(3)));
    assert_eq!((ordered(&actions).len(), said(&actions)), (1, vec![]));
    // Two weeks before it is.
    let domain = held(1, HOST, DAY * 80);
    let mut seen = seen(vec![domain], orders(12));
    let actions = run(&seen);
    assert_eq!(ordered(&actions).len(), 1);
    let reason = "The certificate ends on 2026-06-11 and could not be renewed: it was refused";
    assert_eq!(said(&actions), [(Some(AcmStatus::Failing), Some(reason))]);
    let warned = |actions: &[Action]| {
        actions
            .iter()
            .filter(|action| matches!(action, Action::Warn { .. }))
            .count()
    };
    assert_eq!(warned(&actions), 1);
    // Once a day.
    let domain = seen.domains[0].domain;
    seen.warned.insert(domain, before(HOUR));
    assert_eq!(warned(&run(&seen)), 0);
    seen.warned.insert(domain, before(DAY));
    assert_eq!(warned(&run(&seen)), 1);
}

#[test]
fn a_certificate_of_a_few_days_is_not_warned_of_all_its_life() {
    let mut domain = held(1, HOST, DAY * 4);
    let Served::Held(held) = &mut domain.served else {
        panic!("held");
    };
    held.until = held.from.checked_add(DAY * 6).unwrap();
    let failed = order(HOST, MINUTE * 2, Some(Outcome::Refused));
    assert_eq!(
        said(&run(&seen(vec![domain.clone()], vec![failed.clone()]))),
        []
    );
    let Served::Held(held) = &mut domain.served else {
        panic!("held");
    };
    held.until = later(HOUR * 15);
    assert_eq!(said(&run(&seen(vec![domain], vec![failed]))).len(), 1);
}

#[test]
fn what_worked_last_is_tried_first() {
    let mut issued = order(HOST, DAY * 70, Some(Outcome::Issued));
    issued.challenge = Challenge::TlsAlpn;
    let domain = held(1, HOST, DAY * 70);
    let actions = run(&seen(vec![domain.clone()], vec![issued.clone()]));
    assert_eq!(ordered(&actions), [(HOST, Challenge::TlsAlpn)]);
    let failed = order(HOST, HOUR, Some(Outcome::Refused));
    let actions = run(&seen(vec![domain.clone()], vec![issued.clone(), failed]));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
    // Without TLS there is one way alone.
    let policy = Policy {
        tls: false,
        ..Policy::default()
    };
    let actions = plan(&seen(vec![domain], vec![issued]), &policy, now());
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
}

#[test]
fn a_wildcard_is_proven_by_a_record_or_not_at_all() {
    let seen = seen(vec![wanted(1, "*.example.com")], Vec::new());
    let actions = run(&seen);
    assert_eq!(ordered(&actions), []);
    assert_eq!(said(&actions), [(Some(AcmStatus::Failed), Some(NO_HOOK))]);
    let policy = Policy {
        dns: true,
        ..Policy::default()
    };
    let actions = plan(&seen, &policy, now());
    assert_eq!(ordered(&actions), [("*.example.com", Challenge::Dns)]);
}

#[test]
fn a_name_is_not_ordered_more_often_than_authorities_like() {
    // Five in an hour, whatever became of them, and whoever asks.
    let orders: Vec<AcmeOrder> = (1..=5)
        .map(|n| order(HOST, MINUTE * n * 10, None))
        .collect();
    let mut domain = wanted(1, HOST);
    domain.asked_at = Some(before(MINUTE));
    let actions = run(&seen(vec![domain.clone()], orders.clone()));
    assert_eq!(ordered(&actions), []);
    let [(Some(AcmStatus::Pending), Some(reason))] = said(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(reason.contains("2026-06-01 12:10 UTC"), "{reason}");
    assert_eq!(
        ordered(&run(&seen(vec![domain.clone()], orders[..4].to_vec()))).len(),
        1
    );
    // Four certificates in a week.
    let issued: Vec<AcmeOrder> = (1..=4)
        .map(|n| order(HOST, DAY * n, Some(Outcome::Issued)))
        .collect();
    let actions = run(&seen(vec![domain.clone()], issued.clone()));
    assert_eq!(ordered(&actions), []);
    let [(_, Some(reason))] = said(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(reason.contains("2026-06-04 12:00 UTC"), "{reason}");
    assert_eq!(
        ordered(&run(&seen(vec![domain], issued[..3].to_vec()))).len(),
        1
    );
}

#[test]
fn no_app_uses_up_what_there_is_for_all() {
    let mut domains: Vec<Wanted> = (0..60)
        .map(|n| {
            let mut domain = wanted(n, &format!("{n}.test"));
            domain.app = Some(AppId(Uuid::from_u128(n / 30)));
            domain
        })
        .collect();
    let policy = Policy {
        at_once: 100,
        ..Policy::default()
    };
    let count = |domains: &[Wanted], orders: &[AcmeOrder]| {
        let actions = plan(&seen(domains.to_vec(), orders.to_vec()), &policy, now());
        ordered(&actions).len()
    };
    // Twenty of each app.
    assert_eq!(count(&domains, &[]), 40);
    for (n, domain) in (0..).zip(&mut domains) {
        domain.app = Some(AppId(Uuid::from_u128(n)));
    }
    // Forty of all, for the rest is for renewals.
    assert_eq!(count(&domains, &[]), 40);
    let lately: Vec<AcmeOrder> = (0..40)
        .map(|n| {
            let mut order = order(&format!("old{n}.test"), MINUTE * 30, Some(Outcome::Refused));
            order.app = Some(AppId(Uuid::from_u128(500 + n)));
            order
        })
        .collect();
    assert_eq!(count(&domains, &lately), 0);
    domains.push(held(99, HOST, DAY * 80));
    let actions = plan(&seen(domains, lately), &policy, now());
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
}

#[test]
fn a_few_orders_are_under_way_at_once_and_the_most_urgent_first() {
    let mut domains: Vec<Wanted> = (0..6).map(|n| wanted(n, &format!("{n}.test"))).collect();
    domains.push(held(7, "later.test", DAY * 70));
    domains.push(held(8, "soon.test", DAY * 85));
    let mut seen = seen(domains, vec![order("0.test", HOUR, Some(Outcome::Refused))]);
    let hosts = |seen: &Seen| {
        let actions = run(seen);
        let hosts: Vec<String> = ordered(&actions)
            .iter()
            .map(|(host, _)| (*host).to_owned())
            .collect();
        hosts
    };
    assert_eq!(
        hosts(&seen),
        ["soon.test", "later.test", "1.test", "2.test"]
    );
    seen.in_flight
        .extend(["soon.test", "a.test", "b.test"].map(str::to_owned));
    assert_eq!(hosts(&seen), ["later.test"]);
}

#[test]
fn an_authority_that_is_away_is_asked_now_and_then_by_one_name() {
    let away = |ago| order(HOST, ago, Some(Outcome::Away));
    let domains = || vec![wanted(1, HOST), wanted(2, "shop.test")];
    let orders = |orders: Vec<AcmeOrder>| ordered(&run(&seen(domains(), orders))).len();
    assert_eq!(orders(vec![away(SignedDuration::from_secs(30))]), 0);
    assert_eq!(orders(vec![away(MINUTE * 2)]), 1);
    // Away for eight hours: for an hour it is left alone.
    assert_eq!(orders(vec![away(HOUR * 8), away(MINUTE * 50)]), 0);
    assert_eq!(orders(vec![away(HOUR * 8), away(MINUTE * 61)]), 1);
    // It is no name's fault.
    let actions = run(&seen(domains(), vec![away(MINUTE * 2)]));
    assert_eq!(
        said(&actions),
        [(Some(AcmStatus::Pending), Some("it was away")); 2]
    );
    // Whatever it judges after that shows that it is back.
    let judged = order("x.test", MINUTE, Some(Outcome::Refused));
    assert_eq!(orders(vec![away(MINUTE * 2), judged]), 2);
    // Who asks need not wait.
    let mut asking = domains();
    asking[0].asked_at = Some(before(SignedDuration::from_secs(5)));
    let actions = run(&seen(asking, vec![away(SignedDuration::from_secs(30))]));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
}

#[test]
fn a_limit_is_waited_out_and_never_gives_a_name_up() {
    let limited = |ago| order(HOST, ago, Some(Outcome::Limited));
    let domain = || vec![wanted(1, HOST)];
    let actions = run(&seen(domain(), vec![limited(MINUTE * 50)]));
    assert_eq!(ordered(&actions), []);
    assert_eq!(
        said(&actions),
        [(Some(AcmStatus::Pending), Some("it was limited"))]
    );
    let many = (0..20).map(|n| limited(HOUR * (n + 2))).collect();
    let actions = run(&seen(domain(), many));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
}

#[test]
fn an_order_that_a_restart_interrupted_counts_for_the_bounds_alone() {
    let actions = run(&seen(
        vec![wanted(1, HOST)],
        vec![order(HOST, MINUTE, None)],
    ));
    assert_eq!(ordered(&actions), [(HOST, Challenge::Http)]);
}

#[test]
fn chance_is_the_same_for_the_same_text_and_below_one() {
    assert!(jitter("a") != jitter("b") && jitter("a").to_bits() == jitter("a").to_bits());
    for n in 0..1000 {
        let number = jitter(&n.to_string());
        assert!((0.0..1.0).contains(&number), "{number}");
    }
}

#[test]
fn names_that_lead_are_ordered_before_other_new_ones() {
    let mut domains: Vec<Wanted> = (0..6).map(|n| wanted(n, &format!("{n}.test"))).collect();
    domains[5].leads = true;
    domains.push(held(9, HOST, DAY * 80));
    let actions = run(&seen(domains, Vec::new()));
    let hosts: Vec<&str> = ordered(&actions).iter().map(|(host, _)| *host).collect();
    assert_eq!(hosts, [HOST, "5.test", "0.test", "1.test"]);
}

#[test]
fn the_platforms_own_names_get_so_many_certificates_a_week() {
    let own = |mut wanted: Wanted| {
        wanted.app = None;
        wanted
    };
    let mut issued: Vec<AcmeOrder> = (0..39)
        .map(|n| {
            let ago = DAY * 3 + MINUTE * n;
            let mut order = order(&format!("old{n}.test"), ago, Some(Outcome::Issued));
            order.app = None;
            order
        })
        .collect();
    let domains = vec![
        own(wanted(1, "a.test")),
        own(wanted(2, "b.test")),
        wanted(3, HOST),
        own(held(4, "c.test", DAY * 80)),
    ];
    let hosts = |actions: &[Action]| -> Vec<String> {
        let all = ordered(actions).into_iter();
        all.map(|(host, _)| host.to_owned()).collect()
    };
    let actions = run(&seen(domains.clone(), issued.clone()));
    // One more, what is renewed, and what is an app's.
    assert_eq!(hosts(&actions), ["c.test", "a.test", HOST]);
    // Then it is said why there is no other.
    let mut last = order("a.test", MINUTE, Some(Outcome::Issued));
    last.app = None;
    issued.push(last);
    let actions = run(&seen(domains[1..].to_vec(), issued));
    assert_eq!(hosts(&actions), ["c.test", HOST]);
    assert_eq!(
        said(&actions)[0],
        (Some(AcmStatus::Pending), Some(WEEK_IS_FULL))
    );
}
