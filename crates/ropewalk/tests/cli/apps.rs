//! `apps`, `apps:*`, and which app is meant.

use std::process::Command;

use serde_json::json;

use crate::fake::{Fake, Ran, account, app, dyno, failed, ok};

fn git(folder: &std::path::Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn apps_are_listed_by_owner() {
    let fake = Fake::new();
    let mut other = app("theirs", fake.port);
    other["owner"]["email"] = "you@example.com".into();
    let apps = json!([app("zeta", fake.port), app("alpha", fake.port), other]);
    let fake = fake
        .on("GET /users/~/apps", 200, apps)
        .on("GET /account", 200, account());
    let expected = "=== dev@example.com Apps\n\nalpha\nzeta\n\n=== Collaborated Apps\n\ntheirs  you@example.com\n\n";
    assert_eq!(fake.run(&["apps"]), ok(expected, ""));
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(&fake.run(&["apps", "--json"]).stdout).unwrap();
    assert_eq!(listed[1]["name"], "theirs");
    assert_eq!(listed[1]["organization"], serde_json::Value::Null);
}

#[test]
fn creating_an_app_makes_a_remote_that_names_it_from_then_on() {
    let fake = Fake::new();
    let demo = app("demo", fake.port);
    let fake = fake
        .on("POST /apps", 201, demo.clone())
        .on("GET /apps/demo", 200, demo.clone())
        .on("PATCH /apps/demo", 200, app("new", fake_port(&demo)))
        .on("DELETE /apps/new", 200, demo.clone())
        .on("GET /apps/new", 200, app("new", fake_port(&demo)));
    let folder = tempfile::tempdir_in(fake.home.path()).unwrap();
    git(folder.path(), &["init", "-q"]);
    let run = |args: &[&str], stdin: &str| {
        fake.run_in(folder.path(), args, stdin, &[("ROPEWALK_TOKEN", "t")])
    };

    assert_eq!(
        run(&["create", "demo"], ""),
        ok(
            "http://demo.localhost:PORT/ | http://git.localhost:PORT/demo.git\n",
            "Creating \u{2b22} demo... done, stack is debian-13\n"
        )
    );
    assert_eq!(fake.requests(), ["POST /apps {\"name\":\"demo\"}"]);
    let helper = format!("credential.http://git.localhost:{}.helper", fake.port);
    assert_eq!(
        git(folder.path(), &["config", &helper]),
        "!ropewalk git:credentials\n"
    );

    assert_eq!(run(&["maintenance"], "").stdout, "off\n");
    assert_eq!(fake.requests(), ["GET /apps/demo"]);

    let renamed = run(&["rename", "new"], "");
    assert_eq!(
        renamed.stdout,
        "http://new.localhost:PORT/ | http://git.localhost:PORT/new.git\nGit remote ropewalk updated\n"
    );
    assert!(git(folder.path(), &["remote", "-v"]).contains("/new.git"));
    assert_eq!(fake.requests(), ["PATCH /apps/demo {\"name\":\"new\"}"]);

    let asked = run(&["destroy"], "wrong\n");
    assert_eq!(
        asked,
        failed(
            1,
            " \u{25b8}    WARNING: This will delete \u{2b22} new with its code, releases and config vars.\n \u{25b8}    To proceed, type new or re-run this command with\n \u{25b8}    --confirm new\n \u{25b8}    Confirmation did not match new. Aborted.\n"
        )
    );
    assert_eq!(fake.requests(), ["GET /apps/new"]);
    assert_eq!(
        run(&["destroy", "--confirm", "new"], ""),
        ok("", "Destroying \u{2b22} new... done\n")
    );
    assert_eq!(fake.requests(), ["GET /apps/new", "DELETE /apps/new"]);
    assert_eq!(git(folder.path(), &["remote"]), "");
}

#[test]
fn a_git_remote_is_made_and_moved() {
    let fake = Fake::new();
    let (demo, other) = (app("demo", fake.port), app("other", fake.port));
    let fake = fake
        .on("GET /apps/demo", 200, demo)
        .on("GET /apps/other", 200, other);
    let folder = tempfile::tempdir_in(fake.home.path()).unwrap();
    let run = |args: &[&str]| fake.run_in(folder.path(), args, "", &[("ROPEWALK_TOKEN", "t")]);
    assert_eq!(
        run(&["git:remote", "-a", "demo"]),
        failed(
            1,
            " \u{25b8}    This folder is not in a git repository.\n \u{25b8}    Run git init first.\n"
        )
    );
    git(folder.path(), &["init", "-q"]);
    for name in ["demo", "other"] {
        let said = format!("set git remote ropewalk to http://git.localhost:PORT/{name}.git\n");
        assert_eq!(run(&["git:remote", "-a", name]), ok(&said, ""));
        let url = format!("http://git.localhost:{}/{name}.git\n", fake.port);
        assert_eq!(git(folder.path(), &["remote", "get-url", "ropewalk"]), url);
    }
    run(&["git:remote", "-a", "demo", "-r", "staging"]);
    assert_eq!(git(folder.path(), &["remote"]), "ropewalk\nstaging\n");
}

fn fake_port(app: &serde_json::Value) -> u16 {
    let url = app["git_url"].as_str().unwrap();
    url.trim_start_matches("http://git.localhost:")
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn everything_about_an_app() {
    let fake = Fake::new();
    let demo = app("demo", fake.port);
    let fake = fake
        .on("GET /apps/demo", 200, demo)
        .on(
            "GET /apps/demo/dynos",
            200,
            json!([dyno("web.1", "up", 3), dyno("web.2", "up", 3)]),
        )
        .on("GET /apps/demo/collaborators", 200, json!([]));
    let expected = "=== demo\n\n\
        Dynos:     web: 2\n\
        Git URL:   http://git.localhost:PORT/demo.git\n\
        Owner:     dev@example.com\n\
        Region:    us\n\
        Repo Size: 0 B\n\
        Slug Size: 63.0 MB\n\
        Stack:     debian-13\n\
        Web URL:   http://demo.localhost:PORT/\n";
    assert_eq!(fake.run(&["info", "demo"]), ok(expected, ""));
}

#[test]
fn without_an_app_the_command_says_how_to_name_one() {
    let fake = Fake::new();
    let expected = " \u{25b8}    Which app? None was named, and no git remote here leads to one.\n \u{25b8}    Name it with --app APP, set ROPEWALK_APP, or add a remote: ropewalk git:remote --app APP.\n";
    assert_eq!(fake.run(&["config"]), failed(2, expected));
    let folder = tempfile::tempdir_in(fake.home.path()).unwrap();
    git(folder.path(), &["init", "-q"]);
    for name in ["staging", "production"] {
        let url = format!("http://git.localhost:{}/demo-{name}.git", fake.port);
        git(folder.path(), &["remote", "add", name, &url]);
    }
    let run = |args: &[&str]| fake.run_in(folder.path(), args, "", &[("ROPEWALK_TOKEN", "t")]);
    let expected = " \u{25b8}    Which app? Several git remotes lead to one:\n \u{25b8}      demo-staging (staging)\n \u{25b8}      demo-production (production)\n \u{25b8}    Choose one with --remote REMOTE or --app APP.\n";
    assert_eq!(run(&["config"]), failed(2, expected));
    run(&["config", "-r", "staging"]);
    assert_eq!(fake.requests(), ["GET /apps/demo-staging/config-vars"]);
}

#[test]
fn the_servers_errors_are_shown_with_their_id() {
    let fake = Fake::new().on(
        "GET /apps/nope/config-vars",
        404,
        json!({"id": "not_found", "message": "Couldn't find that app.", "resource": "app"}),
    );
    let expected = " \u{25b8}    Couldn't find that app.\n \u{25b8}\n \u{25b8}    Error ID: not_found\n \u{25b8}    Run ropewalk apps to see which apps you have.\n";
    let ran: Ran = fake.run(&["config", "--app", "nope"]);
    assert_eq!(ran, failed(1, expected));
}
