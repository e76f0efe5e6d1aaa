//! Rows that take more than a line: pushes, editors, streams, signals.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::terminal::Terminal;
use e2e::{Ran, Repo, Rig};

use crate::world::{World, flat};

type Outcome = Result<(), String>;

fn check(is: bool, what: &str, ran: &Ran) -> Outcome {
    match is {
        true => Ok(()),
        false => Err(format!("{what}: {ran:?}")),
    }
}

fn good(world: &World, args: &[&str]) -> Result<Ran, String> {
    let ran = world.run(args);
    check(
        ran.code == 0,
        &format!("heroku {} failed", args.join(" ")),
        &ran,
    )?;
    Ok(ran)
}

/// The same for another account than the administrator's.
fn good_as(world: &World, token: &str, args: &[&str]) -> Result<Ran, String> {
    let mut command = world.heroku(args);
    let ran = Ran::of(command.env("ROPEWALK_TOKEN", token).output().unwrap());
    check(
        ran.code == 0,
        &format!("heroku {} failed", args.join(" ")),
        &ran,
    )?;
    Ok(ran)
}

/// An account of that address, by the token of its first login.
fn account(world: &World, email: &str) -> Result<String, String> {
    let body = serde_json::json!({ "email": email }).to_string();
    let (status, answer) = world.rig.api("POST", "/ropewalk/users", &body);
    let made: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    match made["login_token"].as_str() {
        Some(token) if status == 201 => Ok(token.to_owned()),
        _ => Err(format!("no account was made: {status} {answer}")),
    }
}

/// With nothing in its environment that this suite has put there for other tests' pushes.
fn git(world: &World, args: &[&str]) -> Ran {
    let mut git = world.inside("git");
    git.args(args).env_remove("GIT_CONFIG_COUNT");
    Ran::of(git.output().unwrap())
}

pub(crate) fn git_remote_and_push(world: &World) -> Outcome {
    let ran = good(world, &["git:remote", "-a", &world.app, "-r", "stage"])?;
    check(
        ran.all()
            .contains("set git remote stage to https://git.localhost:"),
        "no remote",
        &ran,
    )?;
    let ran = good(world, &["apps:info", "-r", "stage"])?;
    check(
        ran.stdout.contains(&world.app),
        "the app of the remote is not found",
        &ran,
    )?;
    let ran = git(world, &["remote", "remove", "stage"]);
    check(ran.code == 0, "the remote stays", &ran)?;
    let ran = git(world, &["push", "heroku", "main"]);
    check(ran.code == 0, "the push failed", &ran)?;
    let deployed = format!(
        "http://{}.localhost:{}/ deployed to Ropewalk",
        world.app, world.rig.port
    );
    check(ran.stderr.contains(&deployed), "nothing was deployed", &ran)?;
    match world.rig.get(&world.app, "/") {
        (200, _) => Ok(()),
        answer => Err(format!("the app does not answer: {answer:?}")),
    }
}

pub(crate) fn git_clone(world: &World) -> Outcome {
    let ran = good(world, &["git:clone", "-a", &world.app, "cloned"])?;
    let folder = world.repo.path().join("cloned");
    check(folder.is_dir(), "nothing was cloned", &ran)?;
    let mut pull = world.inside_at(&folder, "git");
    pull.env_remove("GIT_CONFIG_COUNT");
    let ran = Ran::of(pull.args(["pull", "-q"]).output().unwrap());
    let there = folder.join("Procfile").exists();
    std::fs::remove_dir_all(&folder).unwrap();
    check(
        there && ran.code == 0,
        "the clone cannot be pulled into",
        &ran,
    )
}

/// 201 and more: several pages of the API's list.
pub(crate) fn many_apps(world: &World) -> Outcome {
    let names: Vec<String> = (0..201)
        .map(|number| format!("{}-{number:03}", world.app))
        .collect();
    for name in &names {
        let body = format!("{{\"name\":\"{name}\"}}");
        let answer = world.rig.api("POST", "/apps", &body);
        if answer.0 != 201 {
            return Err(format!("{name} was not made: {answer:?}"));
        }
    }
    let ran = good(world, &["apps"])?;
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| ran.stdout.matches(name.as_str()).count() != 1)
        .collect();
    check(
        missing.is_empty(),
        &format!("not listed once: {missing:?}"),
        &ran,
    )?;
    check(
        flat(&ran.stdout).contains(&world.app),
        "the first app is not listed",
        &ran,
    )?;
    for name in &names {
        world.rig.api("DELETE", &format!("/apps/{name}"), "");
    }
    Ok(())
}

const SPELT: &str = "quotes \" ' $HOME\nand a second line, \u{fc}n\u{ef}code =";

pub(crate) fn config_keeps_every_byte(world: &World) -> Outcome {
    let pair = format!("SPELT={SPELT}");
    let ran = good(world, &["config:set", "PLAIN=1", &pair, "-a", &world.app])?;
    let said = format!(
        "Setting PLAIN, SPELT and restarting {}... done, v3",
        world.app
    );
    check(flat(&ran.all()).contains(&said), "no new release", &ran)?;
    let ran = good(world, &["config:get", "SPELT", "-a", &world.app])?;
    check(
        ran.stdout.strip_suffix('\n') == Some(SPELT),
        "another value",
        &ran,
    )
}

pub(crate) fn config_edit(world: &World) -> Outcome {
    let editor = world.rig.data.join("editor");
    std::fs::write(&editor, "#!/bin/sh\nprintf '\\nEDITED=yes\\n' >> \"$1\"\n").unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = world.heroku(&["config:edit", "-a", &world.app]);
    command.env("EDITOR", &editor).env("VISUAL", &editor);
    let mut terminal = Terminal::run(&command, 40, 100);
    terminal.wait_for("EDITED");
    terminal.type_text("y\n");
    let code = terminal.end();
    let ran = good(world, &["config:get", "EDITED", "-a", &world.app])?;
    check(code == 0 && ran.stdout == "yes\n", "it was not set", &ran)?;
    good(world, &["config:unset", "EDITED", "-a", &world.app]).map(drop)
}

/// A release command that runs once more.
pub(crate) fn releases_retry(world: &World) -> Outcome {
    let ran = world.run(&["releases:retry", "-a", &world.app]);
    let refused =
        flat(&ran.all()).contains("App must have a release-phase command to use this command.");
    check(ran.code == 2 && refused, "nothing was retried", &ran)?;
    let app = world.rig.create("retry");
    let repo = Repo::example("hello");
    let procfile = "web: node server.js\nrelease: echo moved the tables\n";
    world
        .rig
        .push(repo.change(&[("Procfile", procfile)]), &app)
        .good();
    let ran = good(world, &["releases:retry", "-a", &app])?;
    let said = flat(&ran.all());
    let done = said.contains(&format!("Retrying v2 on {app}... done, v3"));
    check(
        done && said.contains("moved the tables"),
        "no command ran",
        &ran,
    )?;
    let ran = good(world, &["releases:info", "v3", "-a", &app])?;
    check(
        ran.stdout.contains("Retry of v2: Deploy "),
        "another release",
        &ran,
    )?;
    good(world, &["apps:destroy", "-a", &app, "-c", &app]).map(drop)
}

pub(crate) fn diff(world: &World) -> Outcome {
    let ran = good(world, &["apps:diff", &world.app, &world.app])?;
    check(
        !ran.stdout.contains("config"),
        "it differs from itself",
        &ran,
    )?;
    let other = world.rig.create("other");
    good(world, &["config:set", "ONLY=here", "-a", &other])?;
    let ran = good(world, &["apps:diff", &world.app, &other])?;
    let found = flat(&ran.stdout).contains("config (ONLY) here");
    check(found, "a difference is missing", &ran)?;
    good(world, &["apps:destroy", "-a", &other, "-c", &other]).map(drop)
}

/// 1 MiB, by what every stack has.
const MUCH: &str = "head -c 1048576 /dev/zero | tr '\\0' x";

pub(crate) fn run(world: &World) -> Outcome {
    let app = world.app.as_str();
    let ran = good(world, &["run", "-a", app, "--", "echo", "from afar"])?;
    check(
        ran.stdout.contains("from afar"),
        "its output is missing",
        &ran,
    )?;
    let ran = world.run(&["run", "-a", app, "--exit-code", "--", "exit 3"]);
    check(ran.code == 3, "another exit code than 3", &ran)?;
    let ran = good(
        world,
        &["run", "-a", app, "--exit-code", "--no-tty", "--", MUCH],
    )?;
    // The command itself is shown in front, and holds one too.
    let received = ran
        .stdout
        .split(|c| c != 'x')
        .map(str::len)
        .max()
        .unwrap_or(0);
    if received != 1 << 20 {
        return Err(format!("{received} bytes of 1 MiB came"));
    }
    let mut command = world.heroku(&["run", "-a", app, "--no-tty", "--", "tr a-z A-Z"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"typed into it\n").unwrap();
    drop(input);
    let ran = Ran::of(child.wait_with_output().unwrap());
    check(
        ran.stdout.contains("TYPED INTO IT"),
        "its input did not arrive",
        &ran,
    )?;

    // Of a process type: its name, beside the dynos that are scaled.
    let ran = good(
        world,
        &[
            "run",
            "-a",
            app,
            "--type",
            "worker",
            "--",
            "echo I am $DYNO",
        ],
    )?;
    check(ran.stdout.contains("I am worker."), "another type", &ran)?;
    let ran = world.run(&["run", "-a", app, "--type", "release", "--", "true"]);
    check(
        ran.code == 2 && flat(&ran.all()).contains("releases:retry"),
        "a release command of one's own",
        &ran,
    )?;
    let body = r#"{"command":"sleep 1000","type":"web","time_to_live":2}"#;
    let (status, answer) = world.rig.api("POST", &format!("/apps/{app}/dynos"), body);
    let made: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let name = made["name"].as_str().unwrap_or_default().to_owned();
    if status != 201 || !name.starts_with("web.") {
        return Err(format!("no dyno with a time to live: {status} {answer}"));
    }
    let there = |rig: &Rig| rig.dynos(app).iter().any(|(other, _)| *other == name);
    world
        .rig
        .wait("its time to be over", Duration::from_secs(60), |rig| {
            !there(rig)
        });

    // At a terminal: its size, Ctrl-C for what runs in it, and its end.
    let mut terminal = Terminal::run(
        &world.heroku(&["run", "-a", app, "-x", "--", "bash"]),
        33,
        101,
    );
    terminal.wait_for("$");
    terminal.type_text("echo size: $(stty size)\n");
    terminal.wait_for("size: 33 101");
    terminal.type_text("sleep 1000\n");
    terminal.wait_for("sleep 1000");
    terminal.type_text("\u{3}");
    terminal.type_text("echo inter''rupted\n");
    terminal.wait_for("interrupted");
    terminal.type_text("exit 5\n");
    match terminal.end() {
        5 => {}
        code => return Err(format!("at a terminal it ended with {code} and not 5")),
    }

    // Whoever goes away takes the dyno along.
    let limit = Duration::from_secs(45);
    let one_offs = |rig: &Rig| {
        let dynos = rig.dynos(app);
        dynos
            .iter()
            .filter(|(name, _)| name.starts_with("run."))
            .count()
    };
    let none = |rig: &Rig| one_offs(rig) == 0;
    world.rig.wait("the others to go", limit, none);
    let mut gone = world
        .heroku(&["run", "-a", app, "--", "sleep 1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    world
        .rig
        .wait("the one-off dyno", limit, |rig| one_offs(rig) == 1);
    world.rig.interrupt(&mut gone);
    // A client that went before it attached is waited for, for a minute.
    world.rig.wait("it to go", Duration::from_secs(100), none);
    Ok(())
}

pub(crate) fn run_inside(world: &World) -> Outcome {
    let app = world.app.as_str();
    let web = world.rig.dynos(app).into_iter().map(|(name, _)| name);
    let Some(web) = web.into_iter().find(|name| name.starts_with("web.")) else {
        return Err("there is no web dyno".to_owned());
    };
    let ran = good(
        world,
        &["run:inside", &web, "-a", app, "--", "echo in $DYNO"],
    )?;
    check(
        ran.stdout.contains(&format!("in {web}")),
        "it ran elsewhere",
        &ran,
    )
}

pub(crate) fn run_detached(world: &World) -> Outcome {
    let ran = good(
        world,
        &[
            "run:detached",
            "-a",
            &world.app,
            "--",
            "echo",
            "from a distance",
        ],
    )?;
    check(
        ran.all().contains("heroku logs --app"),
        "no hint at the log",
        &ran,
    )?;
    world
        .rig
        .wait("its output in the log", Duration::from_secs(30), |rig| {
            let log = rig.cli(&["logs", "--app", &world.app, "--num", "200"]);
            log.stdout.contains("from a distance")
        });
    Ok(())
}

pub(crate) fn authorizations(world: &World) -> Outcome {
    let ran = good(
        world,
        &[
            "authorizations:create",
            "-d",
            "tour",
            "-s",
            "read",
            "--json",
        ],
    )?;
    let made: serde_json::Value =
        serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}"))?;
    let id = made["id"].as_str().unwrap_or_default();
    let token = made["access_token"]["token"].as_str().unwrap_or_default();
    check(token.len() >= 32, "no token", &ran)?;
    let ran = good(world, &["authorizations:info", id])?;
    check(
        ran.stdout.contains("tour") && !ran.stdout.contains(token),
        "it is not told, or the token is",
        &ran,
    )?;
    let ran = good(world, &["authorizations:update", id, "-d", "another tour"])?;
    check(
        ran.stdout.contains("another tour"),
        "it is not described anew",
        &ran,
    )?;
    let ran = good(world, &["authorizations:rotate", id])?;
    let new = ran
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("Token:"))
        .unwrap_or_default()
        .trim();
    let answers = [token, new].map(|token| world.rig.api_as(token, "GET", "/account", "").0);
    check(answers == [401, 200], "the old token serves on", &ran)?;
    let ran = good(world, &["authorizations:revoke", id])?;
    check(
        flat(&ran.all()).contains("done"),
        "it was not revoked",
        &ran,
    )
}

/// By a token that was not made by logging in, for one must not pull the rug away under oneself.
pub(crate) fn sessions_destroy(world: &World) -> Outcome {
    let login = account(world, &format!("{}-session@example.com", world.app))?;
    let (_, answer) = world.rig.api_as(
        &login,
        "POST",
        "/oauth/authorizations",
        "{\"scope\":[\"global\"]}",
    );
    let made: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let token = made["access_token"]["token"].as_str().unwrap_or_default();
    let ran = good_as(world, token, &["sessions", "--json"])?;
    let list: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let id = list[0]["id"].as_str().unwrap_or_default();
    good_as(world, token, &["sessions:destroy", id])?;
    let ran = good_as(world, token, &["sessions"])?;
    let ended = world.rig.api_as(&login, "GET", "/account", "").0 == 401;
    check(
        ended && ran.all().contains("No OAuth sessions."),
        "it goes on",
        &ran,
    )
}

/// A certificate of one's own, from its coming to its going.
pub(crate) fn certs(world: &World) -> Outcome {
    let app = world.app.as_str();
    let [certificate, key] = &self_signed(world, "own")?;
    let [newer, its_key] = &self_signed(world, "newer")?;
    let ran = good(world, &["certs:add", certificate, key, "-a", app])?;
    check(
        ran.stdout.contains("own.example.com"),
        "it is not told",
        &ran,
    )?;
    let (_, list) = world
        .rig
        .api("GET", &format!("/apps/{app}/sni-endpoints"), "");
    let list: serde_json::Value = serde_json::from_str(&list).unwrap_or_default();
    let name = list[0]["name"].as_str().unwrap_or_default();
    let domain = "own.example.com";
    good(world, &["domains:add", domain, "--cert", name, "-a", app])?;
    // Served from then on, not some time later.
    serves(world, domain, "own")?;
    good(
        world,
        &["domains:update", domain, "--cert", name, "-a", app],
    )?;
    let ran = world.run(&["domains:update", domain, "--cert", "none", "-a", app]);
    let refused = flat(&ran.all()).contains("has no certificate");
    check(ran.code == 2 && refused, "an unknown one is taken", &ran)?;
    let ran = good(world, &["certs:info", "-a", app])?;
    check(
        flat(&ran.all()).contains("own.example.com"),
        "it is not told",
        &ran,
    )?;
    good(
        world,
        &["certs:update", newer, its_key, "-a", app, "--confirm", app],
    )?;
    serves(world, domain, "newer")?;
    good(world, &["certs:remove", "-a", app, "--confirm", app])?;
    if serves(world, domain, "newer").is_ok() {
        return Err("the removed certificate is served".to_owned());
    }
    good(world, &["domains:remove", domain, "-a", app])?;
    let ran = good(world, &["certs", "-a", app])?;
    check(
        ran.all().contains("has no SSL certificates"),
        "it stays",
        &ran,
    )
}

/// A browser gets a cookie from the first request after it was enabled on, and no other.
pub(crate) fn session_affinity(world: &World) -> Outcome {
    let app = world.app.as_str();
    let ran = world.run(&["features:enable", "preboot", "-a", app]);
    let known = flat(&ran.all()).contains("preboot is already enabled.");
    check(ran.code == 1 && known, "it was not on", &ran)?;
    let cookie = |brought: &str| {
        let host = format!("Host: {}", world.rig.host(app));
        let output = Command::new("curl")
            .args(["-sS", "-D", "-", "-o", "/dev/null", "-H", &host])
            .args(["-b", brought])
            .arg(format!("http://127.0.0.1:{}/", world.rig.port))
            .output()
            .unwrap();
        let head = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
        let set = head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        set.and_then(|set| set.split(';').next()).map(str::to_owned)
    };
    if cookie("").is_some() {
        return Err("a cookie is set before it was enabled".to_owned());
    }
    let ran = good(
        world,
        &["features:enable", "http-session-affinity", "-a", app],
    )?;
    check(ran.all().contains("done"), "it was not enabled", &ran)?;
    let Some(set) = cookie("") else {
        return Err("no cookie is set".to_owned());
    };
    match set.starts_with("heroku-session-affinity=") && cookie(&set).is_none() {
        true => Ok(()),
        false => Err(format!("another cookie, or it is set again: {set}")),
    }
}

/// For own.example.com, and of that common name: files of the certificate and its key.
fn self_signed(world: &World, name: &str) -> Result<[String; 2], String> {
    let files = ["crt", "key"].map(|kind| world.rig.data.join(format!("{name}.{kind}")));
    let [certificate, key] = files.map(|path| path.to_string_lossy().into_owned());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-days", "30", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=DNS:own.example.com"])
        .args(["-out", &certificate, "-keyout", &key])
        .output()
        .unwrap();
    check(made.status.success(), "no certificate", &Ran::of(made))?;
    Ok([certificate, key])
}

/// Whether a new connection gets the certificate of that common name.
fn serves(world: &World, host: &str, name: &str) -> Outcome {
    let address = format!("127.0.0.1:{}", world.rig.port);
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-servername", host])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran::of(output);
    let subject = ran.stdout.lines().find(|line| line.starts_with("subject="));
    let is = subject.is_some_and(|line| line.replace(' ', "").ends_with(&format!("CN={name}")));
    check(is, "another certificate is served", &ran)
}

pub(crate) fn access(world: &World) -> Outcome {
    let app = world.app.as_str();
    let other = format!("{app}@example.com");
    let ran = world.run(&["access:add", &other, "-a", app]);
    check(
        ran.code == 2 && ran.all().contains("Error ID: "),
        "a stranger is taken",
        &ran,
    )?;
    world.rig.cli(&["users:create", &other]).good();
    good(world, &["access:add", &other, "-a", app])?;
    let ran = good(world, &["access", "-a", app])?;
    check(ran.stdout.contains(&other), "no collaborator", &ran)?;
    good(world, &["access:remove", &other, "-a", app])?;
    let ran = world.run(&["access:remove", &other, "-a", app]);
    check(
        ran.code == 2 && ran.all().contains("Error ID: not_found"),
        "it is removed twice",
        &ran,
    )
}

/// Whoever was let in may go; the owner stays.
pub(crate) fn leave(world: &World) -> Outcome {
    let app = world.app.as_str();
    let ran = world.run(&["apps:leave", "-a", app]);
    check(
        ran.code == 2 && flat(&ran.all()).contains("The owner of an app cannot be removed."),
        "the owner went",
        &ran,
    )?;
    let email = format!("{app}-guest@example.com");
    let token = account(world, &email)?;
    good(world, &["access:add", &email, "-a", app])?;
    good_as(world, &token, &["apps:info", "-a", app])?;
    good_as(world, &token, &["apps:leave", "-a", app])?;
    let ran = good(world, &["access", "-a", app])?;
    check(!ran.stdout.contains(&email), "it is still in", &ran)
}

pub(crate) fn keys_add(world: &World) -> Outcome {
    let file = world.rig.data.join("key.pub");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEMpGrvYgxZKXhgLX6XfSrbDdqTpYjvs8nLcLGWRBvTG dev@example.com\n";
    std::fs::write(&file, key).unwrap();
    let ran = good(world, &["keys:add", file.to_str().unwrap()])?;
    check(ran.all().contains("done"), "it is not taken", &ran)?;
    let ran = good(world, &["keys"])?;
    check(
        ran.stdout.contains("dev@example.com"),
        "it is not told",
        &ran,
    )
}

/// What a program that goes on printing has printed so far.
struct Printing {
    child: Child,
    text: Arc<Mutex<String>>,
}

impl Printing {
    fn start(world: &World, args: &[&str]) -> Self {
        let mut command = world.heroku(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        let (output, kept) = (child.stdout.take().unwrap(), text.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, text }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

pub(crate) fn logs_resume_after_the_server_was_killed(world: &World) -> Outcome {
    let app = world.app.as_str();
    let rig = &world.rig;
    let ran = good(world, &["logs", "-n", "5", "-a", app])?;
    check(ran.stdout.lines().count() == 5, "not five lines", &ran)?;
    let ran = good(
        world,
        &["logs", "-s", "app", "-d", "web.1", "-n", "2", "-a", app],
    )?;
    let all = ran.stdout.lines().all(|line| line.contains("app[web.1]"));
    check(all && !ran.stdout.is_empty(), "other lines", &ran)?;

    // Numbered, so that each is known to come once. Answered by the router, whose line goes to the log.
    let ask = |from: u32| {
        (from..from + 20).for_each(|number| drop(rig.get(app, &format!("/line-{number:03}x"))))
    };
    let mut tail = Printing::start(
        world,
        &["logs", "--tail", "-n", "1", "-s", "heroku", "-a", app],
    );
    let mut asked = 0;
    let follow = |asked: &mut u32| {
        ask(*asked);
        *asked += 20;
        let last = format!("/line-{:03}x", *asked - 1);
        rig.wait("the last line in the tail", Duration::from_secs(40), |_| {
            tail.text().contains(&last)
        });
    };
    rig.wait("the tail to begin", Duration::from_secs(20), |_| {
        !tail.text().is_empty()
    });
    follow(&mut asked);
    rig.kill("server");
    rig.wait_ready();
    follow(&mut asked);
    let text = tail.text();
    let amiss: Vec<String> = (0..asked)
        .map(|number| format!("/line-{number:03}x"))
        .filter(|line| text.matches(&format!("path=\"{line}\"")).count() != 1)
        .collect();
    let pid = rustix::process::Pid::from_raw(tail.child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = tail.child.wait().unwrap();
    if !amiss.is_empty() {
        return Err(format!("not shown once: {}\n{text}", amiss.join(" ")));
    }
    if status.code() != Some(143) {
        return Err(format!("SIGTERM ended it with {status}"));
    }

    // Ctrl-C at a terminal.
    let mut terminal = Terminal::run(&world.heroku(&["logs", "--tail", "-a", app]), 40, 200);
    terminal.wait_for("/line-039x");
    terminal.type_text("\u{3}");
    match terminal.end() {
        130 => Ok(()),
        code => Err(format!("Ctrl-C ended it with {code}")),
    }
}

pub(crate) fn rename(world: &World) -> Outcome {
    let other = format!("{}-2", world.app);
    let ran = good(world, &["apps:rename", &other, "-a", &world.app])?;
    check(
        ran.all().contains("Git remote heroku updated"),
        "the remote was not updated",
        &ran,
    )?;
    world
        .rig
        .wait("the new name", Duration::from_secs(20), |rig| {
            rig.get(&other, "/").0 == 200
        });
    // By the remote, which the CLI has just changed.
    good(world, &["apps:info", "-r", "heroku"])?;
    good(world, &["apps:rename", &world.app, "-a", &other]).map(drop)
}

pub(crate) fn destroy(world: &World) -> Outcome {
    let ran = world.run(&["apps:destroy", "-a", &world.app, "-c", "another"]);
    check(ran.code != 0, "it took a wrong confirmation", &ran)?;
    let ran = good(world, &["apps:destroy", "-a", &world.app, "-c", &world.app])?;
    check(ran.all().contains("done"), "it is still there", &ran)?;
    let ran = world.run(&["apps:info", "-a", &world.app]);
    check(
        ran.code == 2 && ran.all().contains("not_found"),
        "it is still told",
        &ran,
    )
}
