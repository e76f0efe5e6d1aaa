//! The data directory: where everything that one installation keeps lies, and which installation it is.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ropewalk_model::InstanceId;
use ropewalk_slug::view::unmount_below;

/// Unix socket paths hold at most 107 bytes (`unix(7)`).
const MAX_SOCKET_PATH: usize = 107;

/// Where the router keeps the certificates that it serves.
pub(crate) const ROUTER_CERTIFICATES: &str = "router/certificates.json";

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
                replace(&file, id.as_bytes(), 0o644)?;
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
        for folder in ["slugs", "stacks", "router", "logs", "tmp"] {
            fs::create_dir_all(this.path(folder))?;
        }
        Ok(this)
    }

    /// Removes what an earlier server was about to make when it was killed. Only for the one server, at its start.
    pub(crate) async fn empty_tmp(&self) -> Result<()> {
        let folder = self.path("tmp");
        unmount_below(&folder).await?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let removed = match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.with_context(|| format!("{} could not be removed", path.display()))?;
        }
        Ok(())
    }

    /// Opens a directory that must be there already.
    pub(crate) fn existing(root: &Path) -> Result<Self> {
        if !root.join("instance").exists() {
            bail!(
                "there is no Ropewalk at {}; name its data directory with --data",
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

/// Replaces a file as a whole: whoever reads it, also after a crash, sees the old text or the new one, never a part.
pub(crate) fn replace(file: &Path, text: &[u8], mode: u32) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut staged = tempfile::Builder::new()
            .prefix(".new-")
            .make_in(folder, |path| {
                fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(path)
            })?;
        staged.write_all(text)?;
        staged.as_file().sync_all()?;
        staged.persist(file)?;
        fs::File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("{} could not be written", file.display()))
}

/// Notes which process it is; whoever reads the file finds a whole number.
pub(crate) fn write_pid(file: &Path, pid: u32) -> Result<()> {
    replace(file, pid.to_string().as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_killed_server_was_making_goes_at_the_next_start() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = Data::open(folder.path())?;
        let tmp = data.path("tmp");
        fs::create_dir_all(tmp.join("layer-1"))?;
        fs::write(tmp.join("layer-1/slug.tgz"), "half")?;
        fs::write(tmp.join("stack-1.tar"), "half")?;
        std::os::unix::fs::symlink(data.path("slugs"), tmp.join("link"))?;
        data.empty_tmp().await?;
        assert_eq!(fs::read_dir(&tmp)?.count(), 0);
        assert!(data.path("slugs").is_dir());
        Ok(())
    }

    #[test]
    fn a_reader_never_sees_a_part_of_a_replaced_file() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("pid");
        let texts = ["1".repeat(4000), "2".repeat(5000)];
        replace(&file, texts[0].as_bytes(), 0o600)?;
        let writer = std::thread::spawn({
            let (file, texts) = (file.clone(), texts.clone());
            move || (0..50).try_for_each(|n| replace(&file, texts[n % 2].as_bytes(), 0o600))
        });
        while !writer.is_finished() {
            assert!(texts.contains(&fs::read_to_string(&file)?));
        }
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path())?.count(), 1, "nothing is left");
        Ok(())
    }
}
