//! The pushed tree as files, taken from the objects that git still holds in quarantine.
//!
//! Git writes them, without filters, hooks or network; what it is asked to write was looked at first. Where they are
//! written, and which of them are there already, is the base's matter.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ropewalk_slug::DYNO_ID;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::changes::Changes;
use super::failure::Failure;
use super::slugignore;
use crate::context::Context;
use crate::git::command::{run, run_with, spawn};
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

    pub(crate) fn command(&self, context: &Context) -> Command {
        let mut command = context.git.command(&self.repo);
        if let Some(quarantine) = &self.quarantine {
            command.env("GIT_OBJECT_DIRECTORY", quarantine).env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                self.repo.join("objects"),
            );
        }
        command
    }

    /// The id of a commit's tree.
    async fn tree(&self, context: &Context, commit: &str) -> Result<String> {
        let mut command = self.command(context);
        command.args(["rev-parse", "--verify", "--quiet"]);
        command.arg(format!("{commit}^{{tree}}"));
        let output = run(&mut command, "rev-parse", LIMIT).await?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }
}

/// Looks at a commit before a byte of it is written. Returns the id of its tree.
pub(crate) async fn look(
    context: &Context,
    objects: &Objects,
    commit: &str,
) -> Result<String, Failure> {
    if !is_object_id(commit) {
        return Err(Failure::Source(vec!["That is not a commit.".to_owned()]));
    }
    let tree = async { Ok(objects.tree(context, commit).await?) };
    let ((), tree) = tokio::try_join!(look_at(context, objects, commit), tree)?;
    Ok(tree)
}

/// Writes a tree into `folder/app`, the build's user owning it. The folder must not be there.
pub(crate) async fn write(
    context: &Context,
    objects: &Objects,
    tree: &str,
    folder: &Path,
) -> Result<()> {
    let app = folder.join("app");
    fs::create_dir_all(&app).map_err(Error::io("make", &app))?;
    let git = Worktree::new(context, objects, folder);
    git.run("read-tree", &[tree], Stdio::null()).await?;
    git.run("checkout-index", &["--all", "--quiet"], Stdio::null())
        .await?;
    git.finish()?;
    let give = move || {
        give_one(&app)?;
        give_away(&app)
    };
    tokio::task::spawn_blocking(give).await?
}

/// Removes from `folder/app` what is to go and writes what is to come, the build's user owning it.
pub(crate) async fn move_on(
    context: &Context,
    objects: &Objects,
    changes: Changes,
    folder: &Path,
) -> Result<()> {
    let app = folder.join("app");
    let changes = {
        let app = app.clone();
        let remove = move || remove(&app, &changes).map(|()| changes);
        tokio::task::spawn_blocking(remove).await??
    };
    if changes.written.is_empty() {
        return Ok(());
    }
    let git = Worktree::new(context, objects, folder);
    // An index that holds nothing else.
    let list = folder.join("changed");
    fs::write(&list, &changes.index).map_err(Error::io("write", &list))?;
    let input = fs::File::open(&list).map_err(Error::io("open", &list))?;
    git.run("update-index", &["-z", "--index-info"], input.into())
        .await?;
    let arguments = ["--all", "--force", "--quiet"];
    git.run("checkout-index", &arguments, Stdio::null()).await?;
    git.finish()?;
    let give = move || {
        give(&app, &changes)?;
        fs::remove_file(&list).map_err(Error::io("remove", &list))
    };
    tokio::task::spawn_blocking(give).await?
}

/// A fresh tree of files without what `.slugignore` names, the build's user owning it. Returns lines for the log.
/// Blocking.
pub(crate) fn finish(tree: &Path) -> Result<Vec<String>, Failure> {
    let lines = ignore(tree)?;
    give_away(tree)?;
    Ok(lines)
}

/// Removes what `.slugignore` names from a tree that no buildpack has seen. Returns lines for the log. Blocking.
pub(crate) fn ignore(tree: &Path) -> Result<Vec<String>, Failure> {
    let (removed, mut lines) = slugignore::apply(tree)?;
    if removed > 0 {
        lines.push(format!(
            "Removed {removed} files and folders named in .slugignore."
        ));
    }
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

/// A git that writes into `folder/app`, from an index of its own beside it.
struct Worktree<'a> {
    context: &'a Context,
    objects: &'a Objects,
    app: PathBuf,
    index: PathBuf,
}

impl<'a> Worktree<'a> {
    fn new(context: &'a Context, objects: &'a Objects, folder: &Path) -> Self {
        Self {
            context,
            objects,
            app: folder.join("app"),
            index: folder.join("index"),
        }
    }

    async fn run(&self, verb: &'static str, arguments: &[&str], input: Stdio) -> Result<()> {
        let mut command = self.objects.command(self.context);
        command
            .env("GIT_INDEX_FILE", &self.index)
            .env("GIT_WORK_TREE", &self.app)
            .current_dir(&self.app)
            .arg(verb)
            .args(arguments);
        run_with(&mut command, verb, input, LIMIT).await.map(|_| ())
    }

    /// The next one begins with an empty index.
    fn finish(self) -> Result<()> {
        fs::remove_file(&self.index).map_err(Error::io("remove", &self.index))
    }
}

/// Removes what is to go, and folders that have nothing left: git knows no empty ones. All of it lies where the old
/// tree has folders, so no link leads elsewhere. Blocking.
fn remove(app: &Path, changes: &Changes) -> Result<()> {
    for name in &changes.removed {
        let path = app.join(name);
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != app) {
            match fs::remove_dir(folder) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => break,
                Err(error) => return Err(Error::io("remove", folder)(error)),
            }
        }
    }
    Ok(())
}

/// What git wrote as ours, and the folders it made for it, become the build's user's. Blocking.
fn give(app: &Path, changes: &Changes) -> Result<()> {
    let mut folders = HashSet::new();
    for name in &changes.written {
        let path = app.join(name);
        give_one(&path)?;
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != app) {
            if !folders.insert(folder.to_owned()) {
                break;
            }
            give_one(folder)?;
        }
    }
    Ok(())
}

/// Makes the build's user own everything. Nobody else writes to it yet.
fn give_away(tree: &Path) -> Result<()> {
    let mut paths = vec![tree.to_owned()];
    while let Some(folder) = paths.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let path = entry.map_err(Error::io("list", &folder))?.path();
            if give_one(&path)? {
                paths.push(path);
            }
        }
    }
    Ok(())
}

/// Owner, and one of the two modes that git knows. Returns whether it is a folder.
fn give_one(path: &Path) -> Result<bool> {
    let meta = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    if (meta.uid(), meta.gid()) != (DYNO_ID, DYNO_ID) {
        lchown(path, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("give away", path))?;
    }
    let executable = meta.mode() & 0o100 != 0;
    let mode = if executable { 0o755 } else { 0o644 };
    if !meta.is_symlink() && meta.mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::io("change the mode of", path))?;
    }
    Ok(meta.is_dir())
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
