//! A container's first process, held by what the kernel knows it by: whatever gets its number later is not taken for it,
//! and to ask for its end or to mount something before its eyes takes no answer of the engine, which is slow to answer
//! while it starts or ends something.

use std::os::fd::OwnedFd;

use crate::ContainerId;

/// See [`crate::Engine::hold`]. Holds on to the container's mounts: to be dropped when the container is of no more use.
#[derive(Debug)]
pub struct FirstProcess {
    pub container: ContainerId,
    pub(crate) kernel: Option<Kernel>,
}

/// What the kernel gave.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) mounts: OwnedFd,
    /// Its own root, which need not be that of its mounts: an engine that itself runs below a root of its own leaves the
    /// host's there.
    pub(crate) root: OwnedFd,
    /// `None` before Linux 5.3.
    pub(crate) end: Option<OwnedFd>,
}

impl FirstProcess {
    /// Of a container that is no process of this host: of engines that are played.
    pub fn named(container: ContainerId) -> Self {
        Self {
            container,
            kernel: None,
        }
    }
}
