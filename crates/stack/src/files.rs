//! Puts a stack's users and own files into a root file system.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use ropewalk_slug::tree::{Limits, walk};
use rustix::fs::FileType;

use crate::spec::User;
use crate::{Error, Result};

/// Without the image's own programs, whose defaults may change.
pub(crate) fn add_users(users: &[User], root: &Path) -> Result<()> {
    for user in users {
        let User {
            name,
            id,
            home,
            shell,
        } = user;
        append(
            &root.join("etc/passwd"),
            &format!("{name}:x:{id}:{id}::{home}:{shell}\n"),
        )?;
        append(&root.join("etc/group"), &format!("{name}:x:{id}:\n"))?;
        append(
            &root.join("etc/shadow"),
            &format!("{name}:!:0:0:99999:7:::\n"),
        )?;
        append(&root.join("etc/gshadow"), &format!("{name}:!::\n"))?;
        let home = root.join(home.trim_start_matches('/'));
        fs::create_dir_all(&home).map_err(Error::io("create", &home))?;
        chown(&home, Some(*id), Some(*id)).map_err(Error::io("own", &home))?;
    }
    Ok(())
}

fn append(file: &Path, line: &str) -> Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(file)
        .and_then(|mut open| open.write_all(line.as_bytes()))
        .map_err(Error::io("write", file))
}

/// Copies a stack's own files into an image, owned by root. A folder that is not there has none.
pub(crate) fn copy_files(from: &Path, root: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    walk(from, Limits::ROOT, |entry| {
        let to = root.join(entry.path);
        let copied = match entry.file_type() {
            FileType::Directory => fs::create_dir_all(&to),
            FileType::Symlink => {
                let target = entry.link_target()?;
                let target = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&target);
                std::os::unix::fs::symlink(target, &to)
            }
            _ => {
                // Whatever the mask was when the files were checked out.
                let mode = if entry.mode() & 0o100 == 0 {
                    0o644
                } else {
                    0o755
                };
                fs::copy(from.join(entry.path), &to)
                    .and_then(|_| fs::set_permissions(&to, fs::Permissions::from_mode(mode)))
            }
        };
        copied.map_err(|source| ropewalk_slug::Error::Io {
            action: "copy to",
            path: to.clone(),
            source,
        })
    })?;
    Ok(())
}
