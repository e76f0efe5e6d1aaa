//! `ci`, `ci:*`: runs that are begun and followed, and their config vars.

use std::path::PathBuf;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, ok};

fn pipeline() -> Value {
    json!({"id": ID, "name": "shop", "owner": null, "created_at": AT, "updated_at": AT})
}

fn run(number: u32, status: &str, commit: &str) -> Value {
    json!({"id": ID, "actor_email": "dev@example.com", "clear_cache": null, "commit_branch": "main",
        "commit_message": "Change", "commit_sha": commit, "debug": false, "app_setup": null, "dyno": null,
        "message": null, "number": number, "organization": null, "pipeline": {"id": ID}, "status": status,
        "source_blob_url": "http://x.example/", "user": {"id": ID, "email": "dev@example.com"},
        "warning_message": null, "created_at": AT, "updated_at": AT})
}

fn nodes(fake: &Fake, status: &str, code: Option<i64>) -> Value {
    json!([{"id": ID, "dyno": null, "error_status": null, "exit_code": code, "index": 0, "message": null,
        "output_stream_url": format!("{}/output/tests", fake.url()), "pipeline": {"id": ID},
        "setup_stream_url": format!("{}/output/setup", fake.url()), "status": status, "test_run": {"id": ID},
        "created_at": AT, "updated_at": AT}])
}

fn with_outputs() -> Fake {
    Fake::with_routes(
        Router::new()
            .route("/output/setup", get(|| async { "-----> Building\n" }))
            .route("/output/tests", get(|| async { "not ok 1\n" })),
    )
    .on("GET /pipelines/shop", 200, pipeline())
}

/// A repository with one commit, and the commit.
fn repo(fake: &Fake) -> (PathBuf, String) {
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
    git(&["init", "--quiet", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "First line\n\nmore"]);
    let commit = git(&["rev-parse", "HEAD"]);
    (repo, commit)
}

#[test]
fn what_is_committed_is_sent_tested_and_followed_to_the_tests_exit_code() {
    let fake = with_outputs();
    let (repo, commit) = repo(&fake);
    let place = json!({"source_blob": {"put_url": format!("{}/put", fake.url()), "get_url": "http://x.example/"}});
    let failed = nodes(&fake, "failed", Some(3));
    let fake = fake
        .on("POST /sources", 201, place)
        .on("PUT /put", 200, Value::Null)
        .on("POST /test-runs", 201, run(7, "pending", &commit))
        .on(
            &format!("GET /test-runs/{ID}"),
            200,
            run(7, "failed", &commit),
        )
        .on(&format!("GET /test-runs/{ID}/test-nodes"), 200, failed)
        .on(
            &format!("GET /pipelines/{ID}/test-runs"),
            200,
            json!([run(7, "failed", &commit)]),
        );
    let token = [("ROPEWALK_TOKEN", "t")];
    let ran = fake.run_in(&repo, &["ci:run", "-p", "shop"], "", &token);
    let last = format!("\n\u{2717} #7 main:{} failed\n", &commit[..7]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("-----> Building\nnot ok 1\n{last}"));
    assert_eq!(
        ran.stderr,
        "Uploading source... done\nStarting test run... done, #7\n"
    );
    let requests = fake.requests();
    let asked = requests
        .iter()
        .find_map(|request| request.strip_prefix("POST /test-runs "))
        .unwrap();
    let asked: Value = serde_json::from_str(asked).unwrap();
    assert_eq!(asked["commit_branch"], "main");
    assert_eq!(asked["commit_message"], "First line");
    assert_eq!(asked["commit_sha"], commit);
    assert_eq!(asked["pipeline"], ID);
    assert_eq!(asked["source_blob_url"], "http://x.example/");

    // Once more, by its commit.
    let ran = fake.run_in(&repo, &["ci:rerun", "-p", "shop"], "", &token);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("Rerunning test run #7...\n"),
        "{}",
        ran.stderr
    );
    let ran = fake.run(&["ci:rerun", "-p", "shop"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is not here"), "{}", ran.stderr);
    let ran = fake.run(&["ci:run", "-p", "shop"]);
    assert!(
        ran.stderr.contains("Commit first: git commit."),
        "{}",
        ran.stderr
    );
}

#[test]
fn runs_are_listed_and_shown() {
    let fake = with_outputs();
    let passed = nodes(&fake, "succeeded", Some(0));
    let runs = format!("GET /pipelines/{ID}/test-runs");
    let fake = fake
        .on(
            &runs,
            200,
            json!([
                run(2, "succeeded", "1a2b3c4d5e"),
                run(1, "errored", "0a2b3c4d5e")
            ]),
        )
        .on(
            &format!("GET /pipelines/{ID}/test-runs/2"),
            200,
            run(2, "succeeded", "1a2b3c4d5e"),
        )
        .on(
            &format!("GET /test-runs/{ID}"),
            200,
            run(2, "succeeded", "1a2b3c4d5e"),
        )
        .on(&format!("GET /test-runs/{ID}/test-nodes"), 200, passed);
    assert_eq!(
        fake.run(&["ci", "-p", "shop"]),
        ok(
            "=== Showing latest test runs for the shop pipeline\n\n\u{2713}  #2  main  1a2b3c4  succeeded\n!  #1  main  0a2b3c4  errored\n",
            ""
        )
    );
    let said = "-----> Building\nnot ok 1\n\n\u{2713} #2 main:1a2b3c4 succeeded\n";
    assert_eq!(fake.run(&["ci:info", "2", "-p", "shop"]), ok(said, ""));
    assert_eq!(fake.run(&["ci:last", "-p", "shop"]), ok(said, ""));
    let ran = fake.run(&["ci:last", "-p", "shop", "--json"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["testNode"]["exit_code"], 0);
    let none = with_outputs().on(&runs, 200, json!([]));
    assert_eq!(
        none.run(&["ci", "-p", "shop"]),
        ok("shop has no test runs.\n", "")
    );
    assert_eq!(none.run(&["ci:last", "-p", "shop"]).code, 1);
    let nameless = none.run(&["ci"]);
    assert!(
        nameless.stderr.contains("Which pipeline?"),
        "{}",
        nameless.stderr
    );
    let gone = none.run(&["ci:debug"]);
    assert_eq!(gone.code, 2);
    assert!(gone.stderr.contains("ropewalk run bash"), "{}", gone.stderr);
}

#[test]
fn config_vars_of_tests_are_shown_set_and_removed() {
    let path = format!("/pipelines/{ID}/stage/test/config-vars");
    let fake = with_outputs()
        .on(&format!("GET {path}"), 200, json!({"A": "1", "B": "a b"}))
        .on(&format!("PATCH {path}"), 200, json!({"A": "1", "B": "a b"}));
    assert_eq!(
        fake.run(&["ci:config", "-p", "shop"]),
        ok("=== shop test config vars\n\nA: 1\nB: a b\n", "")
    );
    let shell = fake.run(&["ci:config", "-p", "shop", "--shell"]);
    assert_eq!(shell, ok("A=1\nB='a b'\n", ""));
    assert_eq!(
        fake.run(&["ci:config:get", "B", "-p", "shop"]),
        ok("a b\n", "")
    );
    let none = fake.run(&["ci:config:get", "C", "-p", "shop"]);
    assert_eq!((none.code, none.stdout.as_str()), (1, "\n"));
    fake.requests();
    let set = fake.run(&["ci:config:set", "A=1", "-p", "shop"]);
    assert_eq!(set, ok("A: 1\n", "Setting A... done\n"));
    let unset = fake.run(&["ci:config:unset", "C", "-p", "shop"]);
    assert_eq!(unset, ok("", "Unsetting C... done\n"));
    let requests = fake.requests();
    assert_eq!(requests[1], format!(r#"PATCH {path} {{"A":"1"}}"#));
    assert_eq!(requests[3], format!(r#"PATCH {path} {{"C":null}}"#));
}
