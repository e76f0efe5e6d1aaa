//! What a push does, seen from a developer's git.

#![allow(clippy::unwrap_used)] // support code of tests

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ropewalk_builder::{ReleaseEvent, ReleaseOutcome, ReleasePhase};
use ropewalk_model::release::ReleaseStatus;
use ropewalk_store::BuildStatus;
use tokio::sync::Notify;

use support::client::{Client, interrupt};
use support::engine::exit;
use support::{Rig, count, until};

#[test]
fn git_hook_entry() {
    support::hook_entry();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_main_becomes_a_release() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let head = client.git(&["rev-parse", "HEAD"]).await;
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(said.ok, "{}", said.text);
    let wanted = [
        "Compressing source files... done.",
        "Building source:",
        "-----> Node.js app detected",
        "-----> Discovering process types",
        "       Procfile declares types     -> web",
        "       Default types for buildpack -> console",
        "-----> Compressing...",
        "       Done: ",
        "-----> Launching...",
        "       Released v2",
        "       http://demo.localhost:8080/ deployed to Ropewalk",
        "Verifying deploy... done.",
    ];
    let mut rest = said.text.as_str();
    for line in wanted {
        let at = rest
            .find(line)
            .unwrap_or_else(|| panic!("{line:?} is missing in {}", said.text));
        rest = &rest[at + line.len()..];
    }
    assert_eq!(rig.server_ref("refs/heads/main"), Some(head.clone()));
    let who = "by user owner@example.com";
    assert_eq!(
        rig.output.said(),
        [
            format!("Build started {who}"),
            format!("Deploy {} {who}", &head[..8]),
            format!("Release v2 created {who}"),
            "Build succeeded".to_owned(),
        ]
    );

    let app = rig.app;
    let (release, slug, build) = rig
        .store
        .read(move |view| {
            let release = view.current_release(&view.app(app)?)?;
            let slug = view.slug(release.slug.unwrap())?;
            Ok((release, slug, view.builds(app, 1)?.remove(0)))
        })
        .await
        .unwrap();
    assert_eq!(
        (release.version, release.status),
        (2, ReleaseStatus::Succeeded)
    );
    assert_eq!(release.description, format!("Deploy {}", &head[..8]));
    assert_eq!(release.stack_version.as_deref(), Some("sha256:stack"));
    assert_eq!(slug.process_types["web"], "node app.js");
    assert_eq!(slug.process_types["console"], "node");
    let hex = slug.images[0].strip_prefix("sha256:").unwrap();
    assert!(rig.data().join(format!("slugs/{hex}.squashfs")).is_file());
    assert_eq!(build.status, BuildStatus::Succeeded);
    assert_eq!(build.commit, Some(head));
    assert_eq!(build.report["phases_ms"]["compile"], 20);
    assert!(build.report["phases_ms"]["receive"].is_u64());
    until(5, "nothing of the build is left", || {
        rig.builds_left() == 0 && rig.engine.containers() == 0
    })
    .await;
    assert!(rig.output.text().contains("Released v2"));

    let spec = rig.engine.last_spec();
    assert_eq!(spec.user, "20000:20000");
    assert_eq!(spec.command, ["/buildpacks/lib/driver", "auto"]);
    assert!(spec.limits.memory > 0 && spec.limits.pids > 0);

    until(5, "the repository is measured", || {
        rig.builder.repo_size(rig.app) > 0
    })
    .await;

    let again = client.push(&rig.url(), &["main"]).await;
    assert!(
        again.ok && again.text.contains("Everything up-to-date"),
        "{}",
        again.text
    );
    let clone = client
        .try_git(&["clone", "-q", &rig.url(), "../clone"])
        .await;
    assert!(clone.ok, "{}", clone.text);
    assert!(client.dir.path().join("clone/app.js").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_the_tree_that_was_pushed_whatever_was_built_before() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    // What a build sees, and then does its worst to.
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    rig.engine.play(move |job| {
        tell.send(listed(&job.tree.join("app"))).unwrap();
        std::fs::write(job.tree.join("app/app.js"), "built").unwrap();
        std::fs::create_dir_all(job.tree.join("app/node_modules/x")).unwrap();
        std::fs::remove_file(job.tree.join("app/Procfile")).unwrap();
        std::fs::write(job.tree.join("app/Procfile"), "web: built\n").unwrap();
        job.node();
        async { exit(0) }
    });
    let mut pushed = async |what: &str| {
        client.commit(what).await;
        let said = client.push(&rig.url(), &["+main"]).await;
        assert!(said.ok, "{what}: {}", said.text);
        assert_eq!(told.try_recv().unwrap(), listed(&client.work()), "{what}");
    };
    let work = client.work();
    client.write("lib/deep/er/file", "one");
    client.write("a name\twith \"odd\" \u{e4}", "odd");
    client.write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("lib", work.join("link")).unwrap();
    // Which files are kept from build to build.
    let bases = rig.data().join(format!("bases/{}", rig.app));
    let kept = || std::fs::read_to_string(bases.join("at")).unwrap()[..36].to_owned();
    pushed("first").await;
    let first = kept();
    pushed("nothing").await;

    client.write("app.js", "console.log(2)\n");
    client.write("lib/other", "two");
    std::fs::remove_dir_all(work.join("lib/deep")).unwrap();
    pushed("changed, added and removed").await;

    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(work.join("run.sh"), executable).unwrap();
    pushed("a mode").await;

    // A link becomes a folder, a folder a link to outside, a file a folder.
    std::fs::remove_file(work.join("link")).unwrap();
    client.write("link/inner", "three");
    std::fs::remove_dir_all(work.join("lib")).unwrap();
    std::os::unix::fs::symlink("/etc", work.join("lib")).unwrap();
    std::fs::remove_file(work.join("run.sh")).unwrap();
    client.write("run.sh/file", "four");
    pushed("kinds").await;

    std::fs::remove_file(work.join("lib")).unwrap();
    client.write("lib/passwd", "mine");
    pushed("a folder where a link to outside was").await;
    assert!(
        !std::fs::read_to_string("/etc/passwd")
            .unwrap()
            .contains("mine")
    );

    assert_eq!(kept(), first);
    client.write(".gitattributes", "*.txt text eol=crlf\n");
    client.write("plain.txt", "line\r\n");
    pushed("how git writes files").await;
    assert_ne!(kept(), first);

    client.git(&["reset", "-q", "--hard", "HEAD~5"]).await;
    pushed("back").await;
    client.git(&["checkout", "-q", "--orphan", "fresh"]).await;
    client.git(&["branch", "-q", "-M", "fresh", "main"]).await;
    pushed("another history").await;

    // As after a build that was killed while it wrote.
    std::fs::remove_file(bases.join("at")).unwrap();
    std::fs::write(bases.join(kept_folder(&bases)).join("app/half"), "x").unwrap();
    pushed("after a crash").await;
    rig.builder.purge_cache(rig.app).await.unwrap();
    assert!(!bases.exists());
    pushed("after a purge").await;
}

fn kept_folder(bases: &std::path::Path) -> std::ffi::OsString {
    let entries = std::fs::read_dir(bases).unwrap().map(Result::unwrap);
    let mut folders = entries.filter(|entry| entry.path().is_dir());
    folders.next().unwrap().file_name()
}

/// Path to kind, mode and content of everything in a folder but git's own.
fn listed(folder: &std::path::Path) -> std::collections::BTreeMap<String, String> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".git") {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let executable = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o100;
            let what = match meta.is_dir() {
                true => {
                    folders.push(path.clone());
                    "folder".to_owned()
                }
                false if meta.is_symlink() => format!("link {:?}", path.read_link().unwrap()),
                false => format!("{executable} {}", std::fs::read_to_string(&path).unwrap()),
            };
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), what);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_rejects_the_push_and_changes_nothing() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    rig.engine.play(async |job| {
        job.node();
        job.say("       npm ERR! it broke\n");
        exit(82)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(!said.ok);
    for line in [
        "npm ERR! it broke",
        " !     Push rejected, failed to compile Node.js app.",
        " !     Push failed",
        "!\tPush rejected to demo.",
        "pre-receive hook declined",
    ] {
        assert!(
            said.text.contains(line),
            "{line:?} is missing in {}",
            said.text
        );
    }
    assert_eq!(
        rig.output.said(),
        ["Build started by user owner@example.com", "Build failed"]
    );
    assert_eq!(rig.server_ref("refs/heads/main"), None);
    let app = rig.app;
    let (releases, build) = rig
        .store
        .read(move |view| {
            Ok((
                view.releases(app, 10)?.len(),
                view.builds(app, 1)?.remove(0),
            ))
        })
        .await
        .unwrap();
    assert_eq!(releases, 1);
    assert_eq!(
        build.failure.as_deref(),
        Some("failed to compile Node.js app")
    );
    assert_eq!(count(&rig.data().join("slugs")), 0);
    assert_eq!(rig.quarantines(), 0);
    until(5, "nothing of the build is left", || rig.builds_left() == 0).await;

    // The next push works.
    rig.engine.play(async |job| {
        job.node();
        exit(0)
    });
    assert!(client.push(&rig.url(), &["main"]).await.ok);

    // What clones get changes with what is deployed, not with what is tried.
    let head = || std::fs::read_to_string(rig.repo().join("HEAD")).unwrap();
    client.write("app.js", "broken");
    client.commit("broken").await;
    rig.engine.play(async |job| {
        job.node();
        exit(82)
    });
    assert!(!client.push(&rig.url(), &["main:master"]).await.ok);
    assert_eq!(head(), "ref: refs/heads/main\n");
    rig.engine.play(async |job| {
        job.node();
        exit(0)
    });
    assert!(client.push(&rig.url(), &["main:master"]).await.ok);
    assert_eq!(head(), "ref: refs/heads/master\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_name_themselves() {
    let rig = Rig::with(|options| options.limits.build = std::time::Duration::from_secs(1)).await;
    let client = Client::new().await;
    rig.engine.play(async |job| {
        job.node();
        ropewalk_engine::Exit {
            code: 137,
            out_of_memory: true,
        }
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.text
            .contains("The build ran out of memory: it may use"),
        "{}",
        said.text
    );
    rig.engine.play(async |_job| std::future::pending().await);
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.text.contains("The build took longer than"),
        "{}",
        said.text
    );
    until(5, "the container is gone", || rig.engine.containers() == 0).await;

    let full = Rig::with(|options| options.limits.disk_floor = u64::MAX).await;
    let said = client.push(&full.url(), &["main"]).await;
    assert!(
        said.text.contains("The disk of this host is nearly full"),
        "{}",
        said.text
    );
    assert!(full.engine.ran.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_branches_and_tags_are_kept_and_not_built() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let said = client.push(&rig.url(), &["main:feature"]).await;
    assert!(
        said.ok
            && said
                .text
                .contains("Pushed to branch feature; only main or master deploys."),
        "{}",
        said.text
    );
    client.git(&["tag", "v1"]).await;
    let said = client.push(&rig.url(), &["v1"]).await;
    assert!(said.ok && !said.text.contains("deploys"), "{}", said.text);
    for name in ["--upload-pack=x", "$(id)", ";id", "-x", "a'b\"c"] {
        let target = format!("main:refs/heads/{name}");
        let said = client.push(&rig.url(), &[&target]).await;
        assert!(
            said.ok && said.text.contains(&format!("Pushed to branch {name};")),
            "{}",
            said.text
        );
        assert!(rig.server_ref(&format!("refs/heads/{name}")).is_some());
    }
    assert!(rig.engine.ran.lock().unwrap().is_empty());

    let said = client.push(&rig.url(), &["main", "main:master"]).await;
    assert!(
        !said.ok && said.text.contains("Both main and master were pushed"),
        "{}",
        said.text
    );
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    let said = client.push(&rig.url(), &[":main"]).await;
    assert!(
        !said.ok && said.text.contains("The branch main cannot be deleted"),
        "{}",
        said.text
    );
    assert!(client.push(&rig.url(), &[":feature"]).await.ok);

    // The same commit under the other name is built again, with a note.
    let said = client.push(&rig.url(), &["main:master"]).await;
    assert!(
        said.ok
            && said
                .text
                .contains("The same version of this code has already been built"),
        "{}",
        said.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_during_a_build_is_told_who_is_building() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let (go, began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_go, inner_began) = (Arc::clone(&go), Arc::clone(&began));
    rig.engine.play(move |job| {
        let (go, began) = (Arc::clone(&inner_go), Arc::clone(&inner_began));
        async move {
            job.node();
            began.notify_one();
            go.notified().await;
            exit(0)
        }
    });
    let mut first = client.start_push(&rig.url(), "main");
    began.notified().await;
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(!said.ok);
    assert!(
        said.text
            .contains("Another build of this app is under way: owner@example.com began it"),
        "{}",
        said.text
    );
    assert!(
        client.push(&rig.url(), &["main:feature"]).await.ok,
        "other branches are not held up"
    );
    go.notify_one();
    assert!(first.wait().await.unwrap().success());
    let app = rig.app;
    assert_eq!(
        rig.store
            .read(move |view| view.releases(app, 10))
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_build_of_a_destroyed_app_ends_and_says_why() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let runs = Arc::new(Notify::new());
    let notify = Arc::clone(&runs);
    rig.engine.play(move |job| {
        let notify = Arc::clone(&notify);
        async move {
            job.node();
            notify.notify_one();
            std::future::pending().await
        }
    });
    let url = rig.url();
    let destroy = async {
        runs.notified().await;
        let app = rig.app;
        rig.store.write(move |tx| tx.delete_app(app)).await.unwrap();
        rig.builder.remove_app(app).await.unwrap();
    };
    let (said, ()) = tokio::join!(client.push(&url, &["main"]), destroy);
    assert!(
        !said.ok
            && said
                .text
                .contains("The app demo was destroyed while it was being built."),
        "{}",
        said.text
    );
    until(5, "nothing of it is left", || {
        rig.builds_left() == 0 && rig.engine.containers() == 0
    })
    .await;
    rig.builder.sweep_apps().await.unwrap();
    assert_eq!(
        (
            count(&rig.data().join("repos")),
            count(&rig.data().join("cache"))
        ),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_beyond_the_hosts_limit_wait_in_line() {
    let rig = Rig::with(|options| options.limits.builds = 0).await;
    let client = Client::new().await;
    let mut push = client.start_push(&rig.url(), "main");
    until(10, "the push waits", || rig.repo().join("HEAD").exists()).await;
    interrupt(&push);
    push.wait().await.unwrap();
    assert!(rig.engine.ran.lock().unwrap().is_empty());

    let full = Rig::with(|options| {
        options.limits.builds = 0;
        options.limits.waiting = 0;
    })
    .await;
    let said = client.push(&full.url(), &["main"]).await;
    assert!(
        !said.ok && said.text.contains("Too many builds wait on this host"),
        "{}",
        said.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_build_within_five_seconds() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let began = Arc::new(Notify::new());
    let inner = Arc::clone(&began);
    rig.engine.play(move |job| {
        let began = Arc::clone(&inner);
        async move {
            job.node();
            began.notify_one();
            std::future::pending().await
        }
    });
    let mut push = client.start_push(&rig.url(), "main");
    began.notified().await;
    interrupt(&push);
    assert!(!push.wait().await.unwrap().success());
    until(5, "everything is gone", || {
        rig.engine.containers() == 0 && rig.builds_left() == 0 && rig.quarantines() == 0
    })
    .await;
    let app = rig.app;
    let build = rig
        .store
        .read(move |view| Ok(view.builds(app, 1)?.remove(0)))
        .await
        .unwrap();
    assert_eq!(
        (build.status, build.failure.as_deref()),
        (BuildStatus::Failed, Some("cancelled"))
    );
    assert_eq!(rig.server_ref("refs/heads/main"), None);
    rig.engine.play(async |job| {
        job.node();
        exit(0)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.ok && said.text.contains("Released v2"),
        "{}",
        said.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_its_release_boots_does_not_undo_it() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    rig.releases
        .play(|_| vec![ReleaseEvent::Phase(ReleasePhase::Boot)]);
    let mut push = client.start_push(&rig.url(), "main");
    let changes = Arc::clone(&rig.releases);
    until(20, "the release is made", || {
        changes.changes.load(std::sync::atomic::Ordering::SeqCst) > 0
    })
    .await;
    interrupt(&push);
    push.wait().await.unwrap();
    // The server stops later: the release stands, so the ref follows it.
    rig.builder.stop().await;
    assert!(rig.server_ref("refs/heads/main").is_some());
    let app = rig.app;
    let release = rig
        .store
        .read(move |view| view.release(app, 2))
        .await
        .unwrap();
    assert_eq!(release.status, ReleaseStatus::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_shows_why_and_rejects_the_push() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    let first = rig.server_ref("refs/heads/main");
    client.write("app.js", "throw 1\n");
    client.commit("second").await;
    rig.releases.play(|_| {
        vec![ReleaseEvent::Done(ReleaseOutcome::Failed {
            reason: "web.1 listens on port 3000, not on $PORT (5000)".into(),
            log_tail: vec!["Error: boom".into(), "    at app.js:1".into()],
        })]
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(!said.ok);
    for line in [
        "Released v3",
        "Verifying deploy... failed.",
        "       Error: boom",
        " !     web.1 listens on port 3000, not on $PORT (5000)",
        "release v3 failed; v2 keeps serving.",
    ] {
        assert!(
            said.text.contains(line),
            "{line:?} is missing in {}",
            said.text
        );
    }
    assert!(!said.text.contains("deployed to Ropewalk"));
    assert_eq!(rig.server_ref("refs/heads/main"), first);
    // Its build's output is complete, and its build succeeded.
    let app = rig.app;
    let build = rig
        .store
        .read(move |view| Ok(view.builds(app, 1)?.remove(0)))
        .await
        .unwrap();
    assert_eq!(build.status, BuildStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_command_is_heard_and_an_overtaken_release_followed() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    client.write("Procfile", "web: node app.js\nrelease: ./migrate\n");
    client.commit("with release").await;
    let store = rig.store.clone();
    let (app, owner) = {
        let id = rig.app;
        let app = store.read(move |view| view.app(id)).await.unwrap();
        (app.id, app.owner)
    };
    // Somebody sets a config var while the release command runs.
    let handle = tokio::runtime::Handle::current();
    rig.releases.play(move |version| match version {
        2 => {
            let store = store.clone();
            tokio::task::block_in_place(|| {
                handle.block_on(store.write(move |tx| {
                    let release = ropewalk_store::NewRelease {
                        id: ropewalk_model::ReleaseId(uuid::Uuid::new_v4()),
                        app,
                        user: owner,
                        description: "Set A config vars".into(),
                        slug: None,
                        config: None,
                        stack: None,
                    };
                    tx.create_release(release, jiff::Timestamp::now())
                        .map(|_| ())
                }))
            })
            .unwrap();
            vec![
                ReleaseEvent::Phase(ReleasePhase::Command),
                ReleaseEvent::Output("migrating\n".into()),
                ReleaseEvent::Done(ReleaseOutcome::Superseded { by: 3 }),
            ]
        }
        _ => vec![
            ReleaseEvent::Phase(ReleasePhase::Boot),
            ReleaseEvent::Done(ReleaseOutcome::Succeeded),
        ],
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(said.ok, "{}", said.text);
    for line in [
        "Release command declared",
        "Released v2",
        "Running release command...",
        "migrating",
        "Release v3 took the place of v2",
        "Verifying deploy... done.",
    ] {
        assert!(
            said.text.contains(line),
            "{line:?} is missing in {}",
            said.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_struck_out_of_the_build_log_and_given_as_files() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let (app, owner) = {
        let id = rig.app;
        let app = rig.store.read(move |view| view.app(id)).await.unwrap();
        (app.id, app.owner)
    };
    let vars = [("API_SECRET", "hunter2hunter2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    rig.store
        .write(move |tx| {
            let release = ropewalk_store::NewRelease {
                id: ropewalk_model::ReleaseId(uuid::Uuid::new_v4()),
                app,
                user: owner,
                description: "Set API_SECRET config vars".into(),
                slug: None,
                config: Some(ropewalk_model::ConfigVars(vars.into())),
                stack: None,
            };
            tx.create_release(release, jiff::Timestamp::now())
        })
        .await
        .unwrap();
    rig.engine.play(async |job| {
        job.node();
        let env = job
            .spec
            .mounts
            .iter()
            .find(|mount| mount.target == "/tmp/build/env")
            .unwrap();
        assert!(env.read_only);
        let value = std::fs::read_to_string(env.source.join("API_SECRET")).unwrap();
        job.say(&format!("       the secret is {value}!\n"));
        assert!(!job.spec.env.iter().any(|(name, _)| name == "API_SECRET"));
        exit(0)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.ok && said.text.contains("the secret is [REDACTED]!"),
        "{}",
        said.text
    );
    assert!(!rig.output.text().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_a_buildpacks_address_is_in_a_file_and_nowhere_else() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let url = "https://someone:TOKENTOKEN@git.example/pack.git";
    client.write(".buildpacks", format!("{url}\n"));
    client.commit("buildpack").await;
    rig.engine.play(async |job| {
        let login = job
            .spec
            .mounts
            .iter()
            .find(|mount| mount.target == "/run/ropewalk/login");
        if job.spec.command[0] == "git" {
            let text = std::fs::read_to_string(&login.unwrap().source).unwrap();
            assert_eq!(text, "username=someone\npassword=TOKENTOKEN\n");
            job.say("fatal: could not reach https://someone:TOKENTOKEN@git.example\n");
        } else {
            assert!(login.is_none());
            assert_eq!(
                job.spec.command[1],
                "https://git.example/pack.git=/tmp/build/fetched/1"
            );
            job.node();
        }
        exit(0)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.ok
            && said
                .text
                .contains("-----> Fetching buildpack https://git.example/pack.git"),
        "{}",
        said.text
    );
    assert!(!said.text.contains("TOKEN") && !rig.output.text().contains("TOKEN"));
    for spec in rig.engine.ran.lock().unwrap().iter() {
        assert!(!spec.command.iter().any(|word| word.contains("TOKEN")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_lasts_between_successful_builds() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let inner = Arc::clone(&seen);
    rig.engine.play(move |job| {
        let seen = Arc::clone(&inner);
        async move {
            job.node();
            let file = job.tree.join("cache/count");
            let count: u32 = std::fs::read_to_string(&file).map_or(0, |text| text.parse().unwrap());
            seen.lock().unwrap().push(count);
            let _ = std::fs::remove_file(&file);
            std::fs::write(&file, (count + 1).to_string()).unwrap();
            exit(if count == 1 { 82 } else { 0 })
        }
    });
    for (number, ok) in [(1, true), (2, false), (3, false)] {
        client.write("app.js", format!("{number}"));
        client.commit("x").await;
        assert_eq!(client.push(&rig.url(), &["main"]).await.ok, ok);
    }
    assert_eq!(
        *seen.lock().unwrap(),
        [0, 1, 1],
        "a failed build keeps nothing"
    );
    rig.builder.purge_cache(rig.app).await.unwrap();
    client.commit("y").await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    assert_eq!(seen.lock().unwrap()[3], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_builds_and_says_so() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let began = Arc::new(Notify::new());
    let inner = Arc::clone(&began);
    rig.engine.play(move |job| {
        let began = Arc::clone(&inner);
        async move {
            job.node();
            began.notify_one();
            std::future::pending().await
        }
    });
    let url = rig.url();
    let (said, ()) = tokio::join!(client.push(&url, &["main"]), async {
        began.notified().await;
        rig.builder.stop().await;
    });
    assert!(!said.ok);
    let words = "Ropewalk is being restarted; nothing was changed. Try again.";
    assert!(said.text.contains(words), "{}", said.text);
    let left = (
        rig.engine.containers(),
        rig.builds_left(),
        rig.quarantines(),
    );
    assert_eq!(left, (0, 0, 0));
    assert_eq!(rig.server_ref("refs/heads/main"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_stands_ready_for_the_next_build_and_goes_with_the_server() {
    let rig = Rig::with(|options| options.limits.ready = Duration::from_secs(3600)).await;
    let client = Client::new().await;
    let engine = Arc::clone(&rig.engine);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let inner = Arc::clone(&seen);
    rig.engine.play(move |job| {
        let made = engine.asked.load(Ordering::SeqCst);
        inner.lock().unwrap().push((made, job.spec.name.clone()));
        job.node();
        async { exit(0) }
    });
    for number in 1..=3 {
        client.write("app.js", format!("{number}"));
        client.commit("x").await;
        if number == 3 {
            // Nobody sees it go: the engine was restarted, say.
            rig.engine.forget();
        }
        assert!(client.push(&rig.url(), &["main"]).await.ok);
        until(5, "one stands ready", || rig.engine.containers() == 1).await;
    }
    let seen = seen.lock().unwrap().clone();
    let made: Vec<_> = seen.iter().map(|(made, _)| *made).collect();
    assert_eq!(
        made,
        [1, 2, 4],
        "the second build found one, the third one that was gone"
    );
    for (_, name) in &seen {
        assert!(name.contains("-build-"), "{name}");
    }
    rig.builder.stop().await;
    assert_eq!(rig.engine.containers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_no_build_takes_goes() {
    let rig = Rig::with(|options| options.limits.ready = Duration::from_millis(300)).await;
    let client = Client::new().await;
    client.commit("x").await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    until(5, "it was made, and went", || {
        rig.engine.asked.load(Ordering::SeqCst) == 2 && rig.engine.containers() == 0
    })
    .await;
}
