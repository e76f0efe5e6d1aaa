//! Heroku's own clients, unmodified, against a platform: the CLI command by command inside of a network that leads
//! nowhere else, and the Python package.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // support code of tests

mod by_hand;
mod direct;
mod document;
mod enclosure;
mod install;
mod table;
mod world;

use std::process::Command;
use std::time::Instant;

use e2e::{Ran, Repo, Rig};

use table::{ROWS, Row, SMOKE};
use world::World;

/// The whole table, with the pinned version. No command looks up a foreign name, whatever it is.
#[test]
fn the_cli_works_as_its_table_says_and_asks_nobody_else() {
    let world = World::new(install::cli(install::PINNED));
    the_enclosure_hears_of_every_name(&world);
    walk(&world, |_| true);
}

/// And every command of the CLI stands in it.
#[test]
fn the_document_says_what_the_table_says() {
    let folders = install::cli(install::PINNED);
    document::check(&install::manifest(&folders));
}

/// Without a helper, on a domain like any other.
#[test]
fn the_cli_works_by_what_env_says() {
    let world = World::secure(install::cli(install::PINNED), "rope.example.test");
    direct::tour(&world, "b");
    direct::helped(&world);
    direct::login(&world, "b");
    let refused = Ran::of(world.after_env("c", &["env"]).output().unwrap());
    assert!(refused.stderr.contains("Mode c wants"), "{refused:?}");
}

/// And on one that lets the CLI find the API by itself.
#[test]
fn the_cli_works_by_a_domain_that_holds_the_word_localhost() {
    let world = World::secure(install::cli(install::PINNED), "rope-localhost.example.test");
    direct::tour(&world, "c");
}

/// Whoever types into our own CLI what they know from Heroku's gets it, or a line that says what to type instead.
#[test]
fn our_own_cli_has_or_explains_every_command_of_it() {
    let manifest = install::manifest(&install::cli(install::PINNED));
    let commands = manifest["commands"].as_object().unwrap();
    let aliases = commands
        .values()
        .flat_map(|command| command["aliases"].as_array().into_iter().flatten())
        .filter_map(|alias| alias.as_str());
    let names: Vec<&str> = commands.keys().map(String::as_str).chain(aliases).collect();
    assert!(names.len() > 300, "{} commands", names.len());
    let unknown = names.into_iter().filter(|name| {
        let output = Command::new(e2e::binary()).args([name, "--help"]).output();
        let ran = Ran::of(output.unwrap());
        ran.code != 0 && !ran.stderr.contains(&format!("have Heroku's {name}"))
    });
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// The newest version, with a few rows, if it is another one.
#[test]
fn the_newest_cli_works() {
    let newest = install::newest();
    if newest == install::PINNED {
        eprintln!("{newest} is the newest 11.x");
        return;
    }
    let world = World::new(install::cli(&newest));
    walk(&world, |row| SMOKE.contains(&row.command));
}

#[test]
fn the_python_package_works() {
    let packages = install::heroku3();
    let rig = Rig::start();
    let app = rig.create("python3");
    rig.push(&Repo::example("hello"), &app).good();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/heroku_cli/python_client.py"
    );
    let output = Command::new("python3")
        .args([script, &app])
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BASE", format!("http://127.0.0.1:{}", rig.port))
        .env("NAME", format!("api.localhost:{}", rig.port))
        .env("TOKEN", &rig.token)
        .output()
        .unwrap();
    Ran::of(output).good();
    rig.wait_up(&app, 2);
}

/// Or an empty list of names would prove nothing.
fn the_enclosure_hears_of_every_name(world: &World) {
    let output = world
        .inside("getent")
        .args(["hosts", "leak.example.com"])
        .output()
        .unwrap();
    assert!(!output.status.success(), "a name was resolved");
    assert_eq!(world.names_asked(), ["leak.example.com"]);
    let ran = Ran::of(
        world
            .inside("curl")
            .args(["-sS", "--max-time", "5", "http://192.0.2.1/"])
            .output()
            .unwrap(),
    );
    ran.bad();
}

fn walk(world: &World, wanted: impl Fn(&Row) -> bool) {
    let named = std::env::var("ROPEWALK_TEST_ROWS").unwrap_or_default();
    let mut wrong = Vec::new();
    for row in ROWS
        .iter()
        .filter(|row| wanted(row) && is_named(row, &named))
    {
        let began = Instant::now();
        let found = world.go(row);
        eprintln!(
            "{:<24} {:>5.1} s  {}",
            row.command,
            began.elapsed().as_secs_f64(),
            if found.is_empty() { "" } else { "WRONG" }
        );
        wrong.extend(found);
    }
    assert!(
        wrong.is_empty(),
        "{} rows are not as the table says\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// `ROPEWALK_TEST_ROWS=run,logs` walks these and what they stand on, for whoever works on them.
fn is_named(row: &Row, named: &str) -> bool {
    named.is_empty()
        || ["apps:create", "git:remote"].contains(&row.command)
        || named.split(',').any(|name| name == row.command)
}
