//! Every target over its corpus and bent copies of it: what needs no engine, on every run of the tests.

use fuzz::{Bent, TARGETS, Target};

/// Bent copies of each target's corpus.
const BENT: usize = 3_000;
const SEED: u64 = 1;

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let folder = target.corpus();
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn every_parser_takes_whatever_comes() {
    let broken: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = TARGETS
            .iter()
            .map(|target| scope.spawn(|| first_broken(target)))
            .collect();
        runs.into_iter()
            .filter_map(|run| run.join().unwrap())
            .collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The first input that breaks a target.
fn first_broken(target: &Target) -> Option<String> {
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "{} has no corpus", target.name);
    let bent = Bent::of(&inputs, SEED).take(BENT);
    let mut all = inputs.iter().cloned().chain(bent);
    let broken = all.find(|bytes| std::panic::catch_unwind(|| (target.run)(bytes)).is_err())?;
    Some(format!(
        "{}: {:?}",
        target.name,
        broken.escape_ascii().to_string()
    ))
}
