//! Folders and files of the host that come into a container while it runs.
//!
//! Docker Engine mounts only what it is told before the start. So the mounts are cloned here, and a thread of its own
//! steps into the container's mount namespace, puts them where they belong and ends: no other thread is ever in there.
//! Nothing of the container runs meanwhile that could have put links in the way: whoever calls sees to that.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, mount_remount,
    move_mount, open_tree,
};
use rustix::process::{Pid, PidfdFlags, chroot, fchdir, pidfd_open};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::DockerEngine;
use super::failure::Call;
use crate::container::{ContainerId, Mount};
use crate::process::{FirstProcess, Kernel};
use crate::{EngineError, Result};

/// Longest wait for the kernel to tell of an end before the engine is asked for it: a thread waits meanwhile.
const KERNEL_TELLS_WITHIN: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

impl DockerEngine {
    pub(super) async fn hold_container(&self, id: &ContainerId) -> Result<FirstProcess> {
        let call = Call::new("take hold of", "container", &id.0, 20);
        let pid = self.running(id, call).await?;
        let kernel = kernel(pid).map_err(|text| call.refused(text))?;
        // While it still has this number, the number was its own when these were opened.
        if self.running(id, call).await? != pid {
            return Err(call.refused("it was started anew meanwhile"));
        }
        Ok(FirstProcess {
            container: id.clone(),
            kernel: Some(kernel),
        })
    }

    /// The number of the first process of a container that runs.
    async fn running(&self, id: &ContainerId, call: Call<'_>) -> Result<u32> {
        let found = self.inspect_container(id).await?;
        let found = found.ok_or_else(|| EngineError::NotFound {
            kind: "container",
            name: id.0.clone(),
        })?;
        found.pid.ok_or_else(|| call.refused("it does not run"))
    }

    /// The kernel tells of a process's end a tenth of a second before the engine has put everything away.
    pub(super) async fn container_gone(&self, process: &FirstProcess) -> Result<()> {
        let end = process
            .kernel
            .as_ref()
            .and_then(|kernel| kernel.end.as_ref());
        if let Some(Ok(end)) = end.map(OwnedFd::try_clone) {
            // The first process ends after all others of its namespace.
            let waited = tokio::task::spawn_blocking(move || {
                let mut end = [PollFd::new(&end, PollFlags::IN)];
                matches!(poll(&mut end, Some(&KERNEL_TELLS_WITHIN)), Ok(1..))
            });
            if matches!(waited.await, Ok(true)) {
                return Ok(());
            }
        }
        self.ended(&process.container).await.map(drop)
    }
}

/// What the kernel knows a running process by.
fn kernel(pid: u32) -> std::result::Result<Kernel, String> {
    let open = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        let opened = fs::File::open(&path).map_err(|error| told(&path, error));
        opened.map(OwnedFd::from)
    };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(Kernel {
        mounts: open("ns/mnt")?,
        root: open("root")?,
        end: number.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()),
    })
}

pub(super) async fn furnish(process: &FirstProcess, mounts: &[Mount]) -> Result<()> {
    let call = Call::new("mount into", "container", &process.container.0, 20);
    let Some(kernel) = &process.kernel else {
        return Err(call.refused("it is no process of this host"));
    };
    let cloned =
        (kernel.mounts.try_clone()).and_then(|mounts| Ok((mounts, kernel.root.try_clone()?)));
    let (namespace, root) = cloned.map_err(|error| call.refused(error.to_string()))?;
    let mounts = mounts.to_owned();
    let (done, result) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("furnish".to_owned())
        .spawn(move || {
            let _ = done.send(bring(&namespace, &root, &mounts));
        })
        .map_err(|error| call.refused(error.to_string()))?;
    let work = async {
        match result.await {
            Ok(brought) => brought.map_err(|text| call.refused(text)),
            Err(_) => Err(call.refused("the thread that mounts ended early")),
        }
    };
    call.within(work).await
}

/// Blocking, and for a thread that ends afterwards: it stays in the namespace.
fn bring(namespace: &OwnedFd, root: &OwnedFd, mounts: &[Mount]) -> std::result::Result<(), String> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mut trees = Vec::with_capacity(mounts.len());
    for mount in mounts {
        let tree = open_tree(CWD, &mount.source, clone)
            .map_err(|error| told(&mount.source.display().to_string(), error.into()))?;
        let folder = mount.source.is_dir();
        trees.push((tree, folder));
    }
    // A thread that shares its root and working directory may not change the namespace that they lie in.
    #[expect(
        deprecated,
        reason = "for the flags whose misuse it may hide; this one is harmless"
    )]
    rustix::thread::unshare(UnshareFlags::FS)
        .map_err(|error| told("its own root", error.into()))?;
    // This thread's alone from here on: whatever the server's is, the folders that are made can be walked through.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(|error| told("its mount namespace", error.into()))?;
    fchdir(root)
        .and_then(|()| chroot("."))
        .map_err(|error| told("its root", error.into()))?;
    for (mount, (tree, folder)) in mounts.iter().zip(trees) {
        put(&mount.target, &tree, folder, mount.read_only)
            .map_err(|error| told(&mount.target, error))?;
    }
    Ok(())
}

fn put(target: &str, tree: &OwnedFd, folder: bool, read_only: bool) -> io::Result<()> {
    make_point(Path::new(target), folder)?;
    move_mount(
        tree,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    mount_change(target, MountPropagationFlags::PRIVATE)?;
    if read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount_remount(target, flags, "")?;
    }
    Ok(())
}

/// As Docker Engine does: what is not there to be mounted upon is made.
fn make_point(target: &Path, folder: bool) -> io::Result<()> {
    if target.symlink_metadata().is_ok() {
        return Ok(());
    }
    if folder {
        return fs::create_dir_all(target);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(target)
    {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn told(what: &str, error: io::Error) -> String {
    format!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use super::*;

    /// Ends a process that a test started.
    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn mounts_come_below_the_root_of_a_process_that_is_not_its_namespaces() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("SKIPPED: mounting takes root");
        }
        let dir = tempfile::tempdir().expect("a folder");
        let (root, given) = (dir.path().join("root"), dir.path().join("given"));
        for folder in [&root, &given] {
            fs::create_dir(folder).expect("made");
        }
        fs::write(given.join("a"), "given\n").expect("written");
        let below = "mount --rbind / \"$1\" && mount -t tmpfs mine \"$1/mnt\" && exec chroot \"$1\" sleep 60";
        let child = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                below,
                "sh",
            ])
            .arg(&root)
            .spawn();
        let child = Ended(child.expect("unshare runs"));
        let pid = child.0.id();
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::read(format!("/proc/{pid}/comm")).ok() != Some(b"sleep\n".to_vec()) {
            assert!(Instant::now() < deadline, "it does not come up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let process = FirstProcess {
            container: ContainerId("of a test".to_owned()),
            kernel: Some(kernel(pid).expect("held")),
        };
        let target = "/mnt/of/a/test";
        let mount = Mount {
            source: given.clone(),
            target: target.to_owned(),
            read_only: false,
        };
        furnish(&process, &[mount]).await.expect("furnished");
        let seen = fs::read(format!("/proc/{pid}/root{target}/a"));
        assert_eq!(seen.expect("mounted"), b"given\n");
        assert!(
            !Path::new("/mnt/of").exists(),
            "nothing of it is on the host"
        );
    }
}
