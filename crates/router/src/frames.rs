//! Where the frames of HTTP/3 begin and end in what a client sends (RFC 9114, 7.1), so that no frame but one of DATA can
//! be longer than we hold, and nothing is read of the next before the last is taken.
//!
//! Reads types and lengths only. What frames mean, and in which order they may come, is decided by the library.

/// A frame of DATA: passed on piece by piece, so of any length.
const DATA: u64 = 0;

/// The stream over which a client says what holds for its connection (RFC 9114, 6.2.1).
const CONTROL: u64 = 0;

/// Follows one stream.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Most bytes of a frame other than DATA, and of all of a stream that has no frames.
    most: u64,
    number: Number,
    next: Next,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Of a stream in one direction: which it is.
    Purpose,
    Type,
    Length {
        is_data: bool,
    },
    Payload {
        left: u64,
    },
    /// No frames.
    Anything {
        left: u64,
    },
}

/// A frame, or a stream without frames, is longer than we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame is too long")]
pub(crate) struct TooLong;

impl Frames {
    /// Of a request.
    pub(crate) fn of_request(most: u64) -> Frames {
        Frames {
            most,
            number: Number::default(),
            next: Next::Type,
        }
    }

    /// Of a stream in one direction, which begins with what it is for.
    pub(crate) fn of_one_way(most: u64) -> Frames {
        Frames {
            next: Next::Purpose,
            ..Frames::of_request(most)
        }
    }

    /// How many of `bytes`, which come next, are of one piece: the head of a frame, or of its payload what has come.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Result<usize, TooLong> {
        for (index, byte) in bytes.iter().enumerate() {
            match self.next {
                Next::Payload { left } => {
                    let length = at_most(bytes, index, left);
                    let left = left - length as u64;
                    self.next = match left {
                        0 => Next::Type,
                        left => Next::Payload { left },
                    };
                    return Ok(index + length);
                }
                Next::Anything { left } => {
                    let length = bytes.len() - index;
                    let left = left.checked_sub(length as u64).ok_or(TooLong)?;
                    self.next = Next::Anything { left };
                    return Ok(bytes.len());
                }
                Next::Purpose | Next::Type | Next::Length { .. } => {}
            }
            let Some(number) = self.number.feed(*byte) else {
                continue;
            };
            match self.next {
                Next::Purpose if number == CONTROL => self.next = Next::Type,
                Next::Purpose => self.next = Next::Anything { left: self.most },
                Next::Type => {
                    let is_data = number == DATA;
                    self.next = Next::Length { is_data };
                    continue;
                }
                Next::Length { is_data } if !is_data && number > self.most => return Err(TooLong),
                Next::Length { .. } if number == 0 => self.next = Next::Type,
                Next::Length { .. } => self.next = Next::Payload { left: number },
                Next::Payload { .. } | Next::Anything { .. } => {}
            }
            return Ok(index + 1);
        }
        Ok(bytes.len())
    }
}

/// How many bytes from `index` on are among the next `left`.
fn at_most(bytes: &[u8], index: usize, left: u64) -> usize {
    let there = bytes.len() - index;
    usize::try_from(left).map_or(there, |left| left.min(there))
}

/// An integer of QUIC (RFC 9000, 16) as its bytes come.
#[derive(Debug, Default)]
struct Number {
    value: u64,
    /// Bytes still to come, once the first has said so.
    left: Option<u8>,
}

impl Number {
    /// The whole number, with its last byte.
    fn feed(&mut self, byte: u8) -> Option<u64> {
        let left = match self.left {
            None => {
                self.value = u64::from(byte & 0x3f);
                (1 << (byte >> 6)) - 1
            }
            Some(left) => {
                self.value = self.value << 8 | u64::from(byte);
                left - 1
            }
        };
        self.left = (left > 0).then_some(left);
        (left == 0).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cuts `bytes` into pieces, as they come in chunks of `chunk`.
    fn pieces(frames: &mut Frames, bytes: &[u8], chunk: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut all = Vec::new();
        for mut rest in bytes.chunks(chunk) {
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(frames.piece(rest)?);
                all.push(piece.to_vec());
                rest = after;
            }
        }
        Ok(all)
    }

    #[test]
    fn a_piece_is_a_head_or_what_has_come_of_a_payload() {
        // HEADERS of 3 bytes, DATA of 1, an empty DATA, DATA of 300.
        let mut bytes = vec![1, 3, 7, 7, 7, 0, 1, 9, 0, 0, 0, 0x41, 0x2c];
        bytes.extend([8; 300]);
        let cut = pieces(&mut Frames::of_request(10), &bytes, 1_000).unwrap();
        let lengths: Vec<_> = cut.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 3, 2, 1, 2, 3, 300]);
    }

    #[test]
    fn only_data_may_be_long() {
        let long = [0x80, 0x01, 0x00, 0x00];
        let data = [&[0][..], &long].concat();
        pieces(&mut Frames::of_request(100), &data, 2).unwrap();
        for kind in [1, 4, 0x21] {
            let other = [&[kind][..], &long].concat();
            assert_eq!(
                pieces(&mut Frames::of_request(100), &other, 2),
                Err(TooLong)
            );
        }
        let settings = [&[0, 4][..], &long].concat();
        assert_eq!(
            pieces(&mut Frames::of_one_way(100), &settings, 9),
            Err(TooLong)
        );
        // One of QPACK's has no frames.
        pieces(&mut Frames::of_one_way(100), &[2; 101], 7).unwrap();
        assert_eq!(
            pieces(&mut Frames::of_one_way(100), &[2; 102], 7),
            Err(TooLong)
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_comes(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            chunk in 1_usize..50,
            one_way: bool,
        ) {
            let new = || match one_way {
                true => Frames::of_one_way(u64::MAX),
                false => Frames::of_request(u64::MAX),
            };
            let cut = pieces(&mut new(), &bytes, chunk).unwrap();
            prop_assert!(cut.iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(cut.concat(), bytes);
        }
    }
}
