//! Trees that are refused, mended or measured.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn prepared(root: &Path, limits: Limits) -> Result<TreeFacts> {
    prepare(root, limits, |_| Ok(()))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn privileges_sockets_and_the_repository_go() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join(".git/objects")).unwrap();
    fs::create_dir_all(root.join("vendor/.git")).unwrap();
    fs::write(root.join("run"), "#!").unwrap();
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(root.join("vendor"), fs::Permissions::from_mode(0o2775)).unwrap();
    let _listener = UnixListener::bind(root.join("s")).unwrap();

    let facts = prepared(root, Limits::SLUG).unwrap();

    assert_eq!(
        facts,
        TreeFacts {
            files: 1,
            entries: 3,
            bytes: 2
        }
    );
    assert!(!root.join(".git").exists());
    assert!(root.join("vendor/.git").exists());
    assert!(!root.join("s").exists());
    assert_eq!(mode(&root.join("run")), 0o755);
    assert_eq!(mode(&root.join("vendor")), 0o775);
    assert_eq!(measure(root, Limits::SLUG).unwrap(), facts);
}

#[test]
fn links_are_counted_but_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();
    fs::set_permissions(
        outside.path().join("secret"),
        fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    symlink(outside.path(), folder.path().join("dir")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    symlink(outside.path(), folder.path().join(".git")).unwrap();

    let facts = prepared(folder.path(), Limits::SLUG).unwrap();

    assert_eq!((facts.files, facts.entries), (0, 2));
    assert_eq!(mode(&outside.path().join("secret")), 0o4755);
    let root = folder.path().join("dir");
    assert!(matches!(
        prepared(&root, Limits::SLUG),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_named_pipe_is_refused_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tmp")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("tmp/pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let error = prepared(folder.path(), Limits::SLUG).unwrap_err();
    assert!(error.is_about_the_app());
    assert!(
        error.to_string().starts_with("tmp/pipe is a named pipe"),
        "{error}"
    );
}

#[test]
fn each_limit_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::write(root.join("a/b/c/file"), "12345").unwrap();
    let fits = Limits {
        entries: 4,
        bytes: 5,
        depth: 3,
        path: 10,
    };
    assert_eq!(prepared(root, fits).unwrap().entries, 4);
    let refusals = [
        Limits { entries: 3, ..fits },
        Limits { bytes: 4, ..fits },
        Limits { depth: 2, ..fits },
        Limits { path: 9, ..fits },
    ]
    .map(|limits| prepared(root, limits).unwrap_err());
    assert!(matches!(refusals[0], Error::TooManyEntries { limit: 3 }));
    assert!(matches!(refusals[1], Error::TooManyBytes { limit: 4 }));
    assert!(matches!(refusals[2], Error::TooDeep { limit: 2, .. }));
    assert!(matches!(refusals[3], Error::PathTooLong { limit: 9, .. }));
}
