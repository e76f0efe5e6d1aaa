//! Targets that say how much a dyno is for, so that what comes says how many are needed before anybody is late.
//!
//! What comes is known a second later from the router; how long it takes, from what was answered. The product is how many
//! requests are worked on at once, with what waits left out.

use ropewalk_model::scaling::Amount;

use crate::decide::Asked;
use crate::reason::Reason;
use crate::recent::{Recent, Span};
use crate::wish::{Need, Wish, whole};

/// Seconds over which a load that does not change is measured.
const BASE: usize = 30;
/// Newest seconds in which more may have come.
const SHORT: [usize; 3] = [10, 5, 2];
/// So many deviations are no chance.
const CHANCE: f64 = 4.0;
/// Seconds over which the time of a request is measured, and newest ones in which it may have grown.
const SERVICE: usize = 60;
const SERVICE_SHORT: [usize; 2] = [10, 3];
/// How far times spread, in means, when one cannot tell.
const SPREAD: f64 = 2.0;
/// One slow request among so few means nothing.
const FEW: f64 = 100.0;
/// Room for chance: so many square roots of what is worked on at once.
const ROOM: f64 = 2.0;
/// Seconds in which what waits is to be answered, once dynos are there.
const DRAIN: f64 = 2.0;
/// A rise is reckoned with for the time of a boot, up to so many seconds, and this many more.
const FARTHEST: u64 = 30;
const BEYOND: f64 = 4.0;
/// More often than so many times what comes now is not believed.
const STEEPEST: f64 = 2.0;

/// Seconds for which fewer must have done before dynos go, and between a change and a step down.
const DOWN_AFTER: u64 = 180;
const DOWN_REST: u64 = 60;
/// For how long a need that was to pass keeps dynos.
const PASSING: u64 = 30;
/// Fewer dynos must do with this to spare, in square roots of dynos.
const SPARE: f64 = 0.15;
/// So many times the dynos that are ready are a panic.
const PANIC: f64 = 2.0;

/// By requests at once. `per_dyno` is what a dyno can work on, not what it has on average.
pub(crate) fn concurrency(asked: &Asked<'_>, per_dyno: Amount) -> Wish {
    if asked.recent.is_unknown() {
        return Wish::none(asked.dynos.wanted, Reason::Unknown);
    }
    let load = Load::measure(asked);
    let of = |at_once: f64| (at_once + ROOM * at_once.sqrt()) / per_dyno.get();
    let at_once = load.at_once();
    let waiting = load.waiting_when_ready(asked, per_dyno.get());
    let drain = waiting * load.service / DRAIN / per_dyno.get();
    let coming = of(load.coming * load.service);
    let (surge, why) = match drain {
        drain if drain > 0.0 && of(at_once) + drain >= coming => {
            (of(at_once) + drain, Reason::Waiting { requests: waiting })
        }
        _ => (
            coming,
            Reason::Rising {
                from: load.before,
                to: load.coming,
            },
        ),
    };
    let need = Need {
        steady: of(at_once),
        surge,
    };
    needed(asked, need, Reason::Busy { at_once, per_dyno }, why)
}

/// By requests a second.
pub(crate) fn rate(asked: &Asked<'_>, per_dyno: Amount) -> Wish {
    if asked.recent.is_unknown() {
        return Wish::none(asked.dynos.wanted, Reason::Unknown);
    }
    let load = Load::measure(asked);
    let per_second = load.rate;
    let need = Need {
        steady: per_second / per_dyno.get(),
        surge: load.coming.max(per_second + load.waiting / DRAIN) / per_dyno.get(),
    };
    let why = match load.waiting > 0.0 {
        true => Reason::Waiting {
            requests: load.waiting,
        },
        false => Reason::Rising {
            from: load.before,
            to: load.coming,
        },
    };
    let busy = Reason::Requests {
        per_second,
        per_dyno,
    };
    needed(asked, need, busy, why)
}

/// What a need comes to.
pub(crate) fn needed(asked: &Asked<'_>, need: Need, steady: Reason, surge: Reason) -> Wish {
    let (wanted, now) = (asked.dynos.wanted, asked.now);
    let ready = f64::from(asked.dynos.ready.max(1));
    let mut wish = Wish::none(wanted, Reason::Fits);
    wish.need = Some(need);
    wish.down_rest = DOWN_REST;
    wish.up = whole(need.most());
    // Dynos that boot are not joined by one more for each look.
    let joins = wanted.saturating_add(wanted.div_ceil(10));
    if asked.dynos.ready < wanted && wish.up < joins {
        wish.up = wish.up.min(wanted);
    }
    wish.panic = wish.up > wanted && need.most() >= PANIC * ready;
    wish.why_up = match need.steady > f64::from(wanted) {
        true => steady,
        false => surge,
    };
    if wish.up > wanted {
        return wish;
    }
    let usual = asked.pace.down_after.map_or(DOWN_AFTER, u64::from);
    let seconds = asked.memory.patience(usual, now);
    let Some(steady) = asked.memory.steady(seconds, now) else {
        wish.why_floor = Reason::NotYet { seconds };
        return wish;
    };
    let steady = steady.max(need.steady);
    let surge = asked.memory.surge(PASSING, now).max(need.surge);
    let floor = whole((steady + SPARE * steady.sqrt()).max(surge));
    if floor < wanted {
        wish.floor = floor;
        wish.why_floor = Reason::Enough {
            dynos: steady.max(surge),
            seconds,
        };
    } else if whole(need.most()) < wanted {
        wish.why_floor = Reason::NotYet { seconds };
    }
    wish
}

/// What comes, and how long it takes.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Requests a second, of late.
    rate: f64,
    /// Over the whole [`BASE`].
    before: f64,
    /// When a dyno that is asked for now will be there, if it goes on like this.
    coming: f64,
    /// Seconds that one takes.
    service: f64,
    waiting: f64,
}

impl Load {
    fn measure(asked: &Asked<'_>) -> Self {
        let recent = asked.recent;
        let before = recent.span(0, BASE).rate();
        let rate = SHORT
            .iter()
            .map(|seconds| recent.span(0, *seconds))
            .filter(|span| is_more(span, before))
            .map(|span| span.rate())
            .fold(before, f64::max);
        Self {
            rate,
            before,
            coming: coming(asked, rate),
            service: service(recent),
            waiting: recent.waiting(),
        }
    }

    fn at_once(&self) -> f64 {
        self.rate * self.service
    }

    /// What will wait when dynos that boot, or would now, are there.
    fn waiting_when_ready(&self, asked: &Asked<'_>, per_dyno: f64) -> f64 {
        if self.waiting < 1.0 || self.service <= 0.0 {
            return 0.0;
        }
        let there = f64::from(asked.dynos.ready) * per_dyno;
        let growth = ((self.at_once() - there) / self.service).clamp(0.0, self.rate);
        self.waiting + growth * asked.memory.until_ready(asked.now) as f64
    }
}

/// Whether more came than chance brings at this rate.
fn is_more(span: &Span, rate: f64) -> bool {
    let expected = rate * span.known;
    span.known > 0.0 && span.requests > expected + CHANCE * expected.sqrt() + CHANCE
}

/// Requests a second after the time of a boot: what rises in the last seconds is taken to go on.
fn coming(asked: &Asked<'_>, rate: f64) -> f64 {
    let (newer, older) = (asked.recent.span(0, 5), asked.recent.span(5, 10));
    let newest = asked.recent.span(0, 2);
    let enough = newer.known >= 3.0 && older.known >= 3.0 && newest.known > 0.0;
    let chance = CHANCE * (newer.requests + older.requests).sqrt() + CHANCE;
    let rises = newer.requests > older.requests + chance && newest.rate() >= newer.rate();
    if !enough || !rises {
        return rate;
    }
    let ahead = asked.memory.boot().min(FARTHEST) as f64 + BEYOND;
    let slope = (newer.rate() - older.rate()) / 5.0;
    (rate + slope * ahead).clamp(rate, STEEPEST * rate)
}

/// Seconds that a request takes: the mean of a minute, or of less where it has grown beyond chance.
fn service(recent: &Recent) -> f64 {
    let long = recent.span(0, SERVICE);
    let mean = |span: &Span| span.busy_ms / span.answered.max(1.0) / 1000.0;
    if long.answered < 1.0 || long.busy_ms <= 0.0 {
        // Nothing is answered yet, or nobody knows how fast: by Little's law from what is worked on.
        return match long.rate() {
            rate if rate > 0.0 => long.worked_on / rate,
            _ => 0.0,
        };
    }
    SERVICE_SHORT
        .iter()
        .map(|seconds| recent.span(0, *seconds))
        .filter(|span| {
            let count = span.answered.max(1.0);
            let sure = 1.0 + CHANCE * SPREAD / count.sqrt() + FEW / count;
            mean(span) > mean(&long) * sure
        })
        .map(|span| mean(&span))
        .fold(mean(&long), f64::max)
}
