//! A Docker Engine of this host with an image just large enough for the driver: bash and a few tools of the host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ropewalk_engine::{DockerEngine, Engine, LABEL_INSTANCE};
use ropewalk_model::InstanceId;

const PROGRAMS: [&str; 21] = [
    "bash", "cat", "chmod", "cp", "dirname", "env", "id", "ln", "ls", "mkdir", "mv", "readlink",
    "rm", "rmdir", "sleep", "stat", "touch", "head", "timeout", "tr", "sed",
];

/// The engine of one test and its image; both are removed with it.
pub struct Docker {
    pub engine: Arc<DockerEngine>,
    pub instance: InstanceId,
    pub image: String,
}

impl Docker {
    /// `Err` says why there is none.
    pub fn new() -> Result<Self, String> {
        docker(&["version"]).map_err(|_| "no Docker Engine answers".to_owned())?;
        if !rustix::process::getuid().is_root() {
            return Err("builds are owned by another user, which takes root".to_owned());
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let instance = InstanceId::parse(&id[..8]).unwrap();
        let engine = Arc::new(DockerEngine::connect(None, instance.clone()).unwrap());
        let image = import(&instance);
        Ok(Self {
            engine,
            instance,
            image,
        })
    }

    /// Containers of this test's instance that are there, and their images' ids.
    pub fn containers(&self) -> usize {
        let filter = format!("label={LABEL_INSTANCE}={}", self.instance);
        docker(&["ps", "-aq", "--filter", &filter])
            .unwrap()
            .lines()
            .count()
    }

    pub fn as_engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.engine) as _
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let filter = format!("label={LABEL_INSTANCE}={}", self.instance);
        for id in docker(&["ps", "-aq", "--filter", &filter])
            .unwrap_or_default()
            .lines()
        {
            let _ = docker(&["rm", "-f", id]);
        }
        for id in docker(&["network", "ls", "-q", "--filter", &filter])
            .unwrap_or_default()
            .lines()
        {
            let _ = docker(&["network", "rm", id]);
        }
        let _ = docker(&["rmi", "-f", &self.image]);
    }
}

fn import(instance: &InstanceId) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for name in [
        "bin",
        "tmp",
        "etc/ssl/certs",
        "proc",
        "usr/bin",
        "app",
        "buildpacks",
    ] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::write(
        root.join("etc/passwd"),
        "dyno:x:20000:20000::/app:/bin/bash\n",
    )
    .unwrap();
    let mut files = BTreeSet::new();
    for name in PROGRAMS {
        let found = run("which", &[name]).unwrap();
        let program = PathBuf::from(found.trim());
        std::fs::copy(&program, root.join("bin").join(name)).unwrap();
        for word in run("ldd", &[program.to_str().unwrap()])
            .unwrap()
            .split_whitespace()
        {
            if word.starts_with('/') {
                files.insert(PathBuf::from(word));
            }
        }
    }
    std::os::unix::fs::symlink("/bin/env", root.join("usr/bin/env")).unwrap();
    for file in files {
        let target = root.join(file.strip_prefix("/").unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
    let tar = folder.path().join("root.tar");
    run("tar", &["-C", path(&root), "-cf", path(&tar), "."]).unwrap();
    let label = format!("LABEL {LABEL_INSTANCE}={instance}");
    docker(&["import", "--change", &label, path(&tar)])
        .unwrap()
        .trim()
        .to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn docker(arguments: &[&str]) -> Result<String, String> {
    run("docker", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
