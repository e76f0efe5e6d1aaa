//! Archives on a real engine: built as pushes are, slugs out and in again, an app copied whole.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Ran, Repo, Rig, binary};

fn run_in(rig: &Rig, repo: &Repo, args: &[&str]) -> Ran {
    let output = rig.command(repo.path(), binary()).args(args).output();
    let output = output.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn an_archive_is_built_and_an_app_is_copied() {
    let rig = Rig::start();
    let app = rig.create("origin");
    let repo = Repo::example("procfile");
    let built = run_in(&rig, &repo, &["builds:create", "--app", &app]).good();
    assert!(
        built.all().contains("Verifying deploy... done."),
        "{}",
        built.all()
    );
    let (status, answer) = rig.get(&app, "/");
    assert_eq!(status, 200, "{answer}");

    // Built from the web, which this host is not part of.
    let private = run_in(
        &rig,
        &repo,
        &[
            "builds:create",
            "--app",
            &app,
            "--source-url",
            &format!("http://127.0.0.1:{}/x.tgz", rig.port),
        ],
    )
    .bad();
    assert!(
        private.all().contains("which is not allowed"),
        "{}",
        private.all()
    );
    assert_eq!(rig.get(&app, "/").0, 200);
    rig.wait(
        "nothing of the build is left",
        Duration::from_secs(30),
        |rig| rig.entries("builds").is_empty() && rig.containers("build").is_empty(),
    );

    rig.cli(&["config:set", "GREETING=copied", "--app", &app])
        .good();
    rig.cli(&["domains:add", "www.example.com", "--app", &app])
        .good();
    let copy = format!("{app}-copy");
    let from = rig.url("api");
    let import = ["import", "heroku", &app, "--from", &from, "--to", &copy];
    let told = rig.cli(&[&import[..], &["--dry-run"]].concat()).good();
    assert!(
        told.all().contains("Nothing was changed."),
        "{}",
        told.all()
    );
    rig.cli(&["apps:info", "--app", &copy]).bad();
    let copied = rig.cli(&import).good();
    assert!(
        copied.stdout.contains("domain www.example.com"),
        "{}",
        copied.all()
    );
    rig.wait("the copy to answer", Duration::from_secs(60), |rig| {
        rig.get(&copy, "/").0 == 200
    });
    assert_eq!(rig.get(&copy, "/"), (200, answer));
    let var = rig.cli(&["config:get", "GREETING", "--app", &copy]).good();
    assert_eq!(var.stdout.trim(), "copied");
    let again = rig.cli(&import).good();
    assert!(again.all().contains("is there already"), "{}", again.all());
    assert!(!again.all().contains("Sending the slug"), "{}", again.all());
}
