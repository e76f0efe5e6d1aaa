//! A git repository to push from: an example, or files that a test writes.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::workspace;

pub struct Repo {
    folder: TempDir,
}

impl Repo {
    /// A repository with these files, committed.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let repo = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        repo.git(&["init", "-q", "-b", "main"]);
        repo.change(files);
        repo
    }

    /// One of `examples/`.
    pub fn example(name: &str) -> Self {
        let repo = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let from = workspace().join("examples").join(name).join(".");
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(from)
                .arg(repo.path())
                .status()
                .unwrap()
                .success()
        );
        repo.git(&["init", "-q", "-b", "main"]);
        repo.change(&[]);
        repo
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes files and commits everything.
    pub fn change(&self, files: &[(&str, &str)]) -> &Self {
        for (name, text) in files {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "Change"]);
        self
    }

    pub fn git(&self, args: &[&str]) {
        let output = Command::new("git")
            .current_dir(self.path())
            .args(["-c", "user.name=Dev", "-c", "user.email=dev@localhost"])
            .args(args)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
