//! A tree as a change of another: what the kernel shows of the two images is the tree. Real mounts: they need root and
//! say so when they cannot run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says why it skips"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ropewalk_slug::tree::Limits;
use ropewalk_slug::{Change, Digest, Mounts, Stamps, Survey, View, pack, survey, write_tgz};

/// Unmounts what is left, also after a failed assertion.
struct Folder(tempfile::TempDir);

impl Drop for Folder {
    fn drop(&mut self) {
        let below = ropewalk_slug::mountinfo::below(self.0.path()).unwrap_or_default();
        for mount in below.iter().rev() {
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(&mount.point)
                .status();
        }
    }
}

/// What one name of a tree is.
#[derive(Debug, Clone)]
enum Node {
    File(String, bool),
    Link(String),
    Folder(Vec<(String, Node)>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => ("[a-c]{0,3}", any::<bool>()).prop_map(|(content, runs)| Node::File(content, runs)),
        1 => "(\\.\\./)?[a-c]".prop_map(Node::Link),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::vec(("[a-c]{1,2}|a\\.b|\\.wh\\.a", inner), 0..4).prop_map(Node::Folder)
    })
}

fn nodes() -> impl Strategy<Value = Vec<(String, Node)>> {
    prop::collection::vec(("[a-d]|a[-.]b", node()), 0..6)
}

/// Of names that come twice the first counts.
fn make(folder: &Path, nodes: &[(String, Node)]) {
    fs::create_dir_all(folder).unwrap();
    for (name, node) in nodes {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match node {
            Node::File(content, runs) => {
                fs::write(&path, content).unwrap();
                let mode = if *runs { 0o755 } else { 0o640 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            Node::Link(target) => symlink(target, &path).unwrap(),
            Node::Folder(nodes) => {
                make(&path, nodes);
                let mode = if nodes.len() % 2 == 0 { 0o755 } else { 0o700 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

fn take(tree: &Path) -> Survey {
    survey(tree, Limits::SLUG, &Stamps::default()).unwrap()
}

/// Packs a tree and mounts it.
async fn mount(mounts: &Mounts, tree: &Path, out: &Path) -> Digest {
    let image = pack(tree, out).await.unwrap();
    mounts.image(&image.digest, out).await.unwrap();
    image.digest
}

#[test]
fn what_two_images_show_is_the_tree() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting needs root");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = Folder(tempfile::tempdir().unwrap());
    let mounts = Mounts::open(&folder.0.path().join("mnt")).unwrap();
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let number = std::cell::Cell::new(0);
    let checked = TestRunner::new(config).run(&(nodes(), nodes()), |(old, new)| {
        number.set(number.get() + 1);
        let here = folder.0.path().join(number.get().to_string());
        let [old_tree, new_tree, delta, staged, view] =
            ["old", "new", "delta", "staged", "view"].map(|name| here.join(name));
        make(&old_tree, &old);
        make(&new_tree, &new);
        let (old, new) = (take(&old_tree), take(&new_tree));
        let change = Change::between(&old.listing, &new.listing);
        if change.names() == 0 {
            prop_assert_eq!(old.listing, new.listing);
            return Ok(());
        }
        for made in [&delta, &staged, &view] {
            fs::create_dir(made).unwrap();
        }
        change.lay_out(&new_tree, &delta).unwrap();
        runtime.block_on(async {
            let base = mount(&mounts, &old_tree, &staged.join("base")).await;
            let over = mount(&mounts, &delta, &staged.join("over")).await;
            let lower = [mounts.image_path(&base), mounts.image_path(&over)];
            let opened = View::open(&[&lower[0], &lower[1]], &view).await.unwrap();
            let shown = take(opened.tree());
            prop_assert_eq!(&shown.listing, &new.listing);
            prop_assert_eq!(shown.listing.digest(), new.listing.digest());
            let (one, two) = (staged.join("one"), staged.join("two"));
            let merged = write_tgz(opened.tree(), &one).unwrap();
            prop_assert_eq!(merged, write_tgz(&new_tree, &two).unwrap());
            opened.close().await.unwrap();
            mounts.remove_image(&over).await.unwrap();
            mounts.remove_image(&base).await.unwrap();
            Ok(())
        })
    });
    checked.unwrap();
}
