//! The builder's SSH side on a port of its own, and OpenSSH's client with keys of the test.

use std::path::PathBuf;
use std::process::Stdio;

use jiff::Timestamp;
use ropewalk_builder::HostKey;
use ropewalk_store::NewSshKey;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::Rig;
use super::client::{Client, Said};

pub struct Door {
    dir: TempDir,
    pub port: u16,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub text: String,
}

impl Door {
    pub async fn open(rig: &Rig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = HostKey::open(&rig.data().join("ssh_host_key")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let known = format!("[127.0.0.1]:{port} {}\n", key.public());
        std::fs::write(dir.path().join("known_hosts"), known).unwrap();
        let builder = rig.builder.clone();
        tokio::spawn(async move { builder.serve_ssh(listener, &key).await });
        Self { dir, port }
    }

    pub fn url(&self, app: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{app}.git", self.port)
    }

    /// A pair of keys; returns the public one.
    pub fn make(&self, name: &str, kind: &str) -> String {
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"])
            .arg(self.path(name))
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// A key of that kind, under the kind's name, added to an account.
    pub async fn key(&self, rig: &Rig, kind: &str, email: &'static str) -> Uuid {
        let public_key = self.make(kind, kind);
        self.add(rig, kind, public_key, email).await
    }

    /// Adds a key that was made under that name to an account.
    pub async fn add(
        &self,
        rig: &Rig,
        name: &str,
        public_key: String,
        email: &'static str,
    ) -> Uuid {
        let listed = std::process::Command::new("ssh-keygen")
            .args(["-l", "-f"])
            .arg(self.path(&format!("{name}.pub")))
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let fingerprint = listed.split(' ').nth(1).unwrap().to_owned();
        let id = Uuid::new_v4();
        rig.store
            .write(move |tx| {
                let new = NewSshKey {
                    id,
                    user: tx.user_by_email(email)?.unwrap().id,
                    fingerprint,
                    public_key,
                    comment: "test".into(),
                };
                tx.add_ssh_key(&new, Timestamp::now())
            })
            .await
            .unwrap();
        id
    }

    /// `ssh OPTIONS git@… COMMAND`
    pub async fn ssh(&self, key: &str, options: &[&str], command: &[&str]) -> Ended {
        let output = Command::new("ssh")
            .args(self.options(key))
            .args(["-p", &self.port.to_string()])
            .args(options)
            .arg("git@127.0.0.1")
            .args(command)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        Ended {
            code: output.status.code(),
            text: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        }
    }

    pub async fn git(&self, client: &Client, key: &str, arguments: &[&str]) -> Said {
        client
            .try_git(&[&["-c", &self.setting(key)], arguments].concat())
            .await
    }

    pub async fn push(&self, client: &Client, key: &str, refs: &[&str]) -> Said {
        let url = self.url("demo");
        self.git(client, key, &[&["push", &url], refs].concat())
            .await
    }

    pub fn start_push(&self, client: &Client, key: &str, name: &str) -> Child {
        client.start_git(&["-c", &self.setting(key), "push", &self.url("demo"), name])
    }

    fn setting(&self, key: &str) -> String {
        format!("core.sshCommand=ssh {}", self.options(key).join(" "))
    }

    fn options(&self, key: &str) -> Vec<String> {
        let known = self.path("known_hosts");
        let key = self.path(key);
        [
            "-F".to_owned(),
            "/dev/null".to_owned(),
            "-i".to_owned(),
            key.display().to_string(),
        ]
        .into_iter()
        .chain(
            [
                "IdentitiesOnly=yes".to_owned(),
                "IdentityAgent=none".to_owned(),
                "BatchMode=yes".to_owned(),
                "StrictHostKeyChecking=yes".to_owned(),
                format!("UserKnownHostsFile={}", known.display()),
            ]
            .into_iter()
            .flat_map(|option| ["-o".to_owned(), option]),
        )
        .collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
