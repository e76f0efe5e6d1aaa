//! Whether a dyno may have requests: judged by what it answered, and left out for a while when it does badly.
//!
//! Pure: times and what the app's other dynos did are arguments, so a simulator can drive it under its own clock. All
//! times are in milliseconds of one clock.

/// Failed answers in a row after which a dyno is left out.
const ERRORS: u32 = 5;
/// How long the first time, and by how much longer each further one.
const ERRORS_OUT: u64 = 30_000;
/// How long after a refused connection; doubled for each further one.
const REFUSED_OUT: u64 = 5_000;
/// Longest time out after refused connections, and after failed answers.
const REFUSED_OUT_MAX: u64 = 60_000;
const ERRORS_OUT_MAX: u64 = 300_000;
/// For how long a dyno that comes back gets less than its share.
const SLOW_START: u64 = 10_000;
/// A dyno that did well for so long has no history.
const FORGET: u64 = 60_000;

/// What happened to a request, or to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It was answered, and not with 5xx.
    Answered,
    /// It was answered with 5xx, badly, or not at all.
    Failed,
    /// No connection could be made.
    Refused,
    /// A connection was made.
    Connected,
}

/// What a dyno may have now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Well,
    /// It came back lately: its load counts so many times, and one less of them even when it is idle.
    Slow(u64),
    /// Its time out for failed answers is over: one request at a time, until one is answered.
    Trial,
    /// It is left out, and to be asked for a connection: its time out for refused ones is over.
    Probe,
    /// It is left out.
    Out,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Well,
    Slow {
        since: u64,
    },
    Refusing {
        until: u64,
    },
    Failing {
        until: u64,
    },
}

/// The record of one dyno.
#[derive(Debug, Clone, Default)]
pub struct Health {
    state: State,
    /// Failed answers in a row since it was last left out.
    errors: u32,
    /// Failed answers in a row, and what the app's dynos had answered before the first.
    streak: u64,
    before: Answers,
    /// Times that it was left out, lately.
    times: u32,
    /// When it last came back.
    returned: u64,
}

impl Health {
    /// `answers`: of all the app's dynos until now, without this one. `caps`: one more of them may be left out. Returns
    /// whether this one now is and was not.
    pub fn observe(&mut self, event: Event, answers: Answers, caps: bool, now: u64) -> bool {
        let before = self.standing(now);
        let may_eject = match event {
            Event::Failed => {
                if self.streak == 0 {
                    self.before = answers;
                }
                self.streak += 1;
                caps && answers.others_do_better(self.before, self.streak - 1)
            }
            Event::Answered => {
                self.streak = 0;
                caps
            }
            Event::Refused | Event::Connected => caps,
        };
        self.judge(event, may_eject, now);
        let is_out = self.standing(now) == Standing::Out;
        if is_out {
            // What the others do is asked anew when it comes back.
            self.streak = 0;
        }
        is_out && before != Standing::Out
    }

    fn judge(&mut self, event: Event, may_eject: bool, now: u64) {
        match (event, self.state) {
            (Event::Answered, State::Failing { .. } | State::Refusing { .. })
            | (Event::Connected, State::Refusing { .. }) => {
                self.errors = 0;
                self.returned = now;
                self.state = State::Slow { since: now };
            }
            (Event::Answered, _) => self.errors = 0,
            (Event::Connected, _) => {}
            (Event::Failed, state) => {
                self.errors = self.errors.saturating_add(1);
                let again = matches!(state, State::Failing { until } if now >= until);
                if may_eject && (again || self.errors >= ERRORS) {
                    let times = self.one_more(now);
                    let pause = (ERRORS_OUT * times).min(ERRORS_OUT_MAX);
                    self.state = State::Failing { until: now + pause };
                }
            }
            (Event::Refused, _) if may_eject => {
                let times = self.one_more(now);
                let pause = REFUSED_OUT << (times - 1).min(8);
                self.state = State::Refusing {
                    until: now + pause.min(REFUSED_OUT_MAX),
                };
            }
            (Event::Refused, _) => {}
        }
    }

    pub fn standing(&self, now: u64) -> Standing {
        match self.state {
            State::Slow { since } if now < since + SLOW_START => {
                Standing::Slow(4 - (now - since.min(now)) * 3 / SLOW_START)
            }
            State::Well | State::Slow { .. } => Standing::Well,
            State::Refusing { until } | State::Failing { until } if now < until => Standing::Out,
            State::Refusing { .. } => Standing::Probe,
            State::Failing { .. } => Standing::Trial,
        }
    }

    /// Nothing needs to be remembered.
    pub fn is_clean(&self, now: u64) -> bool {
        self.errors == 0 && self.standing(now) == Standing::Well && now >= self.returned + FORGET
    }

    /// The number of this time out.
    fn one_more(&mut self, now: u64) -> u64 {
        let well = matches!(self.standing(now), Standing::Well);
        if well && now >= self.returned + FORGET {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        self.errors = 0;
        u64::from(self.times)
    }
}

/// What an app's dynos did since some moment: whether the others do better than the one that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    pub answered: u64,
    pub failed: u64,
}

impl Answers {
    /// Of the others since `before`, when a dyno has failed `own` times meanwhile and answered nothing else. An app
    /// that fails everywhere is not helped by fewer dynos.
    pub fn others_do_better(self, before: Answers, own: u64) -> bool {
        let answered = self.answered.saturating_sub(before.answered);
        let failed = (self.failed.saturating_sub(before.failed)).saturating_sub(own);
        answered > failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> Health {
        let mut health = Health::default();
        for _ in 0..ERRORS {
            health.judge(Event::Failed, true, 1_000);
        }
        health
    }

    #[test]
    fn five_failures_in_a_row_and_no_fewer() {
        let mut health = Health::default();
        for round in 0..10 {
            for _ in 1..ERRORS {
                health.judge(Event::Failed, true, round);
            }
            health.judge(Event::Answered, true, round);
        }
        assert_eq!(health.standing(10), Standing::Well);
        let health = failing();
        assert_eq!(health.standing(1_000), Standing::Out);
        assert_eq!(health.standing(30_999), Standing::Out);
        assert_eq!(health.standing(31_000), Standing::Trial);
    }

    #[test]
    fn a_trial_decides() {
        let mut health = failing();
        health.judge(Event::Failed, true, 31_000);
        assert_eq!(health.standing(90_999), Standing::Out);
        assert_eq!(health.standing(91_000), Standing::Trial);
        health.judge(Event::Answered, true, 91_000);
        assert_eq!(health.standing(91_000), Standing::Slow(4));
        assert_eq!(health.standing(96_000), Standing::Slow(3));
        assert_eq!(health.standing(101_000), Standing::Well);
        assert!(!health.is_clean(101_000) && health.is_clean(151_000));
    }

    #[test]
    fn the_caps_keep_it_in() {
        let mut health = Health::default();
        for _ in 0..20 {
            health.judge(Event::Failed, false, 0);
            health.judge(Event::Refused, false, 0);
        }
        assert_eq!(health.standing(0), Standing::Well);
    }

    #[test]
    fn who_refuses_is_asked_before_a_request_comes() {
        let mut health = Health::default();
        health.judge(Event::Refused, true, 0);
        assert_eq!(health.standing(4_999), Standing::Out);
        assert_eq!(health.standing(5_000), Standing::Probe);
        health.judge(Event::Refused, true, 5_000);
        assert_eq!(health.standing(14_999), Standing::Out);
        for round in 2..40 {
            health.judge(Event::Refused, true, round * 100_000);
        }
        assert_eq!(health.standing(3_900_000 + 60_000), Standing::Probe);
        health.judge(Event::Connected, true, 4_000_000);
        assert_eq!(health.standing(4_000_000), Standing::Slow(4));
    }

    #[test]
    fn a_connection_says_nothing_of_the_answers() {
        let mut health = failing();
        health.judge(Event::Connected, true, 2_000);
        assert_eq!(health.standing(2_000), Standing::Out);
    }

    #[test]
    fn history_is_forgotten() {
        let mut health = Health::default();
        health.judge(Event::Refused, true, 0);
        health.judge(Event::Connected, true, 6_000);
        health.judge(Event::Refused, true, 66_000);
        assert_eq!(health.standing(71_000), Standing::Probe);
    }

    #[test]
    fn others_that_fail_as_well_are_no_better() {
        let before = Answers {
            answered: 100,
            failed: 10,
        };
        let after = |answered, failed| Answers { answered, failed };
        assert!(after(101, 15).others_do_better(before, 5));
        assert!(!after(100, 15).others_do_better(before, 5));
        assert!(!after(103, 18).others_do_better(before, 5));
        assert!(after(104, 18).others_do_better(before, 5));
    }
}
