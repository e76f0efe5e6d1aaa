//! Targets that are read now and then: CPU, memory, a number that the app publishes.

use ropewalk_model::scaling::{Amount, MetricName};

use crate::decide::Asked;
use crate::demand::needed;
use crate::reason::Reason;
use crate::signals::Measure;
use crate::wish::{Need, Wish};

/// Readings of so many seconds are averaged.
const WINDOW: u64 = 30;
/// Within this part of the goal nothing changes.
const TOLERANCE: f64 = 0.1;
/// More than that is a mistake of whoever read it.
const MOST: f64 = 1e12;

/// By how much of what they may use dynos use.
pub(crate) fn used(asked: &Asked<'_>, of: Measure<'_>, goal: Amount) -> Wish {
    let Some(percent) = mean(asked, of) else {
        return Wish::none(asked.dynos.wanted, Reason::Unknown);
    };
    let ready = f64::from(asked.dynos.ready);
    let ratio = percent / goal.get();
    let near = (ratio - 1.0).abs() <= TOLERANCE;
    let steady = ready * if near { 1.0 } else { ratio };
    let what = match of {
        Measure::Memory => "memory",
        _ => "CPU",
    };
    let why = Reason::Used {
        what,
        percent,
        goal,
    };
    needed(asked, Need { steady, surge: 0.0 }, why.clone(), why)
}

/// By a number of the app's own.
pub(crate) fn own(asked: &Asked<'_>, name: &MetricName, per_dyno: Amount) -> Wish {
    let Some(value) = mean(asked, Measure::Own(name.as_str())) else {
        return Wish::none(asked.dynos.wanted, Reason::Unknown);
    };
    let why = Reason::Own {
        name: name.clone(),
        value,
        per_dyno,
    };
    let steady = value / per_dyno.get();
    needed(asked, Need { steady, surge: 0.0 }, why.clone(), why)
}

/// What was read lately; `None` when nothing was.
fn mean(asked: &Asked<'_>, of: Measure<'_>) -> Option<f64> {
    let since = asked.now.saturating_sub(WINDOW);
    let (count, sum) = asked
        .signals
        .readings
        .iter()
        .filter(|reading| reading.of == of && (since..asked.now).contains(&reading.second))
        .filter(|reading| reading.value >= 0.0)
        .fold((0_u32, 0.0), |(count, sum), reading| {
            (count + 1, sum + reading.value.min(MOST))
        });
    (count > 0).then(|| sum / f64::from(count))
}
