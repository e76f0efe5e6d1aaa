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
use rustix::process::{Pid, PidfdFlags, pidfd_open};
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
        let name = format!("/proc/{pid}/ns/mnt");
        let mounts = fs::File::open(&name).map_err(|error| call.refused(told(&name, error)))?;
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let end = number.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // While it still has this number, the number was its own when these were opened.
        if self.running(id, call).await? != pid {
            return Err(call.refused("it was started anew meanwhile"));
        }
        Ok(FirstProcess {
            container: id.clone(),
            kernel: Some(Kernel {
                mounts: mounts.into(),
                end,
            }),
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

pub(super) async fn furnish(process: &FirstProcess, mounts: &[Mount]) -> Result<()> {
    let call = Call::new("mount into", "container", &process.container.0, 20);
    let Some(kernel) = &process.kernel else {
        return Err(call.refused("it is no process of this host"));
    };
    let namespace = kernel.mounts.try_clone();
    let namespace = namespace.map_err(|error| call.refused(error.to_string()))?;
    let mounts = mounts.to_owned();
    let (done, result) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("furnish".to_owned())
        .spawn(move || {
            let _ = done.send(bring(namespace, &mounts));
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
fn bring(namespace: OwnedFd, mounts: &[Mount]) -> std::result::Result<(), String> {
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
