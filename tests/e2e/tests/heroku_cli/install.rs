//! Heroku's clients as their registries have them, kept in the test cache by version.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that the table in docs/heroku-cli.md is about.
pub(crate) const PINNED: &str = "11.10.0";
/// A day on which everything that it needs was there. What is newer may be half published: a package whose own
/// dependency cannot be had yet.
const SETTLED: &str = "2026-11-20";
/// Node.js for hosts whose own is older than the CLI takes.
const NODE: &str = "22";
const OLDEST_NODE: u32 = 20;
const HEROKU3: &str = "5.2.1";

/// Folders for PATH: the CLI's, and a newer Node.js's if the host's is too old.
pub(crate) fn cli(version: &str) -> Vec<PathBuf> {
    let own_node = node_is_new_enough();
    let name = match own_node {
        true => format!("heroku-cli-{version}"),
        false => format!("heroku-cli-{version}-node{NODE}"),
    };
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    // What the pinned version is made of stays the same; of a newer one only if there is no other way.
    let days = match version {
        PINNED => [Some(SETTLED), None],
        _ => [None, Some(SETTLED)],
    };
    let folder = cached(&name, &days, |folder, day| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
            .args(["--omit=optional", "--loglevel=error", "--prefix"])
            .arg(folder)
            .arg(format!("heroku@{version}"))
            .args(day.map(|day| format!("--before={day}")));
        if !own_node {
            npm.arg(format!("node-linux-{machine}@{NODE}"));
        }
        npm
    });
    let modules = folder.join("node_modules");
    let mut folders = vec![modules.join(".bin")];
    if !own_node {
        folders.push(modules.join(format!("node-linux-{machine}/bin")));
    }
    folders
}

/// The CLI's own list of its commands, of an installed version.
pub(crate) fn manifest(folders: &[PathBuf]) -> serde_json::Value {
    let path = folders[0]
        .parent()
        .unwrap()
        .join("heroku/oclif.manifest.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The newest 11.x that the registry has; the pinned one when it cannot be asked.
pub(crate) fn newest() -> String {
    let output = Command::new("npm")
        .args(["view", "heroku@11", "version", "--json"])
        .output()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let versions: Vec<String> = match answer {
        serde_json::Value::Array(list) => list
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        serde_json::Value::String(one) => vec![one],
        _ => Vec::new(),
    };
    let numbers = |version: &String| -> Vec<u32> {
        version
            .split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    versions
        .into_iter()
        .max_by_key(numbers)
        .unwrap_or_else(|| PINNED.to_owned())
}

/// A folder for PYTHONPATH.
pub(crate) fn heroku3() -> PathBuf {
    cached(&format!("heroku3-{HEROKU3}"), &[()], |folder, ()| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "-q", "--no-cache-dir", "--target"])
            .arg(folder)
            .arg(format!("heroku3=={HEROKU3}"));
        pip
    })
}

fn node_is_new_enough() -> bool {
    let output = Command::new("node").arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    version
        .ok()
        .and_then(|version| {
            version
                .trim_start_matches('v')
                .split('.')
                .next()?
                .parse()
                .ok()
        })
        .is_some_and(|major: u32| major >= OLDEST_NODE)
}

/// The folder of that name in the cache; made by `install` in a folder beside it, which takes its place when whole. The
/// first of the `ways` that succeeds is taken.
fn cached<T: Copy>(name: &str, ways: &[T], install: impl Fn(&Path, T) -> Command) -> PathBuf {
    let cache = std::env::var_os("ROPEWALK_TEST_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/ropewalk"), PathBuf::from);
    let folder = cache.join(name);
    if folder.exists() {
        return folder;
    }
    std::fs::create_dir_all(&cache).unwrap();
    let mut said = String::new();
    let made = ways.iter().find_map(|way| {
        let new = tempfile::Builder::new().tempdir_in(&cache).unwrap();
        let output = install(new.path(), *way).output().unwrap();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        output.status.success().then_some(new)
    });
    let new = made.unwrap_or_else(|| panic!("{name} could not be installed: {said}"));
    // Another test may have been quicker.
    if std::fs::rename(new.path(), &folder).is_ok() {
        let _ = new.keep();
    }
    folder
}
