//! One target under libFuzzer: the one that `ROPEWALK_FUZZ_TARGET` names. `cargo xtask fuzz` builds and runs it.
#![no_main]
#![allow(unsafe_code, reason = "the engine calls a C function")]

use std::sync::LazyLock;

use fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("ROPEWALK_FUZZ_TARGET").unwrap_or_default();
    match Target::find(&name) {
        Some(target) => target,
        None => panic!("ROPEWALK_FUZZ_TARGET={name} is no target"),
    }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
