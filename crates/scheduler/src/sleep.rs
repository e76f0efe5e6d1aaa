//! Whether an app falls asleep, sleeps deeper or wakes, without anybody having asked for it: a pure function of what it
//! does, what it says, and the time.
//!
//! No IO and no clock. What wakes an app is a request, which `sleeper.rs` hears of at once; here is only what a look at
//! everything finds.

use std::time::Duration;

use jiff::Timestamp;
use ropewalk_model::{AppDynoSettings, ProcessType, SleepTier};

use crate::plan::{Desired, Wanted, after};

/// Of apps that are to sleep and do not say when (Heroku Dev Center, "Eco Dyno Hours").
const SLEEP_AFTER: Duration = Duration::from_secs(30 * 60);
/// From falling asleep until nothing of the app is there.
const STOP_AFTER: Duration = Duration::from_secs(3600);

/// What an app says about its sleep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// `None` for never.
    pub sleep_after: Option<Duration>,
    /// `None` for never.
    pub stop_after: Option<Duration>,
}

/// What is known of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// How it sleeps, and since when.
    pub sleep: Option<(SleepTier, Timestamp)>,
    /// When it was last asked for something, or changed.
    pub last_used: Timestamp,
    /// Requests, WebSockets and TCP connections under way; `None` where no router tells.
    pub open: Option<u64>,
    /// A release is under way.
    pub candidate: bool,
    /// A one-off runs, a dyno boots, or it answers for another app.
    pub at_work: bool,
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Stay,
    Sleep(SleepTier),
    Wake,
}

impl Rules {
    /// `to_zero`: its dynos may go to zero by a rule.
    pub fn of(settings: &AppDynoSettings, formation: &[Wanted], to_zero: bool) -> Self {
        let web = ProcessType::web();
        let Some(wanted) =
            (formation.iter()).find(|wanted| wanted.process_type == web && wanted.quantity > 0)
        else {
            // Nothing would wake it.
            return Self::default();
        };
        let settings = settings.of(&web);
        let usual = (to_zero || wanted.size.sleeps).then_some(SLEEP_AFTER);
        let limit = |time: Duration| (!time.is_zero()).then_some(time);
        Self {
            sleep_after: settings.sleep_after.map_or(usual, limit),
            stop_after: settings.stop_after.map_or(Some(STOP_AFTER), limit),
        }
    }
}

/// What to do, and when to look again even if nothing happens.
pub fn judge(life: &Life, rules: &Rules, now: Timestamp) -> (Verdict, Option<Timestamp>) {
    let idle = life.open == Some(0) && !life.candidate && !life.at_work;
    let due = |since: Timestamp, limit: Option<Duration>, tier: SleepTier| {
        let Some(limit) = limit else {
            return (Verdict::Stay, None);
        };
        let at = after(since, limit);
        match now >= at {
            true if idle => (Verdict::Sleep(tier), None),
            // When what keeps it awake ends, somebody looks.
            true => (Verdict::Stay, None),
            false => (Verdict::Stay, Some(at)),
        }
    };
    match life.sleep {
        // Its dynos have to pass before the release counts.
        Some(_) if life.candidate => (Verdict::Wake, None),
        Some((SleepTier::Stopped, _)) => (Verdict::Stay, None),
        Some((SleepTier::Frozen, since)) => due(since, rules.stop_after, SleepTier::Stopped),
        None => due(life.last_used, rules.sleep_after, SleepTier::Frozen),
    }
}

impl Desired {
    /// Whether dynos of this type sleep now, and how deep.
    pub(crate) fn tier_of(&self, process_type: &ProcessType) -> Option<SleepTier> {
        let sleeps = process_type.is_web() || self.settings.of(process_type).sleep == Some(true);
        self.sleep.filter(|_| sleeps && !process_type.is_one_off())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use ropewalk_model::Sizes;
    use ropewalk_model::dyno_setting::Name;

    use super::*;

    const RULES: Rules = Rules {
        sleep_after: Some(Duration::from_secs(60)),
        stop_after: Some(Duration::from_secs(120)),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn web(size: &str, quantity: u32) -> Vec<Wanted> {
        vec![Wanted {
            process_type: ProcessType::web(),
            quantity,
            size: Sizes::default().find(size).unwrap(),
        }]
    }

    #[test]
    fn eco_dynos_sleep_and_others_when_they_are_told_to() {
        let mut settings = AppDynoSettings::default();
        let of = |settings: &AppDynoSettings, formation: &[Wanted], to_zero| {
            Rules::of(settings, formation, to_zero).sleep_after
        };
        let half_an_hour = Some(Duration::from_secs(1800));
        assert_eq!(of(&settings, &web("eco", 1), false), half_an_hour);
        assert_eq!(of(&settings, &web("eco", 0), false), None);
        assert_eq!(of(&settings, &[], true), None);
        assert_eq!(of(&settings, &web("basic", 1), false), None);
        assert_eq!(of(&settings, &web("basic", 1), true), half_an_hour);
        settings.part(None).set(Name::SleepAfter, "5m").unwrap();
        assert_eq!(
            of(&settings, &web("basic", 1), false).map(|time| time.as_secs()),
            Some(300)
        );
        settings.part(None).set(Name::SleepAfter, "off").unwrap();
        settings.part(None).set(Name::StopAfter, "off").unwrap();
        assert_eq!(Rules::of(&settings, &web("eco", 1), true), Rules::default());
    }

    #[test]
    fn it_falls_asleep_then_deeper_and_wakes_for_a_release() {
        let mut life = Life {
            sleep: None,
            last_used: at(0),
            open: Some(0),
            candidate: false,
            at_work: false,
        };
        let stay = |until| (Verdict::Stay, Some(at(until)));
        assert_eq!(judge(&life, &RULES, at(59)), stay(60));
        let frozen = (Verdict::Sleep(SleepTier::Frozen), None);
        assert_eq!(judge(&life, &RULES, at(60)), frozen);
        life.sleep = Some((SleepTier::Frozen, at(60)));
        assert_eq!(judge(&life, &RULES, at(179)), stay(180));
        let stopped = (Verdict::Sleep(SleepTier::Stopped), None);
        assert_eq!(judge(&life, &RULES, at(180)), stopped);
        life.sleep = Some((SleepTier::Stopped, at(60)));
        assert_eq!(judge(&life, &RULES, at(9999)), (Verdict::Stay, None));
        life.candidate = true;
        assert_eq!(judge(&life, &RULES, at(9999)), (Verdict::Wake, None));
    }

    fn life() -> impl Strategy<Value = Life> {
        let tier = prop_oneof![Just(SleepTier::Frozen), Just(SleepTier::Stopped)];
        let sleep = prop::option::of((tier, (0..500i64).prop_map(at)));
        let open = prop::option::of(0..3u64);
        (sleep, 0..500i64, open, any::<bool>(), any::<bool>()).prop_map(
            |(sleep, last_used, open, candidate, at_work)| Life {
                sleep,
                last_used: at(last_used),
                open,
                candidate,
                at_work,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn nothing_that_is_at_work_falls_asleep(life in life(), now in 0..1000i64) {
            let (verdict, look) = judge(&life, &RULES, at(now));
            if let Verdict::Sleep(tier) = verdict {
                prop_assert_eq!(life.open, Some(0), "something is in flight, or nobody knows");
                prop_assert!(!life.candidate && !life.at_work);
                prop_assert!(life.sleep.is_none_or(|(before, _)| before < tier), "it goes deeper");
                let since = life.sleep.map_or(life.last_used, |(_, since)| since);
                prop_assert!(at(now).duration_since(since) >= SignedDuration::from_secs(60));
            }
            // It wakes for a release alone, and of sleepers only.
            prop_assert_eq!(verdict == Verdict::Wake, life.sleep.is_some() && life.candidate);
            prop_assert!(look.is_none_or(|look| look > at(now)));
            prop_assert_eq!(judge(&life, &Rules::default(), at(now)).0 == Verdict::Wake, verdict == Verdict::Wake);
        }

        #[test]
        fn one_that_nobody_asks_ends_up_stopped_and_stays_so(idle in 0..400i64) {
            let mut life = Life { sleep: None, last_used: at(0), open: Some(0), candidate: false, at_work: false };
            let mut changes = 0;
            for second in idle..idle + 600 {
                if let (Verdict::Sleep(tier), _) = judge(&life, &RULES, at(second)) {
                    let since = life.sleep.map_or(at(second), |(_, since)| since);
                    life.sleep = Some((tier, since));
                    changes += 1;
                }
            }
            prop_assert_eq!(changes, 2);
            prop_assert_eq!(life.sleep.map(|(tier, _)| tier), Some(SleepTier::Stopped));
        }
    }
}
