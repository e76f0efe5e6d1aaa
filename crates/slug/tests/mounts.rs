//! Real mounts: they need root and say so when they cannot run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says why it skips"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ropewalk_model::DynoId;
use ropewalk_slug::{DYNO_ID, Digest, Error, Mounts, Observed, pack, write_tgz};

/// A packed slug and a folder of mounts; leaves nothing behind, not even after a failed assertion.
struct Rig {
    folder: tempfile::TempDir,
    mounts: Mounts,
    image: PathBuf,
    digest: Digest,
}

impl Rig {
    async fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: mounting needs root");
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("rwslug mounts-")
            .tempdir()
            .unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("bin")).unwrap();
        // Content of its own, so that each test has a digest of its own.
        fs::write(tree.join("Procfile"), format!("web: {:?}\n", folder.path())).unwrap();
        fs::write(tree.join("bin/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(tree.join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
        let image = folder.path().join("slug.squashfs");
        let digest = pack(&tree, &image).await.unwrap().digest;
        Some(Self {
            mounts: Mounts::open(&folder.path().join("mnt")).unwrap(),
            folder,
            image,
            digest,
        })
    }

    async fn mount(&self) -> (DynoId, PathBuf) {
        let dyno = dyno();
        self.mounts.image(&self.digest, &self.image).await.unwrap();
        let merged = self.mounts.overlay(dyno, &[self.digest]).await.unwrap();
        (dyno, merged)
    }

    /// The loop devices that hold our image.
    fn loops(&self) -> String {
        let output = Command::new("losetup")
            .arg("--associated")
            .arg(&self.image)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let below = ropewalk_slug::mountinfo::below(self.folder.path()).unwrap_or_default();
        for mount in below.iter().rev() {
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(&mount.point)
                .status();
        }
    }
}

fn dyno() -> DynoId {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    text.trim().parse().unwrap()
}

fn owner(path: &Path) -> (u32, u32) {
    let facts = fs::metadata(path).unwrap();
    (facts.uid(), facts.gid())
}

#[tokio::test]
async fn a_dyno_writes_to_its_own_view_only() {
    let Some(rig) = Rig::new().await else { return };
    let (_, one) = rig.mount().await;
    let (_, two) = rig.mount().await;

    assert_eq!(owner(&one), (DYNO_ID, DYNO_ID));
    assert_eq!(owner(&one.join("bin/run")), (DYNO_ID, DYNO_ID));
    assert_eq!(
        fs::metadata(one.join("bin/run")).unwrap().mtime(),
        315_532_801
    );
    fs::write(one.join("Procfile"), "changed").unwrap();
    fs::write(one.join("new"), "").unwrap();
    assert!(
        fs::read_to_string(two.join("Procfile"))
            .unwrap()
            .starts_with("web")
    );
    assert!(!two.join("new").exists());
    let slug = rig.mounts.image_path(&rig.digest);
    assert!(fs::write(slug.join("new"), "").is_err());
}

#[tokio::test]
async fn both_verbs_are_idempotent_and_a_restart_adopts() {
    let Some(rig) = Rig::new().await else { return };
    let (dyno, merged) = rig.mount().await;
    fs::write(merged.join("kept"), "").unwrap();

    let restarted = Mounts::open(&rig.folder.path().join("mnt")).unwrap();
    restarted.image(&rig.digest, &rig.image).await.unwrap();
    assert_eq!(
        restarted.overlay(dyno, &[rig.digest]).await.unwrap(),
        merged
    );
    assert!(merged.join("kept").exists());
    assert_eq!(rig.loops().lines().count(), 1);
    let expected = Observed {
        images: [rig.digest].into(),
        overlays: [(dyno, vec![rig.digest])].into(),
    };
    assert_eq!(restarted.observed().await.unwrap(), expected);
    let error = restarted
        .overlay(dyno, &[Digest::of(b"")])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::OtherSlug { .. }), "{error}");
}

#[tokio::test]
async fn many_at_once_share_one_slug() {
    let Some(rig) = Rig::new().await else { return };
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (mounts, digest, image) = (rig.mounts.clone(), rig.digest, rig.image.clone());
            tokio::spawn(async move {
                mounts.image(&digest, &image).await.unwrap();
                mounts.overlay(dyno(), &[digest]).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().join("Procfile").exists());
    }
    assert_eq!(rig.loops().lines().count(), 1);
    assert_eq!(rig.mounts.observed().await.unwrap().overlays.len(), 8);
    let swept = rig
        .mounts
        .sweep(&BTreeSet::new(), &BTreeSet::new())
        .await
        .unwrap();
    assert_eq!((swept.overlays, swept.images), (8, 1));
    assert_eq!(rig.loops(), "");
}

#[tokio::test]
async fn an_overlay_needs_its_slug() {
    let Some(rig) = Rig::new().await else { return };
    assert!(rig.mounts.overlay(dyno(), &[rig.digest]).await.is_err());
}

#[tokio::test]
async fn removing_is_idempotent_and_frees_the_loop_device() {
    let Some(rig) = Rig::new().await else { return };
    let (dyno, merged) = rig.mount().await;
    // The slug may go first: the view keeps its own hold on it.
    rig.mounts.remove_image(&rig.digest).await.unwrap();
    assert!(merged.join("Procfile").exists());
    for _ in 0..2 {
        rig.mounts.remove_overlay(dyno).await.unwrap();
        rig.mounts.remove_image(&rig.digest).await.unwrap();
    }
    assert!(!rig.mounts.dyno_path(dyno).exists());
    assert_eq!(rig.mounts.observed().await.unwrap(), Observed::default());
    assert_eq!(rig.loops(), "");
}

#[tokio::test]
async fn a_view_in_use_goes_away_lazily() {
    let Some(rig) = Rig::new().await else { return };
    let (dyno, merged) = rig.mount().await;
    let mut open = fs::File::open(merged.join("Procfile")).unwrap();
    rig.mounts.remove_overlay(dyno).await.unwrap();
    rig.mounts.remove_image(&rig.digest).await.unwrap();
    assert!(!merged.exists());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut open, &mut text).unwrap();
    assert!(text.starts_with("web"));
    drop(open);
    assert_eq!(rig.loops(), "");
}

#[tokio::test]
async fn an_image_that_is_borrowed_stays() {
    let Some(rig) = Rig::new().await else { return };
    let one = rig.mounts.borrow(&rig.digest, &rig.image).await.unwrap();
    let two = rig.mounts.borrow(&rig.digest, &rig.image).await.unwrap();
    for borrowed in [one, two] {
        rig.mounts.remove_image(&rig.digest).await.unwrap();
        assert!(borrowed.path().join("Procfile").is_file());
    }
    rig.mounts.remove_image(&rig.digest).await.unwrap();
    assert_eq!(rig.mounts.observed().await.unwrap(), Observed::default());
    // Nor does one stay that could not be mounted.
    let none = rig.folder.path().join("none");
    assert!(rig.mounts.borrow(&rig.digest, &none).await.is_err());
    rig.mounts.remove_image(&rig.digest).await.unwrap();
    assert_eq!(rig.mounts.present().unwrap().images.len(), 0);
}

#[tokio::test]
async fn a_sweep_keeps_what_it_is_told() {
    let Some(rig) = Rig::new().await else { return };
    let (kept, merged) = rig.mount().await;
    let (lost, _) = rig.mount().await;
    // Left from before a reboot: a folder, not mounted.
    let stale = dyno();
    fs::create_dir_all(rig.mounts.dyno_path(stale).join("upper/deep")).unwrap();

    let swept = rig
        .mounts
        .sweep(&[kept].into(), &[rig.digest].into())
        .await
        .unwrap();

    assert_eq!((swept.overlays, swept.images), (2, 0));
    assert!(merged.join("Procfile").exists());
    assert!(!rig.mounts.dyno_path(stale).exists());
    assert!(!rig.mounts.dyno_path(lost).exists());
}

#[tokio::test]
async fn after_a_reboot_a_view_starts_empty() {
    let Some(rig) = Rig::new().await else { return };
    let dyno = dyno();
    let upper = rig.mounts.dyno_path(dyno).join("upper");
    fs::create_dir_all(&upper).unwrap();
    fs::write(upper.join("stale"), "").unwrap();
    rig.mounts.image(&rig.digest, &rig.image).await.unwrap();
    let merged = rig.mounts.overlay(dyno, &[rig.digest]).await.unwrap();
    assert!(!merged.join("stale").exists());
}

#[tokio::test]
async fn image_and_tree_give_the_same_archive() {
    let Some(rig) = Rig::new().await else { return };
    let point = rig.mounts.image(&rig.digest, &rig.image).await.unwrap();
    let folder = rig.folder.path();
    let of_image = write_tgz(&point, &folder.join("one.tgz")).unwrap();
    let of_tree = write_tgz(&folder.join("tree"), &folder.join("two.tgz")).unwrap();
    assert_eq!(of_image, of_tree);
}

#[test]
fn a_folder_that_options_cannot_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Mounts::open(&folder.path().join("a,b")).unwrap_err();
    assert!(matches!(error, Error::MountRoot { .. }));
}
