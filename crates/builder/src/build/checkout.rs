//! The pushed tree as files, taken from the objects that git still holds in quarantine.
//!
//! Git writes the files, without filters, hooks or network; what it is asked to write was looked at first. The files
//! are given to the build's user afterwards.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ropewalk_slug::DYNO_ID;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::failure::Failure;
use super::slugignore;
use crate::context::Context;
use crate::git::command::{run, spawn};
use crate::git::refs::is_object_id;
use crate::options::Limits;
use crate::{Error, Result};

/// Longest time for listing or writing the tree.
const LIMIT: Duration = Duration::from_secs(300);
/// Longest path within the tree, in bytes.
const MAX_PATH: usize = 1024;
/// Submodules named in the message.
const NAMED: usize = 5;

/// Where the objects are.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    pub(crate) repo: PathBuf,
    pub(crate) quarantine: Option<PathBuf>,
}

impl Objects {
    /// Believes in a quarantine only where git makes them.
    pub(crate) fn new(repo: PathBuf, quarantine: Option<PathBuf>) -> Self {
        let inside = |path: &PathBuf| path.parent() == Some(&repo.join("objects")) && path.is_dir();
        let quarantine = quarantine.filter(inside);
        Self { repo, quarantine }
    }

    fn command(&self, context: &Context) -> Command {
        let mut command = context.git.command(&self.repo);
        if let Some(quarantine) = &self.quarantine {
            command.env("GIT_OBJECT_DIRECTORY", quarantine).env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                self.repo.join("objects"),
            );
        }
        command
    }
}

/// Writes the commit's tree into `tree`, which is an empty folder, without what `.slugignore` names. Returns lines
/// for the log.
pub(crate) async fn checkout(
    context: &Context,
    objects: &Objects,
    commit: &str,
    index: &Path,
    tree: &Path,
) -> Result<Vec<String>, Failure> {
    if !is_object_id(commit) {
        return Err(Failure::Source(vec!["That is not a commit.".to_owned()]));
    }
    look_at(context, objects, commit).await?;
    write(context, objects, commit, index, tree).await?;
    let tree = tree.to_owned();
    tokio::task::spawn_blocking(move || finish(&tree)).await?
}

/// A fresh tree without what `.slugignore` names, the build's user owning it. Returns lines for the log. Blocking.
pub(crate) fn finish(tree: &Path) -> Result<Vec<String>, Failure> {
    let (removed, mut lines) = slugignore::apply(tree)?;
    if removed > 0 {
        lines.push(format!(
            "Removed {removed} files and folders named in .slugignore."
        ));
    }
    give_away(tree)?;
    Ok(lines)
}

/// Refuses trees that are too large or hold submodules, before a byte is written.
async fn look_at(context: &Context, objects: &Objects, commit: &str) -> Result<(), Failure> {
    let mut command = objects.command(context);
    command
        .args(["ls-tree", "-r", "-l", "-z", "--full-tree", commit])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = spawn(&mut command)?;
    let mut listed = Listed::default();
    let read = async {
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::with_capacity(64 * 1024, output);
            let mut line = Vec::new();
            while output
                .read_until(0, &mut line)
                .await
                .map_err(Error::GitStart)?
                > 0
            {
                listed.add(&line, &context.options.limits)?;
                line.clear();
            }
        }
        child
            .wait()
            .await
            .map_err(|error| Failure::from(Error::GitStart(error)))
    };
    let status = tokio::time::timeout(LIMIT, read).await.map_err(|_| {
        Failure::from(Error::GitDeadline {
            verb: "ls-tree",
            seconds: LIMIT.as_secs(),
        })
    })??;
    if !status.success() {
        return Err(Failure::Source(vec![format!(
            "{commit} is not a commit with readable files."
        )]));
    }
    listed.finish()
}

#[derive(Debug, Default)]
struct Listed {
    files: u64,
    bytes: u64,
    submodules: Vec<String>,
}

impl Listed {
    /// One entry: `mode type id size TAB path NUL`.
    fn add(&mut self, line: &[u8], limits: &Limits) -> Result<(), Failure> {
        let line = line.strip_suffix(&[0]).unwrap_or(line);
        let tab = line.iter().position(|b| *b == b'\t').unwrap_or(line.len());
        let head = String::from_utf8_lossy(&line[..tab]).into_owned();
        let path = line.get(tab + 1..).unwrap_or_default();
        let mut words = head.split_whitespace();
        let mode = words.next().unwrap_or_default();
        let size = words
            .nth(2)
            .and_then(|size| size.parse::<u64>().ok())
            .unwrap_or(0);
        if mode == "160000" {
            if self.submodules.len() <= NAMED {
                self.submodules
                    .push(String::from_utf8_lossy(path).into_owned());
            }
            return Ok(());
        }
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        let too = |what: String| Failure::Source(vec![what, "Push rejected.".to_owned()]);
        if self.files > limits.source_files {
            return Err(too(format!(
                "The commit has more than {} files.",
                limits.source_files
            )));
        }
        if self.bytes > limits.source_bytes {
            return Err(too(format!(
                "The commit's files take more than {} MiB.",
                limits.source_bytes >> 20
            )));
        }
        if path.len() > MAX_PATH {
            return Err(too(format!(
                "The commit holds a path of more than {MAX_PATH} bytes."
            )));
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        if !self.submodules.is_empty() {
            let names: Vec<_> = self.submodules.iter().take(NAMED).cloned().collect();
            let more = if self.submodules.len() > NAMED {
                " …"
            } else {
                ""
            };
            return Err(Failure::Source(vec![
                format!("Submodules are not built: {}{more}", names.join(", ")),
                "Add their files to the repository itself, or use your language's package manager."
                    .to_owned(),
            ]));
        }
        if self.files == 0 {
            return Err(Failure::Source(vec![
                "The pushed commit has no files: there is nothing to build.".to_owned(),
            ]));
        }
        Ok(())
    }
}

async fn write(
    context: &Context,
    objects: &Objects,
    commit: &str,
    index: &Path,
    tree: &Path,
) -> Result<()> {
    let mut command = objects.command(context);
    command
        .env("GIT_INDEX_FILE", index)
        .args(["read-tree", commit]);
    run(&mut command, "read-tree", LIMIT).await?;
    let mut command = objects.command(context);
    command
        .env("GIT_INDEX_FILE", index)
        .env("GIT_WORK_TREE", tree)
        .current_dir(tree)
        .args(["checkout-index", "--all", "--quiet"]);
    run(&mut command, "checkout-index", LIMIT).await.map(|_| ())
}

/// Makes the build's user own everything, with the two modes that git knows. Nobody else writes to it yet.
fn give_away(tree: &Path) -> Result<()> {
    let mut paths = vec![tree.to_owned()];
    while let Some(folder) = paths.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let entry = entry.map_err(Error::io("list", &folder))?;
            let path = entry.path();
            let meta = entry.metadata().map_err(Error::io("look at", &path))?;
            lchown(&path, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("give away", &path))?;
            let executable = meta.permissions().mode() & 0o100 != 0;
            if meta.is_dir() || meta.is_file() {
                let mode = if executable { 0o755 } else { 0o644 };
                if meta.permissions().mode() & 0o7777 != mode {
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                        .map_err(Error::io("change the mode of", &path))?;
                }
            }
            if meta.is_dir() {
                paths.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_counted_and_submodules_named() {
        let limits = Limits {
            source_files: 2,
            source_bytes: 100,
            ..Limits::default()
        };
        let id = "a".repeat(40);
        let blob =
            |size: &str, path: &str| format!("100644 blob {id} {size}\t{path}\0").into_bytes();
        let mut listed = Listed::default();
        listed.add(&blob("     60", "a b"), &limits).unwrap();
        listed.add(&blob("     40", "b"), &limits).unwrap();
        assert_eq!((listed.files, listed.bytes), (2, 100));
        assert!(listed.add(&blob("0", "c"), &limits).is_err());

        let mut listed = Listed::default();
        assert!(listed.add(&blob("101", "big"), &limits).is_err());
        let mut listed = Listed::default();
        assert!(listed.add(&blob("1", &"x".repeat(1025)), &limits).is_err());

        let mut listed = Listed::default();
        listed.add(&blob("1", "a"), &limits).unwrap();
        listed
            .add(
                format!("160000 commit {id}       -\tvendor/x\0").as_bytes(),
                &limits,
            )
            .unwrap();
        let Err(Failure::Source(lines)) = listed.finish() else {
            panic!("submodules are refused")
        };
        assert!(lines[0].contains("vendor/x"));
        assert!(
            Listed::default().finish().is_err(),
            "an empty tree is refused"
        );
    }
}
