//! `cargo xtask fuzz`: the parsers of `tests/fuzz` under libFuzzer, with the toolchain that builds everything else.
//!
//! What it finds stays in the target directory: inputs that lead to new ways, and the one that breaks something. An
//! input worth keeping is copied to `tests/fuzz/corpus/` by hand, and runs with the tests from then on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::place::Place;
use crate::process::{loud, quiet};

/// Counters at every edge, and what is compared, for the engine to see (what cargo-fuzz sets; no nightly needed).
const INSTRUMENTED: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=16",
];

/// Longest input that is made, in bytes; for one input in seconds, and of memory in MiB.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048"];

#[derive(Args)]
pub struct Fuzz {
    /// Only these targets; all of them unless told
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

impl Fuzz {
    pub fn run(&self) -> Result<()> {
        let place = Place::find()?;
        let corpus = place.root.join("tests/fuzz/corpus");
        let all = names(&corpus)?;
        if let Some(unknown) = self.targets.iter().find(|name| !all.contains(name)) {
            bail!("{unknown} is no target; there are {}", all.join(", "));
        }
        let chosen = match self.targets.is_empty() {
            true => all,
            false => self.targets.clone(),
        };
        let folder = place.target.join("fuzz");
        let program = build(&place, &folder)?;
        let mut broken = Vec::new();
        for name in &chosen {
            if !self.fuzz(&program, &folder, &corpus, name)? {
                broken.push(name.as_str());
            }
        }
        match broken.is_empty() {
            true => Ok(()),
            false => bail!("broken: {}", broken.join(", ")),
        }
    }

    /// Whether nothing was found.
    fn fuzz(&self, program: &Path, folder: &Path, corpus: &Path, name: &str) -> Result<bool> {
        let found = folder.join("found").join(name);
        std::fs::create_dir_all(&found)?;
        let broken = folder.join(format!("broken-{name}-"));
        let log = folder.join(format!("{name}.log"));
        let status = Command::new(program)
            .args(LIMITS)
            .arg(format!("-max_total_time={}", self.seconds))
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}", broken.display()))
            // What is new goes to the first.
            .args([found, corpus.join(name)])
            .env("ROPEWALK_FUZZ_TARGET", name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .status()
            .with_context(|| format!("{} could not be run", program.display()))?;
        let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
        println!("{name:<18} {}", summary(&text));
        if !status.success() {
            let lines: Vec<&str> = text
                .lines()
                .filter(|line| line.contains("panicked at") || line.contains("Test unit written"))
                .collect();
            println!("{}\nthe whole of it: {}", lines.join("\n"), log.display());
        }
        Ok(status.success())
    }
}

/// Each target has a folder of inputs.
fn names(corpus: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in std::fs::read_dir(corpus).context("there is no corpus")? {
        names.push(folder?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// With flags of its own, and so in a folder of its own. Naming the host as the target keeps them from build scripts.
fn build(place: &Place, folder: &Path) -> Result<PathBuf> {
    let about = quiet("rustc", &["-vV"])?;
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say its host")?;
    eprintln!("-----> Building the parsers with counters");
    loud(
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "build",
                "--locked",
                "--package",
                "fuzz",
                "--features",
                "engine",
            ])
            .args(["--profile", "fuzz", "--target", host, "--target-dir"])
            .arg(folder)
            .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\x1f"))
            .current_dir(&place.root),
    )?;
    Ok(folder.join(host).join("fuzz/fuzz"))
}

/// What the engine says at its end, or that it said nothing.
fn summary(log: &str) -> String {
    let runs = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("no", str::trim);
    let covered = log
        .lines()
        .rev()
        .find_map(|line| line.split(" cov: ").nth(1)?.split(' ').next())
        .unwrap_or("no");
    format!("{runs} inputs, {covered} edges")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_last_words_are_read() {
        let log = "#2\tINITED cov: 7 ft: 8 corp: 1/1b\n#90\tNEW    cov: 12 ft: 9 corp: 2/3b\n\
                   stat::number_of_executed_units: 1234\n";
        assert_eq!(summary(log), "1234 inputs, 12 edges");
        assert_eq!(summary(""), "no inputs, no edges");
    }
}
