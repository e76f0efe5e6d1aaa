//! Taking apart what the engine sends as output: frames of two streams, and the time before each logged line. Pure.
//!
//! Without a terminal each frame is one type byte, three zero bytes, a length of four bytes, and that many bytes; with
//! one the bytes stand alone. In logs each frame holds one message, with its time and a space before it.

use bytes::{Buf, Bytes, BytesMut};
use jiff::Timestamp;

use crate::container::OutputStream;

const HEADER: usize = 8;

/// Longest frame believed, in bytes. The engine sends at most 32 KiB; more means that we lost the rhythm.
const MAX_FRAME: usize = 16 * 1024 * 1024;

/// A time of RFC 3339 with nanoseconds and an offset is no longer than this.
const MAX_TIME: usize = 40;

/// Longest line of a terminal's log that is waited for, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// How the bytes of one answer are to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Framed,
    /// A terminal, live: every chunk as it comes.
    Raw,
    /// A terminal's log: lines, for each has its time before it.
    Lines,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Output(OutputStream, Bytes),
    /// The engine's own complaint in the middle of a stream.
    Complaint(String),
}

#[derive(Debug)]
pub(crate) struct Splitter {
    form: Form,
    buffer: BytesMut,
}

impl Splitter {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            buffer: BytesMut::new(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole piece, or `None` until more is pushed.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        match self.form {
            Form::Framed => self.next_frame(),
            Form::Raw => self.rest(),
            Form::Lines => {
                let end = match self.buffer.iter().position(|byte| *byte == b'\n') {
                    Some(newline) => newline + 1,
                    None if self.buffer.len() >= MAX_LINE => self.buffer.len(),
                    None => return None,
                };
                Some(stdout(self.buffer.split_to(end)))
            }
        }
    }

    /// What is left when the stream has ended; half a frame is nothing.
    pub(crate) fn rest(&mut self) -> Option<Piece> {
        let whole = self.form != Form::Framed && !self.buffer.is_empty();
        whole.then(|| stdout(self.buffer.split()))
    }

    fn next_frame(&mut self) -> Option<Piece> {
        let header = self.buffer.get(..HEADER)?;
        let kind = header[0];
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if kind > 3 || length > MAX_FRAME {
            self.buffer.clear();
            return Some(Piece::Complaint("a frame that is none".to_owned()));
        }
        if self.buffer.len() < HEADER + length {
            return None;
        }
        self.buffer.advance(HEADER);
        let bytes = self.buffer.split_to(length).freeze();
        Some(match kind {
            2 => Piece::Output(OutputStream::Stderr, bytes),
            3 => Piece::Complaint(String::from_utf8_lossy(&bytes).trim().to_owned()),
            _ => Piece::Output(OutputStream::Stdout, bytes),
        })
    }
}

/// A logged message without its time. A message that has none (a piece of an over-long terminal line) stays whole.
pub(crate) fn split_time(mut message: Bytes) -> (Option<Timestamp>, Bytes) {
    let head = &message[..message.len().min(MAX_TIME)];
    let Some(space) = head.iter().position(|byte| *byte == b' ') else {
        return (None, message);
    };
    let time = std::str::from_utf8(&head[..space])
        .ok()
        .and_then(|text| text.parse::<Timestamp>().ok());
    if time.is_some() {
        message.advance(space + 1);
    }
    (time, message)
}

fn stdout(bytes: BytesMut) -> Piece {
    Piece::Output(OutputStream::Stdout, bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, 0, 0, 0];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn all(splitter: &mut Splitter) -> Vec<Piece> {
        std::iter::from_fn(|| splitter.next()).collect()
    }

    #[test]
    fn frames_survive_any_cut() {
        let mut bytes = frame(1, b"out\n");
        bytes.extend(frame(2, b""));
        bytes.extend(frame(2, b"err without an end"));
        let expected = vec![
            Piece::Output(OutputStream::Stdout, Bytes::from_static(b"out\n")),
            Piece::Output(OutputStream::Stderr, Bytes::new()),
            Piece::Output(
                OutputStream::Stderr,
                Bytes::from_static(b"err without an end"),
            ),
        ];
        for cut in 0..bytes.len() {
            let mut splitter = Splitter::new(Form::Framed);
            splitter.push(&bytes[..cut]);
            let mut pieces = all(&mut splitter);
            splitter.push(&bytes[cut..]);
            pieces.extend(all(&mut splitter));
            assert_eq!(pieces, expected, "cut at {cut}");
            assert_eq!(splitter.rest(), None);
        }
    }

    #[test]
    fn a_terminal_may_send_any_byte() {
        let mut splitter = Splitter::new(Form::Raw);
        splitter.push(b"\x01\x00$ ");
        assert_eq!(
            splitter.next(),
            Some(Piece::Output(
                OutputStream::Stdout,
                Bytes::from_static(b"\x01\x00$ ")
            ))
        );
        assert_eq!(splitter.next(), None);
    }

    #[test]
    fn the_engines_complaint_is_no_output() {
        let mut splitter = Splitter::new(Form::Framed);
        splitter.push(&frame(3, b"Error grabbing logs\n"));
        assert_eq!(
            splitter.next(),
            Some(Piece::Complaint("Error grabbing logs".to_owned()))
        );
        splitter.push(b"not a frame at all");
        assert!(matches!(splitter.next(), Some(Piece::Complaint(_))));
    }

    #[test]
    fn a_time_is_taken_off_only_where_one_stands() {
        let (time, rest) = split_time(Bytes::from_static(b"2026-05-04T03:02:01.000000009Z a b\n"));
        assert_eq!(time.map(|t| t.subsec_nanosecond()), Some(9));
        assert_eq!(rest, Bytes::from_static(b"a b\n"));
        for text in ["no time here", "", "nospace", "2026-99-99T00:00:00Z x"] {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            assert_eq!(split_time(bytes.clone()), (None, bytes));
        }
    }
}
