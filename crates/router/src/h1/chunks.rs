//! A chunked body, taken apart and put together again: what is passed on is framed by this router, however it came.

/// Most bytes of a body's extensions, and of its trailers.
const MOST: usize = 16 * 1024;

/// Where in its framing a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the digits of a size; how many there were.
    Size(u8),
    /// Behind them, before the line's end.
    Extension,
    /// After its carriage return.
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    Trailers,
    TrailerEnd,
    Done,
}

/// Reads a body piece by piece.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: At,
    /// Of the chunk: its size as far as it was read, then what is left of it.
    left: u64,
    extensions: usize,
    /// Bytes of trailers, which nobody here has asked for.
    trailers: usize,
    /// Of the line that is read, without its end.
    line: usize,
}

/// It is no chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Chunks {
    pub(crate) fn new() -> Chunks {
        Chunks {
            at: At::Size(0),
            left: 0,
            extensions: 0,
            trailers: 0,
            line: 0,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Takes of `input` what belongs to the body, and says how much that was; `data` gets what it carries.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, Broken> {
        let mut used = 0;
        while let (Some(&byte), false) = (input.get(used), self.is_done()) {
            if self.at == At::Data {
                let rest = &input[used..];
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let piece = &rest[..rest.len().min(most)];
                data(piece);
                used += piece.len();
                self.left -= piece.len() as u64;
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                continue;
            }
            used += 1;
            self.at = self.next(byte)?;
        }
        Ok(used)
    }

    fn next(&mut self, byte: u8) -> Result<At, Broken> {
        Ok(match (self.at, byte) {
            (At::Size(digits), byte) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left * 16 + u64::from(digit);
                At::Size(digits + 1)
            }
            (At::Size(1..), b'\r') | (At::Extension, b'\r') => At::SizeEnd,
            (At::Size(1..), b' ' | b'\t' | b';') => At::Extension,
            (At::Extension, byte) if byte != b'\n' && self.extensions < MOST => {
                self.extensions += 1;
                At::Extension
            }
            (At::SizeEnd, b'\n') if self.left == 0 => At::Trailers,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Size(0),
            (At::Trailers, b'\r') => At::TrailerEnd,
            (At::Trailers, byte) if byte != b'\n' && self.trailers < MOST => {
                self.trailers += 1;
                self.line += 1;
                At::Trailers
            }
            (At::TrailerEnd, b'\n') if self.line == 0 => At::Done,
            (At::TrailerEnd, b'\n') => {
                self.line = 0;
                At::Trailers
            }
            _ => return Err(Broken),
        })
    }
}

/// What ends a body.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

/// Appends a piece of a body as a chunk.
pub(crate) fn append(out: &mut Vec<u8>, piece: &[u8]) {
    append_size(out, piece.len());
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}

fn append_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let digit = (size >> (digit * 4)) as u32 & 0xf;
        out.push(char::from_digit(digit, 16).map_or(b'0', |char| char.to_ascii_uppercase() as u8));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body carries, and how much of `pieces` belongs to it.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize, bool), Broken> {
        let (mut chunks, mut data, mut used) = (Chunks::new(), Vec::new(), 0);
        for piece in pieces {
            used += chunks.take(piece, |part| data.extend_from_slice(part))?;
        }
        Ok((data, used, chunks.is_done()))
    }

    #[test]
    fn a_body_is_the_same_however_it_comes() {
        let body = b"3\r\nabc\r\nA ;x=\"y\"\r\n0123456789\r\n000\r\nSum: 1\r\nB: \r\n\r\n";
        let all = [body.as_slice(), b"HTTP/1.1 200"].concat();
        for size in 1..all.len() {
            let (data, used, done) = read(all.chunks(size)).unwrap();
            assert_eq!(data, b"abc0123456789");
            assert!(done && used == body.len(), "{size}");
        }
        let (_, used, done) = read(all[..body.len() - 1].chunks(7)).unwrap();
        assert!(!done && used == body.len() - 1);
    }

    #[test]
    fn what_is_framed_otherwise_is_broken() {
        let long = format!("1;{}\r\n", "x".repeat(MOST + 1));
        let trailers = format!("0\r\n{}\r\n\r\n", "x".repeat(MOST + 1));
        for body in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1\nx",
            "1\r\r",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "ffffffffffffffff\r\n",
            "0\r\n\n",
            &long,
            &trailers,
        ] {
            assert_eq!(read([body.as_bytes()].into_iter()), Err(Broken), "{body:?}");
        }
    }

    #[test]
    fn what_is_put_together_can_be_taken_apart() {
        let mut out = Vec::new();
        let pieces = [1, 15, 16, 255, 4096, 70_000].map(|size| vec![b'x'; size]);
        for piece in &pieces {
            append(&mut out, piece);
        }
        out.extend_from_slice(END);
        let (data, used, done) = read(out.chunks(1000)).unwrap();
        assert_eq!(data.len(), pieces.iter().map(Vec::len).sum::<usize>());
        assert!(done && used == out.len());
    }
}
