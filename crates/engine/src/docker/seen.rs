//! Telling messages of a log that came already from those that did not. Pure.
//!
//! Docker Engine stamps the messages of each stream in order, pieces of one over-long line with one time. A time that
//! goes back to one we know is the engine reading a part of its log again (it does so when it begins a new file), and
//! everything up to where we were is old. That part may be the last message alone: no time goes back then, but a line
//! that had its end comes with the same time and the same bytes. A time that goes back to one we never saw is a clock
//! that was set back.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::container::{Output, OutputStream};

/// Messages whose times are remembered: 32 KiB for a container that writes much.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Times in nanoseconds, doubled, plus one for stderr.
    recent: VecDeque<i64>,
    stdout: Place,
    stderr: Place,
}

/// How far one stream has come.
#[derive(Debug, Default)]
struct Place {
    /// Nanoseconds since the epoch of the latest message.
    at: i64,
    /// Pieces that bear this time.
    pieces: u32,
    /// Digests of the first and of the latest of them.
    first: u64,
    last: u64,
    /// Whether the latest ended its line, so that no piece of it is to come.
    ended: bool,
    /// While the log is read again: pieces at `at` that are still to come again.
    again: Option<u32>,
}

impl Seen {
    /// Whether a message is new. One without a time always is.
    pub(super) fn admits(&mut self, output: &Output) -> bool {
        let Some(at) = output
            .at
            .and_then(|at| i64::try_from(at.as_nanosecond()).ok())
        else {
            return true;
        };
        let (place, mark) = match output.stream {
            OutputStream::Stdout => (&mut self.stdout, 0),
            OutputStream::Stderr => (&mut self.stderr, 1),
        };
        let key = at.saturating_mul(2).saturating_add(mark);
        let digest = digest(&output.bytes);
        let ended = output.bytes.last() == Some(&b'\n');
        let is_new = if at > place.at {
            true
        } else if at == place.at {
            if place.again.unwrap_or(0) == 0 && place.ended {
                place.again = if digest == place.first {
                    Some(place.pieces)
                } else {
                    (digest == place.last).then_some(1)
                };
            }
            match &mut place.again {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    false
                }
                _ => {
                    place.pieces += 1;
                    place.last = digest;
                    place.ended = ended;
                    return true;
                }
            }
        } else if place.again.is_some() {
            false
        } else if self.recent.contains(&key) {
            place.again = Some(place.pieces);
            false
        } else {
            true
        };
        if is_new {
            *place = Place {
                at,
                pieces: 1,
                first: digest,
                last: digest,
                ended,
                again: None,
            };
            if self.recent.len() == REMEMBERED {
                self.recent.pop_front();
            }
            self.recent.push_back(key);
        }
        is_new
    }

    /// From here on the log is read again. Returns the time to read from, in nanoseconds; `None` when nothing came.
    pub(super) fn again(&mut self) -> Option<i64> {
        for place in [&mut self.stdout, &mut self.stderr] {
            if place.pieces > 0 {
                place.again = Some(place.pieces);
            }
        }
        self.recent.iter().min().map(|key| key / 2)
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;

    fn out(at: i64) -> Output {
        Output {
            stream: OutputStream::Stdout,
            at: Timestamp::from_nanosecond(at.into()).ok(),
            bytes: Bytes::new(),
        }
    }

    fn err(at: i64) -> Output {
        Output {
            stream: OutputStream::Stderr,
            ..out(at)
        }
    }

    fn admitted(seen: &mut Seen, times: &[i64]) -> Vec<i64> {
        let admitted = times.iter().filter(|at| seen.admits(&out(**at)));
        admitted.copied().collect()
    }

    #[test]
    fn a_part_read_again_is_left_out() {
        let mut seen = Seen::default();
        assert_eq!(
            admitted(&mut seen, &[1, 2, 3, 4, 2, 3, 4, 5, 6]),
            [1, 2, 3, 4, 5, 6]
        );
    }

    #[test]
    fn pieces_of_one_line_are_all_kept_once() {
        let mut seen = Seen::default();
        assert_eq!(
            admitted(&mut seen, &[1, 2, 2, 2, 1, 2, 2, 2, 2, 3]),
            [1, 2, 2, 2, 2, 3]
        );
    }

    #[test]
    fn the_last_line_alone_read_again_is_left_out() {
        let mut seen = Seen::default();
        let mut new = |at, bytes: &'static str| {
            seen.admits(&Output {
                bytes: Bytes::from_static(bytes.as_bytes()),
                ..out(at)
            })
        };
        assert!(new(1, "one\n"));
        assert!(!new(1, "one\n"));
        assert!(new(2, "two\n"));
        assert!(new(2, "a clock too coarse to tell\n"));
        assert!(!new(2, "a clock too coarse to tell\n"));
        assert!(new(3, "xx") && new(3, "xx") && new(3, "x\n"));
        assert!(!new(3, "xx") && !new(3, "xx") && !new(3, "x\n"));
        assert!(new(4, "xx") && new(4, "xx") && new(4, "x\n"));
        assert!(!new(4, "x\n"), "the last piece alone");
        assert!(new(5, "x\n"));
    }

    #[test]
    fn streams_stand_by_themselves() {
        let mut seen = Seen::default();
        assert!(seen.admits(&out(5)));
        assert!(seen.admits(&err(4)));
        assert!(seen.admits(&err(5)));
        assert!(seen.admits(&out(6)));
        assert!(!seen.admits(&err(4)));
        assert!(seen.admits(&out(7)));
    }

    #[test]
    fn a_clock_set_back_loses_nothing() {
        let mut seen = Seen::default();
        assert_eq!(
            admitted(&mut seen, &[100, 200, 50, 60, 210]),
            [100, 200, 50, 60, 210]
        );
    }

    #[test]
    fn the_end_adds_only_what_did_not_come() {
        let mut seen = Seen::default();
        assert_eq!(seen.again(), None);
        assert_eq!(admitted(&mut seen, &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(seen.again(), Some(1));
        assert!(seen.admits(&err(2)), "a stream that had nothing yet");
        assert_eq!(admitted(&mut seen, &[1, 2, 3, 4, 5]), [4, 5]);
    }
}
