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

/// Address space of one git process: more than a pack of the largest size needs, less than would hurt the host.
const ADDRESS_SPACE: u64 = 6 << 30;

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

/// Starts a process whose memory is bounded.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    let child = command.spawn().map_err(Error::GitStart)?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some(ADDRESS_SPACE),
        maximum: Some(ADDRESS_SPACE),
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
    command
        .stdin(Stdio::null())
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

fn finished(verb: &'static str, output: Output) -> Result<Vec<u8>> {
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
