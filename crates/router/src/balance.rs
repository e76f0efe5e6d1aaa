//! Which dyno gets the next request: the one with the fewest requests in flight, or none before one is done.
//!
//! Pure: loads, standings and who was picked when are arguments, so a simulator can drive it under
//! its own clock.

use crate::health::Standing;

/// One dyno as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests in flight.
    pub load: u64,
    /// The number of the pick that chose it last, and [`rest`] for each request that it has ended since: less for who is
    /// next.
    pub picked: u64,
    pub standing: Standing,
    /// This request has tried it already.
    pub tried: bool,
}

/// Up to this many in flight only dynos that have as many are equal.
const EXACT: u64 = 4;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It goes to the dyno of this index.
    Send(usize),
    /// Each dyno that may have it has as many as it takes: it waits until one is done.
    Full,
    /// It has tried them all.
    Nobody,
}

impl Candidate {
    fn is_left_out(&self) -> bool {
        matches!(self.standing, Standing::Out | Standing::Probe)
    }

    fn is_full(&self, limit: Option<u64>) -> bool {
        let limit = match self.standing {
            Standing::Trial => Some(1),
            _ => limit,
        };
        limit.is_some_and(|limit| self.load >= limit)
    }

    /// The load that is compared.
    fn weight(&self) -> u64 {
        match self.standing {
            Standing::Slow(times) => (self.load + 1) * times - 1,
            _ => self.load,
        }
    }
}

/// Chooses among `count` dynos, of which each takes at most `limit` requests at once.
///
/// Among equals the next is who was picked longest ago, and rested for the time that its requests took: a counter that
/// goes round does not make up for a dyno that it passed over while it was busy, and a router that sees most dynos idle,
/// because others have the rest of the requests, would give a slow one as many as the fast. Loads within a quarter of the
/// least are equal, too: below four in flight that changes nothing (an idle dyno always beats a busy one), above it a dyno
/// that is a hair faster does not draw noticeably more than its share. Dynos that are left out are chosen only when there
/// is no other, not when the others are full.
pub fn pick(count: usize, limit: Option<u64>, view: impl Fn(usize) -> Candidate) -> Choice {
    let mut least = None;
    let mut least_left_out = None;
    let mut untried = false;
    let mut well = false;
    for index in 0..count {
        let candidate = view(index);
        if candidate.tried {
            continue;
        }
        untried = true;
        let left_out = candidate.is_left_out();
        well |= !left_out;
        if candidate.is_full(limit) {
            continue;
        }
        lower(
            if left_out {
                &mut least_left_out
            } else {
                &mut least
            },
            candidate.weight(),
        );
    }
    if !untried {
        return Choice::Nobody;
    }
    let Some(least) = (if well { least } else { least_left_out }) else {
        return Choice::Full;
    };
    let tie = least.saturating_add(least / EXACT);

    // The loads move while we look: who is above the tie is still the best when none is as low as it was.
    let free = (0..count).filter_map(|index| {
        let candidate = view(index);
        let out = candidate.tried || candidate.is_full(limit) || (well && candidate.is_left_out());
        let above = candidate.weight().saturating_sub(tie);
        (!out).then_some((above, candidate.picked, index))
    });
    free.min()
        .map_or(Choice::Full, |(_, _, index)| Choice::Send(index))
}

/// By how many picks a dyno moves back when it ends the request of pick `since`, one of `load` that it has, and `now` is the
/// last pick: three times as many as there were meanwhile. One that has as many requests left as make ties wide does not
/// rest: it is compared by these, and a rest would only add what was chance in the time of one request.
///
/// Simulated (`cargo xtask sim router`), the 99th percentile of eight routers by that of one, with one dyno five times
/// slower: 1.14 without a rest, 1.06 with one as long as the request, 1.02 with twice that, 1.01 with three times.
pub fn rest(since: u64, now: u64, load: u64) -> u64 {
    match load <= EXACT {
        true => now.saturating_sub(since).saturating_mul(3),
        false => 0,
    }
}

/// Whether one more of `count` dynos may be left out when `left_out` are: never more than half, so
/// never the last.
pub fn may_eject(count: usize, left_out: usize) -> bool {
    (left_out + 1) * 2 <= count
}

fn lower(least: &mut Option<u64>, weight: u64) {
    if least.is_none_or(|known| weight < known) {
        *least = Some(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(load: u64) -> Candidate {
        Candidate {
            load,
            picked: 0,
            standing: Standing::Well,
            tried: false,
        }
    }

    #[test]
    fn least_loaded_wins() {
        let loads = [3, 1, 2];
        assert_eq!(pick(3, None, |i| with(loads[i])), Choice::Send(1));
    }

    #[test]
    fn ties_go_to_who_was_picked_longest_ago() {
        let mut picked = [0; 3];
        let mut next = |number, busy: Option<usize>| {
            let choice = pick(3, None, |index| Candidate {
                picked: picked[index],
                ..with(u64::from(busy == Some(index)))
            });
            if let Choice::Send(index) = choice {
                picked[index] = number;
            }
            choice
        };
        let picks: Vec<_> = (1..7).map(|number| next(number, None)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2].map(Choice::Send));
        // Who was busy when it was its turn has it as soon as it is not.
        let busy = [Some(0), None, None].into_iter().zip(7..);
        let picks: Vec<_> = busy.map(|(busy, number)| next(number, busy)).collect();
        assert_eq!(picks, [1, 0, 2].map(Choice::Send));
    }

    #[test]
    fn who_took_longer_rests_longer() {
        // They were picked in their order; the first was done last.
        let picked = [
            1 + rest(1, 4, 1),
            2 + rest(2, 3, 1),
            // As soon as it was picked.
            3 + rest(3, 3, 1),
        ];
        let view = |order: &[usize]| {
            pick(3, None, |index| Candidate {
                picked: picked[index],
                tried: order.contains(&index),
                ..with(0)
            })
        };
        let mut order = Vec::new();
        while let Choice::Send(next) = view(&order) {
            order.push(next);
        }
        assert_eq!(order, [2, 1, 0]);
        // Another core may have counted meanwhile.
        assert_eq!(rest(5, 4, 1), 0);
        assert_eq!([rest(1, 4, 4), rest(1, 4, 5)], [9, 0]);
    }

    #[test]
    fn a_quarter_above_the_least_is_a_tie() {
        let loads = [16, 20, 21];
        let after = |first: usize| {
            let picked = move |i: usize| u64::from(i != first);
            move |i: usize| Candidate {
                picked: picked(i),
                ..with(loads[i])
            }
        };
        assert_eq!(pick(3, None, after(1)), Choice::Send(1));
        assert_eq!(pick(3, None, after(2)), Choice::Send(0));
    }

    #[test]
    fn who_is_left_out_is_chosen_only_when_nobody_else_is_there() {
        let view = |i: usize| Candidate {
            load: i as u64,
            picked: 0,
            standing: if i == 0 {
                Standing::Out
            } else {
                Standing::Well
            },
            tried: i == 1,
        };
        assert_eq!(pick(3, None, view), Choice::Send(2));
        assert_eq!(pick(2, None, view), Choice::Send(0));
        // Dyno 2 is full; waiting for it is better than dyno 0.
        assert_eq!(pick(3, Some(2), view), Choice::Full);
    }

    #[test]
    fn nobody_when_all_were_tried() {
        let tried = |_| Candidate {
            tried: true,
            ..with(0)
        };
        assert_eq!(pick(2, None, tried), Choice::Nobody);
        assert_eq!(pick(0, None, |_| with(0)), Choice::Nobody);
    }

    #[test]
    fn a_request_waits_when_each_dyno_has_what_it_takes() {
        let loads = [5, 5, 4];
        assert_eq!(pick(3, Some(5), |i| with(loads[i])), Choice::Send(2));
        assert_eq!(pick(2, Some(5), |i| with(loads[i])), Choice::Full);
    }

    #[test]
    fn who_comes_back_gets_less_and_who_is_tried_out_gets_one() {
        let standing = |standing, load| Candidate {
            standing,
            ..with(load)
        };
        // Idle, but it counts as three.
        let slow = [with(2), standing(Standing::Slow(4), 0)];
        assert_eq!(pick(2, None, |i| slow[i]), Choice::Send(0));
        let slow = [with(4), standing(Standing::Slow(4), 0)];
        assert_eq!(pick(2, None, |i| slow[i]), Choice::Send(1));
        let trial = [with(1), standing(Standing::Trial, 0)];
        assert_eq!(pick(2, None, |i| trial[i]), Choice::Send(1));
        let trial = [with(9), standing(Standing::Trial, 1)];
        assert_eq!(pick(2, None, |i| trial[i]), Choice::Send(0));
    }

    #[test]
    fn never_more_than_half_nor_the_last() {
        assert!(!may_eject(1, 0));
        assert!(may_eject(2, 0));
        assert!(!may_eject(2, 1));
        assert!(may_eject(4, 1));
        assert!(!may_eject(5, 2));
    }
}
