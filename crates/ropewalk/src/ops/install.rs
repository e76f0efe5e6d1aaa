//! `ropewalk install`: binary, systemd units, data directory and stack, in one step.
//!
//! The sockets are held by systemd, so that connections wait while the router is replaced; the router needs
//! neither the server nor Docker Engine to serve.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{DEFAULT_DATA, data::Data};
use crate::ui::Printer;

/// Where the binary goes.
const BINARY: &str = "/usr/local/bin/ropewalk";
/// What must be there; the packages of Debian and Ubuntu that have it.
const PACKAGES: [&str; 10] = [
    "docker.io",
    "debootstrap",
    "debian-archive-keyring",
    "git",
    "squashfs-tools",
    "nftables",
    "iptables",
    "ca-certificates",
    "tini",
    "mount",
];

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Apps are APP.DOMAIN; *.DOMAIN must point here. Without it, a name made of this server's address
    #[arg(long)]
    domain: Option<String>,
    /// Write everything below this folder instead of /, and start nothing
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
    /// Certificate chain for *.DOMAIN, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Install {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let printer = Printer::for_process();
        let staged = self.root.clone();
        if staged.is_none() {
            if !rustix::process::geteuid().is_root() {
                bail!("run it as root: sudo ropewalk install");
            }
            if !Path::new("/run/systemd/system").exists() {
                bail!(
                    "no systemd runs here; `ropewalk supervise` runs server and router without it"
                );
            }
            printer.line("-----> Installing packages")?;
            packages()?;
        }
        let root = staged.clone().unwrap_or_else(|| PathBuf::from("/"));
        let domain = match &self.domain {
            Some(domain) => checked_domain(domain)?,
            None => domain_of_address()?,
        };
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        printer.line(&format!("-----> Installing {BINARY}"))?;
        install_binary(&below(BINARY))?;
        let tls = self.tls(&below)?;
        for (name, text) in units(&domain, tls) {
            write(&below("/etc/systemd/system").join(name), &text)?;
        }
        Data::open(&below(DEFAULT_DATA))?;
        if staged.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        printer.line("-----> Building the stack debian-13 (a few minutes)")?;
        loud(Command::new(BINARY).args(["stacks:build", "debian-13"]))?;
        printer.line("-----> Starting")?;
        live_restore()?;
        loud(Command::new("systemctl").arg("daemon-reload"))?;
        let sockets = if tls {
            vec!["ropewalk-http.socket", "ropewalk-https.socket"]
        } else {
            vec!["ropewalk-http.socket"]
        };
        let mut enable = Command::new("systemctl");
        loud(
            enable
                .args(["enable", "--now", "docker.service"])
                .args(sockets)
                .args(["ropewalk-server.service", "ropewalk-router.service"]),
        )?;
        // Units that ran before this installation go on with the new program; sockets stay open meanwhile.
        loud(Command::new("systemctl").args([
            "restart",
            "ropewalk-server.service",
            "ropewalk-router.service",
        ]))?;
        let scheme = if tls { "https" } else { "http" };
        printer.line("")?;
        printer.line(&format!(
            "Ropewalk runs. Apps get names like {scheme}://APP.{domain}/."
        ))?;
        printer.line(&format!(
            "The administrator's token is in {DEFAULT_DATA}/admin-token. Log in with:"
        ))?;
        printer.line(&format!(
            "    ROPEWALK_URL={scheme}://api.{domain} ropewalk login --token -"
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Puts the certificate where the router reads it.
    fn tls(&self, below: &dyn Fn(&str) -> PathBuf) -> Result<bool> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(false);
        };
        let folder = below("/etc/ropewalk");
        fs::create_dir_all(&folder)?;
        for (from, to) in [(cert, "cert.pem"), (key, "key.pem")] {
            let target = folder.join(to);
            fs::copy(from, &target)
                .with_context(|| format!("{} could not be copied", from.display()))?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?;
        }
        Ok(true)
    }
}

fn packages() -> Result<()> {
    let mut install = Command::new("apt-get");
    install
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(PACKAGES);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    loud(Command::new("apt-get").args(["update", "-q"]))?;
    loud(&mut install)
}

/// With live-restore dynos go on while Docker Engine is restarted or upgraded. A configuration that is there is
/// somebody's: it is left alone, and `ropewalk doctor` says what it means.
fn live_restore() -> Result<()> {
    let path = Path::new("/etc/docker/daemon.json");
    if path.exists() {
        return Ok(());
    }
    write(
        path,
        "{\n  \"live-restore\": true,\n  \"userland-proxy\": false\n}\n",
    )?;
    // Only started engines can be told; a stopped one reads it when it starts.
    let _ = Command::new("systemctl")
        .args(["try-reload-or-restart", "docker.service"])
        .status();
    Ok(())
}

fn loud(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{name} could not be run"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Copies this program; the one in place is replaced by rename, for it may be running.
fn install_binary(target: &Path) -> Result<()> {
    let source = std::env::current_exe()?;
    if source == target {
        return Ok(());
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let staged = target.with_extension("new");
    fs::copy(&source, &staged)?;
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o755))?;
    fs::rename(&staged, target)?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("{} could not be written", path.display()))
}

/// A host name of letters, digits, dashes and dots: it goes into unit files.
fn checked_domain(domain: &str) -> Result<String> {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() > 200 || !domain.split('.').all(label) {
        bail!("{domain:?} is not a domain name such as apps.example.com");
    }
    Ok(domain)
}

/// A name that resolves to this server by itself: `192-0-2-7.sslip.io`.
fn domain_of_address() -> Result<String> {
    // The address that a packet to the outside would carry; nothing is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket
        .connect("192.0.2.1:9")
        .context("this server has no route; name a domain with --domain")?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() => Ok(format!(
            "{}.sslip.io",
            address.to_string().replace('.', "-")
        )),
        _ => bail!("this server has no IPv4 address of its own; name a domain with --domain"),
    }
}

fn units(domain: &str, tls: bool) -> Vec<(&'static str, String)> {
    let https = if tls { " --https --port 443" } else { "" };
    let cert = if tls {
        " --cert /etc/ropewalk/cert.pem --key /etc/ropewalk/key.pem"
    } else {
        ""
    };
    let sockets = if tls {
        "ropewalk-http.socket ropewalk-https.socket"
    } else {
        "ropewalk-http.socket"
    };
    let mut units = vec![
        (
            "ropewalk-server.service",
            format!(
                "[Unit]\n\
                 Description=Ropewalk server (control plane)\n\
                 After=docker.service network-online.target\n\
                 Wants=docker.service network-online.target\n\n\
                 [Service]\n\
                 Type=notify\n\
                 ExecStart={BINARY} server --data {DEFAULT_DATA} --domain {domain}{https}\n\
                 Environment=MALLOC_ARENA_MAX=2\n\
                 Restart=always\n\
                 RestartSec=1\n\
                 WatchdogSec=60\n\
                 # Git's and mksquashfs' processes go with the server, dynos do not: they are Docker's.\n\
                 KillMode=mixed\n\
                 TimeoutStopSec=60\n\
                 LimitNOFILE=65536\n\
                 # No private mounts: what is mounted for dynos must be seen by Docker Engine.\n\n\
                 [Install]\n\
                 WantedBy=multi-user.target\n"
            ),
        ),
        (
            "ropewalk-router.service",
            format!(
                "[Unit]\n\
                 Description=Ropewalk router (data plane)\n\
                 Requires={sockets}\n\
                 After={sockets}\n\n\
                 [Service]\n\
                 Type=notify\n\
                 ExecStart={BINARY} router --data {DEFAULT_DATA}{cert}\n\
                 Environment=MALLOC_ARENA_MAX=2\n\
                 Sockets={sockets}\n\
                 Restart=always\n\
                 RestartSec=100ms\n\
                 WatchdogSec=30\n\
                 TimeoutStopSec=60\n\
                 LimitNOFILE=1048576\n\n\
                 [Install]\n\
                 WantedBy=multi-user.target\n"
            ),
        ),
        ("ropewalk-http.socket", socket_unit("http", 80)),
    ];
    if tls {
        units.push(("ropewalk-https.socket", socket_unit("https", 443)));
    }
    units
}

fn socket_unit(name: &str, port: u16) -> String {
    format!(
        "[Unit]\n\
         Description=Ropewalk router, {name}\n\n\
         [Socket]\n\
         ListenStream={port}\n\
         FileDescriptorName={name}\n\
         Service=ropewalk-router.service\n\
         Backlog=4096\n\n\
         [Install]\n\
         WantedBy=sockets.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_checked_before_they_reach_a_unit_file() {
        assert_eq!(
            checked_domain("Apps.Example.com.").unwrap(),
            "apps.example.com"
        );
        for bad in ["", "a b", "a\nExecStart=x", "-a.com", "a..b", "a_b.com"] {
            assert!(checked_domain(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sockets_are_held_by_systemd_and_the_router_restarts_at_once() {
        let units = units("example.com", true);
        let router = &units
            .iter()
            .find(|(name, _)| *name == "ropewalk-router.service")
            .unwrap()
            .1;
        assert!(router.contains("Sockets=ropewalk-http.socket ropewalk-https.socket"));
        assert!(
            units
                .iter()
                .any(|(_, text)| text.contains("FileDescriptorName=https"))
        );
    }
}
