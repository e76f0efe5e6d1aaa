//! `ropewalk supervise`: server and router as children, where no systemd runs.
//!
//! The listening socket is held here and handed to each router as its standard input, so that while a router is
//! replaced connections wait instead of being refused.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::DataArg;
use super::data::{Data, write_pid};

/// First wait before a child is started again, doubling to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A child that ran this long is started again at once.
const HEALTHY_RUN: Duration = Duration::from_secs(30);
/// For a child to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(40);

#[derive(Debug, Args)]
pub(crate) struct Supervise {
    #[command(flatten)]
    data: DataArg,
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: std::net::SocketAddr,
    /// Apps are APP.DOMAIN
    #[arg(long, default_value = "localhost")]
    domain: String,
}

impl Supervise {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        ropewalk_telemetry::init(ropewalk_telemetry::Format::Human)?;
        let data = Data::open(&self.data.data)?;
        let listener = TcpListener::bind(self.listen)
            .with_context(|| format!("{} could not be listened on", self.listen))?;
        let port = listener.local_addr()?.port();
        let pid_file = data.socket("supervise.pid");
        write_pid(&pid_file, std::process::id())?;
        if data.run != data.path("run") {
            std::fs::create_dir_all(data.path("run"))?;
            write_pid(&data.path("run/supervise.pid"), std::process::id())?;
        }
        let stop = CancellationToken::new();
        let program = std::env::current_exe()?;
        let server = keep(
            "server",
            stop.clone(),
            || {
                let mut command = child(&program, "server", &data.root);
                command
                    .args(["--domain", &self.domain, "--port", &port.to_string()])
                    .stdin(Stdio::null());
                Ok(command)
            },
            data.socket("server.pid"),
        );
        let router = keep(
            "router",
            stop.clone(),
            || {
                let mut command = child(&program, "router", &data.root);
                command
                    .arg("--listen-stdin")
                    .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)));
                Ok(command)
            },
            data.socket("router.pid"),
        );
        tokio::select! {
            () = super::asked_to_end() => {}
            ended = async { tokio::try_join!(server, router) } => {
                ended?;
                return Ok(ExitCode::FAILURE);
            }
        }
        // Both get the signal at once; what `keep` holds is dropped only after they have ended.
        stop.cancel();
        end_children(&data).await;
        let _ = std::fs::remove_file(pid_file);
        Ok(ExitCode::SUCCESS)
    }
}

fn child(program: &Path, mode: &str, data: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(mode).arg("--data").arg(data);
    // Two arenas instead of eight per core: memory that is freed goes back, and nothing here is bound by malloc.
    command.env("MALLOC_ARENA_MAX", "2");
    command
}

/// Starts a child again whenever it ends.
async fn keep(
    name: &str,
    stop: CancellationToken,
    make: impl Fn() -> Result<Command>,
    pid_file: PathBuf,
) -> Result<()> {
    let mut wait = FIRST_WAIT;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let mut running: Child = make()?
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        if let Some(pid) = running.id() {
            write_pid(&pid_file, pid)?;
        }
        let status = running.wait().await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        tracing::warn!(%name, %status, "A child ended and is started again.");
        wait = if began.elapsed() > HEALTHY_RUN {
            FIRST_WAIT
        } else {
            (wait * 2).min(LONGEST_WAIT)
        };
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// SIGTERM to both, then SIGKILL to who is left. By pid: the futures that hold the children are gone.
async fn end_children(data: &Data) {
    let pids: Vec<rustix::process::Pid> = ["router.pid", "server.pid"]
        .iter()
        .filter_map(|file| {
            std::fs::read_to_string(data.socket(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .filter_map(rustix::process::Pid::from_raw)
        .collect();
    for pid in &pids {
        let _ = rustix::process::kill_process(*pid, rustix::process::Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    let is_gone = |pid: &rustix::process::Pid| {
        rustix::process::waitpid(Some(*pid), rustix::process::WaitOptions::NOHANG)
            .map_or(true, |x| x.is_some())
    };
    let mut left = pids;
    while Instant::now() < deadline {
        left.retain(|pid| !is_gone(pid));
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for pid in left {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
