//! Packages of Debian and Ubuntu that the host lacks. What is there is left as it is, whoever it came from.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::loud;
use crate::ops::programs;

/// By what it is seen that a package, or another with the same in it, is installed.
enum Sign {
    /// A program on the path of administrators.
    Program(&'static str),
    /// A file.
    File(&'static str),
}

/// The engine, and what it needs besides: its own package only recommends these.
const ENGINE: [(Sign, &str); 3] = [
    (Sign::Program("dockerd"), "docker.io"),
    (Sign::Program("iptables"), "iptables"),
    (Sign::Program("docker-init"), "tini"),
];

const NEEDED: [(Sign, &str); 7] = [
    (Sign::Program("debootstrap"), "debootstrap"),
    // Another distribution's debootstrap needs Debian's keys.
    (
        Sign::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        "debian-archive-keyring",
    ),
    (Sign::Program("git"), "git"),
    (Sign::Program("mksquashfs"), "squashfs-tools"),
    (Sign::Program("nft"), "nftables"),
    (
        Sign::File("/etc/ssl/certs/ca-certificates.crt"),
        "ca-certificates",
    ),
    (Sign::Program("mount"), "mount"),
];

/// Installs what is missing. `engine_answers` says that Docker Engine runs, in whatever way it was installed.
///
/// # Errors
/// When something is missing and there is no `apt-get`, or that fails.
pub(super) fn ensure(engine_answers: bool, say: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let is_there = |sign: &Sign| match sign {
        Sign::Program(name) => programs::exists(name),
        Sign::File(path) => Path::new(path).exists(),
    };
    let missing = missing(engine_answers, is_there);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !programs::exists("apt-get") {
        bail!("install these first, this is not Debian or Ubuntu: {names}");
    }
    say(&names)?;
    loud(Command::new("apt-get").args(["update", "-q"]))?;
    loud(
        Command::new("apt-get")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Distributions' `docker.io` and Docker's own `docker-ce` remove one another: where there is an engine, it stays.
fn missing(engine_answers: bool, is_there: impl Fn(&Sign) -> bool) -> Vec<&'static str> {
    let has_engine = engine_answers || is_there(&ENGINE[0].0);
    let engine = if has_engine { &ENGINE[..0] } else { &ENGINE };
    engine
        .iter()
        .chain(&NEEDED)
        .filter(|(sign, _)| !is_there(sign))
        .map(|(_, package)| *package)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host where only these programs, and every file, are.
    fn host<'a>(programs: &'a [&'a str]) -> impl Fn(&Sign) -> bool + 'a {
        move |sign| match sign {
            Sign::Program(name) => programs.contains(name),
            Sign::File(_) => true,
        }
    }

    #[test]
    fn a_bare_host_gets_everything() {
        let all = missing(false, |_| false);
        assert_eq!(all.len(), ENGINE.len() + NEEDED.len());
        assert_eq!(all[0], "docker.io");
    }

    #[test]
    fn an_engine_that_is_there_is_left_alone() {
        let rest = ["debootstrap", "git", "mksquashfs", "nft", "mount"];
        let installed = [&rest[..], &["dockerd"]].concat();
        assert!(missing(false, host(&installed)).is_empty());
        // One that answers may have its program anywhere.
        assert!(missing(true, host(&rest)).is_empty());
        assert_eq!(
            missing(false, host(&rest)),
            ["docker.io", "iptables", "tini"]
        );
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        assert_eq!(
            missing(true, host(&["debootstrap", "git", "mount"])),
            ["squashfs-tools", "nftables"]
        );
    }
}
