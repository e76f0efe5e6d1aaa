//! What is laid, by name; whether the kernel then shows the new tree is tested with real mounts (tests/layers.rs).

use std::fs;

use super::*;
use crate::listing::survey;
use crate::stamps::Stamps;
use crate::tree::Limits;

/// Names with a slash at the end are folders, `name=content` files, `name>target` links.
fn make(root: &Path, names: &[&str]) -> Listing {
    fs::create_dir_all(root).unwrap();
    for name in names {
        if let Some((name, content)) = name.split_once('=') {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), content).unwrap();
        } else if let Some((name, target)) = name.split_once('>') {
            symlink(target, root.join(name)).unwrap();
        } else {
            fs::create_dir_all(root.join(name)).unwrap();
        }
    }
    survey(root, Limits::SLUG, &Stamps::default())
        .unwrap()
        .listing
}

fn words(change: &Change) -> String {
    let word = |lay: &Lay| {
        let sign = match &lay.kind {
            Kind::Folder => "d ",
            Kind::Link(_) => "l ",
            Kind::File(_) => "f ",
            Kind::Gone => "- ",
        };
        format!("{sign}{}", lay.path.display())
    };
    let words: Vec<String> = change.lay.iter().map(word).collect();
    words.join(", ")
}

fn between(old: &[&str], new: &[&str]) -> Change {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (
        make(&dir.path().join("old"), old),
        make(&dir.path().join("new"), new),
    );
    Change::between(&old, &new)
}

#[test]
fn only_what_differs_is_laid_with_the_folders_on_the_way() {
    let table: [(&[&str], &[&str], &str); 12] = [
        (&["a=1", "b/c=2"], &["a=1", "b/c=2"], ""),
        (&["a=1", "b/c=2"], &["a=3", "b/c=2"], "f a"),
        (
            &["a=1", "b/c=2"],
            &["a=1", "b/c=3", "b/d=4"],
            "d b, f b/c, f b/d",
        ),
        (&["a=1", "b/c=2"], &["a=1"], "- b"),
        (
            &["a=1", "b/c=2", "b/d/e=3"],
            &["a=1", "b/c=2"],
            "d b, - b/d",
        ),
        // A folder becomes a file, and what was in it needs no marks; and the other way round.
        (&["b/c=2", "b/d/e=3"], &["b=1"], "f b"),
        (&["b=1"], &["b/c=2"], "d b, f b/c"),
        (&["b>a", "c=1"], &["b/c=2", "c=1"], "d b, f b/c"),
        (&["b>a"], &["b>c"], "l b"),
        // Names that sort before a slash.
        (
            &["a/x=1", "a.b=1", "a-b=1"],
            &["a/x=1", "a.b=2"],
            "- a-b, f a.b",
        ),
        (&["a/k/q=1", "a/z=1"], &["a/k/q=1"], "d a, - a/z"),
        (&[], &["x/y/z=1", "x/y/w/"], "d x, d x/y, d x/y/w, f x/y/z"),
    ];
    for (old, new, expected) in table {
        assert_eq!(words(&between(old, new)), expected, "{old:?} to {new:?}");
    }
}

#[test]
fn bytes_are_counted_on_both_sides() {
    let change = between(
        &["a=12345", "b/c=12", "d=1"],
        &["a=123", "d=1", "e=1234567"],
    );
    assert_eq!((change.bytes, change.covered), (10, 7));
    let change = between(&["b/c=12", "b/d=123"], &["b=1"]);
    assert_eq!((change.bytes, change.covered), (1, 5));
}

#[test]
fn what_changed_before_it_was_copied_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let change = Change::between(&make(&old, &[]), &make(&new, &["a/b=1"]));
    fs::write(new.join("a/b"), "12").unwrap();
    let to = dir.path().join("to");
    fs::create_dir(&to).unwrap();
    assert!(change.lay_out(&new, &to).is_err());
    // Nor is a link followed that took a folder's place.
    fs::rename(new.join("a"), dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join("elsewhere/b"), "1").unwrap();
    symlink(dir.path().join("elsewhere"), new.join("a")).unwrap();
    fs::remove_dir_all(&to).unwrap();
    fs::create_dir(&to).unwrap();
    assert!(change.lay_out(&new, &to).is_err());
}
