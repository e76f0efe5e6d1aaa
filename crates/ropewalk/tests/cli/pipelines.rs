//! `pipelines`, `pipelines:*`: what they ask, say and exit with.

use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, account, app, failed, ok, release};

const OTHER: &str = "89abcdef-0123-4567-89ab-cdef01234567";

fn pipeline() -> Value {
    json!({"id": ID, "name": "shop", "owner": {"id": ID, "type": "user"}, "created_at": AT, "updated_at": AT})
}

fn coupling(app: &str, stage: &str) -> Value {
    json!({"id": ID, "app": {"id": app}, "pipeline": {"id": ID, "name": "shop"}, "stage": stage,
        "created_at": AT, "updated_at": AT})
}

fn with_id(mut app: Value, id: &str) -> Value {
    app["id"] = json!(id);
    app
}

/// A pipeline of two apps, `demo` in staging and `live` in production.
fn shop() -> Fake {
    let fake = Fake::new();
    let apps = json!([
        app("demo", fake.port),
        with_id(app("live", fake.port), OTHER)
    ]);
    let couplings = json!([coupling(OTHER, "production"), coupling(ID, "staging")]);
    fake.on("GET /pipelines/shop", 200, pipeline())
        .on(&format!("GET /pipelines/{ID}"), 200, pipeline())
        .on(
            &format!("GET /pipelines/{ID}/pipeline-couplings"),
            200,
            couplings,
        )
        .on(
            "GET /apps/demo/pipeline-couplings",
            200,
            coupling(ID, "staging"),
        )
        .on(
            "GET /apps/live/pipeline-couplings",
            200,
            coupling(OTHER, "production"),
        )
        .on("POST /filters/apps", 200, apps)
        .on("GET /account", 200, account())
}

#[test]
fn pipelines_are_listed_and_shown_in_the_order_in_which_code_moves() {
    let fake = Fake::new().on("GET /pipelines", 200, json!([]));
    assert_eq!(fake.run(&["pipelines"]), ok("You have no pipelines.\n", ""));
    let fake = Fake::new().on("GET /pipelines", 200, json!([pipeline()]));
    let listed = ok("=== My Pipelines\n\nshop\n", "");
    assert_eq!(fake.run(&["pipelines"]), listed);

    let fake = shop();
    let shown = "=== shop\n\nowner: dev@example.com\n\napp name  stage\n────────  ──────────\n\u{2b22} demo    staging\n\u{2b22} live    production\n";
    assert_eq!(fake.run(&["pipelines:info", "shop"]), ok(shown, ""));
    assert_eq!(fake.run(&["pipelines:info", "-a", "demo"]), ok(shown, ""));
    let ran = fake.run(&["pipelines:info", "shop", "--json"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["apps"][1]["name"], "live");
    assert_eq!(told["pipeline"]["name"], "shop");
}

#[test]
fn a_pipeline_is_made_with_its_first_app_and_others_are_added_moved_and_removed() {
    let fake = shop()
        .on("POST /pipelines", 201, pipeline())
        .on("POST /pipeline-couplings", 201, coupling(ID, "staging"))
        .on(
            &format!("PATCH /pipeline-couplings/{ID}"),
            200,
            coupling(ID, "production"),
        )
        .on(
            &format!("DELETE /pipeline-couplings/{ID}"),
            200,
            coupling(ID, "production"),
        );
    let ran = fake.run(&["pipelines:create", "shop", "-a", "demo", "-s", "staging"]);
    assert_eq!(
        ran,
        ok(
            "",
            "Creating shop pipeline... done\nAdding \u{2b22} demo to shop pipeline as staging... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [
            r#"POST /pipelines {"name":"shop"}"#.to_owned(),
            format!(
                r#"POST /pipeline-couplings {{"app":"demo","pipeline":"{ID}","stage":"staging"}}"#
            ),
        ]
    );
    let ran = fake.run(&["pipelines:create", "shop", "-a", "demo"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("Which stage"), "{}", ran.stderr);
    let ran = fake.run(&["pipelines:add", "shop", "-a", "demo", "-s", "staging"]);
    assert_eq!(
        ran,
        ok(
            "",
            "Adding \u{2b22} demo to shop pipeline as staging... done\n"
        )
    );
    let ran = fake.run(&["pipelines:update", "-a", "demo", "-s", "production"]);
    assert_eq!(
        ran,
        ok("", "Changing \u{2b22} demo to production... done\n")
    );
    let ran = fake.run(&["pipelines:remove", "-a", "demo"]);
    assert_eq!(
        ran,
        ok("", "Removing \u{2b22} demo from shop pipeline... done\n")
    );
    let ran = fake.run(&["pipelines:add", "shop", "-a", "demo", "-s", "test"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn a_pipeline_is_destroyed_once_its_name_was_typed() {
    let fake = shop()
        .on(&format!("DELETE /pipelines/{ID}"), 200, pipeline())
        .on(&format!("PATCH /pipelines/{ID}"), 200, pipeline());
    let ran = fake.run_with(
        &["pipelines:destroy", "shop"],
        "other\n",
        &[("ROPEWALK_TOKEN", "t")],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("did not match shop. Aborted."),
        "{}",
        ran.stderr
    );
    assert!(
        !fake
            .requests()
            .iter()
            .any(|request| request.starts_with("DELETE"))
    );
    let ran = fake.run(&["pipelines:destroy", "shop", "--confirm", "shop"]);
    assert_eq!(ran, ok("", "Destroying shop pipeline... done\n"));
    let ran = fake.run(&["pipelines:rename", "shop", "store"]);
    assert_eq!(ran, ok("", "Renaming shop pipeline to store... done\n"));
}

#[test]
fn an_app_is_promoted_to_the_next_stage_and_each_target_told_of() {
    let target = |status: &str, why: Value| {
        json!([{"id": ID, "app": {"id": OTHER}, "pipeline_promotion": {"id": ID}, "release": {"id": ID},
            "status": status, "error_message": why}])
    };
    let promotion = json!({"id": ID, "pipeline": {"id": ID}, "source": {"app": {"id": ID}, "release": {"id": ID}},
        "status": "pending", "created_at": AT, "updated_at": AT});
    let targets = format!("GET /pipeline-promotions/{ID}/promotion-targets");
    let fake = shop()
        .on("POST /pipeline-promotions", 201, promotion.clone())
        .on(
            &format!("GET /apps/{OTHER}/releases/{ID}"),
            200,
            release(2, "Promote", false),
        )
        .on(&targets, 200, target("pending", Value::Null))
        .on(&targets, 200, target("succeeded", Value::Null));
    let ran = fake.run(&["pipelines:promote", "-a", "demo"]);
    assert_eq!(
        ran,
        ok(
            "\nPromotion successful\n\u{2b22} live: succeeded\n",
            "Fetching app info... done\nFetching apps from pipeline... done\nStarting promotion to production... done\nWaiting for promotion to complete... done\n"
        )
    );
    let requests = fake.requests();
    let asked = requests
        .iter()
        .find(|request| request.starts_with("POST /pipeline-promotions"))
        .unwrap();
    assert!(
        asked.ends_with(&format!(
            r#"{{"pipeline":{{"id":"{ID}"}},"source":{{"app":{{"id":"{ID}"}}}},"targets":[{{"app":{{"id":"{OTHER}"}}}}]}}"#
        )),
        "{asked}"
    );
    let fake = shop()
        .on("POST /pipeline-promotions", 201, promotion)
        .on(
            &format!("GET /apps/{OTHER}/releases/{ID}"),
            200,
            release(2, "Promote", false),
        )
        .on(
            &targets,
            200,
            target("failed", json!("web.1 crashed: exit 1")),
        );
    let ran = fake.run(&["pipelines:promote", "-a", "demo", "--to", "live"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout, "\u{2b22} live: failed, web.1 crashed: exit 1\n");
    assert!(
        ran.stderr.contains("Promotion to some apps failed"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_cannot_be_promoted_is_said_before_anything_is_asked_for() {
    let fake = shop();
    for (args, words) in [
        (vec!["-a", "live"], "none comes after it"),
        (vec!["-a", "demo", "-t", "nothing"], "Cannot find nothing"),
        (vec!["-a", "demo", "-t", "demo"], "to itself"),
    ] {
        let ran = fake.run(&[vec!["pipelines:promote"], args].concat());
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert!(
        !fake
            .requests()
            .iter()
            .any(|request| request.contains("promotions"))
    );
    let alone = Fake::new().on(
        "GET /apps/demo/pipeline-couplings",
        404,
        json!({"id": "not_found", "resource": "pipeline_coupling", "message": "Couldn't find that pipeline coupling."}),
    );
    let ran = alone.run(&["pipelines:promote", "-a", "demo"]);
    assert!(
        ran.stderr.contains("demo is in no pipeline."),
        "{}",
        ran.stderr
    );
    assert_eq!(
        alone.run(&["pipelines:diff"]),
        failed(
            2,
            " \u{25b8}    Ropewalk does not have Heroku's pipelines:diff yet.\n \u{25b8}    Compare the commits that ropewalk releases shows for each app: git log OLD..NEW.\n"
        )
    );
}
