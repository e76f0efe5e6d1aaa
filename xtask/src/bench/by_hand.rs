//! What the programs under a first push take when nothing else happens: git receives and writes the files, mksquashfs
//! packs them. Ropewalk runs the same three over the same bytes.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::run::run;

const LIMIT: Duration = Duration::from_secs(300);

/// Seconds of each.
#[derive(Clone, Copy)]
pub(super) struct ByHand {
    /// `git push` into an empty repository on the same disk, its objects checked as Ropewalk has them checked.
    pub(super) receive: f64,
    /// The files of the commit into an empty folder, by as many workers as there are cores.
    pub(super) write: f64,
    /// The files into an image, as a slug is packed.
    pub(super) pack: f64,
}

impl ByHand {
    /// Runs them on a repository's `main`. What they write stays below `folder`, which must not be there: to remove
    /// files would slow whoever makes some next.
    pub(super) fn measure(repo: &Path, folder: &Path) -> Result<Self> {
        let (bare, files, image) = (
            folder.join("bare"),
            folder.join("files"),
            folder.join("image"),
        );
        std::fs::create_dir_all(&files)?;
        run(git().args(["init", "--quiet", "--bare"]).arg(&bare), LIMIT)?;
        let checked = "--receive-pack=git -c receive.fsckObjects=true receive-pack";
        let receive = timed(
            git()
                .current_dir(repo)
                .args(["push", "--quiet", checked])
                .arg(&bare)
                .arg("main"),
        )?;
        let in_files = || {
            let mut command = git();
            command
                .env("GIT_DIR", &bare)
                .env("GIT_WORK_TREE", &files)
                .env("GIT_INDEX_FILE", folder.join("index"))
                .current_dir(&files)
                .args(["-c", "checkout.workers=0"]);
            command
        };
        let write = timed(in_files().args(["read-tree", "main"]))?
            + timed(in_files().args(["checkout-index", "--all", "--quiet"]))?;
        let pack = timed(
            Command::new("mksquashfs")
                .args([&files, &image])
                .args(["-noappend", "-comp", "lz4", "-no-xattrs", "-no-hardlinks"])
                .args(["-no-progress", "-quiet"]),
        )?;
        Ok(Self {
            receive,
            write,
            pack,
        })
    }

    pub(super) fn sum(self) -> f64 {
        self.receive + self.write + self.pack
    }
}

impl fmt::Display for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} s (receive {:.2}, write {:.2}, pack {:.2})",
            self.sum(),
            self.receive,
            self.write,
            self.pack
        )
    }
}

/// A git that no setting of the host reaches.
fn git() -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

fn timed(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    run(command, LIMIT)?;
    Ok(began.elapsed().as_secs_f64())
}
