//! `cargo xtask up`: from a bare machine to an example that answers.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::place::Place;
use crate::process::{self, loud};
use crate::step::step;
use crate::{engine, packages, platform};

/// The app that is pushed to show that everything works.
const APP: &str = "hello";

#[derive(Args)]
pub struct Up {
    /// Port on 127.0.0.1; the first free one from 8080 on when it is not given
    #[arg(long)]
    port: Option<u16>,
    /// Start everything, but push no example
    #[arg(long)]
    no_example: bool,
}

impl Up {
    pub fn run(&self) -> Result<()> {
        let began = Instant::now();
        let place = Place::find()?;
        if !rustix::process::geteuid().is_root() {
            return as_root(&place);
        }
        packages::ensure(false)?;
        build(&place)?;
        std::fs::create_dir_all(&place.data)?;
        engine::ensure(&place)?;
        build_stack(&place)?;
        let address = start(&place, self.port)?;
        write_env(&place, &address)?;
        let answer = if self.no_example {
            None
        } else {
            Some(push_example(&place, &address)?)
        };
        print_how_to_go_on(&place, &address, answer.as_deref(), began.elapsed());
        Ok(())
    }
}

/// Containers, mounts and packages need root: the same command again, through sudo.
fn as_root(place: &Place) -> Result<()> {
    build(place)?;
    as_root_without_build()
}

pub fn as_root_without_build() -> Result<()> {
    eprintln!("-----> Going on as root (sudo)");
    let mut command = Command::new("sudo");
    command.arg("--preserve-env").arg("env").arg(format!(
        "PATH={}",
        std::env::var("PATH").unwrap_or_default()
    ));
    command
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1));
    loud(&mut command)
}

pub(crate) fn build(place: &Place) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "--locked", "--package", "ropewalk"])
        .current_dir(&place.root);
    let began = Instant::now();
    eprintln!("-----> Building Ropewalk (release)");
    loud(&mut cargo)?;
    eprintln!("       done ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

fn build_stack(place: &Place) -> Result<()> {
    let mut command = Command::new(place.binary());
    command.arg("stacks:build").arg("debian-13");
    command
        .arg("--data")
        .arg(&place.data)
        .arg("--cache")
        .arg(&place.cache);
    loud(&mut command).context("the stack could not be built")
}

/// What the running platform was started from: a change of it means a restart.
fn fingerprint(place: &Place) -> Result<String> {
    let meta = std::fs::metadata(place.binary())?;
    let stack =
        std::fs::read_to_string(place.data.join("stacks/debian-13.json")).unwrap_or_default();
    Ok(format!(
        "{} {} {} {}",
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
        stack
    ))
}

/// Starts server and router under the supervisor; returns `127.0.0.1:PORT`.
fn start(place: &Place, port: Option<u16>) -> Result<String> {
    let (mark, known) = (place.data.join("started-from"), fingerprint(place)?);
    let address_file = place.data.join("address");
    let before = std::fs::read_to_string(&address_file).ok();
    let wanted = port.map(|port| format!("127.0.0.1:{port}"));
    if platform::supervisor(&place.data).is_some() {
        let same = std::fs::read_to_string(&mark).is_ok_and(|text| text == known);
        if let (true, Some(address)) = (same, &before)
            && wanted.as_ref().is_none_or(|wanted| wanted == address)
        {
            return Ok(address.clone());
        }
    }
    // Without their supervisor too: they would keep the port, and answer in the place of the new ones.
    platform::end(&place.data)?;
    let address = match (wanted, before) {
        (Some(address), _) => address,
        (None, Some(address)) if TcpListener::bind(&address).is_ok() => address,
        _ => free_address()?,
    };
    step("Starting server and router", |_| {
        std::fs::create_dir_all(place.data.join("run"))?;
        let mut command = Command::new(place.binary());
        command
            .arg("supervise")
            .arg("--data")
            .arg(&place.data)
            .args(["--listen", &address]);
        process::daemon(&mut command, &place.data.join("ropewalk.log"))?;
        process::wait_for(Duration::from_secs(90), "the API to answer", || {
            let status = get(&address, "api.localhost", "/ropewalk/health");
            Ok(status.is_ok_and(|(status, _)| status == 200))
        })
        .with_context(|| format!("see {}", place.data.join("ropewalk.log").display()))
    })?;
    std::fs::write(&mark, known)?;
    std::fs::write(&address_file, &address)?;
    Ok(address)
}

fn free_address() -> Result<String> {
    (8080..8180)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| TcpListener::bind(address).is_ok())
        .context("no free port between 8080 and 8179; name one with --port")
}

/// What is to be sourced: address, token, PATH, and a credential helper so that `git push` asks for nothing.
fn write_env(place: &Place, address: &str) -> Result<()> {
    let token = std::fs::read_to_string(place.data.join("admin-token"))?;
    let port = address.rsplit(':').next().unwrap_or_default();
    let binary = place.binary();
    let folder = binary
        .parent()
        .unwrap_or(Path::new(""))
        .display()
        .to_string();
    let mut text = String::new();
    writeln!(text, "# To be sourced: . target/ropewalk/env")?;
    writeln!(text, "export ROPEWALK_URL='http://api.localhost:{port}'")?;
    writeln!(text, "export ROPEWALK_TOKEN='{}'", token.trim())?;
    writeln!(text, "export ROPEWALK_DATA='{}'", place.data.display())?;
    let authority = place.data.join("tls/ca.pem");
    writeln!(
        text,
        "# What to trust for https://*.localhost:{port}: curl --cacert \"$ROPEWALK_CA\""
    )?;
    writeln!(text, "export ROPEWALK_CA='{}'", authority.display())?;
    writeln!(text, "export PATH='{folder}':\"$PATH\"")?;
    writeln!(text, "export GIT_CONFIG_COUNT=1")?;
    writeln!(
        text,
        "export GIT_CONFIG_KEY_0='credential.http://git.localhost:{port}.helper'"
    )?;
    writeln!(
        text,
        "export GIT_CONFIG_VALUE_0='!ropewalk git:credentials'"
    )?;
    let path = place.env_file();
    std::fs::create_dir_all(path.parent().context("the file lies in a folder")?)?;
    write_private(&path, &text)?;
    // Whoever called through sudo must be able to read it.
    let id = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let (Some(user), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) {
        std::os::unix::fs::chown(&path, Some(user), Some(group))?;
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// Pushes the example unless the app answers already.
fn push_example(place: &Place, address: &str) -> Result<String> {
    let host = format!("{APP}.localhost");
    if let Ok((200, body)) = get(address, &host, "/") {
        return Ok(body);
    }
    let work = tempfile::tempdir()?;
    let source = place.root.join("examples").join(APP);
    loud(
        Command::new("cp")
            .arg("-a")
            .arg(source.join("."))
            .arg(work.path()),
    )?;
    let script = |args: &[&str]| {
        let mut command = Command::new("sh");
        // The file that people source is what is tried here.
        command
            .args(["-c", ". \"$0\" && exec \"$@\""])
            .arg(place.env_file())
            .args(args);
        command.current_dir(work.path());
        command
    };
    let git = [
        "git",
        "-c",
        "user.name=Ropewalk",
        "-c",
        "user.email=ropewalk@localhost",
    ];
    let with = |rest: &[&'static str]| [&git[..], rest].concat();
    process::quiet(
        "git",
        &[
            "-C",
            &work.path().to_string_lossy(),
            "init",
            "-q",
            "-b",
            "main",
        ],
    )?;
    loud(&mut script(&with(&["add", "-A"])))?;
    loud(&mut script(&with(&["commit", "-qm", "Hello"])))?;
    if !script(&["ropewalk", "apps:info", "--app", APP])
        .output()?
        .status
        .success()
    {
        loud(&mut script(&["ropewalk", "create", APP]))?;
    }
    loud(&mut script(&["ropewalk", "git:remote", "--app", APP]))?;
    eprintln!("-----> git push ropewalk main");
    loud(&mut script(&with(&["push", "-f", "ropewalk", "main"])))?;
    match get(address, &host, "/")? {
        (200, body) => Ok(body),
        (status, body) => bail!("{host} answered {status}: {body}"),
    }
}

/// `GET` with a `Host`, at one address; status and body.
pub fn get(address: &str, host: &str, path: &str) -> Result<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("an HTTP answer")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.trim_end().to_owned()))
}

fn print_how_to_go_on(place: &Place, address: &str, answer: Option<&str>, took: Duration) {
    let port = address.rsplit(':').next().unwrap_or_default();
    println!();
    if let Some(answer) = answer {
        println!("http://{APP}.localhost:{port}/ answers: {answer}");
        println!();
    }
    println!(
        "Ropewalk runs on http://*.localhost:{port}/ ({:.1} s). Go on with:",
        took.as_secs_f64()
    );
    println!();
    println!("    . {}", relative(&place.env_file()));
    println!("    ropewalk apps");
    println!("    ropewalk ps:scale web=2 --app {APP}");
    println!("    ropewalk logs --tail --app {APP}");
    println!();
    println!(
        "An app of your own: `ropewalk create` in its git repository, then `git push ropewalk main`."
    );
    println!(
        "Stop everything with `cargo xtask down`; `cargo xtask down --purge` removes every trace."
    );
}

fn relative(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}
