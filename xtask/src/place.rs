//! Where things are: this checkout, and the data directory that belongs to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The paths that `up`, `down` and `test` share.
pub struct Place {
    /// The workspace root.
    pub root: PathBuf,
    /// `target/` (or what `CARGO_TARGET_DIR` says).
    pub target: PathBuf,
    /// Ropewalk's data: outside the checkout, for unprivileged processes must be able to walk to it.
    pub data: PathBuf,
    /// What is costly to make and named by its content: stack images.
    pub cache: PathBuf,
}

impl Place {
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the workspace")?
            .canonicalize()?;
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let name = hex::encode(&Sha256::digest(root.as_os_str().as_encoded_bytes())[..4]);
        let data = std::env::var_os("ROPEWALK_UP_DATA").map_or_else(
            || PathBuf::from(format!("/var/lib/ropewalk-{name}")),
            PathBuf::from,
        );
        let cache = std::env::var_os("ROPEWALK_UP_CACHE")
            .map_or_else(|| PathBuf::from("/var/cache/ropewalk"), PathBuf::from);
        Ok(Self {
            root,
            target,
            data,
            cache,
        })
    }

    /// What is written for the person: the file to be sourced.
    pub fn env_file(&self) -> PathBuf {
        self.root.join("target/ropewalk/env")
    }

    pub fn binary(&self) -> PathBuf {
        self.target.join("release/ropewalk")
    }

    /// The program as tests run it.
    pub fn checked_binary(&self) -> PathBuf {
        self.target.join("debug/ropewalk")
    }
}
