//! Where fuzzing reaches how kept lines are read back: panics when what must hold of every input does not. Used by
//! `tests/fuzz` alone.

use crate::spool;

/// Files of an app's log, which a crash may have torn anywhere: a line is read or passed over.
pub fn kept_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for entry in text.lines().filter_map(spool::parse) {
        assert!(!entry.text.contains('\n') && !entry.process.contains('\t'));
    }
}
