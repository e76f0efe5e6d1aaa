//! Source archives and slugs that are sent in: what becomes of good ones, and that bad ones leave nothing.

#![allow(clippy::unwrap_used)] // support code of tests

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use ropewalk_builder::{Archive, ArchiveOrder, Origin, Refused, Upload, parse_checksum};
use ropewalk_model::{BuildId, SlugId, SourceId};
use ropewalk_slug::Digest;
use ropewalk_store::{BuildStatus, ExpectedSlug};
use uuid::Uuid;

use support::engine::exit;
use support::{Rig, count, tgz, until};

fn upload(bytes: Vec<u8>) -> Upload {
    Upload {
        length: Some(bytes.len() as u64),
        body: Box::pin(futures_util::stream::iter([Ok(Bytes::from(bytes))])),
    }
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.builder.sweep().await.unwrap();
    rig
}

/// Sends a source archive.
async fn source(rig: &Rig, bytes: Vec<u8>) -> Origin {
    let (account, source) = (rig.owner().await, SourceId(Uuid::new_v4()));
    let put = rig.builder.put_source(account, source, upload(bytes)).await;
    put.unwrap();
    Origin::Source { account, source }
}

async fn order(rig: &Rig, origin: Origin) -> ArchiveOrder {
    ArchiveOrder {
        app: rig.app,
        user: rig.owner().await,
        archive: Archive {
            origin,
            url: "https://me:secret@web.example/source.tgz".into(),
            checksum: None,
            version: Some("v1.2".into()),
            description: Some("first".into()),
        },
        buildpacks: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_archive_is_built_and_released_as_a_push_is() {
    let rig = rig().await;
    let seen = Arc::new(Mutex::new(String::new()));
    let see = Arc::clone(&seen);
    rig.engine.play(move |job| {
        let procfile = std::fs::read_to_string(job.app().join("Procfile")).unwrap();
        let ignored = job.app().join("notes").exists();
        let version = job
            .spec
            .env
            .iter()
            .find(|(name, _)| name == "SOURCE_VERSION");
        *see.lock().unwrap() = format!("{procfile} {ignored} {version:?}");
        job.node();
        async { exit(0) }
    });
    let files = [
        ("Procfile", "web: ./run\n"),
        ("notes", "x"),
        (".slugignore", "notes\n"),
    ];
    let bytes = tgz(&files);
    let digest = Digest::of(&bytes);
    let origin = source(&rig, bytes).await;
    let mut order = order(&rig, origin).await;
    order.archive.checksum = Some(digest);
    let build = rig.builder.build(order.clone()).await.unwrap();
    let row = rig.ended(build).await;
    assert_eq!(row.status, BuildStatus::Succeeded, "{}", rig.output.text());
    let origin = row.source.unwrap();
    assert_eq!(origin.url, "https://web.example/source.tgz");
    assert_eq!(origin.checksum.unwrap(), format!("SHA256:{}", digest.hex()));
    assert_eq!(
        *seen.lock().unwrap(),
        "web: ./run\n false Some((\"SOURCE_VERSION\", \"v1.2\"))"
    );
    let (app, version) = (rig.app, row.release_version.unwrap());
    let (release, slug) = rig
        .store
        .read(move |view| {
            let release = view.release(app, version)?;
            let slug = view.slug(release.slug.unwrap_or(SlugId(Uuid::nil())))?;
            Ok((release, slug))
        })
        .await
        .unwrap();
    assert_eq!(release.description, "Deploy v1.2");
    assert_eq!(slug.process_types["web"], "./run");
    let said = rig.output.text();
    assert!(
        said.contains("Removed 1 files and folders named in .slugignore."),
        "{said}"
    );
    assert!(said.contains("Verifying deploy... done."), "{said}");

    // The source can be built again, and one from the web too.
    order.archive.checksum = None;
    order.archive.origin = Origin::Elsewhere("https://web.example/source.tgz".into());
    let build = rig.builder.build(order).await.unwrap();
    assert_eq!(rig.ended(build).await.status, BuildStatus::Succeeded);
    assert!(seen.lock().unwrap().starts_with("web: from the web\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_fails_with_the_reason_and_leaves_nothing() {
    let rig = rig().await;
    let evil = {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.as_mut_bytes()[..7].copy_from_slice(b"../evil");
        header.set_cksum();
        [header.as_bytes().to_vec(), vec![b'x'; 512], vec![0; 1024]].concat()
    };
    let evil = source(&rig, evil).await;
    let page = source(&rig, b"<html>not found</html>".to_vec()).await;
    let good = source(&rig, tgz(&[("Procfile", "web: x\n")])).await;
    let never = Origin::Source {
        account: rig.owner().await,
        source: SourceId(Uuid::new_v4()),
    };
    let elsewhere = |url: &str| Origin::Elsewhere(url.to_owned());
    for (origin, checksum, why) in [
        (evil, None, "leads out of the tree"),
        (page, None, "is a page or a message"),
        (never, None, "was not sent to its address"),
        (elsewhere("http://127.0.0.1/"), None, "may not be asked"),
        (
            good,
            parse_checksum(&format!("SHA256:{}", "0".repeat(64))),
            "its checksum is SHA256:",
        ),
    ] {
        let mut order = order(&rig, origin).await;
        order.archive.checksum = checksum;
        let build = rig.builder.build(order).await.unwrap();
        let row = rig.ended(build).await;
        assert_eq!(row.status, BuildStatus::Failed, "{why}");
        assert!(row.failure.as_deref().unwrap().contains(why), "{row:?}");
        let said = rig.output.text();
        assert!(
            said.contains(why) && !said.contains("Push rejected to"),
            "{said}"
        );
        assert_eq!(row.slug, None);
    }
    assert_eq!(
        rig.engine.ran.lock().unwrap().len(),
        0,
        "no container was made"
    );
    assert!(!rig.data().join("builds/evil").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_build_at_a_time_and_it_can_be_cancelled() {
    let rig = rig().await;
    rig.engine.play(|_| std::future::pending());
    let origin = source(&rig, tgz(&[("Procfile", "web: x\n")])).await;
    let order = order(&rig, origin).await;
    let build = rig.builder.build(order.clone()).await.unwrap();
    let busy = rig.builder.build(order.clone()).await.unwrap_err();
    assert!(
        matches!(&busy, Refused::Conflict(text) if text.contains("owner@example.com began it"))
    );
    until(20, "the build runs", || rig.engine.containers() == 1).await;
    assert!(!rig.builder.cancel_build(rig.app, BuildId(Uuid::new_v4())));
    assert!(rig.builder.cancel_build(rig.app, build));
    let row = rig.ended(build).await;
    assert_eq!(
        (row.status, row.failure.as_deref()),
        (BuildStatus::Failed, Some("cancelled"))
    );
    assert!(rig.output.text().contains("The build was cancelled."));
    until(5, "its container is gone", || rig.engine.containers() == 0).await;
    assert!(!rig.builder.cancel_build(rig.app, build));
    // The app is free again.
    rig.engine.play(|job| {
        job.node();
        async { exit(0) }
    });
    let build = rig.builder.build(order).await.unwrap();
    assert_eq!(rig.ended(build).await.status, BuildStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_takes_one_archive_within_the_limits() {
    let rig = Rig::with(|options| options.limits.push_bytes = 1000).await;
    let (account, place) = (rig.owner().await, SourceId(Uuid::new_v4()));
    let put = async |upload| rig.builder.put_source(account, place, upload).await;
    let early = put(upload(b"x".to_vec())).await;
    assert!(matches!(early, Err(Refused::Later(_))), "before the sweep");
    rig.builder.sweep().await.unwrap();

    let announced = Upload {
        length: Some(1001),
        body: Box::pin(futures_util::stream::pending()),
    };
    assert!(matches!(put(announced).await, Err(Refused::TooLarge(_))));
    let chunk = || Ok(Bytes::from(vec![b'x'; 600]));
    let silent = Upload {
        length: None,
        body: Box::pin(futures_util::stream::iter([chunk(), chunk()])),
    };
    assert!(matches!(put(silent).await, Err(Refused::TooLarge(_))));
    let short = Upload {
        length: Some(601),
        body: Box::pin(futures_util::stream::iter([chunk()])),
    };
    assert!(matches!(put(short).await, Err(Refused::BrokenOff)));
    let folder = rig.data().join(format!("sources/{account}"));
    assert_eq!(count(&folder), 0, "what failed left nothing");
    assert!(rig.builder.source(account, place).unwrap().is_none());

    put(upload(b"one".to_vec())).await.unwrap();
    assert!(matches!(
        put(upload(b"two".to_vec())).await,
        Err(Refused::Conflict(_))
    ));
    let (_, size) = rig.builder.source(account, place).unwrap().unwrap();
    assert_eq!((size, count(&folder)), (3, 1));
    let other = rig
        .builder
        .source(ropewalk_model::UserId(Uuid::nil()), place);
    assert!(other.unwrap().is_none(), "somebody else's");

    let file = std::fs::File::options()
        .write(true)
        .open(folder.join(place.to_string()))
        .unwrap();
    let day_ago = std::time::SystemTime::now() - Duration::from_secs(24 * 3600 + 60);
    file.set_modified(day_ago).unwrap();
    assert_eq!(rig.builder.sweep_sources().await.unwrap(), 1);
    assert_eq!(count(&folder), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_when_the_disk_is_nearly_full() {
    let rig = Rig::with(|options| options.limits.disk_floor = u64::MAX / 2).await;
    rig.builder.sweep().await.unwrap();
    let put = rig
        .builder
        .put_source(
            rig.owner().await,
            SourceId(Uuid::new_v4()),
            upload(b"x".to_vec()),
        )
        .await;
    assert!(matches!(put, Err(Refused::Later(text)) if text.contains("nearly full")));
}

async fn expect(rig: &Rig, checksum: Option<String>) -> SlugId {
    let (id, app) = (SlugId(Uuid::new_v4()), rig.app);
    let expected = ExpectedSlug {
        id,
        app,
        commit: Some("abc".into()),
        commit_description: Some("what it is".into()),
        checksum,
        process_types: [("web".to_owned(), "./run".to_owned())].into(),
        buildpack_description: None,
        stack: "debian-13".into(),
        created_at: Timestamp::now(),
    };
    rig.store
        .write(move |tx| tx.expect_slug(&expected))
        .await
        .unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_is_sent_in_becomes_an_image_once_it_is_sound() {
    let rig = rig().await;
    let bytes = tgz(&[("./app/run", "#!/bin/sh\n")]);
    let id = expect(&rig, Some(format!("SHA256:{}", Digest::of(&bytes).hex()))).await;
    for (wrong, why) in [
        (tgz(&[("./app/run", "another\n")]), "checksum"),
        (b"PK\x03\x04".to_vec(), "checksum"),
    ] {
        let put = rig.builder.put_slug(id, upload(wrong)).await;
        assert!(
            matches!(&put, Err(Refused::Invalid(text)) if text.contains(why)),
            "{put:?}"
        );
    }
    assert!(rig.store.read(move |view| view.slug(id)).await.is_err());
    rig.builder
        .put_slug(id, upload(bytes.clone()))
        .await
        .unwrap();
    let slug = rig.store.read(move |view| view.slug(id)).await.unwrap();
    assert_eq!(slug.process_types["web"], "./run");
    assert_eq!(slug.commit_description.as_deref(), Some("what it is"));
    let image = slug.images[0].strip_prefix("sha256:").unwrap();
    let image = rig.data().join(format!("slugs/{image}.squashfs"));
    assert_eq!(std::fs::metadata(image).unwrap().len(), slug.image_size);
    let again = rig.builder.put_slug(id, upload(bytes)).await;
    assert!(matches!(again, Err(Refused::Conflict(_))));

    let id = expect(&rig, None).await;
    let outside = tgz(&[("./etc/passwd", "root\n")]);
    let put = rig.builder.put_slug(id, upload(outside)).await;
    assert!(
        matches!(&put, Err(Refused::Invalid(text)) if text.contains("below ./app")),
        "{put:?}"
    );
    until(20, "the folders are gone", || rig.builds_left() == 0).await;
    let unknown = rig
        .builder
        .put_slug(SlugId(Uuid::new_v4()), upload(Vec::new()))
        .await;
    assert!(matches!(unknown, Err(Refused::Conflict(_))));
}
