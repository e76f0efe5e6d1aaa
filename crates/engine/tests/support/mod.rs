//! A Docker Engine for one test: its own instance id, a tiny image, and everything removed at the end.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "each test binary uses its part"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ropewalk_engine::{
    BoxStream, ContainerId, ContainerSpec, DockerEngine, Engine, LABEL_INSTANCE, Output,
    OutputStream, Result,
};
use ropewalk_model::InstanceId;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the engine of a test, or leaves the test with the reason printed.
#[macro_export]
macro_rules! rig_or_skip {
    () => {
        match $crate::support::Rig::new() {
            Ok(rig) => rig,
            Err(reason) => {
                eprintln!("SKIPPED: {reason}");
                return;
            }
        }
    };
}

pub struct Rig {
    pub engine: DockerEngine,
    pub instance: InstanceId,
    pub image: String,
    pub folder: tempfile::TempDir,
}

impl Rig {
    pub fn new() -> std::result::Result<Self, String> {
        docker(&["version"]).map_err(|_| "no Docker Engine answers".to_owned())?;
        let busybox = find_busybox().ok_or("no static busybox (package busybox-static)")?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let instance = InstanceId::parse(&id[..8]).expect("hex");
        let engine = DockerEngine::connect(None, instance.clone()).expect("a local socket");
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut rig = Self {
            engine,
            instance,
            image: String::new(),
            folder,
        };
        rig.image = rig.import(&busybox);
        Ok(rig)
    }

    /// A container that runs `script` by busybox's shell.
    pub fn spec(&self, what: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            name: format!("rw-{}-{what}", self.instance),
            image: self.image.clone(),
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            user: "20000:20000".to_owned(),
            working_dir: "/".to_owned(),
            ..Default::default()
        }
    }

    pub async fn run(&self, spec: &ContainerSpec) -> ContainerId {
        let id = self.engine.create(spec).await.expect("created");
        self.engine.start(&id).await.expect("started");
        id
    }

    /// What a container that ends by itself wrote to stdout.
    pub async fn output_of(&self, spec: &ContainerSpec) -> String {
        let id = self.run(spec).await;
        self.engine.wait(&id).await.expect("ended");
        let logs = self.engine.logs(&id, None, false).await.expect("logs");
        let (stdout, stderr) = collect(logs).await;
        self.engine.remove(&id).await.expect("removed");
        assert_eq!(stderr, "", "nothing on stderr");
        stdout
    }

    fn import(&self, busybox: &Path) -> String {
        let root = self.folder.path().join("root");
        let bin = root.join("bin");
        for folder in ["bin", "tmp", "etc", "proc"] {
            std::fs::create_dir_all(root.join(folder)).expect("folder");
        }
        std::fs::copy(busybox, bin.join("busybox")).expect("busybox");
        let list = Command::new(busybox).arg("--list").output().expect("list");
        for applet in String::from_utf8_lossy(&list.stdout).lines() {
            if applet != "busybox" {
                std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("link");
            }
        }
        let tar = self.folder.path().join("root.tar");
        let made = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status()
            .expect("tar");
        assert!(made.success());
        let label = format!("LABEL {LABEL_INSTANCE}={}", self.instance);
        docker(&["import", "--change", &label, &tar.to_string_lossy()]).expect("imported")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let filter = format!("label={LABEL_INSTANCE}={}", self.instance);
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-fv"][..]),
            (&["network", "ls", "-q"][..], &["network", "rm"][..]),
            (&["images", "-q"][..], &["rmi", "-f"][..]),
        ] {
            let listed = [list, &["--filter", &filter]].concat();
            let found = docker(&listed).unwrap_or_default();
            let ids: Vec<_> = found.lines().collect();
            if !ids.is_empty() {
                let _ = docker(&[remove, &ids].concat());
            }
        }
    }
}

/// Runs the engine's own command line: what tests set up and clear away does not go through the code under test.
pub fn docker(arguments: &[&str]) -> std::result::Result<String, String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Everything on stdout and everything on stderr.
pub async fn collect(mut stream: BoxStream<Result<Output>>) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let all = async {
        while let Some(output) = stream.next().await {
            let output = output.expect("output");
            match output.stream {
                OutputStream::Stdout => stdout.extend_from_slice(&output.bytes),
                OutputStream::Stderr => stderr.extend_from_slice(&output.bytes),
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("an end");
    (
        String::from_utf8(stdout).expect("text"),
        String::from_utf8(stderr).expect("text"),
    )
}

/// Reads until `text` has come.
pub async fn read_until(stream: &mut BoxStream<Result<Output>>, text: &str) -> String {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(text) {
            let output = stream.next().await.expect("more output").expect("output");
            seen.push_str(&String::from_utf8_lossy(&output.bytes));
        }
    };
    let done = tokio::time::timeout(PATIENCE, reading).await;
    assert!(done.is_ok(), "{text:?} did not come, only {seen:?}");
    seen
}

/// Asks again until `condition` holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn find_busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("busybox"))
        .find(|path| path.is_file())?;
    // A dynamically linked one would not start in an image that holds nothing else.
    let bytes = std::fs::read(&found).ok()?;
    let dynamic = bytes.windows(9).take(4096).any(|w| w == b"ld-linux-");
    (!dynamic).then_some(found)
}
