//! A whole Ropewalk for a test: its own data directory, port and instance, on the host's engine or one of the test's
//! own, gone at the end.
//!
//! A test reads as what a person does: `rig.create("demo")`, `rig.push(&work)`, `rig.get("demo", "/")`. Whatever
//! happens, the rig's processes, containers, networks, mounts and files are removed when it is dropped.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // support code of tests

pub mod engine;
pub mod load;
pub mod machine;
pub mod repo;
pub mod sockets;
mod stack;
pub mod terminal;
pub mod tls;

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub use engine::Engine;
pub use load::{Kind, Load, Pace};
pub use machine::Machine;
pub use repo::Repo;
pub use sockets::Sockets;
pub use tls::Tls;

/// The program under test: what `cargo xtask test` built.
pub fn binary() -> PathBuf {
    std::env::var_os("ROPEWALK_TEST_BINARY")
        .map_or_else(|| workspace().join("target/debug/ropewalk"), PathBuf::from)
}

/// What is costly to make and kept between tests: stacks, systems.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("ROPEWALK_TEST_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/ropewalk"), PathBuf::from)
}

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

pub struct Rig {
    pub data: PathBuf,
    pub port: u16,
    pub token: String,
    /// Apps are below this name.
    pub domain: String,
    /// Where it speaks TLS besides, if it is a platform of HTTPS.
    pub tls: Option<Tls>,
    /// The engine it is on, unless that is the host's.
    engine: Option<Arc<Engine>>,
    /// That it opens for apps' raw TCP.
    tcp: Option<u16>,
    /// The supervisor, or server and router where there is none.
    processes: Vec<Child>,
    /// Digests of images that it made and nobody else uses.
    images: Mutex<Vec<String>>,
}

/// What a program that was run came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test, with everything that was printed, unless the exit code was 0.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(
            self.code, 0,
            "it failed\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Fails the test unless it failed.
    #[track_caller]
    pub fn bad(self) -> Self {
        assert_ne!(
            self.code, 0,
            "it passed\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self
    }

    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Rig {
    /// Starts a platform on the host's engine and waits until it can run dynos.
    pub fn start() -> Self {
        Self::begin(None, None, None)
    }

    /// The same, and it opens one port for apps' raw TCP, which is told.
    pub fn with_tcp_port() -> (Self, u16) {
        let port = free_port();
        (Self::begin(None, None, Some(port)), port)
    }

    /// A platform of a domain, with HTTPS by a certificate of its own, as `install --domain` makes it. Clients take it
    /// to be on port 443; whoever tests must bring them there. Nobody starts its processes again.
    pub fn secure(domain: &str) -> Self {
        Self::begin(None, Some(domain), None)
    }

    /// The same on an engine of the test's own.
    pub fn on(engine: &Arc<Engine>) -> Self {
        Self::begin(Some(engine.clone()), None, None)
    }

    fn begin(engine: Option<Arc<Engine>>, domain: Option<&str>, tcp: Option<u16>) -> Self {
        assert!(
            binary().exists(),
            "{} is missing: run `cargo xtask test`",
            binary().display()
        );
        let data = PathBuf::from(format!(
            "/var/lib/ropewalk-test-{}",
            hex::encode(rand::random::<[u8; 4]>())
        ));
        std::fs::create_dir_all(data.join("run")).unwrap();
        let mut stack = Command::new(binary());
        stack
            .args(["stacks:build", "debian-13", "--data"])
            .arg(&data)
            .arg("--cache")
            .arg(cache());
        Ran::of(stack.output().unwrap()).good();
        let port = free_port();
        let tls = domain.map(|domain| Tls::of(&data.join("site"), domain, free_port()));
        let processes = match (&tls, domain) {
            (Some(tls), Some(domain)) => Self::serve(&data, port, tls, domain),
            _ => vec![Self::supervise(engine.as_deref(), &data, port, tcp)],
        };
        let mut rig = Self {
            data,
            port,
            token: String::new(),
            domain: domain.unwrap_or("localhost").to_owned(),
            tls,
            engine,
            tcp,
            processes,
            images: Mutex::default(),
        };
        rig.wait(
            "the platform to be ready",
            Duration::from_secs(120),
            |rig| {
                rig.get_host(&rig.host("api"), "/ropewalk/health")
                    .is_some_and(|(status, _)| status == 200)
            },
        );
        rig.token = std::fs::read_to_string(rig.data.join("admin-token"))
            .unwrap()
            .trim()
            .to_owned();
        rig
    }

    fn supervise(engine: Option<&Engine>, data: &Path, port: u16, tcp: Option<u16>) -> Child {
        let listen = format!("127.0.0.1:{port}");
        let tcp = tcp.map(|port| format!("--tcp-ports={port}"));
        let mut args = vec!["--listen", &listen];
        args.extend(tcp.as_deref());
        Self::process(engine, data, "supervise", &args)
    }

    fn serve(data: &Path, port: u16, tls: &Tls, domain: &str) -> Vec<Child> {
        let (listen, tls_listen) = (
            format!("127.0.0.1:{port}"),
            format!("127.0.0.1:{}", tls.port),
        );
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (cert, key) = (text(&tls.cert), text(&tls.key));
        let router = ["--listen", &listen, "--tls-listen", &tls_listen];
        let own = ["--cert", &cert, "--key", &key];
        vec![
            Self::process(
                None,
                data,
                "server",
                &["--domain", domain, "--port", "443", "--https"],
            ),
            Self::process(None, data, "router", &[router, own].concat()),
        ]
    }

    fn process(engine: Option<&Engine>, data: &Path, mode: &str, args: &[&str]) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(data.join("ropewalk.log"))
            .unwrap();
        at(engine, binary())
            .arg(mode)
            .arg("--data")
            .arg(data)
            .args(args)
            .env("ROPEWALK_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// The host below the domain.
    pub fn host(&self, label: &str) -> String {
        format!("{label}.{}", self.domain)
    }

    pub fn url(&self, label: &str) -> String {
        match self.tls {
            Some(_) => format!("https://{}", self.host(label)),
            None => format!("http://{}:{}", self.host(label), self.port),
        }
    }

    /// A command of the CLI, to be run in `folder`.
    pub fn command(&self, folder: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .env(
                "PATH",
                format!("{}:{path}", binary().parent().unwrap().display()),
            )
            .env("HOME", &self.data)
            .env("ROPEWALK_URL", self.url("api"))
            .env("ROPEWALK_TOKEN", &self.token)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_COUNT", "3")
            .env(
                "GIT_CONFIG_KEY_0",
                format!("credential.{}.helper", self.url("git")),
            )
            .env("GIT_CONFIG_VALUE_0", "!ropewalk git:credentials")
            .env("GIT_CONFIG_KEY_1", "user.name")
            .env("GIT_CONFIG_VALUE_1", "Dev")
            .env("GIT_CONFIG_KEY_2", "user.email")
            .env("GIT_CONFIG_VALUE_2", "dev@localhost");
        command
    }

    /// Runs `ropewalk …`.
    pub fn cli(&self, args: &[&str]) -> Ran {
        Ran::of(
            self.command(&self.data, binary())
                .args(args)
                .output()
                .unwrap(),
        )
    }

    /// Makes an app and returns its name, which no other test has.
    #[track_caller]
    pub fn create(&self, stem: &str) -> String {
        let name = format!("{stem}-{}", hex::encode(rand::random::<[u8; 3]>()));
        self.cli(&["create", &name]).good();
        name
    }

    /// `git push` of the repository's main branch to the app.
    pub fn push(&self, repo: &Repo, app: &str) -> Ran {
        let url = format!("{}/{app}.git", self.url("git"));
        Ran::of(
            self.command(repo.path(), "git")
                .args(["push", "-f", &url, "main"])
                .output()
                .unwrap(),
        )
    }

    /// Starts a push and leaves it running, in a process group of its own.
    pub fn push_later(&self, repo: &Repo, app: &str) -> Child {
        let url = format!("{}/{app}.git", self.url("git"));
        self.command(repo.path(), "git")
            .args(["push", "-f", &url, "main"])
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The client goes, all of its processes at once. SIGINT would be ignored by what runs in the background.
    pub fn interrupt(&self, child: &mut Child) {
        let group = Pid::from_raw(child.id().cast_signed()).unwrap();
        kill_process_group(group, Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    /// `GET` of an app's path: status and body.
    pub fn get(&self, app: &str, path: &str) -> (u16, String) {
        self.get_host(&self.host(app), path)
            .unwrap_or((0, "no answer".to_owned()))
    }

    pub fn get_host(&self, host: &str, path: &str) -> Option<(u16, String)> {
        ask(([127, 0, 0, 1], self.port).into(), host, path)
    }

    /// A request to the API: status and body.
    pub fn api(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.api_as(&self.token, method, path, body)
    }

    /// The same by another token.
    pub fn api_as(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Accept: application/vnd.heroku+json; version=3\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host("api"),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        (status.unwrap_or(0), body.unwrap_or_default().to_owned())
    }

    /// Waits for a condition, or fails the test saying what was waited for and what the platform's log says.
    #[track_caller]
    pub fn wait(&self, what: &str, limit: Duration, mut is: impl FnMut(&Self) -> bool) {
        assert!(
            wait(limit, || is(self)),
            "waited {} s for {what}\n{}",
            limit.as_secs(),
            self.log()
        );
    }

    /// The last lines of the platform's own log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.data.join("ropewalk.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Dynos as `ps --json` shows them: name and state.
    pub fn dynos(&self, app: &str) -> Vec<(String, String)> {
        let ran = self.cli(&["ps", "--json", "--app", app]);
        let list: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let text =
            |one: &serde_json::Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        list.as_array()
            .into_iter()
            .flatten()
            .map(|one| (text(one, "name"), text(one, "state")))
            .collect()
    }

    /// Waits until exactly so many dynos of the app are there, and all are up.
    #[track_caller]
    pub fn wait_up(&self, app: &str, count: usize) {
        self.wait(
            &format!("{count} dynos of {app}"),
            Duration::from_secs(60),
            |rig| {
                let dynos = rig.dynos(app);
                dynos.len() == count && dynos.iter().all(|(_, state)| state == "up")
            },
        );
    }

    pub fn pid(&self, process: &str) -> i32 {
        let text = std::fs::read_to_string(self.data.join(format!("run/{process}.pid"))).unwrap();
        text.trim().parse().unwrap()
    }

    /// kill -9 of the server or router; the supervisor starts it again.
    pub fn kill(&self, process: &str) {
        let before = self.pid(process);
        let pid = Pid::from_raw(before).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        self.wait("another process", Duration::from_secs(20), |rig| {
            rig.pid(process) != before
        });
    }

    /// kill -9 of the supervisor; nobody starts it again.
    pub fn kill_supervisor(&mut self) {
        self.processes[0].kill().unwrap();
        self.processes[0].wait().unwrap();
    }

    /// Starts a supervisor in the place of one that was killed.
    pub fn supervise_again(&mut self) {
        self.processes = vec![Self::supervise(
            self.engine.as_deref(),
            &self.data,
            self.port,
            self.tcp,
        )];
    }

    /// Waits until the server answers (again).
    pub fn wait_ready(&self) {
        self.wait("the server to be ready", Duration::from_secs(30), |rig| {
            rig.get_host(&rig.host("api"), "/ropewalk/health")
                .is_some_and(|(status, _)| status == 200)
        });
    }

    pub fn instance(&self) -> String {
        std::fs::read_to_string(self.data.join("instance"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Names of this instance's containers of a kind (`dyno`, `build`), without the ones that wait for a build.
    pub fn containers(&self, kind: &str) -> Vec<String> {
        let output = at(self.engine.as_deref(), "docker")
            .args(["ps", "-a", "--format", "{{.Names}}"])
            .args([
                "--filter",
                &format!("label=ropewalk.instance={}", self.instance()),
            ])
            .args(["--filter", &format!("label=ropewalk.kind={kind}")])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|name| !name.contains("-ready-") && !name.contains("-standby-"))
            .map(str::to_owned)
            .collect()
    }

    /// Ends server and router where their supervisor was killed, so that nothing holds the data directory.
    fn end_leftovers(&self) {
        let data = self.data.as_os_str().as_encoded_bytes();
        for process in ["server", "router"] {
            let file = self.data.join(format!("run/{process}.pid"));
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
                continue;
            };
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if line.split(|byte| *byte == 0).any(|one| one == data) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Folders below the data directory's folder of that name.
    pub fn entries(&self, folder: &str) -> Vec<String> {
        let list = std::fs::read_dir(self.data.join(folder));
        let mut names: Vec<String> = list
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// `GET` of a host's path at an address: status and body.
pub(crate) fn ask(address: SocketAddr, host: &str, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let limit = Duration::from_secs(60);
    let mut stream = std::net::TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((
        status,
        answer.split_once("\r\n\r\n")?.1.trim_end().to_owned(),
    ))
}

/// Whether a condition came true in time.
pub fn wait(limit: Duration, mut is: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is() {
        if began.elapsed() > limit {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(25));
    }
    true
}

/// A program that talks to that engine, or to the host's.
fn at(engine: Option<&Engine>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some(engine) = engine {
        command.env("DOCKER_HOST", engine.address());
    }
    command
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the platform's log\n{}", self.log());
        }
        for process in &self.processes {
            if let Some(pid) = Pid::from_raw(process.id().cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        for process in &mut self.processes {
            let _ = process.wait();
        }
        self.end_leftovers();
        if let Some(engine) = &self.engine {
            engine.revive();
        }
        let teardown = at(self.engine.as_deref(), binary())
            .args(["teardown", "--data"])
            .arg(&self.data)
            .output();
        if let Ok(output) = teardown
            && !output.status.success()
        {
            eprintln!(
                "teardown failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        // Each is known by one of its digests only, whichever the engine keeps.
        for image in self.images.get_mut().into_iter().flatten() {
            let _ = at(self.engine.as_deref(), "docker")
                .args(["rmi", image])
                .output();
        }
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
