//! What the host needs from its distribution, and how it gets it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, exists};
use crate::step::step;

/// Program that must be there, and the package of Debian and Ubuntu that has it.
const NEEDED: [(&str, &str); 9] = [
    ("dockerd", "docker.io"),
    ("debootstrap", "debootstrap"),
    ("git", "git"),
    ("mksquashfs", "squashfs-tools"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("curl", "curl"),
    ("setsid", "util-linux"),
    ("docker-init", "tini"),
];

/// Needed only by the tests.
const NEEDED_BY_TESTS: [(&str, &str); 8] = [
    ("shellcheck", "shellcheck"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("ssh-keygen", "openssh-client"),
    // A certificate authority.
    ("pebble", "pebble"),
    // Heroku's own clients come from their registries.
    ("node", "nodejs"),
    ("npm", "npm"),
    ("pip3", "python3-pip"),
];

/// Needed only by tests and benches, and only where it is a package apart from the engine's.
const CLIENT: [(&str, &str); 1] = [("docker", "docker-cli")];

/// Needed only by the benches.
const NEEDED_BY_BENCHES: [(&str, &str); 2] = [("sqlite3", "sqlite3"), ("docker", "docker-cli")];

/// Needed only by the bench of the router: its peers and clients.
const NEEDED_BY_ROUTER_BENCH: [(&str, &str); 6] = [
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("caddy", "caddy"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("openssl", "openssl"),
];

/// Packages of the above that bring a service, which nobody asked for.
const SERVICES: [&str; 3] = ["nginx", "haproxy", "caddy"];

/// Installs what is missing. Needs root only if something is.
pub fn ensure(tests: bool) -> Result<()> {
    ensure_with(if tests { &NEEDED_BY_TESTS } else { &[] })?;
    // Only now is it known whether the engine's package brought the client along.
    ensure_with(if tests { &CLIENT } else { &[] })
}

/// Installs what benches need besides; after [`ensure`].
pub(crate) fn ensure_for_bench() -> Result<()> {
    ensure_with(&NEEDED_BY_BENCHES)
}

/// Installs what the bench of the router needs, and nothing else.
pub(crate) fn ensure_for_router_bench() -> Result<()> {
    ensure_only(&NEEDED_BY_ROUTER_BENCH)
}

/// Installs what is missing of these programs and packages, and nothing else. The services that come along are stopped
/// again.
pub(crate) fn ensure_only(needed: &[(&'static str, &'static str)]) -> Result<()> {
    let missing = missing(needed);
    install(&missing)?;
    if Path::new("/run/systemd/system").exists() {
        for service in SERVICES.iter().filter(|service| missing.contains(service)) {
            process::quiet("systemctl", &["disable", "--now", service])?;
        }
    }
    Ok(())
}

/// The same for what is no program but a file below `folder`.
pub(crate) fn ensure_files(folder: &Path, needed: &[(&'static str, &'static str)]) -> Result<()> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(file, _)| !folder.join(file).exists())
        .map(|(_, package)| *package)
        .collect();
    install(&missing)
}

fn missing(needed: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    needed
        .iter()
        .filter(|(program, _)| !exists(program))
        .map(|(_, package)| *package)
        .collect()
}

fn ensure_with(extra: &[(&'static str, &'static str)]) -> Result<()> {
    let mut missing = [missing(&NEEDED), missing(extra)].concat();
    // Another distribution's debootstrap needs Debian's keys.
    if !Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists() {
        missing.push("debian-archive-keyring");
    }
    install(&missing)?;
    // Asked with the programs that are there now.
    match finds_names_below_localhost() {
        true => Ok(()),
        false => install(&["libnss-myhostname"]),
    }
}

/// Apps are below `.localhost`. Programs with a recent libcurl find such names by themselves; others ask the system, which
/// without systemd-resolved knows them by this package alone (Ubuntu 22.04 without systemd).
fn finds_names_below_localhost() -> bool {
    use std::net::ToSocketAddrs;
    /// What curl ends with when there is no such name.
    const NO_SUCH_NAME: i32 = 6;
    let name = "git.localhost";
    let by_system = || (name, 80).to_socket_addrs().is_ok();
    let by_curl = || {
        let asked = Command::new("curl")
            .args(["--silent", "--max-time", "5", "--noproxy", "*"])
            .arg(format!("http://{name}:9/"))
            .output();
        asked.is_ok_and(|asked| asked.status.code() != Some(NO_SUCH_NAME))
    };
    by_system() || by_curl()
}

fn install(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("apt-get") {
        bail!(
            "install these first, this is not Debian or Ubuntu: {}",
            missing.join(" ")
        );
    }
    step(&format!("Installing {}", missing.join(" ")), |line| {
        line.note("apt-get update");
        process::quiet("apt-get", &["update", "-q"])?;
        line.note("apt-get install");
        let mut args = vec![
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "ca-certificates",
            "mount",
        ];
        args.extend(missing);
        let output = Command::new("apt-get")
            .args(&args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output()?;
        if !output.status.success() {
            bail!(
                "apt-get install failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    })
}
