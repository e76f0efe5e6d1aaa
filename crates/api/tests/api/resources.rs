//! Every resource against the published schema, and what is not there.

use conformance::Published;
use serde_json::{Value, json};

use crate::rig::{DEV, Rig};

#[track_caller]
fn fits(resource: &str, value: &Value) {
    let target = json!({"$ref": format!("#/definitions/{resource}")});
    let items = match value {
        Value::Array(items) => {
            assert!(!items.is_empty(), "no {resource} to look at");
            items.clone()
        }
        one => vec![one.clone()],
    };
    let published = Published::read().unwrap();
    for item in items {
        let misfits = published.misfits(&target, &item).unwrap();
        assert_eq!(misfits, Vec::<String>::new(), "{resource} {item:#}");
    }
}

#[tokio::test]
async fn every_answer_has_the_published_shape() {
    let rig = Rig::new().await;
    let id = rig.app("demo").await;
    let release = rig
        .deploy(id, &[("web", "node web.js"), ("release", "migrate")])
        .await;
    rig.dyno(id, "web.1").await;
    rig.call(
        "PUT",
        "/apps/demo/buildpack-installations",
        json!({"updates": [
        {"buildpack": "urn:buildpack:heroku/nodejs"}, {"buildpack": "https://example.com/x.tgz"}]}),
    )
    .await
    .expect(200);
    rig.call(
        "POST",
        "/apps/demo/domains",
        json!({"hostname": "www.example.com", "sni_endpoint": null}),
    )
    .await
    .expect(202);
    let url = json!({"url": "https://logs.example.com/in"});
    rig.call("POST", "/apps/demo/log-drains", url)
        .await
        .expect(201);
    let key = json!({"public_key": crate::keys::ED25519});
    rig.call("POST", "/account/keys", key).await.expect(201);
    let slug = release.slug.unwrap();
    for (resource, path) in [
        ("account", "/account".to_owned()),
        ("account", "/users/~".to_owned()),
        ("app", "/apps".to_owned()),
        ("app", "/users/~/apps".to_owned()),
        ("app", "/apps/demo".to_owned()),
        ("app", format!("/apps/{id}")),
        ("app-feature", "/apps/demo/features".to_owned()),
        ("app-feature", "/apps/demo/features/preboot".to_owned()),
        ("generation", "/generations".to_owned()),
        ("generation", "/generations/cedar".to_owned()),
        ("build", "/apps/demo/builds".to_owned()),
        (
            "buildpack-installation",
            "/apps/demo/buildpack-installations".to_owned(),
        ),
        ("collaborator", "/apps/demo/collaborators".to_owned()),
        (
            "collaborator",
            "/apps/demo/collaborators/dev@example.com".to_owned(),
        ),
        ("config-var", "/apps/demo/config-vars".to_owned()),
        ("config-var", "/apps/demo/releases/2/config-vars".to_owned()),
        ("domain", "/apps/demo/domains".to_owned()),
        ("domain", "/apps/demo/domains/www.example.com".to_owned()),
        ("domain", "/apps/demo/domains/demo.apps.test".to_owned()),
        ("dyno", "/apps/demo/dynos".to_owned()),
        ("dyno", "/apps/demo/dynos/web.1".to_owned()),
        ("dyno-size", "/dyno-sizes".to_owned()),
        ("dyno-size", "/dyno-sizes/standard-1x".to_owned()),
        ("dyno-size", "/apps/demo/available-dyno-sizes".to_owned()),
        ("formation", "/apps/demo/formation".to_owned()),
        ("formation", "/apps/demo/formation/web".to_owned()),
        ("log-drain", "/apps/demo/log-drains".to_owned()),
        (
            "log-drain",
            "/apps/demo/log-drains/https%3A%2F%2Flogs.example.com%2Fin".to_owned(),
        ),
        ("key", "/account/keys".to_owned()),
        ("oauth-authorization", "/oauth/authorizations".to_owned()),
        ("oauth-authorization", "/oauth/authorizations/~".to_owned()),
        ("rate-limit", "/account/rate-limits".to_owned()),
        ("region", "/regions".to_owned()),
        ("region", "/regions/us".to_owned()),
        ("release", "/apps/demo/releases".to_owned()),
        ("release", "/apps/demo/releases/v2".to_owned()),
        ("release", format!("/apps/demo/releases/{}", release.id)),
        ("slug", format!("/apps/demo/slugs/{slug}")),
        ("stack", "/stacks".to_owned()),
        ("stack", "/stacks/debian-13".to_owned()),
        ("stack", "/apps/demo/available-stacks".to_owned()),
    ] {
        fits(resource, &rig.get(&path).await.expect(200));
    }
    let build = rig.get("/apps/demo/builds").await.json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    fits(
        "build",
        &rig.get(&format!("/apps/demo/builds/{build}"))
            .await
            .expect(200),
    );
    let run = rig
        .call(
            "POST",
            "/apps/demo/dynos",
            json!({"command": "date", "attach": false}),
        )
        .await
        .expect(201);
    fits("dyno", &run);
    let session = rig
        .call("POST", "/apps/demo/log-sessions", json!({}))
        .await
        .expect(201);
    fits("log-session", &session);
    let token = rig
        .call(
            "POST",
            "/oauth/authorizations",
            json!({"description": "ci", "scope": ["read"]}),
        )
        .await
        .expect(201);
    fits("oauth-authorization", &token);
}

#[tokio::test]
async fn what_clients_ask_for_in_passing_is_truly_empty() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for path in [
        "/apps/demo/sni-endpoints",
        "/apps/demo/log-drains",
        "/apps/demo/formation",
        "/apps/demo/dynos",
        "/apps/demo/builds",
        "/apps/demo/buildpack-installations",
        "/account/keys",
        "/oauth/sessions",
    ] {
        assert_eq!(rig.get(path).await.expect(200), json!([]), "{path}");
    }
    for (method, path, resource) in [
        (
            "GET",
            "/apps/demo/features/log-runtime-metrics",
            "app_feature",
        ),
        (
            "PATCH",
            "/apps/demo/features/log-runtime-metrics",
            "app_feature",
        ),
        ("GET", "/generations/fir", "generation"),
        ("DELETE", "/oauth/sessions/~", "session"),
        ("GET", "/apps/demo/dynos/web.1", "dyno"),
        ("GET", "/apps/demo/domains/x.example.com", "domain"),
        ("GET", "/apps/demo/builds/x", "build"),
        ("GET", "/apps/demo/slugs/x", "slug"),
        ("GET", "/users/other@example.com", "user"),
        ("GET", "/regions/eu", "region"),
        ("GET", "/stacks/plan9", "stack"),
        ("GET", "/dyno-sizes/huge", "dyno_size"),
        ("GET", "/apps/nope", "app"),
    ] {
        let answer = rig.call(method, path, json!({"enabled": true})).await;
        answer.refused(404, "not_found");
        assert_eq!(answer.json()["resource"], resource, "{path}");
    }
    for (method, path) in [
        ("POST", "/apps/demo/builds"),
        ("POST", "/apps/demo/slugs"),
        ("POST", "/apps/demo/collaborators"),
        ("DELETE", "/apps/demo/collaborators/dev@example.com"),
    ] {
        rig.call(method, path, json!({}))
            .await
            .refused(422, "invalid_params");
    }
}

#[tokio::test]
async fn one_off_dynos_are_asked_for_as_clients_do() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = "/apps/demo/dynos";
    rig.call("POST", path, json!({"command": "date"}))
        .await
        .refused(422, "invalid_params");
    rig.deploy(app, &[("web", "node web.js"), ("rake", "bundle exec rake")])
        .await;
    let started = rig
        .call("POST", path, json!({"attach": true, "command": "rake x ; echo \"\u{ffff} heroku-command-exit-status: $?\"",
            "env": {"TERM": "xterm-256color", "COLUMNS": 101, "LINES": 33}, "force_no_tty": true,
            "size": "standard-2x", "type": "worker", "time_to_live": 60}))
        .await
        .expect(201);
    assert_eq!(
        started["attach_url"],
        "rendezvous://api.apps.test:8443/rendezvous.s3cret.pipe.status"
    );
    assert_eq!(started["name"], "worker.4821");
    assert_eq!(started["size"], "Standard-2X");
    let run = rig.platform.runs.lock().unwrap()[0].clone();
    // Whoever starts it puts the process type's command in, and nobody else.
    assert!(run.command.starts_with("rake x ; echo"));
    assert_eq!(run.env["COLUMNS"], "101");
    assert!(run.attach && !run.tty);
    assert_eq!(run.time_to_live, Some(60));
    for bad in [0, 86_401, 1_u64 << 40] {
        rig.call(
            "POST",
            path,
            json!({"command": "date", "time_to_live": bad}),
        )
        .await
        .refused(422, "invalid_params");
    }

    let on_a_terminal =
        json!({"attach": true, "command": "bash", "env": {"COLUMNS": 101, "LINES": 33}});
    let started = rig.call("POST", path, on_a_terminal.clone()).await;
    assert_eq!(
        started.expect(201)["attach_url"],
        "rendezvous://api.apps.test:8443/rendezvous.s3cret.33x101"
    );
    let ours = http::Request::post(path)
        .header("authorization", format!("Bearer {DEV}"))
        .header("accept", "application/vnd.heroku+json; version=3.ropewalk")
        .body(axum::body::Body::from(on_a_terminal.to_string()))
        .unwrap();
    assert_eq!(
        rig.send(ours).await.expect(201)["attach_url"],
        "ws://api.apps.test:8080/ropewalk/attach/s3cret"
    );

    let detached = rig
        .call("POST", path, json!({"command": "date"}))
        .await
        .expect(201);
    assert_eq!(detached["attach_url"], Value::Null);
    assert_eq!(detached["name"], "run.4821");

    let message = rig
        .call("POST", path, json!({"command": "refuse me"}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(message, "No room for another dyno.");
    let message = rig
        .call("POST", path, json!({"command": "fail"}))
        .await
        .refused(500, "internal_server_error");
    assert!(!message.contains("bridge"), "{message}");
    for bad in [
        json!({}),
        json!({"command": " "}),
        json!({"command": 7}),
        json!({"command": "x", "size": "huge"}),
        json!({"command": "x", "type": "a b"}),
        json!({"command": "x", "env": {"1": "x"}}),
        json!({"command": "x", "env": {"A": "\u{0}"}}),
        json!({"command": "x\u{0}"}),
        json!({"command": "x", "env": {"A": "x".repeat(100_000)}}),
    ] {
        rig.call("POST", path, bad)
            .await
            .refused(422, "invalid_params");
    }
}

#[tokio::test]
async fn commands_run_inside_dynos_and_are_attached_to() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "node web.js")]).await;
    rig.dyno(app, "web.1").await;
    let path = "/apps/demo/dynos/web.1";
    let asked = json!({"command": "bash", "attach": true, "env": {"COLUMNS": 101, "LINES": 33}});
    let begun = rig.call("POST", path, asked.clone()).await.expect(201);
    assert_eq!(
        begun["attach_url"],
        "rendezvous://api.apps.test:8443/rendezvous.s3cret.33x101"
    );
    // It is the dyno that it runs in.
    let shown = rig.get(path).await.expect(200);
    for member in ["id", "name", "command", "state", "release"] {
        assert_eq!(begun[member], shown[member], "{member}");
    }
    let ours = http::Request::post(path)
        .header("authorization", format!("Bearer {DEV}"))
        .header("accept", "application/vnd.heroku+json; version=3.ropewalk")
        .body(axum::body::Body::from(
            json!({"command": "date", "force_no_tty": true}).to_string(),
        ))
        .unwrap();
    assert_eq!(
        rig.send(ours).await.expect(201)["attach_url"],
        "ws://api.apps.test:8080/ropewalk/attach/s3cret"
    );
    let insides = rig.platform.insides.lock().unwrap().clone();
    assert_eq!(insides[0].dyno.to_string(), shown["id"].as_str().unwrap());
    assert_eq!(
        (insides[0].command.as_str(), insides[0].tty),
        ("bash", true)
    );
    assert_eq!(insides[0].env["COLUMNS"], "101");
    assert_eq!(
        (insides[1].command.as_str(), insides[1].tty),
        ("date", false)
    );
    let log = rig.log(app).await;
    let said = "Running a command inside web.1 by user dev@example.com";
    assert!(log.iter().any(|line| line == said), "{log:?}");

    let message = rig
        .call("POST", path, json!({"command": "refuse me"}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(message, "web.1 is starting.");
    for bad in [
        json!({}),
        json!({"command": " "}),
        json!({"command": "x\u{0}"}),
        json!({"command": "x", "attach": false}),
        json!({"command": "x", "size": "standard-2x"}),
        json!({"command": "x", "type": "worker"}),
        json!({"command": "x", "time_to_live": 60}),
        json!({"command": "x", "env": {"A": "x".repeat(100_000)}}),
    ] {
        rig.call("POST", path, bad)
            .await
            .refused(422, "invalid_params");
    }
    rig.call("POST", "/apps/demo/dynos/web.2", asked)
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn what_the_router_serves_by_is_settled_before_the_answer() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    assert_eq!(rig.platform.settles(), 1);
    let host = json!({"hostname": "www.example.com"});
    for (count, (method, path, body)) in (2..).zip([
        ("PATCH", "/apps/demo", json!({"maintenance": true})),
        ("PATCH", "/apps/demo", json!({"name": "renamed"})),
        ("POST", "/apps/renamed/domains", host),
        ("DELETE", "/apps/renamed/domains/www.example.com", json!({})),
        ("DELETE", "/apps/renamed", json!({})),
    ]) {
        let answer = rig.call(method, path, body).await;
        assert!(answer.status < 300, "{}", answer.text);
        assert_eq!(rig.platform.settles(), count, "{method} {path}");
    }
}

#[tokio::test]
async fn restarting_and_stopping_mark_the_right_dynos() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x"), ("worker", "y")]).await;
    for name in ["web.1", "web.2", "worker.1", "run.7"] {
        rig.dyno(app, name).await;
    }
    let marks = async || {
        let rows = rig
            .ctx
            .store
            .read(move |view| view.dynos(app))
            .await
            .unwrap();
        let marks: Vec<String> = rows
            .iter()
            .map(|row| match row.retire {
                None => "-".to_owned(),
                Some(retire) => format!("{retire:?}"),
            })
            .collect();
        marks.join(" ")
    };
    // In the order run.7 web.1 web.2 worker.1.
    for (method, path, expected) in [
        ("DELETE", "/apps/demo/dynos/web.2", "- - Replace -"),
        (
            "DELETE",
            "/apps/demo/formations/worker",
            "- - Replace Replace",
        ),
        (
            "POST",
            "/apps/demo/formations/web/actions/stop",
            "- Stop Stop Replace",
        ),
        ("DELETE", "/apps/demo/dynos", "- Replace Replace Replace"),
        (
            "POST",
            "/apps/demo/dynos/worker.1/actions/stop",
            "- Replace Replace Stop",
        ),
        (
            "DELETE",
            "/apps/demo/dynos/run.7",
            "Stop Replace Replace Stop",
        ),
    ] {
        let answer = rig.call(method, path, json!({})).await;
        assert_eq!(answer.expect(202), json!({}), "{path}");
        assert_eq!(marks().await, expected, "{method} {path}");
    }
    // A one-off dyno has no successor, so the restart of all of them stops them.
    rig.dyno(app, "run.8").await;
    rig.call("DELETE", "/apps/demo/formations/run", json!({}))
        .await
        .expect(202);
    assert_eq!(marks().await, "Stop Stop Replace Replace Stop");
    for (method, path) in [
        ("DELETE", "/apps/demo/dynos/web.9"),
        ("DELETE", "/apps/demo/formations/nope"),
        ("POST", "/apps/demo/formations/nope/actions/stop"),
        ("POST", "/apps/demo/dynos/web.9/actions/stop"),
    ] {
        rig.call(method, path, json!({}))
            .await
            .refused(404, "not_found");
    }
}

#[tokio::test]
async fn domains_and_buildpacks_are_kept_in_one_spelling() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    rig.app("other").await;
    let added = rig
        .call(
            "POST",
            "/apps/demo/domains",
            json!({"hostname": "WWW.Example.com."}),
        )
        .await
        .expect(202);
    assert_eq!(added["hostname"], "www.example.com");
    assert_eq!(added["cname"], "demo.apps.test");
    let message = rig
        .call(
            "POST",
            "/apps/other/domains",
            json!({"hostname": "www.example.com"}),
        )
        .await
        .refused(422, "invalid_params");
    assert!(message.contains("www.example.com"), "{message}");
    for bad in [
        json!({"hostname": "other.apps.test"}),
        json!({"hostname": "no_dots"}),
        json!({"hostname": "x.example.com", "sni_endpoint": "x"}),
        json!({}),
    ] {
        rig.call("POST", "/apps/demo/domains", bad)
            .await
            .refused(422, "invalid_params");
    }
    rig.call(
        "PATCH",
        "/apps/demo/domains/www.example.com",
        json!({"sni_endpoint": null}),
    )
    .await
    .expect(200);
    rig.call("DELETE", "/apps/demo/domains/demo.apps.test", json!({}))
        .await
        .refused(422, "invalid_params");
    rig.call("DELETE", "/apps/demo/domains/WWW.example.com", json!({}))
        .await
        .expect(200);
    assert_eq!(
        rig.get("/apps/demo/domains")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let known = rig.get("/buildpacks/heroku%2Fnodejs").await.expect(200);
    assert_eq!(known["blob_url"], "urn:buildpack:heroku/nodejs");
    let unknown = rig.get("/buildpacks/nope").await.expect(200);
    assert_eq!(unknown["blob_url"], "nope");

    let path = "/apps/demo/buildpack-installations";
    let set = rig
        .call("PUT", path, json!({"updates": [{"buildpack": "heroku/nodejs"}, {"buildpack": "urn:buildpack:heroku/python"}]}))
        .await
        .expect(200);
    assert_eq!(
        set[0]["buildpack"],
        json!({"url": "urn:buildpack:heroku/nodejs", "name": "heroku/nodejs"})
    );
    assert_eq!(set[1]["ordinal"], 1);
    rig.call("PUT", path, json!({"updates": [{"buildpack": "nope"}]}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(rig.get(path).await.json().as_array().unwrap().len(), 2);
    assert_eq!(
        rig.call("PUT", path, json!({"updates": []}))
            .await
            .expect(200),
        json!([])
    );
}

#[tokio::test]
async fn outputs_are_read_by_their_address_alone() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let release = rig
        .deploy_pending(app, &[("web", "x"), ("release", "migrate")])
        .await;
    let url = rig.get("/apps/demo/releases/2").await.json()["output_stream_url"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = url
        .strip_prefix("http://api.apps.test:8080")
        .unwrap()
        .to_owned();
    let bare = async |path: &str| {
        let request = http::Request::builder()
            .uri(path)
            .body(axum::body::Body::empty());
        rig.send(request.unwrap()).await
    };
    // Clients ask before the command has begun.
    let reading = bare(&path);
    let writing = async {
        tokio::task::yield_now().await;
        let mut writer = rig.ctx.outputs.create(release.id.0).unwrap();
        writer.write(b"migrating\n");
        tokio::task::yield_now().await;
        writer.write(b"done\n");
        drop(writer);
    };
    let (answer, ()) = tokio::join!(reading, writing);
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, "migrating\ndone\n")
    );
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    bare(&format!("/ropewalk/outputs/{}", release.id))
        .await
        .refused(404, "not_found");
    let (body, seal) = path.rsplit_once('.').unwrap();
    let forged = format!("{body}.{}", seal.chars().rev().collect::<String>());
    bare(&forged).await.refused(404, "not_found");
}
