//! A developer with git and a folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

pub struct Client {
    pub dir: TempDir,
}

#[derive(Debug)]
pub struct Said {
    pub ok: bool,
    pub text: String,
}

impl Client {
    /// A repository with one commit on `main`.
    pub async fn new() -> Self {
        let client = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(client.work()).unwrap();
        client.git(&["init", "-q", "-b", "main", "."]).await;
        client.write("app.js", "console.log(1)\n");
        client.write("Procfile", "web: node app.js\n");
        client.commit("first").await;
        client
    }

    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub async fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]).await;
        self.git(&["commit", "-q", "--allow-empty", "-m", message])
            .await;
        self.git(&["rev-parse", "HEAD"]).await
    }

    /// Must succeed; returns what it printed.
    pub async fn git(&self, arguments: &[&str]) -> String {
        let said = self.try_git(arguments).await;
        assert!(said.ok, "git {arguments:?}: {}", said.text);
        said.text.trim().to_owned()
    }

    pub async fn try_git(&self, arguments: &[&str]) -> Said {
        let output = command(&self.work())
            .args(arguments)
            .output()
            .await
            .unwrap();
        Said {
            ok: output.status.success(),
            text: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        }
    }

    pub async fn push(&self, url: &str, refs: &[&str]) -> Said {
        let mut arguments = vec!["push", url];
        arguments.extend(refs);
        self.try_git(&arguments).await
    }

    /// A push under way, in a process group of its own so that Ctrl-C can be played.
    pub fn start_push(&self, url: &str, name: &str) -> Child {
        self.start_git(&["push", url, name])
    }

    /// The same for any command of git.
    pub fn start_git(&self, arguments: &[&str]) -> Child {
        command(&self.work())
            .args(arguments)
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Writes an object of any content; returns its id.
    pub async fn raw_object(&self, kind: &str, bytes: &[u8]) -> String {
        self.write("../raw", bytes);
        self.git(&["hash-object", "-t", kind, "-w", "--literally", "../raw"])
            .await
    }

    /// A commit of any tree.
    pub async fn commit_of(&self, tree: &str) -> String {
        self.git(&["commit-tree", "-m", "x", tree]).await
    }
}

/// The client goes, all of its processes at once. By SIGTERM and not by Ctrl-C's SIGINT, which is ignored by whatever a
/// shell started in the background, these tests perhaps included.
pub fn interrupt(child: &Child) {
    let group = i32::try_from(child.id().unwrap()).unwrap();
    let group = rustix::process::Pid::from_raw(group).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::TERM).unwrap();
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Dev")
        .env("GIT_AUTHOR_EMAIL", "dev@example.com")
        .env("GIT_COMMITTER_NAME", "Dev")
        .env("GIT_COMMITTER_EMAIL", "dev@example.com")
        .stdin(Stdio::null());
    command
}
