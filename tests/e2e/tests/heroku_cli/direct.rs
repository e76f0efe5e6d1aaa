//! The CLI without a helper: what `ropewalk env` prints is all that leads it to the platform, which is on a domain of
//! its own, on port 443, with a certificate of a private authority.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use e2e::Ran;
use e2e::terminal::Terminal;

use crate::world::{World, flat};

/// One after the other on one app; nobody else's name is looked up.
pub(crate) fn tour(world: &World, mode: &str) {
    let app = world.app.as_str();
    let site = world.rig.host(app);
    let said = said(world, mode, &["heroku", "create", app]);
    assert!(said.contains(&format!("https://{site}/")), "{said}");
    assert!(
        said.contains(&format!("https://{}/{app}.git", world.rig.host("git"))),
        "{said}"
    );

    let pushed = run(world, mode, &["git", "push", "heroku", "main"]).good();
    let deployed = format!("https://{site}/ deployed to Ropewalk");
    assert!(pushed.stderr.contains(&deployed), "{pushed:?}");
    let answer = run(
        world,
        mode,
        &[
            "curl",
            "-sS",
            "--cacert",
            &ca(world),
            &format!("https://{site}/"),
        ],
    );
    assert_eq!(answer.code, 0, "{answer:?}");

    for (words, expected) in [
        (&["apps"][..], app),
        (
            &["ps", "-a", app],
            "=== web (Standard-1X): node server.js (1)",
        ),
        // By the git remote.
        (&["apps:info"], &site),
        (&["config:set", "GREETING=hello", "-a", app], "restarting"),
        (&["config:get", "GREETING", "-a", app], "hello"),
        (&["releases", "-a", app], "Set GREETING config vars"),
        (&["logs", "-n", "200", "-a", app], "Release v3 created"),
        (&["ps:scale", "web=2", "-a", app], "web at 2:Standard-1X"),
        (
            &["run", "-a", app, "--", "echo from afar, $GREETING"],
            "from afar, hello",
        ),
        (&["auth:whoami"], &format!("admin@{}", world.rig.domain)),
    ] {
        let said = heroku(world, mode, words);
        assert!(
            said.contains(expected),
            "heroku {}: {said}",
            words.join(" ")
        );
    }
    let ran = run(
        world,
        mode,
        &["heroku", "run", "-x", "-a", app, "--", "exit 3"],
    );
    assert_eq!(ran.code, 3, "{ran:?}");
    read_a_test_run(world, mode);
    at_a_terminal(world, mode);
    follow_the_log(world, mode);

    assert_eq!(world.names_asked(), Vec::<String>::new());
}

/// The CLI's own login: a key is pressed at the terminal, and what stands on the page is followed. Our side of it is
/// whole, and the CLI keeps the token; but then it sends it to no host except Heroku's and this machine's.
pub(crate) fn login(world: &World, mode: &str) {
    let (email, password) = ("dev@example.com", "correct horse battery");
    let body = serde_json::json!({ "email": email, "password": password }).to_string();
    assert_eq!(world.rig.api("POST", "/ropewalk/users", &body).0, 201);
    let without_token = |words: &[&str]| {
        let bare = [
            "env",
            "-u",
            "HEROKU_API_KEY",
            "-u",
            "HEROKU_HEADERS",
            "HEROKU_NETRC_WRITE=true",
        ];
        world.after_env(mode, &[&bare[..], &["heroku"], words].concat())
    };
    let mut terminal = Terminal::run(&without_token(&["login"]), 40, 200);
    terminal.wait_for("Press any key");
    terminal.type_text("x");
    terminal.wait_for("Waiting for login");
    let shown = terminal.text();
    let address = format!("{}/cli/browser/", world.rig.url("api"));
    let id: String = shown
        .split(&address)
        .nth(1)
        .unwrap_or_default()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .collect();
    let page = format!("{address}{id}");
    let browser = |args: &[&str]| {
        let mut curl = world.inside("curl");
        curl.args(["-sS", "--cacert", &ca(world)])
            .args(args)
            .arg(&page);
        Ran::of(curl.output().unwrap()).good().stdout
    };
    let form = browser(&[]);
    let csrf = form
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("no form at {page}: {form}"));
    let fields = [
        ("csrf", csrf),
        ("action", "approve"),
        ("email", email),
        ("password", password),
    ];
    let fields = fields.map(|(name, value)| format!("{name}={value}"));
    let mut args = Vec::new();
    for field in &fields {
        args.extend(["--data-urlencode", field.as_str()]);
    }
    let answer = browser(&args);
    assert!(
        answer.contains("You are logged in as dev@example.com"),
        "{answer}"
    );

    terminal.wait_for("Error ID: unauthorized");
    assert_ne!(terminal.end(), 0);
    let netrc = std::fs::read_to_string(world.rig.data.join(".netrc")).unwrap();
    let entry = netrc
        .split(&format!("machine {}", world.rig.host("api")))
        .nth(1);
    let token = entry
        .and_then(|entry| {
            entry
                .split_whitespace()
                .find(|word| word.starts_with("RWK-"))
        })
        .unwrap_or_else(|| panic!("no token was kept: {netrc}"));
    let (status, account) = world.rig.api_as(token, "GET", "/account", "");
    assert!(
        status == 200 && account.contains(email),
        "{status} {account}"
    );
    assert_eq!(world.names_asked(), Vec::<String>::new());
}

/// With the helper the same server is reached, and git knows the private authority afterwards, without either.
pub(crate) fn helped(world: &World) {
    let ran = world.run(&["git:remote", "-a", &world.app, "-r", "helped"]);
    ran.good();
    let mut git = world.inside("git");
    git.args(["fetch", "helped"]).env_remove("GIT_CONFIG_COUNT");
    Ran::of(git.output().unwrap()).good();
    let ran = world.run(&["run", "-a", &world.app, "--", "echo from afar"]);
    assert!(ran.stdout.contains("from afar"), "{ran:?}");
    assert_eq!(world.names_asked(), Vec::<String>::new());
}

/// What tests said the CLI reads by TLS alone. The app has none, which npm says.
fn read_a_test_run(world: &World, mode: &str) {
    let app = world.app.as_str();
    let pipeline = format!("y-{app}");
    let create = ["pipelines:create", &pipeline, "-a", app, "-s", "staging"];
    heroku(world, mode, &create);
    let ran = run(world, mode, &["ropewalk", "ci:run", "-a", app]);
    assert!(flat(&ran.all()).contains("Missing script"), "{ran:?}");
    for words in [&["ci:last", "-a", app][..], &["ci:info", "1", "-a", app]] {
        let ran = run(world, mode, &[&["heroku"][..], words].concat());
        let said = flat(&ran.all());
        assert_eq!(ran.code, 1, "the exit code of the tests: {said}");
        for text in ["Building on the", "Missing script", "#1 main:"] {
            assert!(said.contains(text), "{text:?} is not in {said}");
        }
    }
    heroku(world, mode, &["pipelines:destroy", &pipeline]);
}

fn at_a_terminal(world: &World, mode: &str) {
    let command = world.after_env(mode, &["heroku", "run", "-a", &world.app, "--", "bash"]);
    let mut terminal = Terminal::run(&command, 33, 101);
    terminal.wait_for("$");
    terminal.type_text("echo size: $(stty size)\n");
    terminal.wait_for("size: 33 101");
    terminal.type_text("exit\n");
    assert_eq!(terminal.end(), 0);
}

/// Until a line comes that was not there before.
fn follow_the_log(world: &World, mode: &str) {
    let mut command = world.after_env(
        mode,
        &["heroku", "logs", "--tail", "-n", "1", "-a", &world.app],
    );
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    world.rig.get(&world.app, "/a-new-line");
    let found = lines
        .map_while(Result::ok)
        .any(|line| line.contains("path=\"/a-new-line\""));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found, "the tail ended");
}

fn run(world: &World, mode: &str, program: &[&str]) -> Ran {
    Ran::of(world.after_env(mode, program).output().unwrap())
}

/// What a command that must pass printed.
fn said(world: &World, mode: &str, program: &[&str]) -> String {
    flat(&run(world, mode, program).good().all())
}

fn heroku(world: &World, mode: &str, words: &[&str]) -> String {
    said(world, mode, &[&["heroku"][..], words].concat())
}

fn ca(world: &World) -> String {
    let tls = world.rig.tls.as_ref().unwrap();
    tls.ca.to_string_lossy().into_owned()
}
