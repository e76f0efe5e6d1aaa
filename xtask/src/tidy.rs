//! Rules about the tree that no compiler checks. Prints the sizes, fails on broken rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::layers::{CRATES, MODEL_MUST_NOT, OWNERS};
use crate::place::Place;
use crate::process;

/// Top-level folders, and no others.
const FOLDERS: [&str; 7] = [
    "crates",
    "buildpacks",
    "stacks",
    "examples",
    "docs",
    "xtask",
    "tests",
];

/// Words that the glossary replaces by Heroku's, Docker's or OCI's.
const BANNED: [(&str, &str); 3] = [
    ("worker node", "host"),
    ("microservice", "app"),
    ("kubelet", "node agent"),
];

pub fn run() -> Result<()> {
    let place = Place::find()?;
    let mut broken = Vec::new();
    check_layers(&place, &mut broken)?;
    let files = tracked(&place)?;
    check_folders(&files, &mut broken);
    check_texts(&place, &files, &mut broken)?;
    check_named_symbols(&place, &files, &mut broken)?;
    sizes(&place, &files)?;
    if !broken.is_empty() {
        bail!(
            "{} rules are broken:\n  {}",
            broken.len(),
            broken.join("\n  ")
        );
    }
    println!("tidy: every rule holds");
    Ok(())
}

fn tracked(place: &Place) -> Result<Vec<PathBuf>> {
    let root = place.root.to_string_lossy().into_owned();
    let list = process::quiet(
        "git",
        &[
            "-C",
            &root,
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    )?;
    Ok(list
        .lines()
        .map(PathBuf::from)
        .filter(|path| place.root.join(path).is_file())
        .collect())
}

fn check_layers(place: &Place, broken: &mut Vec<String>) -> Result<()> {
    let manifest = place.root.join("Cargo.toml").to_string_lossy().into_owned();
    let text = process::quiet(
        "cargo",
        &[
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--offline",
            "--manifest-path",
            &manifest,
        ],
    )?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists packages")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let short = name.strip_prefix("ropewalk-").unwrap_or(name);
        let used: Vec<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        check_package(short, &used, broken);
    }
    Ok(())
}

fn check_package(short: &str, used: &[&str], broken: &mut Vec<String>) {
    for (library, owners) in OWNERS {
        if used.contains(library) && !owners.contains(&short) {
            broken.push(format!(
                "{short} names {library}, which only {} may",
                owners.join(", ")
            ));
        }
    }
    if short == "model" {
        for library in MODEL_MUST_NOT
            .iter()
            .filter(|library| used.contains(library))
        {
            broken.push(format!(
                "model uses {library}: it has no IO, no wire form, no randomness"
            ));
        }
    }
    let Some((_, _, allowed)) = CRATES.iter().find(|(name, ..)| *name == short) else {
        if !["ropewalk", "xtask", "e2e", "conformance", "fuzz"].contains(&short) {
            broken.push(format!(
                "{short} is not in the layer table (xtask/src/layers.rs)"
            ));
        }
        return;
    };
    for other in used
        .iter()
        .filter_map(|name| name.strip_prefix("ropewalk-"))
    {
        if !["model", "telemetry"].contains(&other) && !allowed.contains(&other) {
            broken.push(format!("{short} may not use {other} (xtask/src/layers.rs)"));
        }
    }
}

fn check_folders(files: &[PathBuf], broken: &mut Vec<String>) {
    let mut seen: Vec<&str> = files
        .iter()
        .filter(|path| path.components().count() > 1)
        .filter_map(|path| path.components().next()?.as_os_str().to_str())
        .filter(|name| !name.starts_with('.') && !FOLDERS.contains(name))
        .collect();
    seen.dedup();
    for name in seen {
        broken.push(format!(
            "top-level folder {name}/ is not one of {}",
            FOLDERS.join(" ")
        ));
    }
}

fn check_texts(place: &Place, files: &[PathBuf], broken: &mut Vec<String>) -> Result<()> {
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        if path.starts_with("xtask/src/tidy.rs") {
            continue;
        }
        let text = std::fs::read_to_string(place.root.join(path))?;
        if !text.trim_start().starts_with("//!") && !text.starts_with("#!") {
            broken.push(format!(
                "{} does not open by saying what it is for (//!)",
                path.display()
            ));
        }
        for (word, instead) in BANNED
            .iter()
            .filter(|(word, _)| text.to_lowercase().contains(word))
        {
            broken.push(format!("{}: say {instead:?}, not {word:?}", path.display()));
        }
    }
    Ok(())
}

/// `file.rs::symbol` in the lifecycles must exist.
fn check_named_symbols(place: &Place, files: &[PathBuf], broken: &mut Vec<String>) -> Result<()> {
    for path in files
        .iter()
        .filter(|path| path.starts_with("docs/lifecycles"))
    {
        let text = std::fs::read_to_string(place.root.join(path))?;
        for quoted in text.split('`').skip(1).step_by(2) {
            let Some((file, symbol)) = quoted.split_once("::") else {
                continue;
            };
            if !file.ends_with(".rs") || symbol.contains(' ') {
                continue;
            }
            let symbol = symbol
                .rsplit("::")
                .next()
                .unwrap_or(symbol)
                .trim_end_matches("()");
            let found = files
                .iter()
                .filter(|candidate| candidate.ends_with(file))
                .any(|candidate| {
                    std::fs::read_to_string(place.root.join(candidate))
                        .is_ok_and(|code| code.contains(symbol))
                });
            if !found {
                broken.push(format!("{}: {quoted} is not there", path.display()));
            }
        }
    }
    Ok(())
}

/// Prints the sizes; they are taste, and fail nothing.
fn sizes(place: &Place, files: &[PathBuf]) -> Result<()> {
    let mut groups: BTreeMap<String, Vec<(usize, &Path)>> = BTreeMap::new();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        let lines = std::fs::read_to_string(place.root.join(path))?
            .lines()
            .count();
        let group: PathBuf = path.components().take(2).collect();
        groups
            .entry(group.display().to_string())
            .or_default()
            .push((lines, path));
    }
    println!(
        "{:<22} {:>5} {:>7} {:>7} {:>7}",
        "", "files", "lines", "median", "longest"
    );
    for (group, mut list) in groups {
        list.sort();
        let lines: usize = list.iter().map(|(lines, _)| lines).sum();
        let median = list[list.len() / 2].0;
        let longest = list.last().map_or(0, |(lines, _)| *lines);
        println!(
            "{group:<22} {:>5} {lines:>7} {median:>7} {longest:>7}",
            list.len()
        );
    }
    Ok(())
}
