//! Where the CLI is run: a platform, an app on it, a repository, and the enclosure around the CLI.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Ran, Repo, Rig};

use crate::enclosure::{Enclosure, is_below};
use crate::table::{Row, Step, Steps};

pub(crate) struct World {
    pub(crate) rig: Rig,
    pub(crate) repo: Repo,
    pub(crate) app: String,
    enclosure: Enclosure,
    folders: Vec<PathBuf>,
}

impl World {
    pub(crate) fn new(folders: Vec<PathBuf>) -> Self {
        let rig = Rig::start();
        let enclosure = Enclosure::around(rig.port, rig.port, None);
        Self::of(rig, enclosure, folders)
    }

    /// A platform of HTTPS on a domain that only this world knows, on port 443.
    pub(crate) fn secure(folders: Vec<PathBuf>, domain: &str) -> Self {
        let rig = Rig::secure(domain);
        let port = rig.tls.as_ref().unwrap().port;
        let enclosure = Enclosure::around(443, port, Some(domain));
        Self::of(rig, enclosure, folders)
    }

    fn of(rig: Rig, enclosure: Enclosure, folders: Vec<PathBuf>) -> Self {
        Self {
            enclosure,
            app: format!("tour-{}", hex::encode(rand::random::<[u8; 3]>())),
            repo: Repo::example("hello"),
            rig,
            folders,
        }
    }

    /// A program of the outside world, in the repository and inside of the enclosure.
    pub(crate) fn inside(&self, program: &str) -> Command {
        self.inside_at(self.repo.path(), program)
    }

    /// The same in another folder.
    pub(crate) fn inside_at(&self, folder: &Path, program: &str) -> Command {
        let enter = self.enclosure.enter();
        let mut command = self.rig.command(folder, &enter[0]);
        let own = command
            .get_envs()
            .find(|(name, _)| *name == "PATH")
            .and_then(|(_, value)| value)
            .map(ToOwned::to_owned)
            .unwrap();
        let folders = self
            .folders
            .iter()
            .cloned()
            .chain(std::env::split_paths(&own));
        command
            .args(&enter[1..])
            // Whoever enters stands at the root.
            .arg("env")
            .arg("-C")
            .arg(folder)
            .arg(program)
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("TERM", "dumb")
            .env("ROPEWALK_CA", self.authority())
            // It would win over the authority that git is told for our host.
            .env_remove("GIT_SSL_CAINFO")
            .env_remove("HEROKU_HOST")
            .env_remove("HEROKU_API_KEY")
            .env_remove("HEROKU_APP");
        command
    }

    /// `ropewalk heroku -- ARGS`, not started yet.
    pub(crate) fn heroku(&self, args: &[&str]) -> Command {
        let mut command = self.inside("ropewalk");
        command.args(["heroku", "--"]).args(args);
        command
    }

    /// The same without a helper: `eval "$(ropewalk env --mode MODE)"`, and then any program.
    pub(crate) fn after_env(&self, mode: &str, program: &[&str]) -> Command {
        let mut command = self.inside("sh");
        command
            .args([
                "-c",
                r#"eval "$(ropewalk env --mode "$0")"; exec "$@""#,
                mode,
            ])
            .args(program);
        // git is to find its credentials and the authority by what `env` says.
        command.env_remove("GIT_CONFIG_COUNT");
        command
    }

    /// The installation's own authority, or the one that the test made.
    fn authority(&self) -> PathBuf {
        match &self.rig.tls {
            Some(tls) => tls.ca.clone(),
            None => self.rig.data.join("tls/ca.pem"),
        }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.heroku(args).output().unwrap())
    }

    /// Goes through a row's steps; what it did wrong, if anything.
    pub(crate) fn go(&self, row: &Row) -> Vec<String> {
        let mut wrong = Vec::new();
        match &row.steps {
            Steps::Typed(steps) => {
                for step in *steps {
                    if let Err(what) = self.step(step) {
                        wrong.push(what);
                    }
                }
            }
            Steps::ByHand(steps) => wrong.extend(steps(self).err()),
        }
        let names = self.names_asked();
        if !names.is_empty() {
            wrong.push(format!("it looked up {}", names.join(", ")));
        }
        wrong
            .into_iter()
            .map(|what| format!("{}: {what}", row.command))
            .collect()
    }

    /// Foreign names that were looked up since the last call.
    pub(crate) fn names_asked(&self) -> Vec<String> {
        let ours = |name: &String| is_below(name, &self.rig.domain);
        let mut names = self.enclosure.asked();
        names.retain(|name| !ours(name));
        names.dedup();
        names
    }

    fn step(&self, step: &Step) -> Result<(), String> {
        let line = self.filled(step.line);
        let words = words(&line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = self.run(&words);
        let said = flat(&ran.all());
        let fail = |why: String| {
            Err(format!(
                "`heroku {line}` {why}\n--- stdout\n{}\n--- stderr\n{}",
                ran.stdout, ran.stderr
            ))
        };
        if ran.code != step.code {
            return fail(format!("ended with {} and not {}", ran.code, step.code));
        }
        for text in step.says {
            if !said.contains(&flat(&self.filled(text))) {
                return fail(format!("does not say {text:?}"));
            }
        }
        Ok(())
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{app}", &self.app)
            .replace("{port}", &self.rig.port.to_string())
    }
}

/// Splits at blanks; `'…'` holds a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Without the CLI's margins and line breaks, which fall where the terminal is too narrow.
pub(crate) fn flat(text: &str) -> String {
    text.replace('\u{203a}', " ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
