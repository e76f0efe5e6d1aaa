//! What the walk does, in order. A step whose verb the server does not have is left out by the walk.

use crate::step::{Step, get, send};

/// A self-signed certificate for a name that nobody has, and its key.
const CERTIFICATE: &str = include_str!("../data/sni-endpoint.json");

/// With an app of the walk's own, of which nothing is deployed.
pub(crate) const ON_A_NEW_APP: &[Step] = &[
    get("/account").keep(&[("account", "/id"), ("email", "/email")]),
    get("/users/{account}").with(&[("account", "~")]),
    get("/users/{account}"),
    send("PATCH", "/account", r#"{"allow_tracking":false}"#, &[200]),
    send("PATCH", "/users/{account}", r#"{"beta":false}"#, &[200]).with(&[("account", "~")]),
    get("/account/delinquency"),
    get("/account/rate-limits"),
    get("/account/keys"),
    // The published schema has no verb to add one.
    Step {
        right: &[404],
        ..get("/account/keys/{key}")
    },
    send("POST", "/apps", r#"{"name":"$new"}"#, &[201])
        .keep(&[("app", "/name"), ("app_id", "/id")]),
    get("/apps"),
    get("/users/{account}/apps").with(&[("account", "~")]),
    get("/apps/{app}"),
    get("/apps/{app}").with(&[("app", "$app_id")]),
    send("PATCH", "/apps/{app}", r#"{"maintenance":true}"#, &[200]),
    send("PATCH", "/apps/{app}", r#"{"maintenance":false}"#, &[200]),
    send(
        "POST",
        "/filters/apps",
        r#"{"in":{"id":["$app_id"]}}"#,
        &[200],
    ),
    send(
        "PATCH",
        "/apps/{app}/config-vars",
        r#"{"A":"1","B":"ä\n\"'"}"#,
        &[200],
    ),
    send("PATCH", "/apps/{app}/config-vars", r#"{"A":null}"#, &[200]),
    get("/apps/{app}/config-vars"),
    get("/apps/{app}/releases").keep(&[("release", "/id")]),
    get("/apps/{app}/releases/{release}").with(&[("release", "1")]),
    get("/apps/{app}/releases/{release}"),
    get("/apps/{app}/releases/{release}/config-vars").with(&[("release", "2")]),
    // Nothing is deployed to go back to.
    send("POST", "/apps/{app}/releases", r#"{"release":"1"}"#, &[422]),
    send(
        "POST",
        "/apps/{app}/domains",
        r#"{"hostname":"$new.example.com","sni_endpoint":null}"#,
        &[202],
    )
    .keep(&[("domain", "/hostname"), ("domain_id", "/id")]),
    get("/apps/{app}/domains"),
    get("/apps/{app}/domains/{domain}"),
    get("/apps/{app}/domains/{domain}").with(&[("domain", "$domain_id")]),
    send(
        "PATCH",
        "/apps/{app}/domains/{domain}",
        r#"{"sni_endpoint":null}"#,
        &[200],
    ),
    send("DELETE", "/apps/{app}/domains/{domain}", "{}", &[200]),
    // With no domain left, nothing is ordered from anybody. Refused where no authority can look.
    send("POST", "/apps/{app}/acm", "{}", &[200, 422]),
    send(
        "PATCH",
        "/apps/{app}/acm",
        r#"{"acm_refresh":true}"#,
        &[200, 422],
    ),
    send("DELETE", "/apps/{app}/acm", "{}", &[200]),
    get("/apps/{app}/features").keep(&[("app-feature", "/name")]),
    get("/apps/{app}/features/{app-feature}"),
    send(
        "PATCH",
        "/apps/{app}/features/{app-feature}",
        r#"{"enabled":true}"#,
        &[200],
    ),
    send(
        "PUT",
        "/apps/{app}/buildpack-installations",
        r#"{"updates":[{"buildpack":"urn:buildpack:heroku/nodejs"},{"buildpack":"https://example.com/b.tgz"}]}"#,
        &[200],
    ),
    get("/apps/{app}/buildpack-installations"),
    send(
        "PUT",
        "/apps/{app}/buildpack-installations",
        r#"{"updates":[]}"#,
        &[200],
    ),
    get("/apps/{app}/collaborators")
        .keep(&[("collaborator", "/user/email"), ("collaborator_id", "/id")]),
    get("/apps/{app}/collaborators/{collaborator}"),
    get("/apps/{app}/collaborators/{collaborator}").with(&[("collaborator", "$collaborator_id")]),
    // The owner has the app already, and stays.
    send(
        "POST",
        "/apps/{app}/collaborators",
        r#"{"user":"$email"}"#,
        &[422],
    ),
    send(
        "DELETE",
        "/apps/{app}/collaborators/{collaborator}",
        "{}",
        &[422],
    ),
    get("/apps/{app}/formation"),
    get("/apps/{app}/dynos"),
    get("/apps/{app}/builds"),
    send(
        "POST",
        "/apps/{app}/log-sessions",
        r#"{"lines":10,"tail":false}"#,
        &[201],
    ),
    send(
        "POST",
        "/apps/{app}/log-drains",
        r#"{"url":"https://logs.example.com/$new"}"#,
        &[201],
    )
    .keep(&[("log-drain.query_identity", "/token")]),
    get("/apps/{app}/log-drains"),
    get("/apps/{app}/log-drains/{log-drain.query_identity}"),
    send(
        "DELETE",
        "/apps/{app}/log-drains/{log-drain.query_identity}",
        "{}",
        &[200],
    ),
    send("POST", "/sources", "{}", &[201]),
    send("POST", "/apps/{app}/sources", "{}", &[201]),
    send(
        "POST",
        "/apps/{app}/slugs",
        r#"{"process_types":{"web":"true"},"stack":"$stack"}"#,
        &[201, 422],
    ),
    // An address that no build can fetch; the build that fails is looked at no further.
    send(
        "POST",
        "/apps/{app}/builds",
        r#"{"source_blob":{"url":"https://example.com/$new.tgz","version":"1"}}"#,
        &[201, 422],
    )
    .keep(&[("new_build", "/id")]),
    // It may have ended by itself.
    send("DELETE", "/apps/{app}/builds/{build}", "{}", &[200, 422])
        .with(&[("build", "$new_build")]),
    send("DELETE", "/apps/{app}/build-cache", "{}", &[200]),
    get("/apps/{app}/sni-endpoints"),
    // This is no certificate.
    send(
        "POST",
        "/apps/{app}/sni-endpoints",
        r#"{"certificate_chain":"x","private_key":"x"}"#,
        &[422],
    ),
    send("POST", "/apps/{app}/sni-endpoints", CERTIFICATE, &[201])
        .keep(&[("sni-endpoint", "/name")]),
    get("/apps/{app}/sni-endpoints/{sni-endpoint}"),
    send(
        "PATCH",
        "/apps/{app}/sni-endpoints/{sni-endpoint}",
        CERTIFICATE,
        &[200],
    ),
    send(
        "DELETE",
        "/apps/{app}/sni-endpoints/{sni-endpoint}",
        "{}",
        &[200],
    ),
    get("/dyno-sizes").keep(&[("dyno-size", "/name")]),
    get("/dyno-sizes/{dyno-size}"),
    get("/apps/{app}/available-dyno-sizes"),
    get("/generations"),
    get("/generations/{stack}").with(&[("stack", "cedar")]),
    get("/regions").keep(&[("region", "/name")]),
    get("/regions/{region}"),
    get("/stacks").keep(&[("stack", "/name")]),
    get("/stacks/{stack}"),
    get("/apps/{app}/available-stacks"),
    send(
        "POST",
        "/oauth/authorizations",
        r#"{"description":"conformance","scope":["read"],"expires_in":600}"#,
        &[201],
    )
    .keep(&[("oauth-authorization", "/id")]),
    get("/oauth/authorizations"),
    get("/oauth/authorizations/{oauth-authorization}"),
    get("/oauth/authorizations/{oauth-authorization}").with(&[("oauth-authorization", "~")]),
    send(
        "PATCH",
        "/oauth/authorizations/{oauth-authorization}",
        r#"{"description":"conformance 2"}"#,
        &[200],
    ),
    send(
        "POST",
        "/oauth/authorizations/{oauth-authorization}/actions/regenerate-tokens",
        "{}",
        &[201],
    ),
    send(
        "DELETE",
        "/oauth/authorizations/{oauth-authorization}",
        "{}",
        &[200],
    ),
];

/// With an app that was deployed and has a web dyno.
pub(crate) const ON_A_DEPLOYED_APP: &[Step] = &[
    send("POST", "/pipelines", r#"{"name":"$new"}"#, &[201]).keep(&[
        ("pipeline", "/id"),
        ("pipeline.id", "/id"),
        ("pipeline_name", "/name"),
        ("owner", "/owner/id"),
    ]),
    get("/pipelines"),
    get("/pipelines/{pipeline}"),
    get("/pipelines/{pipeline}").with(&[("pipeline", "$pipeline_name")]),
    send("PATCH", "/pipelines/{pipeline.id}", r#"{"name":"$new"}"#, &[200]),
    get("/pipelines/{pipeline.id}/pipeline-stack"),
    send(
        "PATCH",
        "/pipelines/{pipeline.id}/stage/{pipeline-coupling.stage}/config-vars",
        r#"{"A":"1"}"#,
        &[200],
    )
    .with(&[("pipeline-coupling.stage", "test")]),
    get("/pipelines/{pipeline.id}/stage/{pipeline-coupling.stage}/config-vars")
        .with(&[("pipeline-coupling.stage", "test")]),
    send(
        "POST",
        "/pipeline-couplings",
        r#"{"app":"$app","pipeline":"$pipeline","stage":"staging"}"#,
        &[201],
    )
    .keep(&[("pipeline-coupling", "/id"), ("source_id", "/app/id")]),
    send(
        "POST",
        "/pipeline-couplings",
        r#"{"app":"$made","pipeline":"$pipeline","stage":"production"}"#,
        &[201],
    )
    .keep(&[("target_coupling", "/id"), ("target_id", "/app/id")]),
    get("/pipeline-couplings"),
    get("/users/~/pipeline-couplings"),
    get("/pipelines/{pipeline.id}/pipeline-couplings"),
    get("/apps/{app}/pipeline-couplings"),
    get("/pipeline-couplings/{pipeline-coupling}"),
    send(
        "PATCH",
        "/pipeline-couplings/{pipeline-coupling}",
        r#"{"stage":"staging"}"#,
        &[200],
    ),
    send(
        "POST",
        "/pipeline-promotions",
        r#"{"pipeline":{"id":"$pipeline"},"source":{"app":{"id":"$source_id"}},"targets":[{"app":{"id":"$target_id"}}]}"#,
        &[201],
    )
    .keep(&[
        ("pipeline-promotion", "/id"),
        ("pipeline-promotion.id", "/id"),
    ]),
    get("/pipeline-promotions/{pipeline-promotion}"),
    get("/pipeline-promotions/{pipeline-promotion.id}/promotion-targets"),
    // An address that no build can fetch.
    send(
        "POST",
        "/test-runs",
        r#"{"commit_branch":"main","commit_message":"x","commit_sha":"1a2b3c4d","pipeline":"$pipeline","source_blob_url":"https://example.com/$new.tgz"}"#,
        &[201],
    )
    .keep(&[("test-run", "/id"), ("test-run.id", "/id")]),
    get("/pipelines/{pipeline.id}/test-runs"),
    get("/pipelines/{pipeline.id}/test-runs/{test-run.number}").with(&[("test-run.number", "1")]),
    get("/test-runs/{test-run.id}"),
    get("/test-runs/{test-run}/test-nodes"),
    get("/test-runs/{test-run.id}/test-cases"),
    // The published schema says number, and clients send the id. It may have ended by itself.
    send(
        "PATCH",
        "/test-runs/{test-run.number}",
        r#"{"status":"cancelled","message":"x"}"#,
        &[200, 422],
    )
    .with(&[("test-run.number", "$test-run")]),
    send(
        "POST",
        "/pipeline-transfers",
        r#"{"pipeline":{"id":"$pipeline"},"new_owner":{"id":"$owner","type":"user"}}"#,
        &[201],
    ),
    send(
        "DELETE",
        "/pipeline-couplings/{pipeline-coupling}",
        "{}",
        &[200],
    ),
    send("DELETE", "/pipelines/{pipeline.id}", "{}", &[200]),
    get("/apps/{app}/builds").keep(&[("build", "/id")]),
    get("/apps/{app}/builds/{build}").keep(&[("slug", "/slug/id")]),
    get("/apps/{app}/slugs/{slug}"),
    get("/apps/{app}/formation").keep(&[("formation_id", "/id")]),
    get("/apps/{app}/formation/{formation}").with(&[("formation", "web")]),
    get("/apps/{app}/formation/{formation}").with(&[("formation", "$formation_id")]),
    send(
        "PATCH",
        "/apps/{app}/formation",
        r#"{"updates":[{"type":"web","quantity":"1","size":"standard-1x"}]}"#,
        &[200],
    ),
    send(
        "PATCH",
        "/apps/{app}/formation/{formation}",
        r#"{"quantity":1}"#,
        &[200],
    )
    .with(&[("formation", "web")]),
    get("/apps/{app}/dynos").keep(&[("dyno_id", "/id")]),
    get("/apps/{app}/dynos/{dyno}").with(&[("dyno", "$dyno_id")]),
    send(
        "POST",
        "/apps/{app}/dynos",
        r#"{"command":"sleep 60","attach":false}"#,
        &[201],
    )
    .keep(&[("dyno", "/name")]),
    get("/apps/{app}/dynos/{dyno}"),
    send(
        "POST",
        "/apps/{app}/dynos/{dyno}/actions/stop",
        "{}",
        &[202],
    ),
    send("DELETE", "/apps/{app}/dynos/{dyno}", "{}", &[202]).with(&[("dyno", "web.1")]),
    send(
        "DELETE",
        "/apps/{app}/formations/{dyno.formation_type}",
        "{}",
        &[202],
    )
    .with(&[("dyno.formation_type", "web")]),
    send(
        "POST",
        "/apps/{app}/formations/{dyno.formation_type}/actions/stop",
        "{}",
        &[202],
    )
    .with(&[("dyno.formation_type", "web")]),
    send("DELETE", "/apps/{app}/dynos", "{}", &[202]),
    get("/apps/{app}/releases").keep(&[("release", "/id")]),
    get("/apps/{app}/releases/{release}"),
    send(
        "POST",
        "/apps/{app}/releases",
        r#"{"slug":"$slug"}"#,
        &[201],
    ),
    send(
        "POST",
        "/apps/{app}/releases",
        r#"{"release":"$release"}"#,
        &[201, 422],
    ),
];

/// At the end.
pub(crate) const LAST: &[Step] = &[send("DELETE", "/apps/{app}", "{}", &[200])];

/// Verbs that would take away what the walk stands on.
pub(crate) const SPARED: &[(&str, &str, &str)] = &[
    ("DELETE", "/account", "it would end the account"),
    ("DELETE", "/users/{account}", "it would end the account"),
];
