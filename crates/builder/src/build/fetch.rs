//! Buildpacks of third parties, brought into the build's folder from within its own container: whoever answers at
//! such an address reaches what the build itself reaches, and not the host. A login of the address lies in a file that
//! is mounted for the time of fetching.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use ropewalk_engine::Mount;
use ropewalk_slug::DYNO_ID;

use super::address::Address;
use super::buildpacks::{Buildpack, MOUNT};
use super::failure::Failure;
use super::log::BuildLog;
use super::sandbox::{ROOT, Sandbox, Work};
use crate::{Error, Result};

/// Longest time for one buildpack.
const LIMIT: Duration = Duration::from_secs(90);
/// Where the login is mounted.
const LOGIN: &str = "/run/ropewalk/login";
/// Largest tarball, in bytes.
const MAX_TARBALL: u64 = 100 << 20;

#[derive(Debug, Default)]
pub(crate) struct Folders {
    /// `name=folder` for the driver, in order.
    pub(crate) arguments: Vec<String>,
    /// The ones that were brought.
    pub(crate) fetched: Vec<String>,
}

/// Makes every buildpack a folder in the container. `login` is a path of the host at which a file may lie meanwhile.
pub(crate) async fn fetch_all(
    sandbox: &mut Sandbox,
    work: &Work,
    buildpacks: &[Buildpack],
    login: &Path,
    deadline: Instant,
    log: &mut BuildLog,
) -> Result<Folders, Failure> {
    let mut folders = Folders::default();
    for (index, buildpack) in buildpacks.iter().enumerate() {
        let folder = format!("{ROOT}/fetched/{}", index + 1);
        let (steps, secret) = match buildpack {
            Buildpack::BuiltIn { name, folder } => {
                folders.arguments.push(format!("{name}={MOUNT}/{folder}"));
                continue;
            }
            Buildpack::Git { address, reference } => (
                clone(address, reference.as_deref(), &folder),
                address.git_login(),
            ),
            Buildpack::Tarball { address } => (download(address, &folder), address.curl_config()),
        };
        let mut work = work.clone();
        if let Some(secret) = &secret {
            lay_down(login, secret)?;
            work.mounts.push(Mount {
                source: login.to_owned(),
                target: LOGIN.to_owned(),
                read_only: true,
            });
        }
        log.header(&format!("Fetching buildpack {}", buildpack.name()))
            .await;
        let deadline = deadline.min(Instant::now() + LIMIT);
        let mut done = false;
        for attempt in steps {
            let run = run_all(sandbox, &work, attempt, deadline, log).await;
            if matches!(run, Err(Failure::OutOfTime(_))) {
                break;
            }
            if run? {
                done = true;
                break;
            }
        }
        if secret.is_some() {
            fs::remove_file(login).map_err(Error::io("remove", login))?;
        }
        if !done {
            let text = format!("The buildpack {} could not be fetched.", buildpack.name());
            return Err(Failure::Buildpack(text));
        }
        folders
            .arguments
            .push(format!("{}={folder}", buildpack.name()));
        folders.fetched.push(folder);
    }
    Ok(folders)
}

type Command = Vec<String>;

/// Runs commands until one fails; `false` then.
async fn run_all(
    sandbox: &mut Sandbox,
    work: &Work,
    commands: Vec<Command>,
    deadline: Instant,
    log: &mut BuildLog,
) -> Result<bool, Failure> {
    for command in commands {
        let mut work = work.clone();
        work.command = command;
        if sandbox.run(work, deadline, log).await?.code != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Only the build's user reads it.
fn lay_down(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(path)?;
        fchown(&file, Some(DYNO_ID), Some(DYNO_ID))?;
        file.write_all(text.as_bytes())
    };
    write().map_err(Error::io("write", path))
}

/// A branch or tag is one shallow clone; only what is neither costs the whole history.
fn clone(address: &Address, reference: Option<&str>, folder: &str) -> Vec<Vec<Command>> {
    let url = address.plain();
    let Some(reference) = reference else {
        return vec![vec![git(&[
            "clone", "--quiet", "--depth", "1", "--", url, folder,
        ])]];
    };
    let whole = format!("{folder}.all");
    vec![
        vec![git(&[
            "clone", "--quiet", "--depth", "1", "--branch", reference, "--", url, folder,
        ])],
        vec![
            git(&["clone", "--quiet", "--no-checkout", "--", url, &whole]),
            git(&[
                "-C", &whole, "worktree", "add", "--quiet", "--detach", folder, reference,
            ]),
        ],
    ]
}

fn download(address: &Address, folder: &str) -> Vec<Vec<Command>> {
    let file = format!("{folder}.tgz");
    let size = MAX_TARBALL.to_string();
    let mut curl = words(&[
        "curl",
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--proto",
        "=https",
        "--proto-redir",
        "=https",
        "--retry",
        "2",
        "--max-filesize",
        &size,
        "--output",
        &file,
    ]);
    curl.extend(match address.curl_config() {
        Some(_) => words(&["--config", LOGIN]),
        None => words(&["--", address.plain()]),
    });
    vec![vec![
        words(&["mkdir", "-p", "--", folder]),
        curl,
        words(&[
            "tar",
            "--extract",
            "--gzip",
            "--no-same-owner",
            "--file",
            &file,
            "--directory",
            folder,
        ]),
    ]]
}

fn git(arguments: &[&str]) -> Command {
    let helper = helper(LOGIN);
    let settings = [
        "git",
        "-c",
        "protocol.allow=never",
        "-c",
        "protocol.https.allow=always",
        "-c",
        &helper,
    ];
    words(&[&settings, arguments].concat())
}

/// The setting that lets git read who it is from a file, and write nothing back.
fn helper(file: &str) -> String {
    format!("credential.helper=!f() {{ test \"$1\" != get || cat {file} 2>/dev/null; }}; f")
}

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_after_the_options() {
        let address = Address::new("https://me:token@x.example/p.git");
        for attempt in clone(&address, Some("v1"), "/f")
            .into_iter()
            .chain(clone(&address, None, "/f"))
        {
            let first = &attempt[0];
            let end = first.iter().position(|word| word == "--").unwrap();
            let address = first
                .iter()
                .position(|word| word.starts_with("https:"))
                .unwrap();
            assert!(end < address, "{first:?}");
        }
    }

    #[test]
    fn no_argument_holds_a_login() {
        let git = Address::new("https://me:TOKEN@x.example/p.git");
        let tarball = Address::new("https://TOKEN@x.example/p.tgz");
        let all = [clone(&git, Some("v1"), "/f"), download(&tarball, "/f")];
        for word in all.iter().flatten().flatten().flatten() {
            assert!(!word.contains("TOKEN"), "{word}");
        }
    }

    #[test]
    fn git_reads_the_login_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("login");
        let address = Address::new("https://me:t%40ken@x.example/p.git");
        if rustix::process::getuid().is_root() {
            lay_down(&file, &address.git_login().unwrap()).unwrap();
        } else {
            fs::write(&file, address.git_login().unwrap()).unwrap();
        }
        let ask = dir.path().join("ask");
        fs::write(&ask, "protocol=https\nhost=x.example\n\n").unwrap();
        let filled = std::process::Command::new("git")
            .args(["-c", &helper(file.to_str().unwrap()), "credential", "fill"])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(fs::File::open(ask).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(filled.stdout).unwrap();
        assert!(said.contains("username=me\npassword=t@ken\n"), "{said}");
    }
}
