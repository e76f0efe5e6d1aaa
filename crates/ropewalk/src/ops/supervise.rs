//! `ropewalk supervise`: server and router as children, where no systemd runs.
//!
//! The listening socket is held here and handed to each router as its standard input, so that while a router is
//! replaced connections wait instead of being refused.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use ropewalk_model::egress::Cidr;
use ropewalk_model::tcp::Ports;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::data::{Data, write_pid};
use super::{DataArg, leftovers};

/// First wait before a child is started again, doubling to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A child that ran this long is started again at once.
const HEALTHY_RUN: Duration = Duration::from_secs(30);
/// For a child to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(40);

/// Between two looks at a process that is not our child.
const LOOK: Duration = Duration::from_millis(200);

/// Where git speaks SSH: 22 is the host's own.
const SSH_PORTS: std::ops::RangeInclusive<u16> = 2222..=2299;

#[derive(Debug, Args)]
pub(crate) struct Supervise {
    #[command(flatten)]
    data: DataArg,
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Apps are APP.DOMAIN
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// Git speaks SSH too, on the first port from 2222 that is free
    #[arg(long)]
    ssh: bool,
    /// Proxies in front, whose connections begin with a PROXY header that names the client: 10.0.0.0/8,192.168.1.9
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',')]
    proxy_protocol_from: Vec<Cidr>,
    /// Ports of this host that apps may have for raw TCP: 20000-20099, at most 200 of them
    #[arg(long, value_name = "FIRST-LAST")]
    tcp_ports: Option<Ports>,
}

impl Supervise {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        ropewalk_telemetry::init(ropewalk_telemetry::Format::Human)?;
        let data = Data::open(&self.data.data)?;
        leftovers::end(&data).await?;
        let listener = TcpListener::bind(self.listen)
            .with_context(|| format!("{} could not be listened on", self.listen))?;
        let port = listener.local_addr()?.port();
        let pid_files = leftovers::pid_files(&data);
        for file in &pid_files {
            write_pid(file, std::process::id())?;
        }
        let stop = CancellationToken::new();
        let program = std::env::current_exe()?;
        // Nobody issues certificates for names that mean this machine, so it does that itself.
        let local_tls = (self.domain == "localhost").then_some("--local-tls");
        // One port for as long as this runs: git remotes name it.
        let ssh = match self.ssh {
            true => Some(free_port(self.listen.ip())?.to_string()),
            false => None,
        };
        let tcp_ports = self.tcp_ports.map(|ports| format!("--tcp-ports={ports}"));
        let proxies = super::proxy_protocol_from(&self.proxy_protocol_from);
        let server = keep(
            "server",
            &stop,
            || {
                let mut command = child(&program, "server", &data.root);
                command
                    .args(["--domain", &self.domain, "--port", &port.to_string()])
                    .args(local_tls)
                    .args(tcp_ports.iter())
                    .args(ssh.iter().flat_map(|address| ["--ssh", address]))
                    .stdin(Stdio::null());
                Ok(command)
            },
            data.socket("server.pid"),
        );
        let router = keep(
            "router",
            &stop,
            || {
                let mut command = child(&program, "router", &data.root);
                command
                    .arg("--listen-stdin")
                    .args(local_tls)
                    .args(proxies.iter())
                    .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)));
                Ok(command)
            },
            data.socket("router.pid"),
        );
        let asked = async {
            super::asked_to_end().await;
            stop.cancel();
        };
        tokio::join!(server, router, asked);
        for file in pid_files {
            let _ = std::fs::remove_file(file);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The first address from port 2222 on that nothing listens on.
fn free_port(ip: IpAddr) -> Result<SocketAddr> {
    SSH_PORTS
        .map(|port| SocketAddr::new(ip, port))
        .find(|address| TcpListener::bind(address).is_ok())
        .with_context(|| format!("no port of {ip} from 2222 to 2299 is free for git over SSH"))
}

fn child(program: &Path, mode: &str, data: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(mode).arg("--data").arg(data);
    // Two arenas instead of eight per core: memory that is freed goes back, and nothing here is bound by malloc.
    command.env("MALLOC_ARENA_MAX", "2");
    command
}

/// Starts a child, and again whenever it ends or cannot be started; ends it when told to stop.
async fn keep(
    name: &str,
    stop: &CancellationToken,
    make: impl Fn() -> Result<Command>,
    pid_file: PathBuf,
) {
    let mut wait = FIRST_WAIT;
    while !stop.is_cancelled() {
        let began = Instant::now();
        match once(name, stop, &make, &pid_file).await {
            Ok(()) if stop.is_cancelled() => return,
            Ok(()) => tracing::warn!(%name, "A child ended and is started again."),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%name, %error, "A child could not be started; it is tried again.");
            }
        }
        wait = if began.elapsed() > HEALTHY_RUN {
            FIRST_WAIT
        } else {
            (wait * 2).min(LONGEST_WAIT)
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One run of a child, and of those that took over from it, until the last has ended: by itself, or because of `stop`.
async fn once(
    name: &str,
    stop: &CancellationToken,
    make: impl Fn() -> Result<Command>,
    pid_file: &Path,
) -> Result<()> {
    let mut running = make()?.spawn()?;
    let first = pid(&running);
    // A full disk must not keep the child from being looked after.
    if let Some(pid) = running.id()
        && let Err(error) = write_pid(pid_file, pid)
    {
        tracing::warn!(error = format!("{error:#}"), "A pid file is out of date.");
    }
    tokio::select! {
        status = running.wait() => {
            let status = status?;
            tracing::info!(%name, %status, "A child ended.");
        }
        () = stop.cancelled() => end(&mut running).await,
    }
    let named = || leftovers::running(pid_file, name, None);
    let mut last = first;
    while let Some(heir) = named().filter(|heir| Some(*heir) != last) {
        follow(heir, stop, || named() == Some(heir)).await;
        last = Some(heir);
    }
    Ok(())
}

/// SIGTERM, then SIGKILL after [`GRACE`].
async fn end(child: &mut Child) {
    if let Some(pid) = pid(child) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

/// Waits for the end of a process that is not our child, and ends it because of `stop` as a child is.
async fn follow(pid: Pid, stop: &CancellationToken, runs: impl Fn() -> bool) {
    let gone = async {
        while runs() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = gone => return,
        () = stop.cancelled() => {}
    }
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while runs() && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    if runs() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt;

    #[tokio::test]
    async fn a_child_that_cannot_be_started_is_tried_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (stop, tries) = (CancellationToken::new(), Cell::new(0));
        let make = || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 => anyhow::bail!("no file descriptor is left"),
                2 => {}
                _ => stop.cancel(),
            }
            Ok(Command::new(folder.path().join("nothing")))
        };
        keep("child", &stop, make, folder.path().join("pid")).await;
        assert_eq!(tries.get(), 3);
        Ok(())
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() -> Result<()> {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let first = TcpListener::bind(free_port(ip)?)?;
        let second = free_port(ip)?;
        assert_ne!(second.port(), first.local_addr()?.port());
        assert!(SSH_PORTS.contains(&second.port()));
        Ok(())
    }

    #[tokio::test]
    async fn a_child_is_ended_when_told_to_stop_and_a_lost_pid_file_keeps_it_from_nothing()
    -> Result<()> {
        let folder = tempfile::tempdir()?;
        let stop = CancellationToken::new();
        let make = || {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped());
            Ok(command)
        };
        let nowhere = folder.path().join("nothing/pid");
        let (ended, ()) = tokio::join!(once("child", &stop, make, &nowhere), async {
            stop.cancel();
        });
        ended?;
        let mut child = make()?.spawn()?;
        end(&mut child).await;
        let status = child.wait().await?;
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
        Ok(())
    }
}
