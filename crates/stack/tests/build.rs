//! Real builds from a real mirror, loaded into a real engine. They need root, debootstrap and Docker, and say so
//! when they cannot run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says why it skips"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use ropewalk_registry::{BlobStore, ImageRef};
use ropewalk_stack::{Spec, Stack, build, docker_archive};

/// As small as a stack can be: what is slow is bootstrapping.
const TINY: &str = r#"
name = "rwslug-tiny"
suite = "trixie"
components = ["main"]
run.packages = ["ca-certificates", "python3-minimal"]
build.packages = ["file", "openssl"]
users = [{ name = "dyno", id = 20000, home = "/app", shell = "/bin/bash" }]
env = { PATH = "/usr/local/bin:/usr/bin:/bin", HOME = "/app", STACK = "rwslug-tiny" }
"#;

fn can_run() -> bool {
    let there = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.is_ok_and(|output| output.status.success())
    };
    let reason = if !rustix::process::geteuid().is_root() {
        "building a stack needs root"
    } else if !there("debootstrap", "--version") {
        "debootstrap is not installed"
    } else if !there("docker", "info") {
        "no engine answers"
    } else {
        return true;
    };
    println!("skipped: {reason}");
    false
}

/// The smallest stack's folder, with one file for each image.
fn tiny(folder: &Path) -> PathBuf {
    let stack = folder.join("rwslug-tiny");
    let launch = "files/run/usr/lib/ropewalk/launch";
    fs::create_dir_all(stack.join(launch).parent().unwrap()).unwrap();
    fs::create_dir_all(stack.join("files/build/etc")).unwrap();
    fs::copy(project("stacks/debian-13").join(launch), stack.join(launch)).unwrap();
    fs::write(stack.join("files/build/etc/of-the-build"), "").unwrap();
    fs::write(stack.join("stack.toml"), TINY).unwrap();
    stack
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Images in the engine, removed at the end.
struct Loaded(Vec<String>);

impl Loaded {
    fn new(stack: &Stack, blobs: &BlobStore, folder: &Path) -> Self {
        let path = folder.join("images.tar");
        let names = [
            format!("{}:run", stack.name),
            format!("{}:build", stack.name),
        ];
        let images: [(&ImageRef, _); 2] = [
            (&stack.run, Some(&*names[0])),
            (&stack.build, Some(&*names[1])),
        ];
        docker_archive(&images, blobs, &mut File::create(&path).unwrap()).unwrap();
        let loaded = Self(names.into());
        docker(&["load", "--quiet", "--input", path.to_str().unwrap()]);
        loaded
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let _ = Command::new("docker").arg("rmi").args(&self.0).output();
    }
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run(image: &str, command: &[&str]) -> String {
    let hardened = [
        "run",
        "--rm",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ];
    docker(&[&hardened, [image].as_slice(), command].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_packages_give_the_same_stack_and_it_runs() {
    if !can_run() {
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("rwslug-stack-")
        .tempdir()
        .unwrap();
    let stack_folder = tiny(folder.path());
    let spec = Spec::load(&stack_folder).unwrap();
    let blobs = BlobStore::open(&folder.path().join("blobs")).unwrap();
    let cache = folder.path().join("cache");
    let progress = |line: &str| println!("{line}");

    let first = build(&spec, &blobs, &cache, false, &progress)
        .await
        .unwrap();
    let again = build(&spec, &blobs, &cache, false, &progress)
        .await
        .unwrap();
    assert_eq!(first, again);
    let fresh = build(&spec, &blobs, &cache, true, &progress).await.unwrap();
    assert_eq!(first.version, fresh.version);
    let other = BlobStore::open(&folder.path().join("other")).unwrap();
    build(&spec, &other, &cache, false, &progress)
        .await
        .unwrap();
    assert_eq!(other.list().unwrap(), blobs.list().unwrap());

    assert!(
        ropewalk_slug::mountinfo::below(folder.path())
            .unwrap()
            .is_empty()
    );
    let left: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("work-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let _loaded = Loaded::new(&first, &blobs, folder.path());
    let id = docker(&["image", "inspect", "--format={{.Id}}", "rwslug-tiny:run"]);
    assert!(
        id == first.run.config_digest.to_string() || id == first.run.manifest_digest.to_string()
    );
    assert_eq!(run("rwslug-tiny:run", &["id", "-un"]), "dyno");
    assert_eq!(
        run("rwslug-tiny:run", &["stat", "-c", "%U", "/app"]),
        "dyno"
    );
    let echo = [
        "/usr/lib/ropewalk/launch",
        "echo \"$STACK\" from \"$PWD\"; exit 0",
    ];
    assert_eq!(run("rwslug-tiny:run", &echo), "rwslug-tiny from /app");
    assert!(run("rwslug-tiny:build", &["openssl", "version"]).starts_with("OpenSSL 3"));
    assert_eq!(
        run("rwslug-tiny:build", &["ls", "/etc/of-the-build"]),
        "/etc/of-the-build"
    );
    a_dyno_runs_on_its_view_of_a_slug(folder.path()).await;
    let setuid = [
        "run",
        "--rm",
        "--network=none",
        "--user=0:0",
        "rwslug-tiny:build",
    ];
    let find = ["find", "/", "-xdev", "-perm", "/6000"];
    assert_eq!(docker(&[setuid.as_slice(), &find].concat()), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_process_and_no_mount() {
    if !can_run() {
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("rwslug-stack-")
        .tempdir()
        .unwrap();
    let spec = Spec::load(&tiny(folder.path())).unwrap();
    let blobs = BlobStore::open(&folder.path().join("blobs")).unwrap();
    let cache = folder.path().join("cache");
    let building = tokio::spawn(async move { build(&spec, &blobs, &cache, false, &|_| ()).await });
    until(|| processes_with(folder.path()) > 2).await;
    building.abort();
    assert!(building.await.unwrap_err().is_cancelled());
    until(|| processes_with(folder.path()) == 0).await;
    assert!(
        ropewalk_slug::mountinfo::below(folder.path())
            .unwrap()
            .is_empty()
    );
}

/// How many processes name the folder among their arguments.
fn processes_with(folder: &Path) -> usize {
    let name = folder.to_str().unwrap();
    let lines = fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(name))
        .count()
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait)
        .await
        .unwrap();
}

/// All of it together: stack image, slug image, overlay, launcher, an unprivileged user.
async fn a_dyno_runs_on_its_view_of_a_slug(folder: &Path) {
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join(".profile.d")).unwrap();
    fs::write(tree.join(".profile.d/a.sh"), "export A=one; set -- lost\n").unwrap();
    fs::write(tree.join(".profile"), "export B=\"$A two\"\n").unwrap();
    let image = folder.join("slug.squashfs");
    let digest = ropewalk_slug::pack(&tree, &image).await.unwrap().digest;
    let mounts = Mounted(
        ropewalk_slug::Mounts::open(&folder.join("mnt")).unwrap(),
        folder,
    );
    let dyno = "6c1c6e4c-7d0f-4b0c-8a55-0d6a54a0f1aa".parse().unwrap();
    mounts.0.image(&digest, &image).await.unwrap();
    let merged = mounts.0.overlay(dyno, &[digest]).await.unwrap();

    let volume = format!("--volume={}:/app", merged.display());
    let command = "echo $B > new && cat new && rm .profile && ls -A";
    let dyno_run = [
        "run",
        "--rm",
        "--network=none",
        "--cap-drop=ALL",
        &volume,
        "rwslug-tiny:run",
        "/usr/lib/ropewalk/launch",
        command,
    ];
    assert_eq!(docker(&dyno_run), "one two\n.profile.d\nnew");
    mounts.0.remove_overlay(dyno).await.unwrap();
    mounts.0.remove_image(&digest).await.unwrap();
}

/// Unmounts what a failed assertion leaves.
struct Mounted<'a>(ropewalk_slug::Mounts, &'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let left = ropewalk_slug::mountinfo::below(self.1).unwrap_or_default();
        for mount in left.iter().rev() {
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(&mount.point)
                .status();
        }
    }
}

/// Slow: the whole default stack. `ROPEWALK_STACK_CACHE` keeps its package files between runs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run it when the stack changes"]
async fn the_default_stack_builds_reproducibly() {
    if !can_run() {
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("rwslug-stack-")
        .tempdir()
        .unwrap();
    let cache = std::env::var_os("ROPEWALK_STACK_CACHE")
        .map_or_else(|| folder.path().join("cache"), PathBuf::from);
    let spec = Spec::load(&project("stacks/debian-13")).unwrap();
    let blobs = BlobStore::open(&folder.path().join("blobs")).unwrap();
    let progress = |line: &str| println!("{line}");
    let first = build(&spec, &blobs, &cache, true, &progress).await.unwrap();
    let second = build(&spec, &blobs, &cache, true, &progress).await.unwrap();
    assert_eq!(first.run, second.run);
    assert_eq!(first.build, second.build);
}
