//! An app that is built again and again: what one build leaves for the next, in its slug and in its cache.

#![allow(clippy::unwrap_used)] // support code of tests

mod support;

use std::path::PathBuf;
use std::time::Duration;

use ropewalk_store::Slug;

use support::client::Client;
use support::engine::exit;
use support::{Rig, until};

#[test]
fn git_hook_entry() {
    support::hook_entry();
}

/// Bytes that pack badly, and differently for each seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

async fn pushed(rig: &Rig, client: &Client) -> Slug {
    client.commit("again").await;
    let said = client.push(&rig.url(), &["+main"]).await;
    assert!(said.ok, "{}", said.text);
    // The next push finds no other build of the app.
    until(10, "the build is over", || rig.builds_left() == 0).await;
    let app = rig.app;
    let slug = rig.store.read(move |view| {
        let build = view.builds(app, 1)?.remove(0);
        view.slug(build.slug.unwrap())
    });
    slug.await.unwrap()
}

fn file(rig: &Rig, image: &str) -> PathBuf {
    let hex = image.strip_prefix("sha256:").unwrap();
    rig.data().join(format!("slugs/{hex}.squashfs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_lies_above_what_did_not() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    for number in 0..40 {
        client.write(&format!("lib/{number}"), noise(number, 40_000));
    }
    let first = pushed(&rig, &client).await;
    assert_eq!(first.images.len(), 1);

    client.write("app.js", "console.log(2)\n");
    let second = pushed(&rig, &client).await;
    assert_ne!(second.digest, first.digest);
    assert_eq!(second.images.len(), 2);
    assert_eq!(second.images[0], first.images[0]);
    let size = |image: &String| std::fs::metadata(file(&rig, image)).unwrap().len();
    let sizes: Vec<u64> = second.images.iter().map(size).collect();
    assert_eq!(second.image_size, sizes.iter().sum::<u64>());
    assert!(sizes[1] * 100 < sizes[0], "{sizes:?}");

    // Always above the one that is whole, never above each other.
    client.write("lib/more", "more");
    std::fs::remove_file(client.work().join("lib/7")).unwrap();
    let third = pushed(&rig, &client).await;
    assert_eq!(third.images.len(), 2);
    assert_eq!(third.images[0], first.images[0]);
    assert_ne!(third.images[1], second.images[1]);

    client.git(&["reset", "-q", "--hard", "HEAD~2"]).await;
    client
        .git(&["commit", "-q", "--allow-empty", "-m", "back"])
        .await;
    let back = pushed(&rig, &client).await;
    assert_eq!((&back.digest, &back.images), (&first.digest, &first.images));

    // Too much for that.
    for number in 0..20 {
        client.write(&format!("lib/{number}"), noise(number + 100, 40_000));
    }
    let other = pushed(&rig, &client).await;
    assert_eq!(other.images.len(), 1);
    assert_ne!(other.images[0], first.images[0]);
    client.write("app.js", "console.log(3)\n");
    let above = pushed(&rig, &client).await;
    assert_eq!(
        (above.images.len(), &above.images[0]),
        (2, &other.images[0])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_image_is_made_anew() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    for number in 0..40 {
        client.write(&format!("lib/{number}"), noise(number, 10_000));
    }
    let first = pushed(&rig, &client).await;
    let path = file(&rig, &first.images[0]);
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[1000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    client
        .git(&["commit", "-q", "--allow-empty", "-m", "nothing"])
        .await;
    let second = pushed(&rig, &client).await;
    assert_eq!(second.images, first.images);
    assert!(std::fs::read(&path).unwrap() == whole, "it was healed");

    std::fs::remove_file(&path).unwrap();
    client.write("app.js", "console.log(2)\n");
    let third = pushed(&rig, &client).await;
    assert_eq!(third.images.len(), 1, "there is nothing to lie above");
    assert!(file(&rig, &third.images[0]).is_file());
}

/// Names of clones that wait.
fn ahead(rig: &Rig) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(rig.data().join("cache")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_clone = |path: &PathBuf| path.to_str().unwrap().contains("/.ahead-");
    paths.filter(is_clone).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_cloned_before_its_build() {
    let long = Duration::from_secs(600);
    let rig = Rig::with(|options| options.limits.ready = long).await;
    let client = Client::new().await;
    // Each build adds one to what it finds.
    rig.engine.play(async |job| {
        job.node();
        let notes = job.tree.join("cache/notes");
        let found = std::fs::read_to_string(&notes).unwrap_or_default();
        job.say(&format!("found {found:?}\n"));
        std::fs::write(&notes, format!("{found}x")).unwrap();
        exit(i64::from(job.app().join("fail").exists()) * 82)
    });
    let push = async |text: &str| {
        client.write("app.js", text);
        client.commit(text).await;
        client.push(&rig.url(), &["main"]).await
    };
    let waits = async || {
        until(20, "a clone waits", || {
            let paths = ahead(&rig);
            paths.len() == 1 && paths[0].join("notes").is_file()
        })
        .await;
    };
    for found in ["", "x", "xx"] {
        let said = push(&format!("{found}1")).await;
        assert!(
            said.text.contains(&format!("found {found:?}")),
            "{}",
            said.text
        );
        waits().await;
    }
    // A build that failed changed a clone, and the next one has what was kept.
    client.write("fail", "");
    let said = push("fails").await;
    assert!(
        !said.ok && said.text.contains("found \"xxx\""),
        "{}",
        said.text
    );
    std::fs::remove_file(client.work().join("fail")).unwrap();
    let said = push("works").await;
    assert!(said.text.contains("found \"xxx\""), "{}", said.text);
    waits().await;
    rig.builder.purge_cache(rig.app).await.unwrap();
    let said = push("purged").await;
    assert!(said.text.contains("found \"\""), "{}", said.text);
    waits().await;
    rig.builder.stop().await;
    assert_eq!(ahead(&rig), Vec::<PathBuf>::new());
}
