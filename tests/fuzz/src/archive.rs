//! Archives that strangers send: whatever they hold, nothing is surveyed that leads out of the tree.

use std::fs::File;
use std::io::Write;

use ropewalk_slug::Limits;
use ropewalk_slug::unpack::{Form, Rules, survey};
use rustix::fs::{MemfdFlags, memfd_create};

/// Kept small, so that the limits themselves are reached.
const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    entries: 64,
    depth: 16,
    path: 256,
};

pub(crate) fn archive(bytes: &[u8]) {
    let Ok(file) = memfd_create("archive", MemfdFlags::CLOEXEC) else {
        return;
    };
    let mut file = File::from(file);
    if file.write_all(bytes).is_err() {
        return;
    }
    for form in [Form::Source, Form::Slug] {
        let rules = Rules {
            form,
            limits: LIMITS,
        };
        if let Ok(facts) = survey(&file, rules, &|| false) {
            assert!(facts.bytes <= LIMITS.bytes && facts.entries <= LIMITS.entries);
        }
    }
}
