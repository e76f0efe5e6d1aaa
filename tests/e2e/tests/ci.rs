//! Pipelines on a running platform: code that goes on without a build, and tests that are run before it does.

#![allow(clippy::unwrap_used)] // support code of tests

use std::process::Stdio;
use std::time::Duration;

use e2e::{Ran, Repo, Rig, binary};
use serde_json::Value;

/// A command of the CLI beside a repository.
fn beside(rig: &Rig, repo: &Repo, args: &[&str]) -> Ran {
    let output = rig.command(repo.path(), binary()).args(args).output();
    Ran::of(output.unwrap())
}

/// A Node app whose tests are `npm test` and need what only tests need.
fn node(test: &str) -> Repo {
    let package = serde_json::json!({
        "name": "tested",
        "engines": {"node": "24.x"},
        "scripts": {"test": test, "start": "node index.js"},
        "devDependencies": {"ms": "2.1.3"}
    });
    let test = "const ms = require('ms');\n\
        console.log('TAP version 13\\n1..1\\nok 1 - ' + process.env.NODE_ENV + ' ' + ms(1000) + ' ' + process.env.CI);\n\
        process.exit(Number(process.env.EXIT || 0));\n";
    Repo::with(&[
        ("package.json", &package.to_string()),
        (
            "index.js",
            "require('http').createServer().listen(process.env.PORT)\n",
        ),
        ("test.js", test),
    ])
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("not JSON: {}", ran.all()))
}

/// Nothing of a test run is left: no container, app, slug or file of its own.
#[track_caller]
fn is_clean(rig: &Rig, slugs: usize) {
    rig.wait(
        "test runs to be cleared away",
        Duration::from_secs(60),
        |rig| {
            rig.containers("dyno").is_empty()
                && rig.containers("build").is_empty()
                && rig.entries("builds").is_empty()
                && rig.entries("slugs").len() == slugs
                && rig.entries("bases").is_empty()
        },
    );
    rig.wait("every overlay to go", Duration::from_secs(90), |rig| {
        rig.entries("mnt/dyno").is_empty()
    });
    assert!(!rig.cli(&["apps"]).good().all().contains("test-run-"));
}

#[test]
fn the_tests_of_a_node_app_are_run_and_their_exit_code_decides() {
    let rig = Rig::start();
    rig.cli(&["pipelines:create", "shop"]).good();
    let repo = node("node test.js");
    rig.cli(&["ci:config:set", "-p", "shop", "API_SECRET=hunter2hunter2"])
        .good();

    let ran = beside(&rig, &repo, &["ci:run", "-p", "shop"]).good();
    assert!(ran.all().contains("Node.js app detected"), "{}", ran.all());
    assert!(ran.stdout.contains("ok 1 - test 1s true"), "{}", ran.all());
    assert!(
        ran.stdout.trim_end().ends_with("succeeded") && ran.stdout.contains("\u{2713} #1 main:"),
        "{}",
        ran.all()
    );
    is_clean(&rig, 0);

    // The exit code of the tests is that of the command.
    rig.cli(&["ci:config:set", "-p", "shop", "EXIT=3"]).good();
    let ran = beside(&rig, &repo, &["ci:rerun", "-p", "shop"]);
    assert_eq!(ran.code, 3, "{}", ran.all());
    assert!(ran.stdout.contains("\u{2717} #2 main:"), "{}", ran.all());
    let list = rig.cli(&["ci", "-p", "shop"]).good().stdout;
    assert!(list.contains("#2") && list.contains("#1"), "{list}");
    // What was said is still there.
    let last = rig.cli(&["ci:last", "-p", "shop"]);
    assert_eq!(last.code, 3);
    assert!(
        last.stdout.contains("ok 1 - test 1s true"),
        "{}",
        last.all()
    );
    let info = json(&rig.cli(&["ci:info", "1", "-p", "shop", "--json"]).good());
    assert_eq!(info["testRun"]["status"], "succeeded");
    assert_eq!(info["testNode"]["exit_code"], 0);
    let id = info["testRun"]["id"].as_str().unwrap();
    let (status, cases) = rig.api("GET", &format!("/test-runs/{id}/test-cases"), "");
    assert_eq!(status, 200);
    let cases: Value = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases[0]["description"], "test 1s true");
    assert_eq!(cases[0]["passed"], true);
    is_clean(&rig, 0);
}

#[test]
fn app_json_says_what_is_run_and_what_fails_before_the_tests_is_no_verdict() {
    let rig = Rig::start();
    rig.cli(&["pipelines:create", "shop"]).good();
    let app_json = |setup: &str| {
        serde_json::json!({
            "env": {"A": "general", "B": "general"},
            "environments": {"test": {
                "env": {"B": "of tests", "C": "of tests"},
                "scripts": {"test-setup": setup, "test": "cat made; echo $A, $B, $C, $HEROKU_TEST_RUN_NUMBER; exit 7"}
            }}
        })
        .to_string()
    };
    let repo = Repo::with(&[
        ("Procfile", "web: sleep 1000\nrelease: echo never\n"),
        (
            "app.json",
            &app_json("echo preparing; echo made by setup > made"),
        ),
    ]);
    rig.cli(&["ci:config:set", "-p", "shop", "C=own"]).good();
    let ran = beside(&rig, &repo, &["ci:run", "-p", "shop"]);
    assert_eq!(ran.code, 7, "{}", ran.all());
    assert!(ran.stdout.contains("preparing"), "{}", ran.all());
    assert!(
        ran.stdout
            .contains("made by setup\ngeneral, of tests, own, 1\n"),
        "{}",
        ran.all()
    );
    assert!(!ran.all().contains("never"), "{}", ran.all());

    repo.change(&[("app.json", &app_json("echo half; exit 4"))]);
    let ran = beside(&rig, &repo, &["ci:run", "-p", "shop"]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(
        ran.stdout.contains("test-setup ended with exit code 4."),
        "{}",
        ran.all()
    );
    assert!(ran.stdout.contains("! #2 main:"), "{}", ran.all());

    repo.change(&[("app.json", "{}")]);
    let ran = beside(&rig, &repo, &["ci:run", "-p", "shop"]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.stdout.contains("There are no tests"), "{}", ran.all());
    is_clean(&rig, 0);
}

#[test]
fn a_run_is_cancelled_and_one_that_a_restart_interrupts_is_errored() {
    let rig = Rig::start();
    rig.cli(&["pipelines:create", "shop"]).good();
    let app_json = r#"{"environments": {"test": {"scripts": {"test": "echo began; sleep 1000"}}}}"#;
    let repo = Repo::with(&[("Procfile", "web: sleep 1000\n"), ("app.json", app_json)]);
    let begin = |number: &str| {
        let child = rig
            .command(repo.path(), binary())
            .args(["ci:run", "-p", "shop"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        rig.wait("the tests to run", Duration::from_secs(60), |rig| {
            let info = rig.cli(&["ci:info", number, "-p", "shop", "--json"]);
            info.stdout.contains("\"running\"") && rig.containers("dyno").len() == 1
        });
        child
    };
    let child = begin("1");
    let info = json(&rig.cli(&["ci:info", "1", "-p", "shop", "--json"]));
    let path = format!("/test-runs/{}", info["testRun"]["id"].as_str().unwrap());
    let cancel = r#"{"status": "cancelled", "message": "Changed my mind"}"#;
    let (status, answer) = rig.api("PATCH", &path, cancel);
    assert_eq!(status, 200, "{answer}");
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(
        ran.stdout.contains("began") && ran.stdout.contains("cancelled"),
        "{}",
        ran.all()
    );
    assert_eq!(rig.api("PATCH", &path, cancel).0, 422);
    is_clean(&rig, 0);

    let mut child = begin("2");
    rig.kill("server");
    rig.wait_ready();
    rig.wait("the run to be errored", Duration::from_secs(60), |rig| {
        let info = rig.cli(&["ci:info", "2", "-p", "shop", "--json"]);
        info.stdout.contains("\"errored\"") && info.stdout.contains("restart of the platform")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    is_clean(&rig, 0);
}

#[test]
fn an_app_is_promoted_without_a_build_and_keeps_its_own_config_vars() {
    let rig = Rig::start();
    let (staging, production) = (rig.create("staging"), rig.create("production"));
    rig.cli(&["config:set", "WHO=production", "-a", &production])
        .good();
    rig.cli(&["config:set", "WHO=staging", "-a", &staging])
        .good();
    let server = "import http.server, os\n\
        class H(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self):\n\
        \x20       self.send_response(200)\n\
        \x20       self.end_headers()\n\
        \x20       self.wfile.write(('one ' + os.environ['WHO']).encode())\n\
        http.server.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), H).serve_forever()\n";
    let procfile = "web: python3 server.py\nrelease: echo migrating $WHO\n";
    let repo = Repo::with(&[("server.py", server), ("Procfile", procfile)]);
    rig.push(&repo, &staging).good();
    rig.cli(&["pipelines:create", "shop", "-a", &staging, "-s", "staging"])
        .good();
    let early = rig.cli(&["pipelines:promote", "-a", &staging]).bad();
    assert!(
        early.all().contains("no app at production"),
        "{}",
        early.all()
    );
    rig.cli(&[
        "pipelines:add",
        "shop",
        "-a",
        &production,
        "-s",
        "production",
    ])
    .good();
    let info = rig.cli(&["pipelines:info", "shop"]).good().stdout;
    assert!(
        info.contains(&staging) && info.contains(&production),
        "{info}"
    );

    let ran = rig.cli(&["pipelines:promote", "-a", &staging]).good();
    assert!(ran.all().contains("migrating production"), "{}", ran.all());
    assert!(ran.stdout.contains("Promotion successful"), "{}", ran.all());
    rig.wait("the promoted code", Duration::from_secs(30), |rig| {
        rig.get(&production, "/") == (200, "one production".to_owned())
    });
    // The same image, and nothing was built.
    assert_eq!(rig.entries("slugs").len(), 1);
    let builds = rig.cli(&["builds", "-a", &production, "--json"]).good();
    assert_eq!(builds.stdout.trim(), "[]");
    let releases = rig.cli(&["releases", "-a", &production]).good().stdout;
    assert!(
        releases.contains(&format!("Promote {staging} v")),
        "{releases}"
    );

    // A promotion that fails leaves what served.
    repo.change(&[(
        "Procfile",
        "web: python3 server.py\nrelease: test $WHO = staging\n",
    )]);
    rig.push(&repo, &staging).good();
    let ran = rig
        .cli(&["pipelines:promote", "-a", &staging, "--to", &production])
        .bad();
    assert!(ran.all().contains("failed"), "{}", ran.all());
    assert_eq!(rig.get(&production, "/").1, "one production");

    // What was promoted stays when its source goes.
    rig.cli(&["apps:destroy", "-a", &staging, "--confirm", &staging])
        .good();
    rig.cli(&["ps:restart", "-a", &production]).good();
    rig.wait("the promoted code", Duration::from_secs(60), |rig| {
        rig.get(&production, "/") == (200, "one production".to_owned())
    });
    rig.cli(&["pipelines:destroy", "shop", "--confirm", "shop"])
        .good();
}
