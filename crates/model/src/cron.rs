//! Cron expressions: when something recurs, by the clock of a place.
//!
//! `minute hour day-of-month month day-of-week`, as crontab(5) has them: lists, ranges, steps and names; a day counts
//! when either of its two fields says so, unless one of them begins with `*`, and then both must. `@hourly`, `@daily`,
//! `@weekly`, `@monthly` and `@yearly` stand for whole expressions.
//!
//! Where the clock is set, that is twice a year in most places:
//! - A time that does not exist comes at the moment when the clock has jumped over it: `30 2 * * *` at 3:00. Of
//!   several that do not exist, one comes.
//! - A time that exists twice comes the first time.
//! - An expression whose hour is `*` knows nothing of this: it comes at its minutes of each hour that passes.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// Longest expression, in bytes.
pub const MAX_LENGTH: usize = 200;
/// Days after which a slot that did not come never comes: a 29th of February on some day of the week comes every 28
/// years, and once in a while after 40.
const HORIZON: u32 = 366 * 41;
/// No clock is set by more.
const DAY: SignedDuration = SignedDuration::from_hours(26);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

const MINUTE: Field = Field {
    name: "minute",
    first: 0,
    last: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    first: 0,
    last: 23,
    names: &[],
};
const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    first: 1,
    last: 31,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
/// Sunday is 0, and 7 too.
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    first: 0,
    last: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Bits 0 (Sunday) to 6.
    weekdays: u64,
    /// Whether a day must be right by both of its fields.
    both: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronError {
    #[error(
        "A schedule is needed: minute, hour, day of month, month and day of week, such as \"0 4 * * *\"."
    )]
    Empty,
    #[error("A schedule has at most {MAX_LENGTH} characters.")]
    Long,
    #[error(
        "A schedule has five fields: minute, hour, day of month, month and day of week, such as \"0 4 * * *\". \
         This one has {0}.{hint}", hint = if *.0 == 6 { " There are no seconds." } else { "" }
    )]
    Fields(usize),
    #[error("{0:?} is no schedule. There are @hourly, @daily, @weekly, @monthly and @yearly.")]
    Alias(String),
    #[error(
        "{what:?} is no {field}. It takes {first} to {last}{names}, a range such as {first}-{last}, *, and steps such as */2."
    )]
    Value {
        field: &'static str,
        what: String,
        first: u32,
        last: u32,
        names: &'static str,
    },
    #[error(
        "The range {what:?} of the {field} goes backwards. Write it as two: {first}-.. and ..-{last}."
    )]
    Backwards {
        field: &'static str,
        what: String,
        first: u32,
        last: u32,
    },
    #[error("The step {what:?} of the {field} must be 1 to {last}.")]
    Step {
        field: &'static str,
        what: String,
        last: u32,
    },
    #[error("This day never comes: no month of the schedule has it.")]
    Never,
}

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        if text.len() > MAX_LENGTH {
            return Err(CronError::Long);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let kept = words.join(" ");
        let expression = match words.as_slice() {
            [] => return Err(CronError::Empty),
            [alias] if alias.starts_with('@') => expand(alias)?,
            _ => &kept,
        };
        let fields: Vec<&str> = expression.split(' ').collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::Fields(fields.len()));
        };
        let weekdays = DAY_OF_WEEK.read(weekday)?;
        let cron = Self {
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY_OF_MONTH.read(day)?,
            months: MONTH.read(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            both: day.starts_with('*') || weekday.starts_with('*'),
            text: kept.clone(),
        };
        if !cron.can_come() {
            return Err(CronError::Never);
        }
        Ok(cron)
    }
}

fn expand(alias: &str) -> Result<&'static str, CronError> {
    match alias.to_ascii_lowercase().as_str() {
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err(CronError::Alias(alias.to_owned())),
    }
}

impl Field {
    /// The values of a field as bits.
    fn read(&self, text: &str) -> Result<u64, CronError> {
        text.split(',')
            .try_fold(0, |all, part| Ok(all | self.part(part)?))
    }

    fn part(&self, text: &str) -> Result<u64, CronError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.end()),
            Some((first, last)) => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                // Friday to Sunday.
                match last == 0 && first > 0 && !self.names.is_empty() {
                    true => (first, 7),
                    false => (first, last),
                }
            }
            // `5/15` is from 5 on.
            None if step.is_some() => (self.value(range)?, self.end()),
            None => {
                let value = self.value(range)?;
                (value, value)
            }
        };
        if first > last {
            return Err(CronError::Backwards {
                field: self.name,
                what: range.to_owned(),
                first,
                last,
            });
        }
        let step = step.unwrap_or(1) as usize;
        Ok((first..=last)
            .step_by(step)
            .fold(0, |all, value| all | 1 << value))
    }

    /// Sunday once.
    fn end(&self) -> u32 {
        self.last.min(if self.first == 0 && self.last == 7 {
            6
        } else {
            u32::MAX
        })
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        let lower = text.to_ascii_lowercase();
        if let Some(index) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.first + index as u32);
        }
        number(text)
            .filter(|value| (self.first..=self.last).contains(value))
            .ok_or_else(|| CronError::Value {
                field: self.name,
                what: text.to_owned(),
                first: self.first,
                last: self.last,
                names: match self.names.first() {
                    Some(&"jan") => ", JAN to DEC",
                    Some(_) => ", SUN to SAT",
                    None => "",
                },
            })
    }

    fn step(&self, text: &str) -> Result<u32, CronError> {
        number(text)
            .filter(|step| (1..=self.last).contains(step))
            .ok_or_else(|| CronError::Step {
                field: self.name,
                what: text.to_owned(),
                last: self.last,
            })
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// As it was written, with one space between its fields.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

impl Cron {
    fn can_come(&self) -> bool {
        // Any day of the week comes in any month.
        !self.both
            || (1..=12).any(|month| {
                let longest: i8 = match month {
                    2 => 29,
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                has(self.months, month) && (1..=longest).any(|day| has(self.days, day))
            })
    }

    fn has_date(&self, date: Date) -> bool {
        let by_month = has(self.days, date.day());
        let by_week = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month())
            && match self.both {
                true => by_month && by_week,
                false => by_month || by_week,
            }
    }

    /// Whether it is of every hour, and so goes by the time that passes.
    fn is_hourly(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    /// The first slot after `after`. `None` when none comes in forty years.
    pub fn next_after(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let local = zone.to_datetime(after);
        let simple = self.next_local(local)?;
        if let AmbiguousOffset::Unambiguous { offset } =
            zone.to_ambiguous_timestamp(simple).offset()
            && let Ok(at) = offset.to_timestamp(simple)
            && is_quiet(zone, after, at)
        {
            return Some(at);
        }
        self.next_by_days(zone, after, local.date())
    }

    /// The last slot that is later than `after` and not later than `until`.
    pub fn last_in(
        &self,
        zone: &TimeZone,
        after: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        // From near to far, so that few slots are gone through however long it was.
        for hours in [1, 24, 24 * 32, 24 * 370, i64::from(HORIZON) * 24] {
            let near = until
                .checked_sub(SignedDuration::from_hours(hours))
                .unwrap_or(Timestamp::MIN);
            let mut last = None;
            let mut at = near.max(after);
            while let Some(slot) = self.next_after(zone, at).filter(|slot| *slot <= until) {
                (last, at) = (Some(slot), slot);
            }
            if last.is_some() || near <= after {
                return last;
            }
        }
        None
    }

    /// The first local time after `after`, as if clocks were never set.
    fn next_local(&self, after: DateTime) -> Option<DateTime> {
        let later = |time: &Time| *time > after.time();
        if self.has_date(after.date())
            && let Some(time) = self.times().find(later)
        {
            return Some(after.date().to_datetime(time));
        }
        let date = self.next_date(after.date())?;
        Some(date.to_datetime(self.times().next()?))
    }

    fn next_date(&self, after: Date) -> Option<Date> {
        let mut date = after;
        for _ in 0..HORIZON {
            date = date.tomorrow().ok()?;
            if self.has_date(date) {
                return Some(date);
            }
        }
        None
    }

    fn times(&self) -> impl Iterator<Item = Time> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| {
            let minutes = (0..60).filter(|minute| has(self.minutes, *minute));
            minutes.map(move |minute| Time::constant(hour, minute, 0, 0))
        })
    }

    fn next_by_days(&self, zone: &TimeZone, after: Timestamp, today: Date) -> Option<Timestamp> {
        let mut date = today.yesterday().unwrap_or(today);
        if !self.has_date(date) {
            date = self.next_date(date)?;
        }
        let mut best: Option<Timestamp> = None;
        for _ in 0..HORIZON {
            let slots = self
                .times()
                .flat_map(|time| self.slots(zone, date.to_datetime(time)));
            let found = slots.filter(|slot| *slot > after).min();
            // A clock that is set back over midnight mixes the slots of two days.
            if let Some(best) = best {
                return Some(found.map_or(best, |found| found.min(best)));
            }
            best = found;
            date = match self.next_date(date) {
                Some(date) => date,
                None => return best,
            };
        }
        best
    }

    /// The moments at which a local time comes.
    fn slots(&self, zone: &TimeZone, local: DateTime) -> Vec<Timestamp> {
        let offsets = match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => vec![offset],
            AmbiguousOffset::Fold { before, after } if self.is_hourly() => vec![before, after],
            AmbiguousOffset::Fold { before, .. } => vec![before],
            AmbiguousOffset::Gap { .. } if self.is_hourly() => Vec::new(),
            AmbiguousOffset::Gap { before, .. } => {
                let past = before.to_timestamp(local).ok();
                let jump = past
                    .and_then(|past| past.checked_add(SignedDuration::from_nanos(1)).ok())
                    .and_then(|past| zone.preceding(past).next());
                return jump.map(|jump| jump.timestamp()).into_iter().collect();
            }
        };
        let slots = offsets.into_iter();
        slots
            .filter_map(|offset| offset.to_timestamp(local).ok())
            .collect()
    }
}

/// Whether local times between the two are as simple as they look: no clock is set there, nor so near that a time exists
/// twice or not at all.
fn is_quiet(zone: &TimeZone, from: Timestamp, to: Timestamp) -> bool {
    let (Ok(begin), Ok(end)) = (from.checked_sub(DAY), to.checked_add(DAY)) else {
        return false;
    };
    let near = zone.following(begin).map(|set| set.timestamp());
    near.take_while(|at| *at <= end).all(|at| {
        let moved = zone.to_offset(at).seconds()
            - zone
                .to_offset(at.checked_sub(SECOND).unwrap_or(at))
                .seconds();
        let moved = SignedDuration::from_secs(moved.abs().into());
        from.duration_since(at) > moved || at.duration_since(to) > moved
    })
}

#[cfg(test)]
mod tests;
