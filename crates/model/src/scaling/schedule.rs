//! Other bounds at some hours of some days, by the clock of a place.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::{Bounds, RuleError};

/// Minutes of a day.
const DAY: u16 = 1440;

const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Days of the week, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

/// From a minute of each of the days to another; until the next day where that is not later.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    days: Days,
    from: u16,
    to: u16,
    zone: TimeZone,
    bounds: Bounds,
}

impl Days {
    pub fn new(days: &[Weekday]) -> Result<Self, RuleError> {
        match days.iter().fold(0, |all, day| all | bit(*day)) {
            0 => Err(RuleError::NoDay),
            all => Ok(Self(all)),
        }
    }

    /// Monday to Friday.
    pub fn weekdays() -> Self {
        Self(0b001_1111)
    }

    pub fn has(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

impl Schedule {
    /// `from` and `to` are minutes after midnight, `to` up to 1440; the same twice is a whole day.
    pub fn new(
        days: Days,
        from: u16,
        to: u16,
        zone: TimeZone,
        bounds: Bounds,
    ) -> Result<Self, RuleError> {
        if from >= DAY || to > DAY {
            return Err(RuleError::Hours(from, to));
        }
        Ok(Self {
            days,
            from,
            to,
            zone,
            bounds,
        })
    }

    pub fn days(&self) -> Days {
        self.days
    }

    /// Minutes after midnight.
    pub fn hours(&self) -> (u16, u16) {
        (self.from, self.to)
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// What clocks of the place show counts: the hour that is skipped or comes twice in a year, too.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        let local = self.zone.to_datetime(now);
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = local.weekday();
        let yesterday = today.previous();
        match self.from < self.to {
            true => self.days.has(today) && (self.from..self.to).contains(&minute),
            false => {
                (self.days.has(today) && minute >= self.from)
                    || (self.days.has(yesterday) && minute < self.to)
            }
        }
    }
}

/// `Mon Tue Wed Thu Fri 09:00 to 18:00 Europe/Berlin`.
impl fmt::Display for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in NAMES.iter().enumerate() {
            if self.days.0 & (1 << index) != 0 {
                write!(out, "{name} ")?;
            }
        }
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(out, "{} to {}", clock(self.from), clock(self.to))?;
        match self.zone.iana_name() {
            Some(name) => write!(out, " {name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(days: Days, from: u16, to: u16) -> Schedule {
        // As in Berlin in winter, without asking the machine for its table of zones.
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        Schedule::new(days, from, to, zone, Bounds::new(5, 9).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_are_those_of_the_place() {
        let work = schedule(Days::weekdays(), 9 * 60, 18 * 60);
        // 27 November 2026 is a Friday.
        for (moment, holds) in [
            ("2026-11-27T07:59:59Z", false),
            ("2026-11-27T08:00:00Z", true),
            ("2026-11-27T16:59:59Z", true),
            ("2026-11-27T17:00:00Z", false),
            ("2026-11-28T12:00:00Z", false),
        ] {
            assert_eq!(work.holds_at(at(moment)), holds, "{moment}");
        }
        assert_eq!(work.to_string(), "Mon Tue Wed Thu Fri 09:00 to 18:00");
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let friday = Days::new(&[Weekday::Friday]).unwrap();
        let night = schedule(friday, 22 * 60, 6 * 60);
        for (moment, holds) in [
            ("2026-11-27T03:00:00Z", false),
            ("2026-11-27T21:30:00Z", true),
            ("2026-11-28T04:59:00Z", true),
            ("2026-11-28T05:00:00Z", false),
        ] {
            assert_eq!(night.holds_at(at(moment)), holds, "{moment}");
        }
        let whole = schedule(friday, 0, 0);
        assert!(whole.holds_at(at("2026-11-27T12:00:00Z")));
        assert!(!whole.holds_at(at("2026-11-28T12:00:00Z")));
    }

    #[test]
    fn hours_beyond_a_day_and_no_days_are_refused() {
        let zone = TimeZone::UTC;
        let bounds = Bounds::new(1, 2).unwrap();
        let new = |from, to| Schedule::new(Days::weekdays(), from, to, zone.clone(), bounds);
        assert!(new(0, 1440).is_ok());
        assert_eq!(new(1440, 10), Err(RuleError::Hours(1440, 10)));
        assert_eq!(new(0, 1441), Err(RuleError::Hours(0, 1441)));
        assert_eq!(Days::new(&[]), Err(RuleError::NoDay));
    }
}
