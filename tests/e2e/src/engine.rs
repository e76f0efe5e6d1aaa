//! A Docker Engine of a test's own, which it may kill and stop: own network namespace, socket, data and cgroup.
//!
//! Everything that a test does runs on a thread in the engine's namespace, and so do the programs and threads that
//! it starts: dynos' addresses and 127.0.0.1 mean something there only. Nothing of it is seen by the host's engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::wait;

/// For the daemon to answer, from its start or after it was killed.
const START: Duration = Duration::from_secs(60);
/// For a process to end.
const END: Duration = Duration::from_secs(20);

pub struct Engine {
    /// Its name is that of the engine's cgroup too.
    namespace: Namespace,
    /// Data root, log and socket.
    root: PathBuf,
    /// What runs: sockets of containerd, network namespaces of containers.
    exec: PathBuf,
    daemon: Mutex<Child>,
}

impl Engine {
    /// Starts an engine with live-restore, runs the test in its namespace, and removes every trace of the engine.
    pub fn private(test: impl FnOnce(&Arc<Self>) + Send) {
        let outcome = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let engine = Self::start();
                    test(&engine);
                })
                .join()
        });
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    fn start() -> Arc<Self> {
        let namespace = Namespace::new();
        let root = Path::new("/var/lib").join(&namespace.name);
        let exec = Path::new("/run").join(&namespace.name);
        std::fs::create_dir_all(&root).unwrap();
        namespace.enter();
        run("ip", &["link", "set", "lo", "up"]);
        let daemon = Mutex::new(spawn(&namespace.name, &root, &exec).unwrap());
        let engine = Arc::new(Self {
            namespace,
            root,
            exec,
            daemon,
        });
        engine.wait_answer();
        engine
    }

    /// What `DOCKER_HOST` must say.
    pub fn address(&self) -> String {
        address(&self.root)
    }

    /// kill -9 of the daemon, and of containerd where that is its child.
    pub fn kill(&self) {
        let mut daemon = self.daemon.lock().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// What a power cut leaves: neither daemon nor containers, and nothing in /run.
    pub fn cut_off(&self) {
        self.kill();
        let gone = wait(END, || {
            let left = self.processes();
            for pid in &left {
                let _ = kill_process(*pid, Signal::KILL);
            }
            left.is_empty()
        });
        assert!(gone, "processes that do not end");
        for point in self.mounts() {
            let _ = Command::new("umount").args(["--lazy", &point]).status();
        }
        std::fs::remove_dir_all(&self.exec).unwrap();
    }

    /// Starts the daemon again after [`Engine::kill`], and waits until it answers.
    #[track_caller]
    pub fn restart(&self) {
        self.spawn_again().unwrap();
        self.wait_answer();
    }

    fn spawn_again(&self) -> std::io::Result<()> {
        *self.daemon.lock().unwrap() = spawn(&self.namespace.name, &self.root, &self.exec)?;
        Ok(())
    }

    /// The daemon gets no time any more: it takes connections and answers none.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Makes it answer if it can, whatever a test that failed has left. Does not panic.
    pub(crate) fn revive(&self) {
        self.resume();
        let ended = self.daemon.lock().unwrap().try_wait();
        if !matches!(ended, Ok(None)) {
            let _ = self.spawn_again();
        }
        wait(START, || self.answers());
    }

    fn signal(&self, signal: Signal) {
        let pid = self.daemon.lock().unwrap().id().cast_signed();
        let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
    }

    #[track_caller]
    fn wait_answer(&self) {
        if !wait(START, || self.answers()) {
            let log = std::fs::read_to_string(self.root.join("log")).unwrap_or_default();
            panic!("the engine does not answer\n{log}");
        }
    }

    fn answers(&self) -> bool {
        let output = Command::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .env("DOCKER_HOST", self.address())
            .output();
        output.is_ok_and(|output| output.status.success())
    }

    /// Processes that name a file of the engine (containerd, shims) or are in its cgroup (containers).
    fn processes(&self) -> Vec<Pid> {
        let names_us = |argument: &[u8]| {
            let path = Path::new(std::str::from_utf8(argument).unwrap_or_default());
            path.starts_with(&self.root) || path.starts_with(&self.exec)
        };
        let mut pids: Vec<i32> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.split(|byte| *byte == 0).any(names_us))
            })
            .collect();
        for cgroup in self.cgroups() {
            let procs = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            pids.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        pids.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// Its cgroups in every hierarchy, inner ones first.
    fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let name = &self.namespace.name;
        let mut tops = vec![top.join(name)];
        let hierarchies = std::fs::read_dir(top).into_iter().flatten().flatten();
        tops.extend(hierarchies.map(|entry| entry.path().join(name)));
        let mut found = Vec::new();
        while let Some(folder) = tops.pop() {
            let Ok(list) = std::fs::read_dir(&folder) else {
                continue;
            };
            found.push(folder);
            let inner = list.flatten().map(|entry| entry.path());
            tops.extend(inner.filter(|path| path.is_dir()));
        }
        found.reverse();
        found
    }

    fn mounts(&self) -> Vec<String> {
        let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = list.lines().filter_map(|line| line.split(' ').nth(4));
        let mut ours: Vec<String> = points
            .filter(|point| {
                let point = Path::new(point);
                point.starts_with(&self.root) || point.starts_with(&self.exec)
            })
            .map(str::to_owned)
            .collect();
        // What was mounted last lies deepest.
        ours.reverse();
        ours
    }
}

impl Drop for Engine {
    /// Nothing here panics: what cannot be removed is said, and the rest goes on.
    fn drop(&mut self) {
        self.resume();
        self.signal(Signal::TERM);
        if let Ok(daemon) = self.daemon.get_mut()
            && !wait(END, || !matches!(daemon.try_wait(), Ok(None)))
        {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let gone = wait(END, || {
            let left = self.processes();
            for pid in &left {
                let _ = kill_process(*pid, Signal::KILL);
            }
            left.is_empty()
        });
        for point in self.mounts() {
            let _ = Command::new("umount").args(["--lazy", &point]).status();
        }
        for cgroup in self.cgroups() {
            let _ = std::fs::remove_dir(cgroup);
        }
        for folder in [&self.exec, &self.root] {
            let _ = std::fs::remove_dir_all(folder);
        }
        if !gone || self.root.exists() || self.exec.exists() || !self.cgroups().is_empty() {
            eprintln!("the engine {} left something over", self.namespace.name);
        }
    }
}

/// A network namespace with a name, removed when dropped. It lives on while a process is in it.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> Self {
        let name = format!("rw-engine-{}", hex::encode(rand::random::<[u8; 3]>()));
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    /// Moves this thread into it. `ip netns exec` would not do: it hides cgroups from the program.
    fn enter(&self) {
        let file = File::open(Path::new("/run/netns").join(&self.name)).unwrap();
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(LinkNameSpaceType::Network),
        )
        .unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

fn address(root: &Path) -> String {
    format!("unix://{}", root.join("docker.sock").display())
}

fn spawn(name: &str, root: &Path, exec: &Path) -> std::io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(root.join("log"))?;
    // An administrator's settings for the host's engine are not for this one.
    let settings = root.join("daemon.json");
    std::fs::write(&settings, "{}")?;
    Command::new("dockerd")
        .arg("--config-file")
        .arg(settings)
        .arg("--data-root")
        .arg(root.join("data"))
        .arg("--exec-root")
        .arg(exec)
        .arg("--pidfile")
        .arg(root.join("pid"))
        .args(["--host", &address(root)])
        .args(["--cgroup-parent", &format!("/{name}")])
        .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
        .args(["--live-restore", "--userland-proxy=false"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
