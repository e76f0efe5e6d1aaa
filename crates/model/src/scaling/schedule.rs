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

    /// `daily`, `weekdays`, `weekends`, or names with commas and from-to: `mon,wed`, `fri-mon`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Days(text.chars().take(100).collect());
        let number = |name: &str| {
            let found = NAMES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(name));
            found.ok_or_else(wrong)
        };
        let mut all = 0;
        for part in text.split(',') {
            all |= match part.trim() {
                "daily" => 0b111_1111,
                "weekdays" => Self::weekdays().0,
                "weekends" => 0b110_0000,
                part => {
                    let (first, last) = part.split_once('-').unwrap_or((part, part));
                    let (first, last) = (number(first)?, number(last)?);
                    let length = (last + 7 - first) % 7;
                    (0..=length).fold(0, |days, day| days | 1 << ((first + day) % 7))
                }
            };
        }
        Ok(Self(all))
    }

    /// In lower case, as [`Days::parse`] reads them one by one.
    pub fn names(self) -> Vec<String> {
        let on = |index: &usize| self.0 & (1 << index) != 0;
        let days = (0..NAMES.len()).filter(on);
        days.map(|index| NAMES[index].to_ascii_lowercase())
            .collect()
    }

    pub fn has(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

/// Minutes after midnight of `09:00`, up to `24:00`.
pub fn minute_of(clock: &str) -> Result<u16, RuleError> {
    let wrong = || RuleError::Clock(clock.chars().take(20).collect());
    let (hour, minute) = clock.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, most: u16| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u16> = plain.then(|| text.parse().ok()).flatten();
        number.filter(|number| *number <= most).ok_or_else(wrong)
    };
    if minute.len() != 2 {
        return Err(wrong());
    }
    let minute: u16 = number(hour, 24)? * 60 + number(minute, 59)?;
    (minute <= DAY).then_some(minute).ok_or_else(wrong)
}

/// `09:00`
pub fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// By its name in the database of zones.
pub fn zone(name: &str) -> Result<TimeZone, RuleError> {
    TimeZone::get(name).map_err(|_| RuleError::Zone(name.chars().take(100).collect()))
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
    fn days_hours_and_zones_are_read_as_people_write_them() {
        for (text, names) in [
            ("daily", "mon tue wed thu fri sat sun"),
            ("weekdays", "mon tue wed thu fri"),
            ("weekends,Wed", "wed sat sun"),
            ("fri-mon", "mon fri sat sun"),
            ("tue,thu-thu", "tue thu"),
        ] {
            let days = Days::parse(text).unwrap();
            assert_eq!(days.names().join(" "), names, "{text}");
            assert_eq!(Days::parse(&days.names().join(",")), Ok(days));
        }
        for text in ["", "monday", "mon-", "mon,,tue", "mon-tue-wed", "weekday"] {
            assert!(
                matches!(Days::parse(text), Err(RuleError::Days(_))),
                "{text}"
            );
        }
        for (text, minute) in [
            ("00:00", 0),
            ("9:05", 545),
            ("18:00", 1080),
            ("24:00", 1440),
        ] {
            assert_eq!(minute_of(text), Ok(minute));
        }
        assert_eq!(clock(545), "09:05");
        for text in [
            "", "9", "24:01", "25:00", "12:60", "+1:00", "12:5", "1:2:3", "-1:00",
        ] {
            assert!(
                matches!(minute_of(text), Err(RuleError::Clock(_))),
                "{text}"
            );
        }
        assert_eq!(
            zone("Europe/Berlin").unwrap().iana_name(),
            Some("Europe/Berlin")
        );
        assert_eq!(zone("UTC").unwrap().iana_name(), Some("UTC"));
        assert_eq!(
            zone("Nowhere/None"),
            Err(RuleError::Zone("Nowhere/None".into()))
        );
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
