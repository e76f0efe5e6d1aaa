//! The smaller nouns: logs, buildpacks, builds, stack, domains, maintenance, status; and what is not there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::get;
use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, account, app, failed, ok};

#[test]
fn a_log_is_shown_and_ends() {
    let events = "id: 1\ndata: 2024-01-01T12:00:00.000001+00:00 app[web.1]: one\n\nid: 2\ndata: 2024-01-01T12:00:01.000001+00:00 heroku[router]: at=info\n\n";
    let stream = get(move || async move { ([("content-type", "text/event-stream")], events) });
    let fake = Fake::with_routes(Router::new().route("/stream/1", stream));
    let url = format!("{}/stream/1", fake.url());
    let session = json!({"id": ID, "logplex_url": url, "created_at": AT, "updated_at": AT});
    let fake = fake.on("POST /apps/demo/log-sessions", 201, session);
    let expected = "2024-01-01T12:00:00.000001+00:00 app[web.1]: one\n2024-01-01T12:00:01.000001+00:00 heroku[router]: at=info\n";
    assert_eq!(
        fake.run(&["logs", "-n", "5", "-d", "web", "-s", "app", "-a", "demo"]),
        ok(expected, "")
    );
    assert_eq!(
        fake.requests(),
        [
            "POST /apps/demo/log-sessions {\"lines\":5,\"tail\":false,\"source\":\"app\",\"dyno\":\"web\"}"
        ]
    );
    let ran = fake.run(&["logs", "--json", "-a", "demo"]);
    let first: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["dyno"].as_str(), first["message"].as_str()),
        (Some("web.1"), Some("one"))
    );
}

#[test]
fn a_log_is_followed_as_it_grows_and_over_a_break() {
    let line = |number: u32| {
        format!(
            "id: {number}\ndata: 2024-01-01T12:00:0{number}.000001+00:00 app[web.1]: line {number}\n\n"
        )
    };
    // The first answer ends, as proxies end them; the second goes on behind the last line that came.
    let stream = get(move |headers: HeaderMap| async move {
        let last = headers.get("last-event-id").map(HeaderValue::as_bytes);
        let body = match last {
            Some(b"1") => line(2),
            _ => line(1),
        };
        ([("content-type", "text/event-stream")], body)
    });
    let fake = Fake::with_routes(Router::new().route("/stream/1", stream));
    let url = format!("{}/stream/1", fake.url());
    let session = json!({"id": ID, "logplex_url": url, "created_at": AT, "updated_at": AT});
    let fake = fake.on("POST /apps/demo/log-sessions", 201, session);
    let mut child = fake.spawn(&["logs", "--tail", "-a", "demo"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in [1, 2] {
        let expected = format!("2024-01-01T12:00:0{number}.000001+00:00 app[web.1]: line {number}");
        assert_eq!(lines.next().unwrap().unwrap(), expected);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        fake.requests()[0],
        "POST /apps/demo/log-sessions {\"lines\":100,\"tail\":true}"
    );
}

fn buildpacks(urls: &[&str]) -> Value {
    let list = urls
        .iter()
        .enumerate()
        .map(|(ordinal, url)| json!({"ordinal": ordinal, "buildpack": {"url": url, "name": url}}));
    list.collect()
}

#[test]
fn buildpacks_are_written_back_whole() {
    let fake = Fake::new()
        .on(
            "GET /apps/demo/buildpack-installations",
            200,
            buildpacks(&["urn:buildpack:heroku/nodejs"]),
        )
        .on(
            "PUT /apps/demo/buildpack-installations",
            200,
            buildpacks(&["https://example.com/x.git", "urn:buildpack:heroku/nodejs"]),
        );
    assert_eq!(
        fake.run(&["buildpacks", "-a", "demo"]),
        ok("=== demo Buildpack URL\n\nheroku/nodejs\n", "")
    );
    fake.requests();
    assert_eq!(
        fake.run(&[
            "buildpacks:add",
            "-i",
            "1",
            "https://example.com/x.git",
            "-a",
            "demo"
        ]),
        ok(
            "Buildpack added. Next release on \u{2b22} demo will use:\n  1. https://example.com/x.git\n  2. heroku/nodejs\nRun git push ropewalk main to create a new release using these buildpacks.\n",
            ""
        )
    );
    assert_eq!(
        fake.requests()[1],
        "PUT /apps/demo/buildpack-installations {\"updates\":[{\"buildpack\":\"https://example.com/x.git\"},{\"buildpack\":\"heroku/nodejs\"}]}"
    );
    assert_eq!(
        fake.run(&["buildpacks:remove", "nope", "-a", "demo"]).code,
        1
    );
    for (args, sent) in [
        // Alone it replaces the whole list, with an index one of it; an index behind the end appends.
        (&["heroku/python"][..], &["heroku/python"][..]),
        (&["heroku/python", "-i", "1"], &["heroku/python"]),
        (
            &["heroku/python", "-i", "2"],
            &["heroku/nodejs", "heroku/python"],
        ),
    ] {
        fake.requests();
        let args = [&["buildpacks:set", "-a", "demo"], args].concat();
        let ran = fake.run(&args);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.starts_with("Buildpack set. Next release on"));
        let updates: Vec<Value> = sent.iter().map(|url| json!({"buildpack": url})).collect();
        assert_eq!(
            fake.requests()[1],
            format!(
                "PUT /apps/demo/buildpack-installations {}",
                json!({"updates": updates})
            )
        );
    }
    assert_eq!(
        fake.run(&["buildpacks:clear", "-a", "demo"]),
        ok(
            "Buildpacks cleared. Next release on \u{2b22} demo will detect buildpacks normally.\n",
            ""
        )
    );
}

#[test]
fn builds_tell_their_output_and_outcome() {
    let routes = Router::new().route(
        "/output/1",
        get(|| async { "-----> Building\n !     failed\n" }),
    );
    let fake = Fake::with_routes(routes);
    let build = json!({"id": ID, "app": {"id": ID}, "buildpacks": null, "generation": "cedar",
        "output_stream_url": format!("{}/output/1", fake.url()),
        "source_blob": {"checksum": null, "url": "", "version": "1a2b3c4d5e6f", "version_description": null},
        "release": null, "slug": null, "stack": "debian-13", "status": "failed",
        "user": {"id": ID, "email": "dev@example.com"}, "created_at": AT, "updated_at": AT});
    let fake = fake
        .on("GET /apps/demo/builds", 200, json!([build.clone()]))
        .on(&format!("GET /apps/demo/builds/{ID}"), 200, build);
    let expected = format!(
        "=== demo Builds\n\n{ID}  failed  1a2b3c4d  dev@example.com  2024/01/01 12:00:00 +0000\n"
    );
    assert_eq!(fake.run(&["builds", "-a", "demo"]), ok(&expected, ""));
    let expected = format!(
        "=== Build {ID}\n\nBy:     dev@example.com\nStatus: failed\nSource: 1a2b3c4d5e6f\nStack:  debian-13\nWhen:   2024/01/01 12:00:00 +0000\n"
    );
    for args in [
        &["builds:info", "-a", "demo"][..],
        &["builds:info", ID, "-a", "demo"],
    ] {
        assert_eq!(fake.run(args), ok(&expected, ""));
    }
    let ran = fake.run(&["builds:output", "-a", "demo"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (1, "-----> Building\n !     failed\n")
    );
}

#[test]
fn stacks_and_maintenance() {
    let fake = Fake::new();
    let mut next = app("demo", fake.port);
    next["build_stack"]["name"] = "debian-12".into();
    let stack = |name: &str| json!({"id": ID, "name": name, "default": false, "state": "public", "created_at": AT, "updated_at": AT});
    let fake = fake
        .on("GET /apps/demo", 200, next.clone())
        .on("PATCH /apps/demo", 200, next)
        .on(
            "GET /stacks",
            200,
            json!([stack("debian-13"), stack("debian-12")]),
        );
    assert_eq!(
        fake.run(&["stack", "-a", "demo"]),
        ok(
            "=== \u{2b22} demo Available Stacks\n\n  debian-12 (active on next deploy)\n* debian-13\n",
            ""
        )
    );
    let set = fake.run(&["stack:set", "debian-12", "-a", "demo"]);
    assert_eq!(set.stderr, "Setting stack to debian-12... done\n");
    fake.requests();
    assert_eq!(
        fake.run(&["maintenance:on", "-a", "demo"]),
        ok("", "Enabling maintenance mode for \u{2b22} demo... done\n")
    );
    assert_eq!(fake.requests(), ["PATCH /apps/demo {\"maintenance\":true}"]);
}

#[test]
fn domains_are_added_and_listed() {
    let domain = |hostname: &str, kind: &str, cname: Value, status: &str| {
        json!({"id": ID, "app": {"id": ID, "name": "demo"}, "hostname": hostname, "cname": cname, "kind": kind,
            "status": status, "acm_status": null, "acm_status_reason": null, "sni_endpoint": null,
            "created_at": AT, "updated_at": AT})
    };
    let custom = domain(
        "www.example.com",
        "custom",
        "x.dns.localhost".into(),
        "none",
    );
    let fake = Fake::new()
        .on(
            "GET /apps/demo/domains",
            200,
            json!([
                domain("demo.localhost", "heroku", Value::Null, "none"),
                custom.clone()
            ]),
        )
        .on("POST /apps/demo/domains", 201, custom.clone())
        .on(
            "GET /apps/demo/domains/www.example.com",
            200,
            custom.clone(),
        )
        .on("DELETE /apps/demo/domains/www.example.com", 200, custom);
    let expected = "=== demo Ropewalk Domain\n\ndemo.localhost\n\n=== demo Custom Domains\n\n\
        Domain Name      DNS Record Type  DNS Target       SNI Endpoint  Status\n\
        ───────────────  ───────────────  ───────────────  ────────────  ──────\n\
        www.example.com  CNAME            x.dns.localhost  none          none\n";
    assert_eq!(fake.run(&["domains", "-a", "demo"]), ok(expected, ""));
    fake.requests();
    assert_eq!(
        fake.run(&["domains:add", "www.example.com", "-a", "demo"]),
        ok(
            "Configure your app's DNS provider to point to the DNS Target x.dns.localhost.\n",
            "Adding www.example.com to \u{2b22} demo... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        ["POST /apps/demo/domains {\"hostname\":\"www.example.com\",\"sni_endpoint\":null}"]
    );
    assert_eq!(
        fake.run(&["domains:wait", "www.example.com", "-a", "demo"]),
        ok("", "Waiting for www.example.com... done\n")
    );
    assert_eq!(
        fake.run(&["domains:info", "www.example.com", "-a", "demo"]),
        ok(
            "=== www.example.com\n\nApp:          demo\nCNAME:        x.dns.localhost\nHostname:     www.example.com\nKind:         custom\nSNI Endpoint: none\nStatus:       none\n",
            ""
        )
    );
    fake.requests();
    assert_eq!(
        fake.run(&["domains:clear", "-a", "demo"]),
        ok("", "Removing all domains from \u{2b22} demo... done\n")
    );
    assert_eq!(
        fake.requests()[1..],
        ["DELETE /apps/demo/domains/www.example.com"]
    );
    assert_eq!(
        fake.run(&["domains:remove", "www.example.com", "-a", "demo"]),
        ok("", "Removing www.example.com from \u{2b22} demo... done\n")
    );
}

#[test]
fn log_drains_are_added_listed_and_removed() {
    let url = "https://me:pw@logs.example.com/in?k=1";
    let drain = json!({"id": ID, "addon": null, "app": {"id": ID, "name": "demo"}, "token": "d.1", "url": url,
        "created_at": AT, "updated_at": AT});
    let encoded = "https:%2F%2Fme:pw@logs.example.com%2Fin%3Fk=1";
    let fake = Fake::new()
        .on("GET /apps/demo/log-drains", 200, json!([]))
        .on("GET /apps/demo/log-drains", 200, json!([drain.clone()]))
        .on("POST /apps/demo/log-drains", 201, drain.clone())
        .on("DELETE /apps/demo/log-drains/d.1", 200, drain.clone())
        .on(
            &format!("DELETE /apps/demo/log-drains/{encoded}"),
            200,
            drain.clone(),
        );
    assert_eq!(
        fake.run(&["drains", "-a", "demo"]),
        ok("", "\u{2b22} demo has no log drains.\n")
    );
    assert_eq!(
        fake.run(&["drains", "-a", "demo"]),
        ok(&format!("=== Drains\n\n{url} (d.1)\n"), "")
    );
    let shown = fake.run(&["drains", "--json", "-a", "demo"]).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, json!([drain]));
    fake.requests();
    assert_eq!(
        fake.run(&["drains:add", url, "-a", "demo"]),
        ok(&format!("Successfully added drain {url}\n"), "")
    );
    assert_eq!(
        fake.requests(),
        [format!(
            "POST /apps/demo/log-drains {}",
            json!({ "url": url })
        )]
    );
    for name in ["d.1", url] {
        assert_eq!(
            fake.run(&["drains:remove", name, "-a", "demo"]),
            ok(&format!("Successfully removed drain {name}\n"), "")
        );
    }
}

#[test]
fn status_says_who_answers() {
    let fake = Fake::new();
    let fake = fake
        .on("GET /account", 200, account())
        .on("GET /account/rate-limits", 200, json!({"remaining": 4498}))
        .on("GET /users/~/apps", 200, json!([]));
    let ran = fake.run(&["status"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.stdout
            .starts_with("Server:        http://api.localhost:PORT answers in "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .ends_with("Account:       dev@example.com\nApps:          0\nRequests left: 4498\n"),
        "{}",
        ran.stdout
    );
    let env = [
        ("ROPEWALK_TOKEN", "t"),
        ("ROPEWALK_URL", "http://api.localhost:1"),
    ];
    let ran = fake.run_with(&["status"], "", &env);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .starts_with(" \u{25b8}    The server at api.localhost:1 could not be reached"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_is_not_there_is_answered_in_one_sentence() {
    let fake = Fake::new();
    assert_eq!(
        fake.run(&["pipelines:connect", "x"]),
        failed(
            2,
            " \u{25b8}    Ropewalk does not have Heroku's pipelines:connect yet.\n \u{25b8}    Pipelines are not linked to a git host. Push to an app of the pipeline, and promote: ropewalk pipelines:promote.\n"
        )
    );
    assert_eq!(
        fake.run(&["ps:scal"]),
        failed(
            2,
            " \u{25b8}    ps:scal is not a ropewalk command.\n \u{25b8}    Did you mean ps:scale? Run ropewalk help for a list of all commands.\n"
        )
    );
}

#[test]
fn completions_and_man_pages_are_made() {
    let fake = Fake::new();
    let script = fake.run(&["completions", "bash"]).stdout;
    let file = fake.home.path().join("complete.bash");
    std::fs::write(&file, &script).unwrap();
    assert!(
        Command::new("bash")
            .arg("-n")
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
    for (shell, listed) in [("zsh", r"'ps\:scale:"), ("fish", "ps:scale")] {
        let script = fake.run(&["completions", shell]).stdout;
        assert!(script.contains(listed), "{shell}");
    }
    let folder = fake.home.path().join("man");
    assert_eq!(fake.run(&["man", folder.to_str().unwrap()]).code, 0);
    assert!(folder.join("ropewalk-ps:scale.1").exists());
}

#[test]
fn an_app_is_opened_in_the_browser_that_is_set() {
    let fake = Fake::new();
    let demo = app("demo", fake.port);
    let fake = fake.on("GET /apps/demo", 200, demo);
    let seen = fake.home.path().join("seen");
    let browser = fake.home.path().join("browser");
    let script = format!("#!/bin/sh\necho \"$@\" > {}\n", seen.display());
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let browser = format!("{} --new-window", browser.display());
    let env = [("ROPEWALK_TOKEN", "t"), ("BROWSER", browser.as_str())];
    assert_eq!(
        fake.run_with(&["open", "/about", "-a", "demo"], "", &env),
        ok("", "Opening http://demo.localhost:PORT/about\n")
    );
    let opened = fs::read_to_string(&seen).unwrap();
    let expected = format!("--new-window http://demo.localhost:{}/about\n", fake.port);
    assert_eq!(opened, expected);

    let env = [("ROPEWALK_TOKEN", "t"), ("BROWSER", "false")];
    assert_eq!(
        fake.run_with(&["open", "-a", "demo"], "", &env),
        failed(
            1,
            "Opening http://demo.localhost:PORT/\n \u{25b8}    No browser could be opened with false.\n \u{25b8}    Open http://demo.localhost:PORT/ yourself.\n"
        )
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let fake = Fake::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ropewalk"))
        .args(["completions", "fish"])
        .env("HOME", fake.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

/// A certificate of the API, got by the platform or brought.
fn endpoint(name: &str, host: &str, acm: bool) -> Value {
    json!({"id": ID, "name": name, "display_name": null, "app": {"id": ID, "name": "demo"},
        "certificate_chain": "", "domains": [ID], "created_at": AT, "updated_at": AT,
        "ssl_cert": {"id": ID, "ca_signed?": true, "self_signed?": false, "acm": acm, "cert_domains": [host],
            "issuer": "CN=An authority", "subject": "", "starts_at": AT, "expires_at": "2024-03-31T12:00:00Z"}})
}

fn custom_domain(host: &str, status: Value, reason: Value, served_by: Value) -> Value {
    json!({"id": ID, "app": {"id": ID, "name": "demo"}, "hostname": host, "cname": "demo.localhost",
        "kind": "custom", "status": "none", "acm_status": status, "acm_status_reason": reason,
        "sni_endpoint": served_by, "created_at": AT, "updated_at": AT})
}

#[test]
fn automatic_certificates_are_shown_with_what_holds_them_up() {
    let fake = Fake::new();
    let mut demo = app("demo", fake.port);
    let fake = fake.on("GET /apps/demo", 200, demo.clone());
    let disabled = "Automatic Certificate Management is disabled on \u{2b22} demo.\n\
        Use ropewalk certs:auto:enable to enable it.\n";
    let fake = fake.on("GET /apps/demo/domains", 200, json!([]));
    assert_eq!(fake.run(&["certs:auto", "-a", "demo"]), ok(disabled, ""));

    demo["acm"] = true.into();
    let www = custom_domain(
        "www.example.com",
        "cert issued".into(),
        Value::Null,
        json!({"id": ID, "name": "acm-1"}),
    );
    let fake = Fake::new()
        .on("GET /apps/demo", 200, demo.clone())
        .on("GET /apps/demo/domains", 200, json!([www]))
        .on(
            "GET /apps/demo/sni-endpoints",
            200,
            json!([endpoint("acm-1", "www.example.com", true)]),
        );
    let expected = "=== Automatic Certificate Management is enabled on \u{2b22} demo\n\n\
        Common Name(s): www.example.com\n\
        Domain(s):      www.example.com\n\
        Expires At:     2024-03-31 12:00 UTC\n\
        Issuer:         CN=An authority\n\
        Starts At:      2024-01-01 12:00 UTC\n\
        Subject:\n\
        Trusted:        True\n\n\
        Domain           Status  Last Updated\n\
        ───────────────  ──────  ─────────────────────────\n\
        www.example.com  OK      2024/01/01 12:00:00 +0000\n";
    assert_eq!(fake.run(&["certs:auto", "-a", "demo"]), ok(expected, ""));

    let failing = |status: &str| {
        custom_domain(
            "a.example.com",
            status.into(),
            "no route".into(),
            Value::Null,
        )
    };
    let brought = custom_domain(
        "own.example.com",
        Value::Null,
        Value::Null,
        json!({"id": ID, "name": "mine"}),
    );
    let domains = json!([brought, failing("failing")]);
    let fake = Fake::new()
        .on("GET /apps/demo", 200, demo.clone())
        .on("GET /apps/demo/domains", 200, domains.clone())
        .on(
            "GET /apps/demo/sni-endpoints",
            200,
            json!([endpoint("mine", "own.example.com", false)]),
        );
    let expected = "=== Automatic Certificate Management is enabled on \u{2b22} demo\n\n\
        Domain           Status           Reason    Last Updated\n\
        ───────────────  ───────────────  ────────  ─────────────────────────\n\
        a.example.com    Failing          no route  2024/01/01 12:00:00 +0000\n\
        own.example.com  Own Certificate            2024/01/01 12:00:00 +0000\n\n\
        Domains that are failing are tried again by themselves. Check that their DNS leads here: ropewalk domains\n";
    assert_eq!(fake.run(&["certs:auto", "-a", "demo"]), ok(expected, ""));
    let ran = fake.run(&["certs:auto", "--wait", "-a", "demo"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains("No certificate for a.example.com: no route\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn automatic_certificates_are_switched() {
    let fake = Fake::new();
    let mut on = app("demo", fake.port);
    on["acm"] = true.into();
    let waiting = |status: &str, served_by: Value| {
        json!([custom_domain(
            "www.example.com",
            status.into(),
            Value::Null,
            served_by
        )])
    };
    let fake = fake
        .on("POST /apps/demo/acm", 200, on.clone())
        .on("PATCH /apps/demo/acm", 200, on.clone())
        .on("DELETE /apps/demo/acm", 200, on)
        .on(
            "GET /apps/demo/domains",
            200,
            waiting("pending", Value::Null),
        )
        .on(
            "GET /apps/demo/domains",
            200,
            waiting("cert issued", json!({"id": ID, "name": "acm-1"})),
        );
    assert_eq!(
        fake.run(&["certs:auto:enable", "--wait", "-a", "demo"]),
        ok(
            "",
            "Enabling Automatic Certificate Management... starting. See how far it is with ropewalk certs:auto\n\
             Waiting until the certificates are issued... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [
            "POST /apps/demo/acm {}",
            "GET /apps/demo/domains",
            "GET /apps/demo/domains"
        ]
    );
    assert_eq!(
        fake.run(&["certs:auto:refresh", "-a", "demo"]),
        ok("", "Refreshing Automatic Certificate Management... done\n")
    );
    assert_eq!(
        fake.requests(),
        ["PATCH /apps/demo/acm {\"acm_refresh\":true}"]
    );
    let ran = fake.run(&["certs:auto:disable", "-a", "demo", "--confirm", "nope"]);
    assert_eq!(ran.code, 1);
    assert_eq!(fake.requests(), [""; 0]);
    assert_eq!(
        fake.run(&["certs:auto:disable", "-a", "demo", "--confirm", "demo"]),
        ok("", "Disabling Automatic Certificate Management... done\n")
    );
    assert_eq!(fake.requests(), ["DELETE /apps/demo/acm"]);
}
