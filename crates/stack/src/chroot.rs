//! Runs the programs that make a root file system, in namespaces of their own.
//!
//! Every mount is made in a private mount namespace and every process lives in a private process namespace. When
//! the program ends, is killed or its future is dropped, the kernel takes mounts and processes away together.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::{Error, Result};

/// How many of the last lines an error keeps.
const LINES: usize = 40;
/// Programs of the host and of the image are found here.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Apt's settings, as the programs inside see them. `/run` there is a file system in memory, so none of it stays.
const APT_CONFIG: &str = "/run/ropewalk/apt.conf";

/// A fixed text: everything that varies comes as an argument.
const PLAIN: &str = r#"exec "$@" 2>&1"#;
const ENTER: &str = r#"
set -e
exec 2>&1
root=$1 lower=$2 upper=$3 work=$4 debs=$5 lists=$6 conf=$7
shift 7
if [ -n "$lower" ]; then
    mount -t overlay -o "volatile,index=off,metacopy=off,redirect_dir=off,lowerdir=$lower,upperdir=$upper,workdir=$work" overlay "$root"
fi
mkdir -p "$root/var/cache/apt/archives" "$root/var/lib/apt/lists"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir "$root/run/ropewalk"
mount --bind "$conf" "$root/run/ropewalk"
mount --bind "$debs" "$root/var/cache/apt/archives"
mount --bind "$lists" "$root/var/lib/apt/lists"
# Names are found as on the host.
for name in resolv.conf hosts; do
    rm -f "$root/etc/$name"
    if [ -e "/etc/$name" ]; then cp "/etc/$name" "$root/etc/$name"; fi
done
# Nothing that a package brings is to be started.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
exec chroot "$root" "$@"
"#;

/// The folders a build works in.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// The run image's root.
    pub(crate) root: PathBuf,
    /// What the build image has besides; empty until its packages are installed.
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) merged: PathBuf,
    /// Package files, kept between builds.
    pub(crate) debs: PathBuf,
    /// Apt's lists of packages.
    pub(crate) lists: PathBuf,
    /// Holds `apt.conf` and the host's CA bundle.
    pub(crate) conf: PathBuf,
}

/// Which root a program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Run,
    Build,
}

/// What a step is called in errors, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) limit: Duration,
}

impl Workshop {
    /// Runs a program of the image inside its root.
    pub(crate) async fn inside(
        &self,
        side: Side,
        step: Step,
        arguments: &[&str],
        line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<()> {
        let none = Path::new("");
        let folders = match side {
            Side::Run => [self.root.as_path(), none, none, none],
            Side::Build => [&*self.merged, &self.root, &self.upper, &self.work],
        };
        let mut all: Vec<OsString> = ["-c", ENTER, "enter"].map(OsString::from).into();
        all.extend(folders.map(OsString::from));
        all.extend([&self.debs, &self.lists, &self.conf].map(OsString::from));
        all.extend(arguments.iter().map(OsString::from));
        run(step, &all, line).await
    }
}

/// Runs a program of the host, which makes its own mounts.
pub(crate) async fn outside(
    step: Step,
    arguments: &[OsString],
    line: &mut (dyn FnMut(&str) + Send),
) -> Result<()> {
    let mut all: Vec<OsString> = ["-c", PLAIN, "plain"].map(OsString::from).into();
    all.extend_from_slice(arguments);
    run(step, &all, line).await
}

async fn run(step: Step, shell: &[OsString], line: &mut (dyn FnMut(&str) + Send)) -> Result<()> {
    let mut command = Command::new("setpriv");
    command
        // Ends with this process, however that ends; kill_on_drop alone would not see a SIGKILL.
        .args(["--pdeathsig", "KILL", "--", "unshare"])
        .args(["--mount", "--propagation", "private", "--pid", "--fork"])
        .args(["--kill-child", "--", "sh"])
        .args(shell)
        .env_clear()
        .envs(proxies())
        .env("PATH", PATH)
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("APT_CONFIG", APT_CONFIG)
        // The order of Python's sets ends up in its compiled files.
        .env("PYTHONHASHSEED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let ended = follow(command, line);
    let (status, last) = tokio::time::timeout(step.limit, ended)
        .await
        .map_err(|_| Error::Deadline {
            step: step.name,
            limit: step.limit,
        })??;
    if status.success() {
        return Ok(());
    }
    Err(Error::Step {
        step: step.name,
        status: status.to_string(),
        output: Vec::from(last).join("\n"),
    })
}

async fn follow(
    mut command: Command,
    line: &mut (dyn FnMut(&str) + Send),
) -> Result<(std::process::ExitStatus, VecDeque<String>)> {
    let failed = |source| Error::Spawn {
        program: "setpriv",
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let mut last = VecDeque::new();
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Some(bytes) = lines.next_segment().await.map_err(failed)? {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            line(&text);
            last.push_back(text);
            if last.len() > LINES {
                last.pop_front();
            }
        }
    }
    let status = child.wait().await.map_err(failed)?;
    Ok((status, last))
}

/// The proxy settings that debootstrap and apt know from the environment.
fn proxies() -> impl Iterator<Item = (&'static OsStr, OsString)> {
    ["http_proxy", "https_proxy", "no_proxy"]
        .into_iter()
        .filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?)))
}
