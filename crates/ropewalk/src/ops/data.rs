//! The data directory: where everything that one installation keeps lies, and which installation it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ropewalk_model::InstanceId;

/// Unix socket paths hold at most 107 bytes (`unix(7)`).
const MAX_SOCKET_PATH: usize = 107;

#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) root: PathBuf,
    pub(crate) instance: InstanceId,
    /// Sockets and pid files.
    pub(crate) run: PathBuf,
}

impl Data {
    /// Opens the directory, making what is missing.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)
            .with_context(|| format!("{} could not be made", root.display()))?;
        let root = root.canonicalize()?;
        if root
            .to_str()
            .is_none_or(|text| text.contains([',', ':', '\\', ' ']))
        {
            bail!(
                "{} cannot be a data directory: mounts need a path without , : \\ or spaces",
                root.display()
            );
        }
        let file = root.join("instance");
        let instance = match fs::read_to_string(&file) {
            Ok(text) => InstanceId::parse(text.trim()),
            Err(_) => {
                let id = hex::encode(rand::random::<[u8; 4]>());
                fs::write(&file, &id)?;
                InstanceId::parse(&id)
            }
        }
        .with_context(|| format!("{} does not hold an instance id", file.display()))?;
        let mut run = root.join("run");
        if run.join("platform.sock").as_os_str().len() > MAX_SOCKET_PATH {
            run = PathBuf::from(format!("/run/ropewalk-{instance}"));
        }
        fs::create_dir_all(&run)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700))?;
        let this = Self {
            root,
            instance,
            run,
        };
        for folder in ["slugs", "stacks", "router", "logs"] {
            fs::create_dir_all(this.path(folder))?;
        }
        Ok(this)
    }

    /// Opens a directory that must be there already.
    pub(crate) fn existing(root: &Path) -> Result<Self> {
        if !root.join("instance").exists() {
            bail!(
                "{} is not a data directory of Ropewalk; name it with --data",
                root.display()
            );
        }
        Self::open(root)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// The bridge that dynos are on.
    pub(crate) fn dyno_network(&self) -> String {
        format!("rw-{}", self.instance)
    }

    /// The bridge that builds are on.
    pub(crate) fn build_network(&self) -> String {
        format!("rwb-{}", self.instance)
    }
}
