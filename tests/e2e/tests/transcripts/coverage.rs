//! That transcripts show every command: with `--json` where it has that, and once where it fails.
//!
//! The commands are those that the program writes man pages for, so that none can be forgotten here.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use e2e::{Ran, binary};
use regex::Regex;

use crate::transcript::{Step, Transcript};

/// Commands that run until they are ended, or would change this machine: other tests run them.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "server",
        "every test on a platform runs it, under supervise",
    ),
    (
        "router",
        "every test on a platform runs it, under supervise",
    ),
    ("supervise", "every test on a platform runs it"),
    ("install", "it sets systemd units up"),
    ("teardown", "every test on a platform ends with it"),
];

/// Commands whose `--json` cannot be shown.
const NO_JSON: &[(&str, &str)] = &[
    (
        "builds:cancel",
        "a build of an app this small ends before it can be cancelled",
    ),
    (
        "certs:auto:enable",
        "no authority issues certificates on this machine; tests of the crate acme have one",
    ),
    (
        "certs:auto:refresh",
        "no authority issues certificates on this machine; tests of the crate acme have one",
    ),
];

/// Commands that nothing can be wrong with.
const NEVER_WRONG: &[(&str, &str)] = &[
    ("version", "it asks nobody"),
    (
        "help",
        "it knows every command, and absent.txt shows it for those that are not",
    ),
    ("logout", "who is not logged in is logged out"),
];

/// What no transcript shows, a sentence for each.
pub(crate) fn missing(transcripts: &[Transcript]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut man = Command::new(binary());
    man.arg("man").arg(folder.path());
    Ran::of(man.output().unwrap()).good();
    let pages = pages(folder.path());
    let mut known: HashMap<String, String> = HashMap::new();
    let mut typed: Vec<(String, &Step)> = Vec::new();
    for step in transcripts.iter().flat_map(Transcript::steps) {
        for name in names(&step.line) {
            let own = known.entry(name).or_insert_with_key(|name| own_name(name));
            typed.push((own.clone(), step));
        }
    }
    let mut missing = Vec::new();
    for (name, page) in pages {
        if stands_in(ELSEWHERE, &name) {
            continue;
        }
        let mut shown = typed
            .iter()
            .filter(|(command, _)| *command == name)
            .map(|(_, step)| *step);
        if shown.clone().next().is_none() {
            missing.push(format!("No transcript shows {name}."));
            continue;
        }
        let by_json = |step: &Step| step.line.contains("--json") && step.code == 0;
        let has_json = page.contains(r"\-\-json") && !stands_in(NO_JSON, &name);
        if has_json && !shown.clone().any(by_json) {
            missing.push(format!("No transcript shows {name} --json."));
        }
        if !stands_in(NEVER_WRONG, &name) && shown.all(|step| step.code == 0) {
            missing.push(format!(
                "No transcript shows what {name} says to a mistake."
            ));
        }
    }
    missing
}

/// The commands of a line: what follows each `ropewalk`.
fn names(line: &str) -> Vec<String> {
    let name = Regex::new(r"\bropewalk ([a-z0-9:]+)").unwrap();
    name.captures_iter(line)
        .map(|found| found[1].to_owned())
        .collect()
}

/// `create` is `apps:create`, as its help says; what is no command stays as it is.
fn own_name(typed: &str) -> String {
    let help = Command::new(binary())
        .args([typed, "--help"])
        .output()
        .unwrap();
    let usage = Regex::new(r"Usage: ropewalk ([a-z0-9:]+)").unwrap();
    usage
        .captures(&String::from_utf8_lossy(&help.stdout))
        .map_or_else(|| typed.to_owned(), |found| found[1].to_owned())
}

fn stands_in(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(command, _)| *command == name)
}

/// Every visible command and its man page.
fn pages(folder: &Path) -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let file = path.file_name()?.to_str()?;
            let name = file.strip_prefix("ropewalk-")?.strip_suffix(".1")?;
            Some((name.to_owned(), std::fs::read_to_string(&path).unwrap()))
        })
        .collect();
    pages.sort();
    assert!(pages.len() > 50, "{} man pages", pages.len());
    pages
}
