//! Where fuzzing reaches what authorities answer and what certificates say: panics when what must hold of every input
//! does not. Used by `tests/fuzz` alone.

use jiff::Timestamp;

use crate::answer;
use crate::subject::Subject;

/// A chain in PEM, and behind a NUL an answer about it: no answer is longer in force than it has begun to be.
pub fn ocsp_answer(bytes: &[u8]) {
    let (chain, answer) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, [].as_slice()),
    };
    let Ok(subject) = Subject::of(&String::from_utf8_lossy(chain)) else {
        return;
    };
    let Some(asked) = subject.asked() else {
        return;
    };
    assert!(!asked.request.is_empty() && !asked.responder.host.is_empty());
    let Ok(now) = Timestamp::from_second(1_800_000_000) else {
        panic!("no time");
    };
    if let Ok(answer) = answer::check(answer, asked, now) {
        assert!(answer.until > now, "it is out of date");
    }
}
