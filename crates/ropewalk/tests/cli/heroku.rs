//! `heroku`, `env`: what Heroku's CLI is given, by a script in its place; what the helper lets through.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::Duration;

use crate::fake::{Fake, Ran, account, failed};

/// Puts `script` in the place of Heroku's CLI; the PATH by which it is found.
fn install(fake: &Fake, script: &str) -> String {
    let folder = fake.home.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("heroku");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", folder.display())
}

/// Runs `script` as Heroku's CLI.
fn heroku(fake: &Fake, script: &str, more: &[(&str, &str)]) -> Ran {
    let path = install(fake, script);
    let mut env = vec![
        ("ROPEWALK_TOKEN", "secret-token"),
        ("PATH", path.as_str()),
        ("NO_PROXY", "*"),
        ("HEROKU_HEADERS", "{}"),
    ];
    env.extend(more);
    fake.run_with(&["heroku", "--", "ps", "--json"], "", &env)
}

#[test]
fn arguments_exit_code_and_environment_are_passed_on() {
    let ran = heroku(
        &Fake::new(),
        "echo \"$* $HEROKU_API_KEY $DISABLE_TELEMETRY ${NO_PROXY-gone} ${HEROKU_HEADERS-gone}\"\n\
         test \"$HEROKU_HOST\" = \"$HTTP_PROXY\" -a \"$HEROKU_HOST\" = \"$HEROKU_PARTICLEBOARD_URL\" || exit 1\n\
         exit 3",
        &[],
    );
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (3, "ps --json secret-token true gone gone\n", "")
    );
}

#[test]
fn a_killed_helper_takes_the_cli_along() {
    let fake = Fake::new();
    let path = install(&fake, "echo \"$@\"; exec sleep 1000");
    let mut child = fake.spawn_with(&["heroku", "--", "run", "--", "x"], &[("PATH", &path)]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "run -- x\n");
    child.kill().unwrap();
    child.wait().unwrap();
    // What it writes to is closed once it is gone.
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = output.read_to_string(&mut line);
        let _ = ended.send(());
    });
    end.recv_timeout(Duration::from_secs(20))
        .expect("the CLI goes on");
}

#[test]
fn the_helper_speaks_to_our_server_only_and_for_nobody_else() {
    let fake = Fake::new().on("GET /account", 200, account());
    let ran = heroku(
        &fake,
        "ask() { curl -s -o /dev/null -w '%{http_code} %{http_connect}\\n' \"$@\"; }\n\
         unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY\n\
         port=${HEROKU_HOST##*:}\n\
         ours=\"Authorization: Bearer $HEROKU_API_KEY\"\n\
         ask -H \"$ours\" $HEROKU_HOST/account\n\
         ask $HEROKU_HOST/account\n\
         ask -H 'Authorization: Bearer another' $HEROKU_HOST/account\n\
         ask -p -x $HEROKU_HOST -H \"$ours\" http://127.0.0.1:$port/account\n\
         ask -p -x $HEROKU_HOST -H \"$ours\" http://api.metrics.heroku.com:$port/account\n\
         ask -p -x $HEROKU_HOST -H \"$ours\" http://particleboard.heroku.com:$port/account\n\
         ask -p -x $HEROKU_HOST -H \"$ours\" https://kolkrabbi.heroku.com/account\n\
         ask -x $HEROKU_HOST -H \"$ours\" http://api.heroku.com/account",
        &[],
    );
    let expected = "200 000\n401 000\n401 000\n200 200\n200 200\n403 200\n000 403\n403 000\n";
    assert_eq!(ran.stdout, expected, "{ran:?}");
    assert_eq!(fake.requests(), vec!["GET /account"; 3]);
}

#[test]
fn a_foreign_host_in_the_environment_is_warned_of() {
    let host = [("HEROKU_HOST", "https://api.example.com")];
    let ran = heroku(&Fake::new(), "echo $HEROKU_HOST", &host);
    assert!(ran.stdout.starts_with("http://127.0.0.1:"), "{ran:?}");
    assert!(
        ran.stderr.contains("would send your key to Heroku"),
        "{ran:?}"
    );
}

#[test]
fn without_a_helper_a_server_of_plain_http_is_refused() {
    let ran = Fake::new().run(&["env"]);
    assert_eq!(
        ran,
        failed(
            1,
            " \u{25b8}    The server at api.localhost:PORT speaks plain HTTP, and Heroku's CLI would send your token over it unprotected.\n \u{25b8}    Use the helper instead, which works with every server: ropewalk heroku -- ps.\n"
        )
    );
}
