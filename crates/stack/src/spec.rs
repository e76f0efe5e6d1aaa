//! A stack's description: `stacks/<name>/stack.toml` and the files beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ropewalk_slug::tree::{Limits, walk};
use ropewalk_slug::{Digest, HashWriter};
use rustix::fs::FileType;
use serde::Deserialize;

use crate::{Error, Result, keyring};

/// Goes up when the same description is turned into another image by newer code, so that no old one is reused.
const FORMAT: u32 = 1;

/// What a stack is made of.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The folder; `files/run` and `files/build` in it are copied into the images.
    pub folder: PathBuf,
    pub description: Description,
    /// Of everything in the folder, of the processor's kind and of this code's version.
    pub key: Digest,
}

/// `stack.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What users call it, `debian-13`; also the folder's name.
    pub name: String,
    /// Debian's name of the release.
    pub suite: String,
    /// Parts of Debian's archive to take packages from.
    pub components: Vec<String>,
    /// A public key that signs the release, an OpenPGP packet in base64, for hosts that do not know it.
    #[serde(default)]
    pub archive_key: Option<String>,
    pub run: Packages,
    /// On top of the run image's.
    pub build: Packages,
    pub users: Vec<User>,
    /// Environment of every container of both images.
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    pub packages: Vec<String>,
}

/// A user with a group of the same name and number, and a home of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    pub id: u32,
    pub home: String,
    pub shell: String,
}

impl Spec {
    /// Reads `stack.toml` and hashes the folder. Blocking, but never for long.
    pub fn load(folder: &Path) -> Result<Self> {
        let folder = fs::canonicalize(folder).map_err(Error::io("open", folder))?;
        let path = folder.join("stack.toml");
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let description: Description = toml::from_str(&text).map_err(|source| Error::Spec {
            path: path.clone(),
            source: Box::new(source),
        })?;
        check(&description).map_err(|problem| Error::Value { path, problem })?;
        let key = key(&folder)?;
        Ok(Self {
            folder,
            description,
            key,
        })
    }
}

/// Everything here ends up as an argument of a program or in a file of the image.
fn check(description: &Description) -> std::result::Result<(), String> {
    let word = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
    };
    let packages = description.run.packages.iter();
    let words = packages
        .chain(&description.build.packages)
        .chain(&description.components)
        .chain([&description.name, &description.suite])
        .chain(description.users.iter().map(|user| &user.name));
    for text in words {
        if !word(text) {
            return Err(format!("{text:?} is no name of a package, suite or user"));
        }
    }
    if let Some(key) = &description.archive_key {
        keyring::read(key)?;
    }
    for user in &description.users {
        for path in [&user.home, &user.shell] {
            if !path.starts_with('/') || path.contains([':', '\n']) || path.contains("..") {
                return Err(format!("{path:?} is no path of a home or shell"));
            }
        }
    }
    Ok(())
}

fn key(folder: &Path) -> Result<Digest> {
    let mut hash = HashWriter::new(std::io::sink());
    let head = format!("{FORMAT} {}\n", std::env::consts::ARCH);
    let unhashed = Error::io("read", folder);
    hash.write_all(head.as_bytes()).map_err(unhashed)?;
    walk(folder, Limits::SLUG, |entry| {
        let content = match entry.file_type() {
            FileType::RegularFile => Digest::of_file(&folder.join(entry.path))?.to_string(),
            FileType::Symlink => String::from_utf8_lossy(&entry.link_target()?).into_owned(),
            _ => String::new(),
        };
        let executable = entry.mode() & 0o100;
        let line = format!("{:?} {executable} {content}\n", entry.path);
        // A sink takes everything.
        let _ = hash.write_all(line.as_bytes());
        Ok(())
    })?;
    Ok(hash.finish().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        name = "tiny"
        suite = "trixie"
        components = ["main"]
        run.packages = ["bash"]
        build.packages = ["g++"]
        users = [{ name = "dyno", id = 20000, home = "/app", shell = "/bin/bash" }]
        env = { STACK = "tiny" }
    "#;

    fn write(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stack.toml"), text).unwrap();
        folder
    }

    #[test]
    fn the_key_follows_the_content() {
        let (one, two) = (write(TOML), write(TOML));
        let key = Spec::load(one.path()).unwrap().key;
        assert_eq!(Spec::load(two.path()).unwrap().key, key);
        fs::create_dir_all(two.path().join("files/run")).unwrap();
        assert_ne!(Spec::load(two.path()).unwrap().key, key);
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for (from, to) in [
            ("bash", "--option"),
            ("trixie", "a b"),
            ("/app", "app"),
            ("run.packages", "run.packets"),
        ] {
            let folder = write(&TOML.replacen(from, to, 1));
            assert!(Spec::load(folder.path()).is_err(), "{to}");
        }
    }

    #[test]
    fn the_stacks_of_the_project_are_sound() {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks");
        for entry in fs::read_dir(stacks).unwrap() {
            let path = entry.unwrap().path();
            let spec = Spec::load(&path).unwrap();
            assert_eq!(
                path.file_name().unwrap().to_str(),
                Some(&*spec.description.name)
            );
            let dyno = spec
                .description
                .users
                .iter()
                .find(|user| user.name == "dyno");
            assert_eq!(dyno.unwrap().id, ropewalk_slug::DYNO_ID);
        }
    }
}
