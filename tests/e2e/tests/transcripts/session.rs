//! A shell that is given one line after another, and tells what each printed.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest time that a line may take. Builds are among them.
const PATIENCE: Duration = Duration::from_secs(90);
/// Stands before the exit code, behind what a line printed.
const MARK: u8 = 1;

pub(crate) struct Session {
    bash: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
}

impl Session {
    /// Starts bash with the environment and folder of `like`, on a machine by the name of laptop.
    pub(crate) fn start(like: &Command) -> Self {
        let mut bash = Command::new("unshare");
        bash.args(["--uts", "bash", "--noprofile", "--norc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => bash.env(name, value),
                None => bash.env_remove(name),
            };
        }
        if let Some(folder) = like.get_current_dir() {
            bash.current_dir(folder);
        }
        let mut bash = bash.spawn().unwrap();
        let mut input = bash.stdin.take().unwrap();
        // Both streams as one, in the order in which they were written, as on a screen.
        writeln!(input, "exec 2>&1; hostname laptop").unwrap();
        let mut stdout = bash.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0_u8; 16384];
            while let Ok(read @ 1..) = stdout.read(&mut chunk) {
                if sender.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            bash,
            input,
            output,
        }
    }

    /// Runs a line, with nothing to read unless the line says otherwise: what it printed, and its exit code.
    pub(crate) fn run(&mut self, line: &str) -> (String, i32) {
        let quoted = line.replace('\'', r"'\''");
        writeln!(
            self.input,
            "eval '{quoted}' </dev/null; printf '\\001%s\\n' $?"
        )
        .unwrap();
        let mut printed = Vec::new();
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(chunk) => printed.extend(chunk),
                Err(RecvTimeoutError::Timeout) => panic!(
                    "this has not ended after {} s: {line}\n{}",
                    PATIENCE.as_secs(),
                    String::from_utf8_lossy(&printed)
                ),
                Err(RecvTimeoutError::Disconnected) => panic!(
                    "the shell ended at: {line}\n{}",
                    String::from_utf8_lossy(&printed)
                ),
            }
            let Some(at) = printed.iter().position(|byte| *byte == MARK) else {
                continue;
            };
            let code = String::from_utf8_lossy(&printed[at + 1..]).into_owned();
            if let Some(code) = code.strip_suffix('\n') {
                printed.truncate(at);
                return (String::from_utf8(printed).unwrap(), code.parse().unwrap());
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}
