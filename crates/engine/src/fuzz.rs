//! Where fuzzing reaches how the engine's output is read: panics when what must hold of every input does not. Used by
//! `tests/fuzz` alone.

use crate::docker::frames::{Form, Piece, Splitter, split_time};
use crate::listen;

/// Output in frames, in a terminal's bytes and in lines: however it is cut on its way, it is read alike, and no piece
/// is made of more than came.
pub fn output_frames(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&1, bytes));
    for form in [Form::Framed, Form::Raw, Form::Lines] {
        let whole = pieces(form, [rest].into_iter());
        let cut = pieces(form, rest.chunks(usize::from(*first).max(1)));
        let length: usize = whole.iter().map(Vec::len).sum();
        assert!(length <= rest.len() + 64);
        match form {
            Form::Framed => {}
            Form::Raw | Form::Lines => assert_eq!(whole.concat(), cut.concat()),
        }
    }
}

/// `/proc/net/tcp`, whatever stands in it.
pub fn listening(bytes: &[u8]) {
    let _ = listen::parse(&String::from_utf8_lossy(bytes));
}

fn pieces<'a>(form: Form, chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(form);
    let mut all = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        all.extend(std::iter::from_fn(|| splitter.next()).map(bytes));
    }
    all.extend(splitter.rest().map(bytes));
    all
}

fn bytes(piece: Piece) -> Vec<u8> {
    match piece {
        Piece::Output(_, bytes) => {
            let length = bytes.len();
            let (_, rest) = split_time(bytes.clone());
            assert!(rest.len() <= length);
            bytes.to_vec()
        }
        Piece::Complaint(text) => text.into_bytes(),
    }
}
