//! How git is run: a clean environment and settings that neither the host nor a repository can change.
//!
//! Nothing that a user chose stands in an argument, but object ids that were checked to be hexadecimal.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::process::{Child, Command};

use crate::{Error, Options, Result};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Most address space of one git process: more than a pack of the largest size needs.
const ADDRESS_SPACE: u64 = 6 << 30;
/// Least address space, with which git still works on hosts that have little memory.
const LEAST_ADDRESS_SPACE: u64 = 512 << 20;

/// Words of a failed git that an error keeps, in characters.
const OUTPUT_LIMIT: usize = 2000;

/// What git is told on every call. fsck refuses trees with `.git`, `..`, a slash in a name, duplicates, and
/// `.gitmodules` that would run something; the downgraded checks are faults of old tools that harm nobody and stand
/// in the history of well-known projects.
const SETTINGS: &[&str] = &[
    "receive.fsckObjects=true",
    "receive.fsck.zeroPaddedFilemode=ignore",
    "receive.fsck.badTimezone=ignore",
    "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.fsck.missingSpaceBeforeEmail=ignore",
    "receive.fsck.missingEmail=ignore",
    "receive.denyNonFastForwards=false",
    "receive.denyDeletes=false",
    "receive.autogc=false",
    "receive.updateServerInfo=false",
    "receive.advertisePushOptions=false",
    "receive.keepAlive=5",
    "receive.certNonceSeed=",
    "transfer.unpackLimit=100",
    "transfer.hideRefs=refs/ropewalk",
    "transfer.advertiseSID=false",
    "http.receivepack=true",
    "uploadpack.allowFilter=false",
    "uploadpack.allowAnySHA1InWant=false",
    "uploadpack.keepAlive=5",
    "protocol.allow=never",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.fsmonitor=false",
    "core.bigFileThreshold=32m",
    "core.packedGitWindowSize=16m",
    "core.packedGitLimit=256m",
    "core.deltaBaseCacheLimit=64m",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "pack.deltaCacheSize=64m",
    "submodule.recurse=false",
    "checkout.workers=0",
    "gc.autoDetach=false",
    "core.untrackedCache=false",
    // A push that was answered is on the disk: objects, and the refs that name them. Older gits pass over both.
    "core.fsync=committed,reference",
    "core.fsyncMethod=batch",
];

#[derive(Debug, Clone)]
pub(crate) struct Git {
    /// The folder that holds the one hook.
    pub(crate) hooks: PathBuf,
    path: String,
    push_bytes: u64,
}

impl Git {
    pub(crate) fn new(options: &Options) -> Self {
        let path = options.environment.get("PATH").filter(|p| !p.is_empty());
        Self {
            hooks: options.data.join("hooks"),
            path: path.cloned().unwrap_or_else(|| DEFAULT_PATH.to_owned()),
            push_bytes: options.limits.push_bytes,
        }
    }

    /// A git that acts on one repository, its verb and arguments still missing.
    pub(crate) fn command(&self, repo: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_DIR", repo)
            .current_dir(repo)
            .process_group(0)
            .kill_on_drop(true);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let mut set = |name: &str, value: &OsStr| {
            let mut setting = std::ffi::OsString::from(name);
            setting.push(value);
            command.arg("-c").arg(setting);
        };
        set("core.hooksPath=", self.hooks.as_os_str());
        set("safe.directory=", repo.as_os_str());
        set(
            "receive.maxInputSize=",
            OsStr::new(&self.push_bytes.to_string()),
        );
        command
    }
}

/// A quarter of the host's memory, within bounds.
fn address_space(host: u64) -> u64 {
    (host / 4).clamp(LEAST_ADDRESS_SPACE, ADDRESS_SPACE)
}

/// Starts a process whose memory is bounded.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    let child = command.spawn().map_err(Error::GitStart)?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let host = rustix::system::sysinfo();
    let bytes = address_space(u64::from(host.mem_unit).saturating_mul(host.totalram));
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    // A process that has ended already needs no limit.
    let _ = pid.map(|pid| prlimit(Some(pid), Resource::As, limit));
    Ok(child)
}

/// Runs a short git to its end and returns what it printed.
pub(crate) async fn run(
    command: &mut Command,
    verb: &'static str,
    limit: Duration,
) -> Result<Vec<u8>> {
    run_with(command, verb, Stdio::null(), limit).await
}

/// As [`run`], git reading `input`.
pub(crate) async fn run_with(
    command: &mut Command,
    verb: &'static str,
    input: Stdio,
    limit: Duration,
) -> Result<Vec<u8>> {
    command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = spawn(command)?;
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| Error::GitDeadline {
            verb,
            seconds: limit.as_secs(),
        })?
        .map_err(Error::GitStart)?;
    finished(verb, output)
}

pub(crate) fn finished(verb: &'static str, output: Output) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::Git {
        verb,
        status: output.status.to_string(),
        output: words.trim().chars().take(OUTPUT_LIMIT).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_the_host() {
        const GIB: u64 = 1 << 30;
        let spaces = [1, 2, 4, 16, 64].map(|gib| address_space(gib * GIB) >> 20);
        assert_eq!(spaces, [512, 512, 1024, 4096, 6144]);
    }

    #[tokio::test]
    async fn what_git_writes_is_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git {
            hooks: dir.path().join("hooks"),
            path: std::env::var("PATH").unwrap(),
            push_bytes: 1 << 20,
        };
        let limit = Duration::from_secs(30);
        let repo = dir.path().join("repo");
        std::fs::create_dir(&repo).unwrap();
        let mut init = git.command(&repo);
        init.args(["init", "--quiet", "--bare"]);
        run(&mut init, "init", limit).await.unwrap();
        let (file, trace) = (dir.path().join("file"), dir.path().join("trace"));
        std::fs::write(&file, "content").unwrap();
        let traced = async |arguments: &[&str]| {
            let mut command = git.command(&repo);
            command.args(arguments).env("GIT_TRACE2_EVENT", &trace);
            let words = run(&mut command, "test", limit).await.unwrap();
            let events = std::fs::read_to_string(&trace).unwrap();
            std::fs::remove_file(&trace).unwrap();
            let flushed = events
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .filter(|event| event["category"] == "fsync")
                .any(|event| event["value"] != "0");
            assert!(flushed, "{arguments:?}: {events}");
            String::from_utf8(words).unwrap().trim().to_owned()
        };
        let blob = traced(&["hash-object", "-w", file.to_str().unwrap()]).await;
        traced(&["update-ref", "refs/blobs/x", &blob]).await;
    }
}
