//! Takes out of a root file system what depends on when and where it was made, and what no image needs.
//!
//! Works on a whole root and equally on the upper folder of an overlay, where it removes only what that added.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ropewalk_slug::remove_tree;

use crate::{Error, Result};

/// Folders to be left empty, as far as they are there.
const EMPTY: &[&str] = &[
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "var/tmp",
    "var/cache/apt",
    "var/cache/ldconfig",
    "var/cache/man",
    "var/lib/apt/lists",
];

/// Things to be removed.
const REMOVED: &[&str] = &[
    // Of this host or of this moment.
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/machine-id",
    "etc/.pwd.lock",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/catalog/database",
    "usr/sbin/policy-rc.d",
    // Copies that programs keep before a change.
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/apt/daily_lock",
    // To be read by people, who are not there.
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
];

/// The day of the last change of every password: the first of 1980, in days since the epoch.
const PASSWORD_DAY: &str = "3652";

pub(crate) async fn normalise(root: &Path) -> Result<()> {
    for name in EMPTY {
        for path in children(&root.join(name))? {
            remove_tree(&path).await?;
        }
    }
    for name in REMOVED {
        remove_tree(&root.join(name)).await?;
    }
    logs(&root.join("var/log"))?;
    documents(&root.join("usr/share/doc"))?;
    passwords(&root.join("etc/shadow"))
}

/// Programs expect their log's folder, not its files.
fn logs(folder: &Path) -> Result<()> {
    for path in children(folder)? {
        let facts = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
        if facts.is_dir() {
            logs(&path)?;
        } else {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Licences stay.
fn documents(folder: &Path) -> Result<()> {
    for path in children(folder)? {
        let facts = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
        if facts.is_dir() {
            documents(&path)?;
            // Fails where a licence is left.
            let _ = fs::remove_dir(&path);
        } else if facts.is_file() && path.file_name().is_some_and(|name| name != "copyright") {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

fn passwords(file: &Path) -> Result<()> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", file)(error)),
    };
    fs::write(file, undated(&text)).map_err(Error::io("write", file))
}

fn undated(shadow: &str) -> String {
    let mut text = String::with_capacity(shadow.len());
    for line in shadow.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        if let Some(day) = fields.get_mut(2) {
            *day = PASSWORD_DAY;
        }
        text.push_str(&fields.join(":"));
        text.push('\n');
    }
    text
}

/// What a folder holds; nothing when it is not there or is a link.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    match fs::symlink_metadata(folder) {
        Ok(facts) if facts.is_dir() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("look at", folder)(error)),
    }
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    entries
        .map(|entry| Ok(entry.map_err(Error::io("list", folder))?.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn traces_go_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let kept = [
            "etc/passwd",
            "usr/share/doc/bash/copyright",
            "var/cache/debconf/config.dat",
        ];
        let lost = [
            "etc/hostname",
            "var/log/apt/history.log",
            "usr/share/doc/bash/README",
            "usr/share/doc/empty/a/b",
            "usr/share/man/man1/x.1",
            "tmp/x/y",
        ];
        for name in kept.iter().chain(&lost) {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::write(root.join("etc/shadow"), "root:*:20415:0:99999:7:::\n").unwrap();
        normalise(root).await.unwrap();
        for name in kept {
            assert!(root.join(name).exists(), "{name}");
        }
        for name in lost {
            assert!(!root.join(name).exists(), "{name}");
        }
        assert!(root.join("var/log/apt").exists());
        assert!(root.join("tmp").exists());
        assert!(!root.join("usr/share/doc/empty").exists());
        let shadow = fs::read_to_string(root.join("etc/shadow")).unwrap();
        assert_eq!(shadow, "root:*:3652:0:99999:7:::\n");
    }
}
