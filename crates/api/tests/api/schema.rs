//! `GET /schema` says what is served: no route is missing there, and nothing is there that is no route.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use jsonschema::Draft;
use serde_json::{Value, json};

use crate::rig::Rig;

/// Where the routes stand. Those of `later.rs` are not there on purpose: they lead to nothing.
const ROUTES: &str = include_str!("../../src/routes.rs");
/// Methods as the router's builder spells them.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The schema, fetched as somebody without a token does.
async fn schema(rig: &Rig) -> Value {
    let request = Request::builder().uri("/schema").body(Body::empty());
    rig.send(request.unwrap()).await.expect(200)
}

/// `GET /apps/{}/dynos`: method and path, whatever the names of the places.
fn plain(method: &str, path: &str) -> String {
    let places = path.split('{').enumerate().map(|(n, part)| match n {
        0 => part.to_owned(),
        _ => format!("{{}}{}", part.split_once('}').unwrap().1),
    });
    format!("{method} {}", places.collect::<String>())
}

/// What is Ropewalk's own or a browser's, and no part of the Platform API.
fn is_private(path: &str) -> bool {
    path == "/auth" || path.starts_with("/cli/") || path.starts_with("/ropewalk/")
}

/// From the text of routes.rs: every `.route("PATH", get(a).post(b))`.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in ROUTES.split(".route(").skip(1) {
        let path = part.split('"').nth(1).unwrap();
        // Up to the parenthesis that closes `.route(`.
        let mut depth = 1;
        let end = part
            .char_indices()
            .find(|(_, c)| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            })
            .unwrap()
            .0;
        let handlers = &part[..end].split_once(path).unwrap().1;
        for method in METHODS {
            let begins = |(at, _): (usize, &str)| {
                !handlers[..at]
                    .ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            };
            if handlers.match_indices(&format!("{method}(")).any(begins) && !is_private(path) {
                found.insert(plain(&method.to_uppercase(), path));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_route_is_in_the_schema_and_nothing_else() {
    let rig = Rig::new().await;
    let schema = schema(&rig).await;
    let mut described = BTreeSet::new();
    for (name, definition) in schema["definitions"].as_object().unwrap() {
        for link in definition["links"].as_array().unwrap() {
            let href = link["href"].as_str().unwrap();
            let text = plain(link["method"].as_str().unwrap(), href);
            assert!(described.insert(text.clone()), "{name}: {text} twice");
            for key in ["title", "description", "rel", "targetSchema"] {
                assert!(link.get(key).is_some(), "{text} lacks {key}");
            }
            // What stands in a path is described.
            for place in href.split("{(").skip(1) {
                let pointer = place.split_once(")}").unwrap().0;
                let pointer = pointer.replace("%23", "").replace("%2F", "/");
                assert!(schema.pointer(&pointer).is_some(), "{text}: {pointer}");
            }
        }
        assert_eq!(
            schema["properties"][name],
            json!({"$ref": format!("#/definitions/{name}")})
        );
    }
    let routes = routes();
    assert!(routes.contains("PATCH /apps/{}/formation/{}"), "{routes:?}");
    assert_eq!(
        routes.difference(&described).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "routes that are not in schema/platform.json"
    );
    assert_eq!(
        described.difference(&routes).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "links of schema/platform.json that are no routes"
    );
}

/// Resource of the schema, and a path that answers with it.
const ANSWERS: [(&str, &str); 44] = [
    ("account", "/account"),
    ("account-delinquency", "/account/delinquency"),
    ("app", "/apps/demo"),
    ("app", "/apps"),
    ("app-feature", "/apps/demo/features"),
    ("build", "/apps/demo/builds"),
    (
        "buildpack-installation",
        "/apps/demo/buildpack-installations",
    ),
    ("collaborator", "/apps/demo/collaborators"),
    ("config-var", "/apps/demo/config-vars"),
    ("domain", "/apps/demo/domains"),
    ("dyno", "/apps/demo/dynos"),
    ("dyno-size", "/dyno-sizes"),
    ("formation", "/apps/demo/formation"),
    ("generation", "/generations"),
    ("monitor", "/apps/demo/formation/web/monitors"),
    ("monitor", "/apps/demo/formation/web/monitors/LATENCY_SCALE"),
    ("log-drain", "/apps/demo/log-drains"),
    ("oauth-authorization", "/oauth/authorizations"),
    ("rate-limit", "/account/rate-limits"),
    ("region", "/regions"),
    ("release", "/apps/demo/releases"),
    ("stack", "/stacks"),
    ("app", "/users/~/apps"),
    ("account", "/users/~"),
    ("app-feature", "/apps/demo/features/preboot"),
    ("domain", "/apps/demo/domains/demo.apps.test"),
    ("dyno", "/apps/demo/dynos/web.1"),
    ("dyno-size", "/dyno-sizes/basic"),
    ("formation", "/apps/demo/formation/web"),
    ("generation", "/generations/cedar"),
    ("region", "/regions/us"),
    ("release", "/apps/demo/releases/2"),
    ("stack", "/stacks/debian-13"),
    ("stack", "/apps/demo/available-stacks"),
    ("pipeline", "/pipelines"),
    ("pipeline-coupling", "/pipeline-couplings"),
    ("pipeline-coupling", "/apps/demo/pipeline-couplings"),
    (
        "pipeline-config-var",
        "/pipelines/shop/stage/test/config-vars",
    ),
    ("pipeline-stack", "/pipelines/shop/pipeline-stack"),
    ("test-run", "/pipelines/shop/test-runs"),
    ("test-run", "/pipelines/shop/test-runs/1"),
    ("test-node", "{run}/test-nodes"),
    ("pipeline-promotion", "{promotion}"),
    ("pipeline-promotion-target", "{promotion}/promotion-targets"),
];

/// A pipeline of demo and another app, with a test run and a promotion; the paths of the latter two.
async fn pipeline(rig: &Rig) -> (String, String) {
    rig.app("target").await;
    rig.call("POST", "/pipelines", json!({"name": "shop"}))
        .await
        .expect(201);
    for (app, stage) in [("demo", "staging"), ("target", "production")] {
        let body = json!({"app": app, "pipeline": "shop", "stage": stage});
        rig.call("POST", "/pipeline-couplings", body)
            .await
            .expect(201);
    }
    rig.call(
        "PATCH",
        "/pipelines/shop/stage/test/config-vars",
        json!({"A": "1"}),
    )
    .await
    .expect(200);
    let run = json!({"commit_branch": "main", "commit_message": "x", "commit_sha": "1a2b3c4d", "pipeline": "shop",
        "source_blob_url": "https://web.example/x.tgz"});
    let run = rig.call("POST", "/test-runs", run).await.expect(201);
    let promotion = json!({"pipeline": {"id": "shop"}, "source": {"app": {"id": "demo"}},
        "targets": [{"app": {"id": "target"}}]});
    let promotion = rig
        .call("POST", "/pipeline-promotions", promotion)
        .await
        .expect(201);
    let path = |folder: &str, made: &Value| format!("/{folder}/{}", made["id"].as_str().unwrap());
    (
        path("test-runs", &run),
        path("pipeline-promotions", &promotion),
    )
}

#[tokio::test]
async fn answers_are_as_the_schema_says_to_the_key() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x"), ("release", "y")]).await;
    rig.dyno(app, "web.1").await;
    rig.call(
        "PUT",
        "/apps/demo/buildpack-installations",
        json!({"updates": [{"buildpack": "heroku/nodejs"}]}),
    )
    .await
    .expect(200);
    rig.call(
        "POST",
        "/apps/demo/formation/web/monitors",
        json!({"min_quantity": 1, "max_quantity": 5}),
    )
    .await
    .expect(201);
    let url = json!({"url": "https://logs.example.com/in"});
    rig.call("POST", "/apps/demo/log-drains", url)
        .await
        .expect(201);
    let (run, promotion) = pipeline(&rig).await;
    let schema = schema(&rig).await;
    for (resource, path) in ANSWERS {
        let path = path.replace("{run}", &run);
        let path = path.replace("{promotion}", &promotion);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .build(&schema["definitions"][resource])
            .unwrap();
        let answer = rig.get(&path).await.expect(200);
        let items = match answer {
            Value::Array(items) => items,
            one => vec![one],
        };
        assert!(!items.is_empty(), "{path}");
        for item in items {
            let errors: Vec<String> = validator
                .iter_errors(&item)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(errors, Vec::<String>::new(), "{path}: {item:#}");
        }
    }
}
