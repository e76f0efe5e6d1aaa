//! Archives: `builds:create`, `builds:cancel`, `builds:cache:purge`, `slugs`, `releases:retry`, `import`.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, account, app, formation, ok, release};

const OTHER: &str = "89abcdef-0123-4567-89ab-cdef01234567";

fn build(fake: &Fake, status: &str) -> Value {
    json!({"id": ID, "app": {"id": ID}, "buildpacks": [], "generation": "cedar",
        "output_stream_url": format!("{}/output/1", fake.url()),
        "source_blob": {"checksum": null, "url": "", "version": "v1", "version_description": null},
        "release": null, "slug": null, "stack": "debian-13", "status": status,
        "user": {"id": ID, "email": "dev@example.com"}, "created_at": AT, "updated_at": AT})
}

fn with_output() -> Fake {
    Fake::with_routes(Router::new().route("/output/1", get(|| async { "-----> Building\n" })))
}

fn slug(fake: &Fake, id: &str, method: &str) -> Value {
    json!({"id": id, "blob": {"method": method, "url": format!("{}/blob/{id}", fake.url())},
        "buildpack_provided_description": "Node.js", "checksum": null, "commit": "abc", "commit_description": null,
        "process_types": {"web": "node index.js"}, "size": 7, "stack": {"id": ID, "name": "debian-13"},
        "deleted_at": null, "created_at": AT, "updated_at": AT})
}

fn stack(name: &str) -> Value {
    json!({"id": ID, "name": name, "default": true, "state": "public", "created_at": AT, "updated_at": AT})
}

#[test]
fn an_archive_is_sent_built_and_followed() {
    let fake = with_output();
    let (put, got) = (format!("{}/put", fake.url()), format!("{}/get", fake.url()));
    let pending = build(&fake, "pending");
    let failed = build(&fake, "failed");
    let fake = fake
        .on(
            "POST /sources",
            201,
            json!({"source_blob": {"put_url": put, "get_url": got}}),
        )
        .on("PUT /put", 200, Value::Null)
        .on("POST /apps/demo/builds", 201, pending)
        .on(&format!("GET /apps/demo/builds/{ID}"), 200, failed);
    std::fs::write(fake.home.path().join("source.tgz"), "archive").unwrap();
    let ran = fake.run(&[
        "builds:create",
        "-a",
        "demo",
        "--source-tar",
        "source.tgz",
        "--version",
        "v1",
        "-b",
        "heroku/nodejs",
    ]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (1, "-----> Building\n", "Uploading source... done\n")
    );
    let requests = fake.requests();
    assert_eq!(requests[..2], ["POST /sources", "PUT /put archive"]);
    let asked: Value =
        serde_json::from_str(requests[2].strip_prefix("POST /apps/demo/builds ").unwrap()).unwrap();
    assert_eq!(asked["source_blob"]["url"], got);
    assert_eq!(asked["source_blob"]["version"], "v1");
    assert_eq!(
        asked["buildpacks"],
        json!([{"url": null, "name": "heroku/nodejs"}])
    );
}

#[test]
fn what_is_committed_is_built_unless_something_else_is_named() {
    let fake = with_output();
    let nothing = fake.run(&["builds:create", "-a", "demo"]);
    assert_eq!(nothing.code, 1);
    assert!(
        nothing.stderr.contains("There is no commit here"),
        "{}",
        nothing.stderr
    );

    let mut done = build(&fake, "succeeded");
    done["release"] = json!({"id": OTHER});
    let place = json!({"source_blob": {"put_url": format!("{}/put", fake.url()), "get_url": "http://x.example/"}});
    let fake = fake
        .on("POST /sources", 201, place)
        .on("PUT /put", 200, Value::Null)
        .on("POST /apps/demo/builds", 201, done.clone())
        .on(&format!("GET /apps/demo/builds/{ID}"), 200, done)
        .on(
            &format!("GET /apps/demo/releases/{OTHER}"),
            200,
            release(2, "Deploy", true),
        );
    let repo = fake.home.path().join("repo");
    std::fs::create_dir(&repo).unwrap();
    std::fs::write(repo.join("Procfile"), "web: x\n").unwrap();
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
            .args(args)
            .current_dir(&repo)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    std::fs::write(repo.join("new"), "x").unwrap();
    let token = [("ROPEWALK_TOKEN", "t")];
    let ran = fake.run_in(&repo, &["builds:create", "-a", "demo"], "", &token);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("not committed is not part"),
        "{}",
        ran.stderr
    );
    assert!(
        fake.requests()
            .iter()
            .any(|request| request.contains(&commit))
    );

    let by_url = [
        "builds:create",
        "-a",
        "demo",
        "--source-url",
        "https://x.example/a.tgz",
    ];
    assert_eq!(fake.run(&by_url).code, 0);
    assert_eq!(fake.requests().len(), 3, "nothing is sent");
}

#[test]
fn builds_are_cancelled_and_caches_purged() {
    let fake = Fake::new();
    let running = build(&fake, "pending");
    let fake = fake
        .on("GET /apps/demo/builds", 200, json!([running.clone()]))
        .on(&format!("DELETE /apps/demo/builds/{ID}"), 200, running)
        .on("DELETE /apps/demo/build-cache", 200, json!({}));
    assert_eq!(
        fake.run(&["builds:cancel", "-a", "demo"]),
        ok("", &format!("Cancelling build {ID}... done\n"))
    );
    assert_eq!(
        fake.run(&["builds:cache:purge", "-a", "demo"]),
        ok("", "Clearing the build cache of \u{2b22} demo... done\n")
    );
}

#[test]
fn slugs_are_listed_shown_and_downloaded() {
    let fake = Fake::new();
    let mut one = release(2, "Deploy abc", true);
    one["slug"] = json!({"id": OTHER});
    let there = slug(&fake, OTHER, "get");
    let fake = fake
        .on("GET /apps/demo/releases", 200, json!([one]))
        .on(&format!("GET /apps/demo/slugs/{OTHER}"), 200, there)
        .on(&format!("GET /blob/{OTHER}"), 200, json!("archive"));
    let listed = fake.run(&["slugs", "-a", "demo"]);
    assert!(
        listed.stdout.contains(&format!("v2  {OTHER}  Deploy abc")),
        "{}",
        listed.stdout
    );
    let shown = fake.run(&["slugs:info", "-a", "demo"]);
    assert!(shown.stdout.contains("node index.js"), "{}", shown.stdout);
    let ran = fake.run(&["slugs:download", "v2", "here", "--no-extract", "-a", "demo"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let file = fake.home.path().join("here/slug.tar.gz");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "\"archive\"");
    assert_eq!(fake.run(&["slugs:info", "v9", "-a", "demo"]).code, 1);
}

#[test]
fn a_release_is_tried_again() {
    let mut newest = release(3, "Deploy abc", true);
    newest["slug"] = json!({"id": OTHER});
    let fake = Fake::new()
        .on("GET /apps/demo/releases", 200, json!([newest]))
        .on(
            "POST /apps/demo/releases",
            201,
            release(4, "Retry of v3: Deploy abc", true),
        );
    assert_eq!(
        fake.run(&["releases:retry", "-a", "demo"]),
        ok("", "Retrying v3 on \u{2b22} demo... done, v4\n")
    );
    let asked = format!(
        "POST /apps/demo/releases {{\"slug\":\"{OTHER}\",\"description\":\"Retry of v3: Deploy abc\"}}"
    );
    assert!(fake.requests().contains(&asked));
}

/// Somebody else's server with an app that has a bit of everything.
fn origin() -> Fake {
    let fake = Fake::new();
    let mut there = app("shop", fake.port);
    there["stack"]["name"] = "heroku-24".into();
    there["maintenance"] = true.into();
    let mut current = release(7, "Deploy abc", true);
    current["slug"] = json!({"id": OTHER});
    let archive = slug(&fake, OTHER, "get");
    let mut worker = formation("worker", 2, "Performance-M");
    worker["command"] = "x".into();
    fake.on("GET /apps/shop", 200, there)
        .on("GET /apps/shop/config-vars", 200, json!({"A": "1", "B": "2", "HEROKU_APP_ID": "x", "DATABASE_URL": "postgres://x"}))
        .on("GET /apps/shop/formation", 200, json!([formation("web", 2, "Standard-2X"), worker]))
        .on("GET /apps/shop/buildpack-installations", 200, json!([
            {"ordinal": 0, "buildpack": {"url": "urn:buildpack:heroku/nodejs", "name": "heroku/nodejs"}}]))
        .on("GET /apps/shop/domains", 200, json!([
            {"hostname": "shop.herokuapp.example", "kind": "heroku"}, {"hostname": "www.example.com", "kind": "custom"},
            {"hostname": "taken.example.com", "kind": "custom"}]))
        .on("GET /apps/shop/features", 200, json!([{"name": "preboot", "enabled": true}, {"name": "x", "enabled": false}]))
        .on("GET /apps/shop/log-drains", 200, json!([{"url": "https://secret@logs.example/", "addon": null}]))
        .on("GET /apps/shop/addons", 200, json!([{"name": "postgresql-solid-1", "config_vars": ["DATABASE_URL"]}]))
        .on("GET /apps/shop/collaborators", 200, json!([{"user": {"email": "other@example.com"}, "role": null}]))
        .on("GET /apps/shop/releases", 200, json!([current]))
        .on(&format!("GET /apps/shop/slugs/{OTHER}"), 200, archive)
        .on(&format!("GET /blob/{OTHER}"), 200, json!("archive"))
}

/// Ours, where the app is not there yet, and the slug's archive is answered so.
fn here_that_answers(status: u16, body: Value) -> Fake {
    let fake = Fake::new();
    let copy = app("copy", fake.port);
    let announced = slug(&fake, ID, "put");
    fake.on("GET /account", 200, account())
        .on("GET /stacks", 200, json!([stack("debian-13")]))
        .on("POST /apps", 201, copy.clone())
        .on("PATCH /apps/copy", 200, copy)
        .on("PATCH /apps/copy/config-vars", 200, json!({}))
        .on("PUT /apps/copy/buildpack-installations", 200, json!([]))
        .on("POST /apps/copy/slugs", 201, announced)
        .on(&format!("PUT /blob/{ID}"), status, body)
        .on("POST /apps/copy/releases", 201, release(2, "Import", true))
        .on(
            "GET /apps/copy/available-dyno-sizes",
            200,
            json!([{"name": "Standard-1X"}, {"name": "Standard-2X"}]),
        )
        .on("PATCH /apps/copy/formation", 200, json!([]))
        .on(
            "POST /apps/copy/domains",
            422,
            json!({"id": "invalid_params", "message": "It is taken."}),
        )
}

fn as_released(fake: Fake) -> Fake {
    fake.on(
        "GET /apps/copy/formation",
        200,
        json!([
            formation("web", 1, "Standard-1X"),
            formation("worker", 0, "Standard-1X")
        ]),
    )
}

fn here() -> Fake {
    as_released(here_that_answers(200, Value::Null))
}

fn import(here: &Fake, origin: &Fake, more: &[&str]) -> crate::fake::Ran {
    let from = origin.url();
    let mut args = vec![
        "import", "heroku", "shop", "--from", &from, "--to", "copy", "--token", "-",
    ];
    args.extend(more);
    here.run_with(
        &args,
        "other-token\n",
        &[("ROPEWALK_TOKEN", "secret-token")],
    )
}

#[test]
fn what_is_asked_of_requests_is_copied_before_the_code() {
    let edge = json!({"app": {"id": ID, "name": "shop"}, "https_redirect": true, "hsts_max_age": null,
        "trusted_ips": ["192.0.2.0/24"], "basic_auth": {"user": "dev"}, "rate_limit": null, "max_body_bytes": 5});
    let origin = origin().on("GET /ropewalk/apps/shop/edge", 200, edge);
    let path = "PATCH /ropewalk/apps/copy/edge";
    let here = here().on(path, 200, json!({}));
    let ran = import(&here, &origin, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let requests = here.requests();
    let place = |begin: &str| {
        requests
            .iter()
            .position(|one| one.starts_with(begin))
            .unwrap()
    };
    assert!(place(path) < place("POST /apps/copy/slugs"));
    let sent: Vec<&str> = requests
        .iter()
        .filter_map(|one| one.strip_prefix(path))
        .collect();
    assert_eq!(
        sent,
        [
            " {\"trusted_ips\":[\"192.0.2.0/24\"]}",
            " {\"https_redirect\":true}",
            " {\"max_body_bytes\":5}"
        ]
    );
    assert!(
        ran.stderr
            .contains("Setting trusted-ips of the edge... done"),
        "{}",
        ran.stderr
    );
    let left = "edge setting basic-auth: no API tells its password; set it again with ropewalk edge:set \
                basic-auth=dev --app copy.";
    assert!(ran.stdout.contains(left), "{}", ran.stdout);
}

#[test]
fn an_app_is_copied_and_what_is_not_is_told() {
    let (origin, here) = (origin(), here());
    let ran = import(&here, &origin, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let requests = here.requests();
    let sent = |begin: &str| {
        let found = requests.iter().filter_map(|one| one.strip_prefix(begin));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sent("POST /apps "), ["{\"name\":\"copy\"}"]);
    assert_eq!(
        sent("PATCH /apps/copy/config-vars "),
        ["{\"A\":\"1\",\"B\":\"2\",\"DATABASE_URL\":\"postgres://x\"}"]
    );
    assert_eq!(sent(&format!("PUT /blob/{ID} ")), ["\"archive\""]);
    let description = format!("Import shop v7 {}", &OTHER[..8]);
    assert_eq!(
        sent("POST /apps/copy/releases "),
        [format!(
            "{{\"slug\":\"{ID}\",\"description\":\"{description}\"}}"
        )]
    );
    assert_eq!(
        sent("PATCH /apps/copy/formation "),
        [
            "{\"updates\":[{\"type\":\"web\",\"quantity\":2,\"size\":\"Standard-2X\"}]}",
            "{\"updates\":[{\"type\":\"worker\",\"quantity\":2,\"size\":\"Standard-1X\"}]}"
        ]
    );
    assert_eq!(sent("PATCH /apps/copy "), ["{\"maintenance\":true}"]);
    for left in [
        "config var HEROKU_APP_ID: Heroku sets it by itself.",
        "domain taken.example.com: It is taken.",
        "feature preboot: this server has no such feature.",
        "log drain 1: this server has no log drains.",
        "add-on postgresql-solid-1: it stays where it is; the copied values of DATABASE_URL lead to it there.",
        "access of other@example.com: accounts are each server's own.",
    ] {
        assert!(ran.stdout.contains(left), "{left}\n{}", ran.stdout);
    }
    for note in [
        "The stack heroku-24 is not on this server",
        "were Performance-M, a size that is not here",
    ] {
        assert!(ran.stderr.contains(note), "{note}\n{}", ran.stderr);
    }
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        !all.contains("secret@") && !all.contains("postgres://"),
        "{all}"
    );
    assert!(
        origin.requests().iter().all(|one| one.starts_with("GET ")),
        "only read there"
    );
}

#[test]
fn a_second_run_changes_only_what_differs() {
    let (origin, here) = (origin(), here_that_answers(200, Value::Null));
    let mut copy = app("copy", here.port);
    copy["maintenance"] = true.into();
    let done = release(2, &format!("Import shop v7 {}", &OTHER[..8]), true);
    let same = json!({"A": "1", "B": "2", "DATABASE_URL": "postgres://x", "OWN": "kept"});
    let here = here
        .on("GET /apps/copy", 200, copy)
        .on("GET /apps/copy/config-vars", 200, same)
        .on("GET /apps/copy/buildpack-installations", 200, json!([
            {"ordinal": 0, "buildpack": {"url": "urn:buildpack:heroku/nodejs", "name": "heroku/nodejs"}}]))
        .on("GET /apps/copy/releases", 200, json!([done]))
        .on("GET /apps/copy/formation", 200, json!([formation("web", 2, "Standard-2X"), formation("worker", 2, "Standard-1X")]))
        .on("GET /apps/copy/domains", 200, json!([]))
        .on("GET /apps/copy/features", 200, json!([{"name": "preboot", "enabled": true}]))
        .on("GET /apps/copy/log-drains", 200, json!([{"url": "https://secret@logs.example/"}]));
    let ran = import(&here, &origin, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let requests = here.requests();
    let changes = requests.iter().filter(|one| !one.starts_with("GET "));
    let changes: Vec<_> = changes.collect();
    assert_eq!(
        changes.len(),
        2,
        "the domains that are not there: {changes:?}"
    );
}

#[test]
fn code_that_could_not_be_copied_is_a_failure_and_the_rest_is_copied() {
    let refused = json!({"id": "invalid_params", "message": "The archive is damaged."});
    let (origin, here) = (origin(), as_released(here_that_answers(422, refused)));
    let ran = import(&here, &origin, &[]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("code: The archive is damaged."),
        "{}",
        ran.stdout
    );
    let maintenance = "PATCH /apps/copy {\"maintenance\":true}".to_owned();
    assert!(here.requests().contains(&maintenance));
}

#[test]
fn a_dry_run_changes_nothing() {
    let (origin, here) = (origin(), here());
    let ran = import(&here, &origin, &["--dry-run"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for would in [
        "Would: Creating",
        "Would: Setting 3 config vars",
        "Would: Copying and releasing the slug of v7",
        "Nothing was changed.",
    ] {
        assert!(ran.stderr.contains(would), "{would}\n{}", ran.stderr);
    }
    assert!(here.requests().iter().all(|one| one.starts_with("GET ")));
}

#[test]
fn a_token_goes_to_its_own_host_only() {
    let (origin, here) = (origin(), here());
    let from = origin.url();
    let env = [("ROPEWALK_TOKEN", "t"), ("HEROKU_API_KEY", "herokus")];
    let args = ["import", "heroku", "shop", "--from", &from, "--to", "copy"];
    let ran = here.run_with(&args, "", &env);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("No token for"), "{}", ran.stderr);
    assert!(origin.requests().is_empty());
    let onto = here.run(&["import", "heroku", "shop", "--from", &here.url()]);
    assert_eq!(onto.code, 2, "{}", onto.stderr);
}
