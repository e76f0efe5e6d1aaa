//! Messages bent a little: a byte more or less, a line twice, two lines the other way round. Pure but for its chances,
//! which are the same for the same seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What such a message may have in a place where it has something else.
const PIECES: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b":",
    b";",
    b",",
    b"0",
    b"1",
    b"f",
    b"-",
    b"+",
    b"0x",
    b"_",
    b"\x80",
    b"\xff",
    b"chunked",
    b"Content-Length: 1\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: content-length\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n",
];

/// A source of chances for each of `count` messages.
pub(super) fn chances(seed: u64, count: u32) -> impl Iterator<Item = StdRng> {
    (0..u64::from(count)).map(move |number| StdRng::seed_from_u64(seed ^ (number << 32)))
}

/// A message under the new path, with one to three changes behind it.
pub(super) fn bent(message: &[u8], path: &str, new: &str, chance: &mut StdRng) -> Vec<u8> {
    let at = message
        .windows(path.len())
        .position(|part| part == path.as_bytes());
    let (head, mut rest) = match at {
        Some(at) => {
            let (before, rest) = message.split_at(at);
            let rest = rest.get(path.len()..).unwrap_or_default();
            ([before, new.as_bytes()].concat(), rest.to_vec())
        }
        None => (Vec::new(), message.to_vec()),
    };
    for _ in 0..chance.random_range(1..=3) {
        // What stands right behind the path would be a part of it.
        let first = 1.min(rest.len());
        let at = chance.random_range(first..=rest.len());
        match chance.random_range(0..5) {
            0 => {
                let piece = PIECES[chance.random_range(0..PIECES.len())];
                rest.splice(at..at, piece.iter().copied());
            }
            1 => {
                let end = (at + chance.random_range(1..4)).min(rest.len());
                rest.drain(at..end);
            }
            2 => {
                if let Some(byte) = rest.get_mut(at) {
                    *byte = chance.random();
                }
            }
            3 => twice(&mut rest, at),
            _ => {
                let piece = PIECES[chance.random_range(0..PIECES.len())];
                let end = (at + piece.len()).min(rest.len());
                rest.splice(at..end, piece.iter().copied());
            }
        }
    }
    [head, rest].concat()
}

/// Says the line around `at` once more.
fn twice(bytes: &mut Vec<u8>, at: usize) {
    let is_end = |byte: &u8| *byte == b'\n';
    let (before, behind) = bytes.split_at(at);
    let Some(begin) = before.iter().rposition(is_end).map(|end| end + 1) else {
        return;
    };
    let Some(end) = behind.iter().position(is_end).map(|end| at + end + 1) else {
        return;
    };
    let line = bytes.get(begin..end).unwrap_or_default().to_vec();
    bytes.splice(begin..begin, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_bends_alike_and_the_path_stays() {
        let message = b"POST /a7 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab";
        let all = |seed| -> Vec<Vec<u8>> {
            chances(seed, 300)
                .map(|mut chance| bent(message, "/a7", "/a90", &mut chance))
                .collect()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        for bent in all(1) {
            assert!(bent.starts_with(b"POST /a90 "));
        }
        bent(b"", "/a", "/b", &mut StdRng::seed_from_u64(1));
    }
}
