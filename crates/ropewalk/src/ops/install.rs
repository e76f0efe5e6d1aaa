//! `ropewalk install`: binary, systemd units, data directory and stack, in one step.
//!
//! The sockets are held by systemd, so that connections wait while the router is replaced; the router needs
//! neither the server nor Docker Engine to serve.

mod domain;
mod engine;
mod packages;
mod ready;
mod services;
mod units;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use ropewalk_model::egress::Cidr;
use ropewalk_model::tcp::Ports;

use super::DEFAULT_DATA;
use super::acme::AcmeArgs;
use super::data::{Data, replace};
use crate::ui::Printer;
use units::Tls;

/// Where the binary goes.
const BINARY: &str = "/usr/local/bin/ropewalk";
/// Where units of the administrator go.
const UNITS: &str = "/etc/systemd/system";

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Apps are APP.DOMAIN; *.DOMAIN must point here. Without it, a name made of this server's address
    #[arg(long)]
    domain: Option<String>,
    /// Write everything below this folder instead of /, and start nothing
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
    /// Certificate chain for *.DOMAIN, PEM. Without it HTTPS is spoken if the authority's options below say who asks for
    /// certificates: --acme-email is enough
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Git speaks SSH too, on this port, or on 2222; 22 is the host's own
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "2222",
        value_parser = clap::value_parser!(u16).range(1..))]
    ssh: Option<u16>,
    /// Proxies in front, whose connections begin with a PROXY header that names the client: 10.0.0.0/8,192.168.1.9
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',')]
    proxy_protocol_from: Vec<Cidr>,
    /// HTTP/3 too, on UDP port 443, where HTTPS is spoken
    #[arg(long)]
    http3: bool,
    /// Ports of this host that apps may have for raw TCP: 20000-20099, at most 200 of them
    #[arg(long, value_name = "FIRST-LAST")]
    tcp_ports: Option<Ports>,
    #[command(flatten)]
    acme: AcmeArgs,
}

impl Install {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let domain = match &self.domain {
            Some(domain) => domain::checked(domain)?,
            None => domain::of_this_server()?,
        };
        let mut options = self.acme.for_unit()?;
        if let Some(ports) = self.tcp_ports {
            options.push_str(&format!(" --tcp-ports {ports}"));
        }
        let tls = self.tls();
        if self.http3 && tls == Tls::Off {
            bail!(
                "--http3 needs HTTPS: name a certificate with --cert and --key, or say --acme-email"
            );
        }
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
            services::check_port(services::HTTP, 80)?;
            if tls != Tls::Off {
                services::check_port(services::HTTPS, 443)?;
            }
            if self.http3 {
                services::check_udp_port(services::QUIC, 443)?;
            }
            let answers = engine::info().await.is_some();
            packages::ensure(answers, |names| {
                Ok(printer.line(&format!("-----> Installing {names}"))?)
            })?;
        }
        let root = staged.clone().unwrap_or_else(|| PathBuf::from("/"));
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        printer.line(&format!("-----> Installing {BINARY}"))?;
        install_binary(&below(BINARY))?;
        self.copy_certificate(&below)?;
        for (name, text) in units::units(
            &domain,
            tls,
            self.http3,
            self.ssh,
            &options,
            &self.proxy_protocol_from,
        ) {
            write(&below(UNITS).join(name), &text)?;
        }
        Data::open(&below(DEFAULT_DATA))?;
        if staged.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        printer.line("-----> Building the stack debian-13 (a few minutes)")?;
        loud(Command::new(BINARY).args(["stacks:build", "debian-13"]))?;
        printer.line("-----> Starting")?;
        let engine = engine::ensure().await?;
        if let Some(text) = engine::live_restore(engine.as_ref()).await? {
            printer.line(&format!("       {text}"))?;
        }
        let mut sockets = vec![services::HTTP];
        for (socket, wanted) in [
            (services::HTTPS, tls != Tls::Off),
            (services::QUIC, self.http3),
        ] {
            match wanted {
                true => sockets.push(socket),
                false => services::remove(socket)?,
            }
        }
        services::run(&sockets)?;
        printer.line("-----> Waiting until dynos can be run")?;
        ready::wait(&domain, &self.proxy_protocol_from, &printer).await?;
        let scheme = match tls {
            Tls::Files | Tls::Acme => "https",
            Tls::Off => "http",
        };
        printer.line("")?;
        printer.line(&format!(
            "Ropewalk runs. Apps get names like {scheme}://APP.{domain}/."
        ))?;
        if tls == Tls::Acme {
            printer.line(&format!(
                "HTTPS begins once the certificate authority has seen that api.{domain} and the other names lead here, \
                 within a minute. If it does not, `journalctl -u ropewalk-server` says why."
            ))?;
        }
        if self.http3 {
            printer.line(
                "HTTP/3 is spoken on UDP port 443; the host's own firewall must let it in.",
            )?;
        }
        if let Some(ports) = self.tcp_ports {
            printer.line(&format!(
                "Apps may have the TCP ports {ports}; the host's own firewall must let them in."
            ))?;
        }
        if let Some(port) = self.ssh {
            printer.line(&format!(
                "Git speaks SSH on port {port}; the host's own firewall must let it in."
            ))?;
        }
        printer.line(&format!(
            "The administrator's token is in {DEFAULT_DATA}/admin-token. Log in with:"
        ))?;
        printer.line(&format!(
            "    ROPEWALK_URL={scheme}://api.{domain} ropewalk login --token -"
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// By what HTTPS is spoken.
    fn tls(&self) -> Tls {
        let asks = self.acme.acme_email.is_some() || self.acme.acme_directory.is_some();
        let can_look = |domain: &str| matches!(self.acme.directory(domain), Ok(Some(_)));
        match (&self.cert, &self.domain) {
            (Some(_), _) => Tls::Files,
            // A name made of the address shares its zone with strangers, and authorities count by the zone.
            (None, Some(domain)) if asks && can_look(domain) => Tls::Acme,
            _ => Tls::Off,
        }
    }

    /// Puts the certificate where the router reads it.
    fn copy_certificate(&self, below: &dyn Fn(&str) -> PathBuf) -> Result<()> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(());
        };
        let folder = below("/etc/ropewalk");
        fs::create_dir_all(&folder)?;
        for (from, to) in [(cert, "cert.pem"), (key, "key.pem")] {
            let text =
                fs::read(from).with_context(|| format!("{} could not be read", from.display()))?;
            let target = folder.join(to);
            if fs::read(&target).ok().as_ref() != Some(&text) {
                replace(&target, &text, 0o600)?;
            }
        }
        Ok(())
    }
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
    if source == target || is_same(&source, target)? {
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

/// Whether both files hold the same bytes.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let mut files = match File::open(other) {
        Ok(other) => [File::open(one)?, other],
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let [length, other_length] = [files[0].metadata()?.len(), files[1].metadata()?.len()];
    if length != other_length {
        return Ok(false);
    }
    let mut parts = [Vec::new(), Vec::new()];
    loop {
        for (file, part) in files.iter_mut().zip(&mut parts) {
            part.clear();
            file.take(1 << 20).read_to_end(part)?;
        }
        if parts[0] != parts[1] || parts[0].is_empty() {
            return Ok(parts[0] == parts[1]);
        }
    }
}

/// A file that already says it keeps its time: whatever is older is restarted.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|now| now == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    replace(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777)
    }

    #[tokio::test]
    async fn everything_is_written_below_the_root_that_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (root, pem) = (folder.path().join("root"), folder.path().join("pem"));
        fs::write(&pem, "a certificate")?;
        let install = || Install {
            domain: Some("apps.example.com".to_owned()),
            root: Some(root.clone()),
            cert: Some(pem.clone()),
            key: Some(pem.clone()),
            ssh: Some(2222),
            proxy_protocol_from: Vec::new(),
            http3: false,
            tcp_ports: "20000-20099".parse().ok(),
            acme: AcmeArgs::default(),
        };
        install().run().await?;
        let times = || -> Result<Vec<SystemTime>> {
            let files = ["usr/local/bin/ropewalk", "etc/ropewalk/cert.pem"];
            let units = fs::read_dir(root.join("etc/systemd/system"))?;
            let units = units.map(|unit| Ok(unit?.metadata()?.modified()?));
            let files = files.map(|file| Ok(fs::metadata(root.join(file))?.modified()?));
            units.chain(files).collect()
        };
        let before = times()?;
        install().run().await?;
        assert_eq!(times()?, before, "nothing was written anew");
        // Over another version: an upgrade.
        fs::write(root.join("usr/local/bin/ropewalk"), "an older program")?;
        install().run().await?;
        assert_eq!(mode(&root.join("usr/local/bin/ropewalk")), 0o755);
        assert_eq!(fs::read_dir(root.join("usr/local/bin"))?.count(), 1);
        assert_eq!(mode(&root.join("etc/ropewalk/key.pem")), 0o600);
        assert_eq!(fs::read_dir(root.join("etc/systemd/system"))?.count(), 4);
        let unit = root.join("etc/systemd/system/ropewalk-server.service");
        let unit = fs::read_to_string(unit)?;
        assert!(unit.contains("--domain apps.example.com --https"));
        assert!(unit.contains(" --tcp-ports 20000-20099\n"), "{unit}");
        assert!(root.join("var/lib/ropewalk/instance").exists());
        Ok(())
    }

    #[tokio::test]
    async fn whoever_asks_an_authority_for_certificates_needs_none_in_files() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_owned();
        let install = |email: Option<&str>, directory: Option<&str>| Install {
            domain: Some("apps.example.com".to_owned()),
            root: Some(root.clone()),
            cert: None,
            key: None,
            ssh: None,
            proxy_protocol_from: Vec::new(),
            http3: false,
            tcp_ports: None,
            acme: AcmeArgs {
                acme_email: email.map(str::to_owned),
                acme_directory: directory.map(str::to_owned),
                ..AcmeArgs::default()
            },
        };
        assert_eq!(install(None, None).tls(), Tls::Off);
        assert_eq!(
            install(None, Some("https://ca.example.com/dir")).tls(),
            Tls::Acme
        );
        let asking = install(Some("ops@example.com"), None);
        assert_eq!(asking.tls(), Tls::Acme);
        for domain in [None, Some("localhost".to_owned())] {
            let nowhere = Install {
                domain,
                ..install(Some("ops@example.com"), None)
            };
            assert_eq!(nowhere.tls(), Tls::Off);
        }
        asking.run().await?;
        let units = root.join("etc/systemd/system");
        assert_eq!(fs::read_dir(&units)?.count(), 4);
        let server = fs::read_to_string(units.join("ropewalk-server.service"))?;
        assert!(server.contains(" --acme-platform --acme-email ops@example.com\n"));
        assert!(!root.join("etc/ropewalk").exists());
        Ok(())
    }

    #[tokio::test]
    async fn a_domain_that_is_none_changes_nothing() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let install = Install {
            domain: Some("a\nExecStart=x".to_owned()),
            root: Some(folder.path().to_owned()),
            cert: None,
            key: None,
            ssh: None,
            proxy_protocol_from: Vec::new(),
            http3: false,
            tcp_ports: None,
            acme: AcmeArgs::default(),
        };
        assert!(install.run().await.is_err());
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
