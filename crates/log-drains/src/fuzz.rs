//! Where fuzzing reaches the frames that drains send: panics when what must hold of every input does not. Used by
//! `tests/fuzz` alone.

use jiff::Timestamp;
use ropewalk_logs::Entry;
use ropewalk_model::log_line::LogSource;

use crate::format::write_frame;

/// What a process calls itself and what it prints: a frame is as long as it says, and ends with it.
pub fn syslog_frame(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (process, line) = text.split_once('\n').unwrap_or(("", &text));
    let entry = Entry {
        seq: 1,
        at: Timestamp::UNIX_EPOCH,
        source: LogSource::App,
        process: process.into(),
        // Lines are cut where they end before they come here.
        text: line.replace('\n', " ").into(),
    };
    let mut out = Vec::new();
    write_frame(&mut out, "host", &entry);
    let Some(space) = out.iter().position(|byte| *byte == b' ') else {
        panic!("no count");
    };
    let (count, frame) = out.split_at(space);
    let count = std::str::from_utf8(count)
        .ok()
        .and_then(|count| count.parse().ok());
    assert_eq!(count, Some(frame.len() - 1));
    assert!(frame.ends_with(b"\n"));
    let words = frame.split(|byte| *byte == b' ').take(7).count();
    assert_eq!(words, 7, "a process is one word");
}
