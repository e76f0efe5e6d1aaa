//! Cron expressions against plain enumeration, in zones whose clocks change.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::time_zone;

fn cron(text: &str) -> Cron {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    time_zone::find(name).unwrap().0
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next slots after a moment, as times of UTC.
fn next(text: &str, place: &str, after: &str, count: usize) -> Vec<String> {
    let (cron, zone) = (cron(text), zone(place));
    let mut slots = Vec::new();
    let mut after = at(after);
    for _ in 0..count {
        after = cron.next_after(&zone, after).unwrap();
        slots.push(after.to_string());
    }
    slots
}

#[test]
fn fields_say_when() {
    // 27 November 2026 is a Friday.
    for (text, slots) in [
        (
            "0 4 * * *",
            ["2026-11-28T04:00:00Z", "2026-11-29T04:00:00Z"],
        ),
        (
            "*/20 * * * *",
            ["2026-11-27T12:20:00Z", "2026-11-27T12:40:00Z"],
        ),
        (
            "5/25 12 * * *",
            ["2026-11-27T12:05:00Z", "2026-11-27T12:30:00Z"],
        ),
        (
            "0 9-17/4 * * MON-FRI",
            ["2026-11-27T13:00:00Z", "2026-11-27T17:00:00Z"],
        ),
        (
            "0 0 * * fri-sun",
            ["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"],
        ),
        (
            "0 0 * * 7",
            ["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"],
        ),
        (
            "0 0 * * 0,7",
            ["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"],
        ),
        // Either of the two days, as crontab has it.
        (
            "0 0 1 * MON",
            ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"],
        ),
        // Both, where one begins with a star.
        (
            "0 0 */2 * MON",
            ["2026-12-07T00:00:00Z", "2026-12-21T00:00:00Z"],
        ),
        (
            "0 0 29 2 *",
            ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
        ),
        (
            "0 0 31 JAN,apr *",
            ["2027-01-31T00:00:00Z", "2028-01-31T00:00:00Z"],
        ),
        ("@hourly", ["2026-11-27T13:00:00Z", "2026-11-27T14:00:00Z"]),
        ("@daily", ["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"]),
        ("@weekly", ["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]),
        ("@monthly", ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
        ("@YEARLY", ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
    ] {
        assert_eq!(
            next(text, "UTC", "2026-11-27T12:00:00Z", 2),
            slots,
            "{text}"
        );
    }
    assert_eq!(cron("  0  4 * *\t* ").to_string(), "0 4 * * *");
    assert_eq!(cron("@daily").to_string(), "@daily");
}

#[test]
fn a_time_that_the_clock_jumps_over_comes_when_it_has() {
    let vienna = |text, count| next(text, "Europe/Vienna", "2027-03-27T12:00:00Z", count);
    // From 2:00 to 3:00 on 28 March 2027, at 1:00 of UTC.
    assert_eq!(
        vienna("30 2 * * *", 2),
        ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
    );
    assert_eq!(
        vienna("*/15 2 * * *", 3),
        [
            "2027-03-28T01:00:00Z",
            "2027-03-29T00:00:00Z",
            "2027-03-29T00:15:00Z"
        ]
    );
    // The one at three and the one that was jumped over are one.
    assert_eq!(
        vienna("0 2,3 * * *", 2),
        ["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"]
    );
    // By the time that passes.
    let hourly = next("30 * * * *", "Europe/Vienna", "2027-03-28T00:00:00Z", 3);
    assert_eq!(
        hourly,
        [
            "2027-03-28T00:30:00Z",
            "2027-03-28T01:30:00Z",
            "2027-03-28T02:30:00Z"
        ]
    );
}

#[test]
fn a_time_that_exists_twice_comes_the_first_time() {
    // From 3:00 to 2:00 on 31 October 2027, at 1:00 of UTC.
    let vienna = |text, count| next(text, "Europe/Vienna", "2027-10-30T12:00:00Z", count);
    assert_eq!(
        vienna("30 2 * * *", 2),
        ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]
    );
    let hourly = next("30 * * * *", "Europe/Vienna", "2027-10-31T00:00:00Z", 3);
    assert_eq!(
        hourly,
        [
            "2027-10-31T00:30:00Z",
            "2027-10-31T01:30:00Z",
            "2027-10-31T02:30:00Z"
        ]
    );
}

#[test]
fn a_day_that_a_place_left_out_comes_when_the_next_begins() {
    // There was no 30 December 2011 in Samoa.
    let slots = next("0 12 30 * *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2);
    assert_eq!(slots, ["2011-12-30T10:00:00Z", "2012-01-29T22:00:00Z"]);
}

#[test]
fn the_last_slot_is_found_however_long_it_was() {
    let (minutely, yearly) = (cron("* * * * *"), cron("@yearly"));
    let last = |cron: &Cron, after, until| {
        let slot = cron.last_in(&zone("UTC"), at(after), at(until));
        slot.map(|slot| slot.to_string())
    };
    let text = |text: &str| Some(text.to_owned());
    let until = "2026-11-27T12:00:30Z";
    assert_eq!(
        last(&minutely, "1999-01-01T00:00:00Z", until),
        text("2026-11-27T12:00:00Z")
    );
    assert_eq!(last(&minutely, "2026-11-27T12:00:00Z", until), None);
    assert_eq!(last(&minutely, until, "2026-11-27T12:00:00Z"), None);
    assert_eq!(
        last(&yearly, "1999-01-01T00:00:00Z", until),
        text("2026-01-01T00:00:00Z")
    );
    assert_eq!(last(&yearly, "2026-01-01T00:00:00Z", until), None);
}

#[test]
fn what_is_no_schedule_is_told_what_to_do() {
    for (text, says) in [
        ("", "is needed"),
        ("   ", "is needed"),
        ("0 4 * *", "This one has 4."),
        ("0 0 4 * * *", "There are no seconds."),
        ("@every 5m", "has 2"),
        ("@reboot", "@hourly"),
        ("60 * * * *", "\"60\" is no minute. It takes 0 to 59"),
        ("* 24 * * *", "is no hour"),
        ("* * 0 * *", "is no day of month. It takes 1 to 31"),
        ("* * * 13 *", "JAN to DEC"),
        ("* * * * 8", "SUN to SAT"),
        ("* * * * mon#1", "is no day of week"),
        ("* * L * *", "is no day of month"),
        ("? * * * *", "is no minute"),
        ("-1 * * * *", "is no minute"),
        ("+1 * * * *", "is no minute"),
        ("1, * * * *", "is no minute"),
        ("1-2-3 * * * *", "is no minute"),
        ("9-5 * * * *", "goes backwards"),
        (
            "*/0 * * * *",
            "The step \"0\" of the minute must be 1 to 59.",
        ),
        ("*/99999999999999999999 * * * *", "step"),
        ("1/2/3 * * * *", "step"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("ü * * * *", "is no minute"),
    ] {
        let error = text.parse::<Cron>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert!(error.len() < 300, "{error}");
    }
    let long = "1,".repeat(MAX_LENGTH);
    assert_eq!(long.parse::<Cron>(), Err(CronError::Long));
}

const PLACES: [&str; 8] = [
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Asuncion",
];

/// All slots of some days, from the definition: each minute that passes is looked at.
fn enumerated(cron: &Cron, zone: &TimeZone, from: Timestamp, minutes: i64) -> Vec<Timestamp> {
    let minute = |n: i64| from + SignedDuration::from_mins(n);
    let comes = |local: DateTime| {
        cron.has_date(local.date())
            && has(cron.hours, local.hour())
            && has(cron.minutes, local.minute())
    };
    let mut slots = Vec::new();
    let mut seen: HashSet<DateTime> = (-24 * 60..0).map(|n| zone.to_datetime(minute(n))).collect();
    for n in 0..minutes {
        let (now, local) = (minute(n), zone.to_datetime(minute(n)));
        let before = zone.to_datetime(minute(n - 1));
        let is_second = !seen.insert(local);
        let here = comes(local) && (cron.is_hourly() || !is_second);
        let mut skipped = before.checked_add(SignedDuration::from_mins(1)).unwrap();
        let mut jumped = false;
        while skipped < local {
            jumped |= comes(skipped) && !cron.is_hourly();
            skipped = skipped.checked_add(SignedDuration::from_mins(1)).unwrap();
        }
        if here || jumped {
            slots.push(now);
        }
    }
    slots
}

fn field(first: u32, last: u32) -> impl Strategy<Value = String> {
    let value = first..=last;
    let part = prop_oneof![
        Just("*".to_owned()),
        (1..=last).prop_map(|step| format!("*/{step}")),
        value.clone().prop_map(|value| value.to_string()),
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (value.clone(), value, 1..=last).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
    ];
    vec(part, 1..3).prop_map(|parts| parts.join(","))
}

fn expression() -> impl Strategy<Value = String> {
    let day = prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 31)];
    let weekday = prop_oneof![2 => Just("*".to_owned()), 1 => field(0, 7)];
    (field(0, 59), field(0, 23), day, weekday)
        .prop_map(|(minute, hour, day, weekday)| format!("{minute} {hour} {day} * {weekday}"))
}

/// Moments around which clocks of the places are set, and others.
fn moments() -> impl Strategy<Value = Timestamp> {
    let near = select(vec![
        "2027-03-14T07:00:00Z",
        "2027-11-07T06:00:00Z",
        "2027-03-28T01:00:00Z",
        "2027-10-31T01:00:00Z",
        "2027-03-14T05:00:00Z",
        "2027-11-07T05:00:00Z",
        "2027-04-03T15:00:00Z",
        "2027-10-02T15:30:00Z",
        "2023-03-26T03:00:00Z",
        "2023-10-01T04:00:00Z",
        "2011-12-30T10:00:00Z",
        "2028-02-28T12:00:00Z",
    ]);
    (near, -1500_i64..200).prop_map(|(near, minutes)| at(near) + SignedDuration::from_mins(minutes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn slots_are_those_of_plain_enumeration(
        text in expression(),
        place in select(PLACES.to_vec()),
        from in moments(),
    ) {
        let (cron, zone) = (cron(&text), zone(place));
        const MINUTES: i64 = 2 * 24 * 60;
        let wanted = enumerated(&cron, &zone, from, MINUTES);
        let end = from + SignedDuration::from_mins(MINUTES - 1);
        let mut found = Vec::new();
        let mut after = from - SignedDuration::from_nanos(1);
        while let Some(slot) = cron.next_after(&zone, after).filter(|slot| *slot <= end) {
            prop_assert!(slot > after);
            found.push(slot);
            after = slot;
        }
        prop_assert_eq!(&found, &wanted, "{} {}", text, place);
        prop_assert_eq!(cron.last_in(&zone, from - SignedDuration::from_nanos(1), end), found.last().copied());
    }

    #[test]
    fn no_text_is_too_odd(text in ".{0,60}") {
        if let Ok(cron) = text.parse::<Cron>() {
            prop_assert!(cron.next_after(&TimeZone::UTC, Timestamp::UNIX_EPOCH).is_some());
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(text in expression()) {
        if let Ok(cron) = text.parse::<Cron>() {
            prop_assert_eq!(cron.to_string().parse::<Cron>(), Ok(cron));
        }
    }
}
