//! A server of a test's own: Debian with systemd as its first process, in a container of the host's engine.
//!
//! It has its own network, its own Docker Engine once that is installed, and `/var` on the host's file system, for an
//! overlay cannot lie on another one. It can set no clock and load no module of the host. Whatever happens, the
//! container, its files and its image are removed when it is dropped; only the system's archive is kept, in the cache.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Ran, ask, binary, cache, wait};

/// What a minimal server has and a minimal container lacks.
const PACKAGES: &str = "systemd-sysv,dbus,iproute2";
/// Loop devices that it has names for; the kernel gives out the first free one of the host's.
const LOOPS: u32 = 256;
/// For the system to come up.
const BOOT: Duration = Duration::from_secs(60);
/// Its control groups come read-only into a container that is not privileged in every way.
const START: &str = "while read -r _ point _; do case $point in /sys/fs/cgroup*) \
                     mount -o remount,rw,bind \"$point\" ;; esac; done < /proc/mounts; exec /sbin/init";
/// Capabilities, and whether a server cannot do without; the rest is granted.
const CAPABILITIES: [(u32, &str, bool); 8] = [
    (12, "NET_ADMIN", true),
    (16, "SYS_MODULE", false),
    (18, "SYS_CHROOT", true),
    (21, "SYS_ADMIN", true),
    (22, "SYS_BOOT", false),
    (24, "SYS_RESOURCE", false),
    (25, "SYS_TIME", false),
    (27, "MKNOD", true),
];

pub struct Machine {
    /// Of the container, the image and the label.
    name: String,
}

impl Machine {
    /// Boots one of this release of Debian that knows `names` as itself. `None`, with the reason on standard error,
    /// where a container may not do what a server does.
    pub fn boot(suite: &str, names: &[&str]) -> Option<Self> {
        let bounds = match may_run() {
            Ok(bounds) => bounds,
            Err(reason) => {
                eprintln!("SKIPPED: no server can be booted in a container here: {reason}");
                return None;
            }
        };
        let name = format!("rw-machine-{}", hex::encode(rand::random::<[u8; 4]>()));
        let machine = Self { name };
        machine.import(&system(suite));
        let label = format!("ropewalk.machine={}", machine.name);
        let mut run = docker(&["run", "--detach", "--name", &machine.name, "--hostname"]);
        run.args(["machine", "--label", &label, "--cap-add", "ALL"]);
        for (bit, capability, needed) in CAPABILITIES {
            if !needed || bounds & (1 << bit) == 0 {
                run.args(["--cap-drop", capability]);
            }
        }
        for option in ["seccomp", "apparmor", "systempaths"] {
            run.args(["--security-opt", &format!("{option}=unconfined")]);
        }
        for name in names {
            run.args(["--add-host", &format!("{name}:127.0.0.1")]);
        }
        run.args(["--device-cgroup-rule", "a *:* rwm", "--cgroupns", "private"])
            .args([
                "--tmpfs",
                "/run",
                "--tmpfs",
                "/run/lock",
                "--tmpfs",
                "/tmp:exec",
            ])
            .args(["--volume", "/var", "--stop-signal", "SIGRTMIN+3"])
            .args(["--env", "container=docker", "--entrypoint", "/bin/sh"])
            .args([&machine.name, "-c", START]);
        Ran::of(run.output().unwrap()).good();
        machine.wait_booted();
        Some(machine)
    }

    fn import(&self, archive: &Path) {
        let label = format!("LABEL ropewalk.machine={}", self.name);
        let mut import = docker(&["import", "--change", &label]);
        Ran::of(import.arg(archive).arg(&self.name).output().unwrap()).good();
    }

    fn wait_booted(&self) {
        self.wait("the system to be up", BOOT, |machine| {
            let state = machine.run(&["systemctl", "is-system-running"]).stdout;
            matches!(state.trim(), "running" | "degraded")
        });
    }

    /// A clean reboot.
    pub fn reboot(&self) {
        Ran::of(
            docker(&["restart", "--time", "60", &self.name])
                .output()
                .unwrap(),
        )
        .good();
        self.wait_booted();
    }

    /// Runs a program there, as root and with the proxies of this host.
    pub fn run(&self, command: &[&str]) -> Ran {
        let mut exec = docker(&["exec"]);
        for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
            if std::env::var_os(proxy).is_some() {
                exec.args(["--env", proxy]);
            }
        }
        Ran::of(exec.arg(&self.name).args(command).output().unwrap())
    }

    /// Runs lines of shell there; the first that fails ends them.
    pub fn shell(&self, script: &str) -> Ran {
        self.run(&["sh", "-ec", script])
    }

    /// Copies a file or folder into it; times and owners do not matter.
    pub fn copy(&self, from: &Path, to: &str) {
        let to = format!("{}:{to}", self.name);
        Ran::of(docker(&["cp"]).arg(from).arg(to).output().unwrap()).good();
    }

    /// Gives it the stack that was built on this host, so that it need not build its own.
    pub fn give_stack(&self) {
        let (cache, data) = (cache(), tempfile::tempdir().unwrap());
        let mut build = Command::new(binary());
        build
            .args(["stacks:build", "debian-13", "--data"])
            .arg(data.path());
        Ran::of(build.arg("--cache").arg(&cache).output().unwrap()).good();
        // Links, for others build with the same cache meanwhile.
        let staged = beside(&cache);
        let names = std::fs::read_dir(&cache).unwrap().flatten();
        let records = names
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"));
        let mut link = Command::new("cp");
        link.arg("-al").arg(cache.join("blobs")).args(records);
        Ran::of(link.arg(staged.path()).output().unwrap()).good();
        self.run(&["mkdir", "-p", "/var/cache/ropewalk"]).good();
        self.copy(&staged.path().join("."), "/var/cache/ropewalk");
    }

    /// Where port 80 is, from this host.
    pub fn http(&self) -> SocketAddr {
        (self.ip(), 80).into()
    }

    pub fn ip(&self) -> Ipv4Addr {
        let mut inspect = docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}"]);
        let ran = Ran::of(inspect.arg(&self.name).output().unwrap()).good();
        ran.stdout.trim().parse().unwrap()
    }

    /// `GET` of a path, from this host: status and body.
    pub fn get(&self, host: &str, path: &str) -> Option<(u16, String)> {
        ask(self.http(), host, path)
    }

    /// A property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        let property = format!("--property={property}");
        let ran = self.run(&["systemctl", "show", "--value", &property, unit]);
        ran.good().stdout.trim().to_owned()
    }

    /// A signal to the main process of a unit.
    pub fn signal(&self, unit: &str, signal: &str) {
        let signal = format!("--signal={signal}");
        self.run(&["systemctl", "kill", "--kill-who=main", &signal, unit])
            .good();
    }

    /// Waits for a condition, or fails the test saying what was waited for and what the units' logs say.
    #[track_caller]
    pub fn wait(&self, what: &str, limit: Duration, mut is: impl FnMut(&Self) -> bool) {
        let held = wait(limit, || is(self));
        assert!(held, "waited {} s for {what}", limit.as_secs());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = [
                "journalctl",
                "--no-pager",
                "--lines=80",
                "--unit=ropewalk-*",
            ];
            eprintln!("--- the machine's log\n{}", self.run(&journal).all());
        }
        for command in [&["rm", "--force", "--volumes"][..], &["rmi", "--force"]] {
            let ran = docker(command).arg(&self.name).output().map(Ran::of);
            if let Ok(ran) = ran
                && ran.code != 0
            {
                eprintln!("{} left something over: {}", self.name, ran.stderr);
            }
        }
    }
}

fn docker(args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(args).stdin(Stdio::null());
    command
}

/// The capabilities that can be granted here, unless one is missing that a server needs.
fn may_run() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounds = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or_default();
    let missing = |(bit, _, needed): &(u32, &str, bool)| *needed && bounds & (1 << bit) == 0;
    if let Some((_, name, _)) = CAPABILITIES.iter().find(|one| missing(one)) {
        return Err(format!("CAP_{name} cannot be granted"));
    }
    let info = docker(&["info", "--format", "{{.SecurityOptions}}"]).output();
    let options = Ran::of(info.unwrap()).good().stdout;
    match ["rootless", "userns"]
        .iter()
        .find(|word| options.contains(**word))
    {
        Some(word) => Err(format!("Docker Engine runs with {word}")),
        None => Ok(bounds),
    }
}

/// A folder in the cache, gone when dropped.
fn beside(cache: &Path) -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("machine-").tempdir_in(cache).unwrap()
}

/// The archive of a system, made once for each recipe.
fn system(suite: &str) -> PathBuf {
    let source = Source::of_this_host();
    let mut recipe = DefaultHasher::new();
    (suite, PACKAGES, LOOPS, START, &source.settings).hash(&mut recipe);
    let cache = cache();
    let archive = cache.join(format!("machine-{suite}-{:016x}.tar", recipe.finish()));
    if archive.exists() {
        return archive;
    }
    std::fs::create_dir_all(&cache).unwrap();
    let began = Instant::now();
    let folder = beside(&cache);
    let root = folder.path().join("root");
    let mut bootstrap = Command::new("debootstrap");
    bootstrap
        .args(["--variant=minbase", &format!("--include={PACKAGES}"), suite])
        .arg(&root)
        .args(source.mirror);
    Ran::of(bootstrap.output().unwrap()).good();
    for leftover in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        std::fs::remove_dir_all(root.join(leftover)).unwrap();
    }
    let loops = (0..LOOPS).map(|n| format!("b /dev/loop{n} 0660 root disk - 7:{n}\n"));
    let loops: String = loops.collect();
    for (path, text) in [
        ("etc/machine-id", ""),
        ("etc/tmpfiles.d/loop.conf", loops.as_str()),
        ("etc/apt/apt.conf.d/90host", source.settings.as_str()),
        ("etc/ssl/host.pem", source.certificates.as_str()),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut pack = Command::new("tar");
    let packed = folder.path().join("system.tar");
    pack.arg("-C").arg(&root).arg("-cf").arg(&packed).arg(".");
    Ran::of(pack.output().unwrap()).good();
    std::fs::rename(&packed, &archive).unwrap();
    let mut stderr = std::io::stderr();
    let _ = writeln!(
        stderr,
        "Debian {suite} for tests was made in {:.0} s.",
        began.elapsed().as_secs_f64()
    );
    archive
}

/// Where this host gets Debian's packages, and how.
struct Source {
    mirror: Option<String>,
    /// Apt's: its proxies, and the certificates that it trusts.
    settings: String,
    certificates: String,
}

impl Source {
    fn of_this_host() -> Self {
        let text = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output();
            output.map_or_else(
                |_| String::new(),
                |output| String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .unwrap_or_default();
        let format = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)";
        let wanted = format!("Debian {codename} main ");
        let targets = text(
            "apt-get",
            &["indextargets", "--format", format, "Created-By: Packages"],
        );
        let mirror = targets.lines().find_map(|line| line.strip_prefix(&wanted));
        let mut settings: String = text("apt-config", &["dump"])
            .lines()
            .filter(|line| {
                let name = line.split(' ').next().unwrap_or_default().to_lowercase();
                name.starts_with("acquire::http") && name.contains("::proxy")
            })
            .map(|line| format!("{line}\n"))
            .collect();
        settings.push_str("Acquire::https::CAInfo \"/etc/ssl/host.pem\";\n");
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        Self {
            mirror: mirror.map(str::to_owned),
            settings,
            certificates: std::fs::read_to_string(bundle).unwrap_or_default(),
        }
    }
}
