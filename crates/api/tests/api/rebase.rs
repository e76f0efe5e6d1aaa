//! An app is put on the newest version of its stack: the release that is made, what is refused, what rollback means.

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::AppId;
use ropewalk_store::Release;
use serde_json::{Value, json};

use crate::rig::{ADMIN, DEV, OTHER, Rig};

const PATH: &str = "/ropewalk/apps/demo/rebase";
const NEWER: &str = "sha256:4f5e6d7c8b9a0123456789abcdef0123456789abcdef0123456789abcdef0123";

/// A newer version of debian-13 is on the host from now on.
async fn newer(rig: &Rig) {
    let at = Timestamp::now() + SignedDuration::from_mins(1);
    rig.ctx
        .store
        .write(move |tx| tx.put_stack("debian-13", NEWER, &json!({}), at))
        .await
        .unwrap();
}

async fn head(rig: &Rig, app: AppId) -> Release {
    let look = move |view: &ropewalk_store::View<'_>| view.head_release(&view.app(app)?);
    rig.ctx.store.read(look).await.unwrap()
}

/// The candidate passed.
async fn passed(rig: &Rig, app: AppId) {
    rig.ctx
        .store
        .write(move |tx| {
            let version = tx.app(app)?.candidate_version.unwrap();
            tx.promote_candidate(app, version, Timestamp::now())
        })
        .await
        .unwrap();
}

fn versions(answer: &Value) -> (Option<&str>, Option<&str>, bool, u64) {
    (
        answer["from"].as_str(),
        answer["to"].as_str(),
        answer["rebased"].as_bool().unwrap(),
        answer["release"]["version"].as_u64().unwrap(),
    )
}

#[tokio::test]
async fn the_same_code_and_config_vars_are_released_on_the_newest_version() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.call("PATCH", "/apps/demo/config-vars", json!({"KEY": "kept"}))
        .await
        .expect(200);
    let before = rig.deploy(app, &[("web", "x")]).await;
    newer(&rig).await;
    let seen = rig.get(PATH).await.expect(200);
    let old = Some("sha256:13");
    assert_eq!(versions(&seen), (old, Some(NEWER), false, 3));

    let changes = rig.platform.changes();
    let made = rig.call("POST", PATH, json!({})).await.expect(201);
    assert_eq!(versions(&made), (old, Some(NEWER), true, 4));
    assert_eq!(made["app"]["name"], "demo");
    assert_eq!(made["stack"]["name"], "debian-13");
    assert!(rig.platform.changes() > changes, "the scheduler is told");
    let release = head(&rig, app).await;
    assert_eq!(made["release"]["id"], json!(release.id.0));
    assert_eq!(release.description, "Rebase to debian-13 4f5e6d7c8b9a");
    assert_eq!(release.slug, before.slug);
    assert_eq!(release.stack_version.as_deref(), Some(NEWER));
    assert_eq!(release.stack, "debian-13");
    let wire = rig.get("/apps/demo/releases/4").await.expect(200);
    assert_eq!(
        (wire["status"].as_str(), wire["current"].as_bool()),
        (Some("pending"), Some(false)),
        "it has to pass like any other"
    );
    let vars = rig.get("/apps/demo/releases/4/config-vars").await;
    assert_eq!(vars.expect(200), json!({"KEY": "kept"}));
    let log = rig.log(app).await;
    assert!(log.iter().any(|line| line.contains("Rebase to debian-13")));
}

#[tokio::test]
async fn an_app_on_the_newest_version_is_left_as_it_is() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    let changes = rig.platform.changes();
    let answer = rig.call("POST", PATH, json!({})).await.expect(200);
    let current = Some("sha256:13");
    assert_eq!(versions(&answer), (current, current, false, 2));
    assert_eq!(rig.platform.changes(), changes);

    newer(&rig).await;
    rig.call("POST", PATH, json!({})).await.expect(201);
    // While that one is under way, and when it has passed.
    for is_pending in [true, false] {
        let answer = rig.call("POST", PATH, json!({})).await.expect(200);
        assert_eq!(versions(&answer), (Some(NEWER), Some(NEWER), false, 3));
        if is_pending {
            passed(&rig, app).await;
        }
    }
    let releases = rig.get("/apps/demo/releases").await.json();
    assert_eq!(releases.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn one_that_did_not_pass_can_be_tried_again() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    newer(&rig).await;
    rig.call("POST", PATH, json!({})).await.expect(201);
    rig.ctx
        .store
        .write(move |tx| tx.fail_candidate(app, 3, "web.1 crashed", Timestamp::now()))
        .await
        .unwrap();
    let seen = rig.get(PATH).await.expect(200);
    assert_eq!(
        versions(&seen),
        (Some("sha256:13"), Some(NEWER), false, 2),
        "the release before it serves"
    );
    let again = rig.call("POST", PATH, json!({})).await.expect(201);
    assert_eq!(versions(&again), (Some("sha256:13"), Some(NEWER), true, 4));
}

#[tokio::test]
async fn what_cannot_be_rebased_is_refused_in_words() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    newer(&rig).await;
    let seen = rig.get(PATH).await.expect(200);
    assert_eq!(versions(&seen), (None, Some(NEWER), false, 1));
    let refused = rig.call("POST", PATH, json!({})).await;
    assert!(
        refused
            .refused(422, "invalid_params")
            .contains("Nothing was deployed yet")
    );

    let release = rig.deploy(app, &[("web", "x")]).await;
    let (slug, user) = (release.slug, release.user);
    rig.ctx
        .store
        .write(move |tx| {
            let new = ropewalk_store::NewRelease {
                id: ropewalk_model::ReleaseId(uuid::Uuid::new_v4()),
                app,
                user,
                description: "Deploy".into(),
                slug,
                config: None,
                stack: Some(("debian-11".into(), "sha256:11".into())),
            };
            tx.create_release(new, Timestamp::now())
        })
        .await
        .unwrap();
    let seen = rig.get(PATH).await.expect(200);
    assert_eq!(versions(&seen), (Some("sha256:11"), None, false, 3));
    let refused = rig.call("POST", PATH, json!({})).await;
    assert!(
        refused
            .refused(422, "invalid_params")
            .contains("no version of the stack debian-11")
    );
    let releases = rig.get("/apps/demo/releases").await.json();
    assert_eq!(releases.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn only_who_may_release_may_rebase() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    for method in ["GET", "POST"] {
        rig.call_as(OTHER, method, PATH, None)
            .await
            .refused(404, "not_found");
    }
    newer(&rig).await;
    let answer = rig.call_as(ADMIN, "POST", PATH, None).await;
    answer.expect(201);
    let answer = rig.call_as(DEV, "GET", PATH, None).await;
    answer.expect(200);
}

#[tokio::test]
async fn a_config_change_keeps_the_version_and_a_rollback_brings_that_of_its_release_back() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    newer(&rig).await;
    rig.call("POST", PATH, json!({})).await.expect(201);
    passed(&rig, app).await;
    rig.call("PATCH", "/apps/demo/config-vars", json!({"KEY": "1"}))
        .await
        .expect(200);
    let release = head(&rig, app).await;
    assert_eq!(
        (release.version, release.stack_version.as_deref()),
        (4, Some(NEWER))
    );
    passed(&rig, app).await;

    // To what was rebased: its version. To what was before: all of that, so that a rebase can be taken back.
    for (to, version) in [("3", NEWER), ("2", "sha256:13")] {
        let asked = json!({"release": to});
        rig.call("POST", "/apps/demo/releases", asked)
            .await
            .expect(201);
        let release = head(&rig, app).await;
        assert_eq!(release.stack_version.as_deref(), Some(version), "to v{to}");
        passed(&rig, app).await;
    }
    let again = rig.call("POST", PATH, json!({})).await.expect(201);
    assert_eq!(versions(&again), (Some("sha256:13"), Some(NEWER), true, 7));
}
