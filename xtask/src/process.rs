//! Other programs: run to their end, or started to stay.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a program; its output is shown only when it fails.
pub fn quiet(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} could not be run", program.display()))?;
    if !output.status.success() {
        bail!(
            "{} {} failed ({}):\n{}{}",
            program.display(),
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with the terminal as its own.
pub fn loud(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{} could not be run", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed ({status})", command.get_program().display());
    }
    Ok(())
}

/// Starts a program that stays when this one ends, in a session of its own, writing to `log`.
pub fn daemon(command: &mut Command, log: &Path) -> Result<()> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut session = Command::new("setsid");
    session
        .arg("--fork")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => session.env(name, value),
            None => session.env_remove(name),
        };
    }
    let status = session
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    if !status.success() {
        bail!("{} could not be started", command.get_program().display());
    }
    Ok(())
}

/// The pid in a pid file, if such a process runs and each of these is an argument of its command line: a pid may be
/// another's by now.
pub fn running(pid_file: &Path, arguments: &[&str]) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(pid_file)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    has(&line, arguments).then_some(pid)
}

/// Whether a command line, each argument ended by a zero byte, has all of these as whole arguments.
fn has(line: &[u8], arguments: &[&str]) -> bool {
    arguments.iter().all(|wanted| {
        line.split(|byte| *byte == 0)
            .any(|one| one == wanted.as_bytes())
    })
}

/// SIGTERM, then SIGKILL after `grace`.
pub fn end(pid: u32, grace: Duration) -> Result<()> {
    let Some(id) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        bail!("{pid} is no process id");
    };
    if rustix::process::kill_process(id, rustix::process::Signal::TERM).is_err() {
        return Ok(());
    }
    let gone = || Ok(!is_alive(pid));
    if wait_for(grace, "a process to end", gone).is_err() {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        wait_for(Duration::from_secs(5), "a killed process to end", gone)?;
    }
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    // A zombie that its parent has not waited for is gone for our purposes.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .trim_start()
            .starts_with('Z')
    })
}

/// Waits for a condition.
pub fn wait_for(limit: Duration, what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    loop {
        if is()? {
            return Ok(());
        }
        if began.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a program is on the PATH, or where administrators' programs are.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(Into::into))
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_whole_arguments() {
        let line = b"/x/ropewalk\0server\0--data\0/var/lib/ropewalk-1\0";
        assert!(has(line, &["server", "/var/lib/ropewalk-1"]));
        assert!(!has(line, &["server", "/var/lib/ropewalk"]));
        assert!(!has(line, &["router", "/var/lib/ropewalk-1"]));
        assert!(!has(b"", &["server"]));
    }

    #[test]
    fn a_pid_file_of_a_process_that_is_another_by_now_names_nobody() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("pid");
        assert_eq!(running(&file, &[]), None);
        std::fs::write(&file, std::process::id().to_string())?;
        assert_eq!(running(&file, &[]), Some(std::process::id()));
        assert_eq!(running(&file, &["server"]), None);
        Ok(())
    }
}
