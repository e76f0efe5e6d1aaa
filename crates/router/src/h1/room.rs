//! Buffers that wait for whoever needs one: a connection has one only while bytes are in it.
//!
//! Each core keeps a few, so that taking one costs no allocation and what is touched stays in its cache.

use std::cell::RefCell;

/// Bytes of a buffer: the usual head, and a small body behind it.
pub(crate) const SMALL: usize = 8 * 1024;

/// Bytes at first of what waits with its request for an answer: the usual head for a dyno.
pub(crate) const HEAD: usize = 960;

/// Bytes of one for a body that is longer.
pub(crate) const LARGE: usize = 128 * 1024;

/// How many are kept, of each size, on each core.
const KEPT: (usize, usize) = (64, 4);

/// What a core keeps.
struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const {
        RefCell::new(Spare {
            small: Vec::new(),
            large: Vec::new(),
        })
    };
}

/// An empty buffer for [`SMALL`] bytes.
pub(crate) fn small() -> Vec<u8> {
    let kept = SPARE.with_borrow_mut(|spare| spare.small.pop());
    kept.unwrap_or_else(|| Vec::with_capacity(SMALL))
}

/// An empty buffer for [`LARGE`] bytes.
pub(crate) fn large() -> Vec<u8> {
    let kept = SPARE.with_borrow_mut(|spare| spare.large.pop());
    kept.unwrap_or_else(|| Vec::with_capacity(LARGE))
}

/// Takes a buffer back; one that grew is let go.
pub(crate) fn give(mut buffer: Vec<u8>) {
    buffer.clear();
    SPARE.with_borrow_mut(|spare| match buffer.capacity() {
        SMALL if spare.small.len() < KEPT.0 => spare.small.push(buffer),
        LARGE if spare.large.len() < KEPT.1 => spare.large.push(buffer),
        _ => {}
    });
}

/// Swaps a buffer for none and takes it back.
pub(crate) fn give_up(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 0 {
        give(std::mem::take(buffer));
    }
}

/// Makes an empty buffer one for `most` bytes, as far as there are such.
pub(crate) fn fit(buffer: &mut Vec<u8>, most: usize) {
    buffer.clear();
    let wanted = if most > SMALL { LARGE } else { SMALL };
    if buffer.capacity() < wanted {
        give_up(buffer);
        *buffer = if wanted == LARGE { large() } else { small() };
    }
}
