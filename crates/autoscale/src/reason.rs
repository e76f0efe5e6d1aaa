//! Why, as a value: it prints as part of a sentence, for logs (`p95 812 ms over 500 ms`).

use std::fmt;

use ropewalk_model::scaling::{Amount, MetricName};

/// Why dynos come, go, or stay.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// Fewer than the least.
    AtLeast { min: u32, schedule: Option<String> },
    /// More than the most.
    AtMost { max: u32, schedule: Option<String> },
    /// Answers are late.
    Late { p95_ms: u64, goal_ms: u32 },
    /// Requests wait longer than they should before a dyno gets them.
    Queue { ms: u64, goal_ms: u32 },
    /// More is worked on than dynos are for.
    Busy { at_once: f64, per_dyno: Amount },
    /// More comes than dynos are for.
    Requests { per_second: f64, per_dyno: Amount },
    /// What waits is to be answered soon.
    Waiting { requests: f64 },
    /// Soon there will be more.
    Rising { from: f64, to: f64 },
    /// Dynos are busy, or full.
    Used {
        what: &'static str,
        percent: f64,
        goal: Amount,
    },
    /// The app says so.
    Own {
        name: MetricName,
        value: f64,
        per_dyno: Amount,
    },
    /// Answers were quick for so long; `None` for the time without requests.
    Calm {
        p95_ms: Option<u64>,
        goal_ms: u32,
        seconds: u64,
    },
    /// Nobody waited long for a dyno for so long.
    Prompt { ms: u64, goal_ms: u32, seconds: u64 },
    /// So many dynos would have done for so long.
    Enough { dynos: f64, seconds: u64 },

    /// What there is, is right.
    Fits,
    /// Fewer would do now, but not for long enough yet.
    NotYet { seconds: u64 },
    /// So few were too few lately.
    Strained,
    /// Nobody is taken from those who wait.
    Queued,
    /// A moment ago much more was needed.
    Panicked,
    /// The last change is too recent.
    Resting { seconds: u64 },
    /// There are as many as may be.
    Bound { max: u32 },
    /// Nothing was measured.
    Unknown,
    /// Scaled to none, which is how a process type is turned off.
    Off,
    /// It is left alone: maintenance, or nothing to scale.
    Alone,
    /// A release is on its way, and until then none goes.
    Deploying,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast { min, schedule } => {
                write!(out, "at least {min} dynos")?;
                hours(out, schedule.as_deref())
            }
            Self::AtMost { max, schedule } => {
                write!(out, "at most {max} dynos")?;
                hours(out, schedule.as_deref())
            }
            Self::Late { p95_ms, goal_ms } => write!(out, "p95 {p95_ms} ms over {goal_ms} ms"),
            Self::Queue { ms, goal_ms } => {
                write!(out, "requests wait {ms} ms for a dyno, over {goal_ms} ms")
            }
            Self::Busy { at_once, per_dyno } => {
                write!(out, "{at_once:.1} requests at once, {per_dyno} for a dyno")
            }
            Self::Requests {
                per_second,
                per_dyno,
            } => write!(
                out,
                "{per_second:.1} requests a second, {per_dyno} for a dyno"
            ),
            Self::Waiting { requests } => write!(out, "{requests:.0} requests wait for a dyno"),
            Self::Rising { from, to } => {
                write!(
                    out,
                    "requests rise from {from:.0} to about {to:.0} a second"
                )
            }
            Self::Used {
                what,
                percent,
                goal,
            } => write!(out, "{what} at {percent:.0} %, goal {goal} %"),
            Self::Own {
                name,
                value,
                per_dyno,
            } => write!(
                out,
                "{} is {value:.1}, {per_dyno} for a dyno",
                name.as_str()
            ),
            Self::Calm {
                p95_ms: Some(p95_ms),
                goal_ms,
                seconds,
            } => {
                write!(out, "p95 at most {p95_ms} ms of {goal_ms} ms for ")?;
                span(out, *seconds)
            }
            Self::Calm { seconds, .. } => {
                out.write_str("no requests for ")?;
                span(out, *seconds)
            }
            Self::Prompt {
                ms,
                goal_ms,
                seconds,
            } => {
                write!(
                    out,
                    "requests wait at most {ms} ms of {goal_ms} ms for a dyno for "
                )?;
                span(out, *seconds)
            }
            Self::Enough { dynos, seconds } => {
                write!(out, "no more than {dynos:.1} dynos needed for ")?;
                span(out, *seconds)
            }
            Self::Fits => out.write_str("nothing asks for more or fewer"),
            Self::NotYet { seconds } => {
                out.write_str("fewer must do for ")?;
                span(out, *seconds)?;
                out.write_str(" first")
            }
            Self::Strained => out.write_str("so few were too few lately"),
            Self::Queued => out.write_str("requests wait for a dyno"),
            Self::Panicked => out.write_str("much more was needed a minute ago"),
            Self::Resting { seconds } => {
                out.write_str("the last change is not ")?;
                span(out, *seconds)?;
                out.write_str(" old")
            }
            Self::Bound { max } => write!(out, "there are no more than {max} dynos to be had"),
            Self::Unknown => out.write_str("nothing was measured"),
            Self::Off => out.write_str("turned off"),
            Self::Alone => out.write_str("left alone during maintenance or a release"),
            Self::Deploying => out.write_str("none goes during a release"),
        }
    }
}

fn hours(out: &mut fmt::Formatter<'_>, schedule: Option<&str>) -> fmt::Result {
    match schedule {
        Some(schedule) => write!(out, ", {schedule}"),
        None => Ok(()),
    }
}

/// `5 minutes`, `90 seconds`.
fn span(out: &mut fmt::Formatter<'_>, seconds: u64) -> fmt::Result {
    let (count, unit) = match seconds.is_multiple_of(60) && seconds > 0 {
        true => (seconds / 60, "minute"),
        false => (seconds, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    write!(out, "{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_by_people() {
        let per_dyno = Amount::new(5.0).unwrap();
        for (reason, text) in [
            (
                Reason::Late {
                    p95_ms: 812,
                    goal_ms: 500,
                },
                "p95 812 ms over 500 ms",
            ),
            (
                Reason::Busy {
                    at_once: 12.34,
                    per_dyno,
                },
                "12.3 requests at once, 5 for a dyno",
            ),
            (
                Reason::Calm {
                    p95_ms: None,
                    goal_ms: 500,
                    seconds: 300,
                },
                "no requests for 5 minutes",
            ),
            (
                Reason::Enough {
                    dynos: 2.26,
                    seconds: 90,
                },
                "no more than 2.3 dynos needed for 90 seconds",
            ),
            (
                Reason::AtLeast {
                    min: 5,
                    schedule: Some("Mon 09:00 to 18:00".into()),
                },
                "at least 5 dynos, Mon 09:00 to 18:00",
            ),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }
}
