//! Which dyno gets the next request: the one with the fewest requests in flight.
//!
//! Pure: loads, ejections and the starting point are arguments, so a simulator can drive it under
//! its own clock.

/// One dyno as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests in flight.
    pub load: u64,
    /// Refused a connection lately.
    pub ejected: bool,
    /// This request has tried it already.
    pub tried: bool,
}

/// Index of the dyno to send to, or `None` when each of the `count` was tried.
///
/// `start` rotates from request to request and breaks ties. Loads within a quarter of the least are
/// ties too: below four in flight that changes nothing (an idle dyno always beats a busy one), above
/// it a dyno that is a hair faster does not draw noticeably more than its share. Ejected dynos are
/// chosen only when no other is left.
pub fn pick(count: usize, start: usize, view: impl Fn(usize) -> Candidate) -> Option<usize> {
    let mut least_usable = None;
    let mut least_any = None;
    for index in 0..count {
        let candidate = view(index);
        if candidate.tried {
            continue;
        }
        lower(&mut least_any, candidate.load);
        if !candidate.ejected {
            lower(&mut least_usable, candidate.load);
        }
    }
    let skip_ejected = least_usable.is_some();
    let least = least_usable.or(least_any)?;
    let tie = least.saturating_add(least / 4);

    // The loads move while we look: remember the best in case none is as low as it was.
    let mut best: Option<(u64, usize)> = None;
    for step in 0..count {
        let index = (start % count + step) % count;
        let candidate = view(index);
        if candidate.tried || (skip_ejected && candidate.ejected) {
            continue;
        }
        if candidate.load <= tie {
            return Some(index);
        }
        if best.is_none_or(|(load, _)| candidate.load < load) {
            best = Some((candidate.load, index));
        }
    }
    best.map(|(_, index)| index)
}

/// Whether one more of `count` dynos may be ejected when `ejected` are: never more than half, so
/// never the last.
pub fn may_eject(count: usize, ejected: usize) -> bool {
    (ejected + 1) * 2 <= count
}

fn lower(least: &mut Option<u64>, load: u64) {
    if least.is_none_or(|known| load < known) {
        *least = Some(load);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(load: u64) -> Candidate {
        Candidate {
            load,
            ejected: false,
            tried: false,
        }
    }

    #[test]
    fn least_loaded_wins() {
        let loads = [3, 1, 2];
        assert_eq!(pick(3, 2, |i| idle(loads[i])), Some(1));
    }

    #[test]
    fn ties_rotate() {
        let picks: Vec<_> = (0..6).map(|start| pick(3, start, |_| idle(0))).collect();
        assert_eq!(
            picks,
            [Some(0), Some(1), Some(2), Some(0), Some(1), Some(2)]
        );
    }

    #[test]
    fn a_quarter_above_the_least_is_a_tie() {
        let loads = [16, 20, 21];
        assert_eq!(pick(3, 1, |i| idle(loads[i])), Some(1));
        assert_eq!(pick(3, 2, |i| idle(loads[i])), Some(0));
    }

    #[test]
    fn ejected_only_when_nothing_else_is_left() {
        let view = |i: usize| Candidate {
            load: i as u64,
            ejected: i == 0,
            tried: i == 1,
        };
        assert_eq!(pick(3, 0, view), Some(2));
        assert_eq!(pick(2, 0, view), Some(0));
    }

    #[test]
    fn none_when_all_were_tried() {
        assert_eq!(
            pick(2, 0, |_| Candidate {
                load: 0,
                ejected: false,
                tried: true
            }),
            None
        );
        assert_eq!(pick(0, 7, |_| idle(0)), None);
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
