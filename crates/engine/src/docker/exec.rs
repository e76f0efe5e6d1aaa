//! Processes beside a container's first one: started, watched, spoken to, signalled.

use std::path::PathBuf;

use bollard::exec::ResizeExecOptions;
use bollard::models::{ExecConfig, ExecInspectResponse};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::containers::{POLL, form};
use super::failure::Call;
use super::{DockerEngine, stream};
use crate::Result;
use crate::container::{ContainerId, Exec, ExecSpec};

/// Keys that would detach a terminal. They travel in JSON and must be keys one can type: four that nobody does in a row.
const EXEC_DETACH_KEYS: &str = "ctrl-^,ctrl-],ctrl-^,ctrl-]";

impl DockerEngine {
    pub(super) async fn run_exec(&self, id: &ContainerId, exec: &ExecSpec) -> Result<Exec> {
        let call = Call::new("run a process in", "container", &id.0, 10);
        call.checked()?;
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            detach_keys: Some(EXEC_DETACH_KEYS.to_owned()),
            tty: Some(exec.tty),
            env: Some(exec.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
            cmd: Some(exec.command.clone()),
            user: (!exec.user.is_empty()).then(|| exec.user.clone()),
            working_dir: (!exec.working_dir.is_empty()).then(|| exec.working_dir.clone()),
            ..Default::default()
        };
        let created = call
            .answer(self.client()?.create_exec(&id.0, config))
            .await?;
        let path = format!("/exec/{}/start", created.id);
        let body = serde_json::json!({ "Detach": false, "Tty": exec.tty }).to_string();
        let attached =
            stream::attach(&self.socket, call, &path, body.into(), form(exec.tty)).await?;
        Ok(Exec {
            id: created.id,
            attached,
        })
    }

    pub(super) async fn resize_running_exec(
        &self,
        exec: &str,
        rows: u16,
        columns: u16,
    ) -> Result<()> {
        let call = Call::new("resize", "exec", exec, 10);
        call.checked()?;
        let options = ResizeExecOptions {
            height: rows,
            width: columns,
        };
        call.answer(self.client()?.resize_exec(exec, options)).await
    }

    pub(super) async fn read_exec_exit(&self, exec: &str) -> Result<Option<i64>> {
        let call = Call::new("inspect", "exec", exec, 10);
        call.checked()?;
        let answer = self.inspect_running_exec(call).await?;
        Ok(answer
            .exit_code
            .filter(|_| !answer.running.unwrap_or(false)))
    }

    /// The engine has no verb for it, so the process is signalled from here, by the pid that the host knows it by. Its
    /// group gets the signal, as a dyno's does: each exec begins a session of its own.
    pub(super) async fn signal_running_exec(&self, exec: &str, signal: &str) -> Result<()> {
        let call = Call::new("signal", "exec", exec, 10);
        call.checked()?;
        let number = named(signal).ok_or_else(|| call.refused("there is no such signal"))?;
        let Some((container, pid)) = call.within(self.find_running_exec(call)).await? else {
            return Ok(());
        };
        let first = self.inspect_container(&container).await?;
        let Some(first) = first.and_then(|seen| seen.pid) else {
            return Ok(());
        };
        // The pid may be somebody else's by now: only who lives with the container's first process is meant.
        let own = pid_namespace(pid.as_raw_nonzero().get());
        if own.is_none() || own != pid_namespace(first) {
            return Ok(());
        }
        let sent = match kill_process_group(pid, number) {
            Err(Errno::SRCH) => kill_process(pid, number),
            sent => sent,
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(call.refused(error.to_string())),
        }
    }

    /// Where it runs, and its pid; `None` when it has ended.
    async fn find_running_exec(&self, call: Call<'_>) -> Result<Option<(ContainerId, Pid)>> {
        loop {
            let seen = self.inspect_running_exec(call).await?;
            if !seen.running.unwrap_or(false) {
                return Ok(None);
            }
            // The engine learns it a moment after the process has begun.
            if let Some(pid) = pid(seen.pid) {
                let container = ContainerId(seen.container_id.unwrap_or_default());
                return Ok(Some((container, pid)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn inspect_running_exec(&self, call: Call<'_>) -> Result<ExecInspectResponse> {
        call.answer(self.client()?.inspect_exec(call.name)).await
    }
}

/// What makes sense to send on somebody's behalf.
fn named(signal: &str) -> Option<Signal> {
    Some(match signal {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        _ => return None,
    })
}

fn pid(pid: Option<i64>) -> Option<Pid> {
    // 0 and 1 stand for whole groups and for the host's init.
    pid.and_then(|pid| i32::try_from(pid).ok())
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
}

/// `None` when there is no such process.
fn pid_namespace(pid: impl std::fmt::Display) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
