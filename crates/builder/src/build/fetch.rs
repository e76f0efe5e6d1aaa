//! Buildpacks of third parties, brought into the build's folder from within its own container: whoever answers at
//! such an address reaches what the build itself reaches, and not the host.

use std::time::{Duration, Instant};

use ropewalk_engine::ContainerSpec;

use super::buildpacks::{Buildpack, MOUNT};
use super::failure::Failure;
use super::log::BuildLog;
use super::sandbox::{ROOT, Sandbox};

/// Longest time for one buildpack.
const LIMIT: Duration = Duration::from_secs(90);
/// Largest tarball, in bytes.
const MAX_TARBALL: u64 = 100 << 20;

#[derive(Debug, Default)]
pub(crate) struct Folders {
    /// `name=folder` for the driver, in order.
    pub(crate) arguments: Vec<String>,
    /// The ones that were brought.
    pub(crate) fetched: Vec<String>,
}

/// Makes every buildpack a folder in the container.
pub(crate) async fn fetch_all(
    sandbox: &mut Sandbox,
    spec: &ContainerSpec,
    buildpacks: &[Buildpack],
    deadline: Instant,
    log: &mut BuildLog,
) -> Result<Folders, Failure> {
    let mut folders = Folders::default();
    for (index, buildpack) in buildpacks.iter().enumerate() {
        let folder = format!("{ROOT}/fetched/{}", index + 1);
        let steps = match buildpack {
            Buildpack::BuiltIn { name, folder } => {
                folders.arguments.push(format!("{name}={MOUNT}/{folder}"));
                continue;
            }
            Buildpack::Git { url, reference } => clone(url, reference.as_deref(), &folder),
            Buildpack::Tarball { url } => download(url, &folder),
        };
        log.header(&format!("Fetching buildpack {}", buildpack.name()))
            .await;
        let deadline = deadline.min(Instant::now() + LIMIT);
        let mut done = false;
        for attempt in steps {
            let run = run_all(sandbox, spec, attempt, deadline, log).await;
            if matches!(run, Err(Failure::OutOfTime(_))) {
                break;
            }
            if run? {
                done = true;
                break;
            }
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
    spec: &ContainerSpec,
    commands: Vec<Command>,
    deadline: Instant,
    log: &mut BuildLog,
) -> Result<bool, Failure> {
    for command in commands {
        let mut spec = spec.clone();
        spec.command = command;
        if sandbox.run(spec, deadline, log).await?.code != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A branch or tag is one shallow clone; only what is neither costs the whole history.
fn clone(url: &str, reference: Option<&str>, folder: &str) -> Vec<Vec<Command>> {
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

fn download(url: &str, folder: &str) -> Vec<Vec<Command>> {
    let file = format!("{folder}.tgz");
    let size = MAX_TARBALL.to_string();
    vec![vec![
        words(&["mkdir", "-p", "--", folder]),
        words(&[
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
            "--",
            url,
        ]),
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
    let settings = [
        "git",
        "-c",
        "protocol.allow=never",
        "-c",
        "protocol.https.allow=always",
    ];
    words(&[&settings, arguments].concat())
}

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_after_the_options() {
        for attempt in clone("https://x.example/p.git", Some("v1"), "/f")
            .into_iter()
            .chain(clone("https://x.example/p.git", None, "/f"))
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
}
