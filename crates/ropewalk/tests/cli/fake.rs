//! A scripted API on loopback, and the command run against it in a home of its own.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";
pub(crate) const AT: &str = "2024-01-01T12:00:00Z";

#[derive(Default)]
struct Script {
    answers: HashMap<String, VecDeque<(u16, Value)>>,
    requests: Vec<String>,
}

/// The API: answers what it was told to, and remembers what it was asked.
pub(crate) struct Fake {
    script: Arc<Mutex<Script>>,
    pub(crate) port: u16,
    pub(crate) home: TempDir,
    /// Ends the server when the test does.
    _runtime: Runtime,
}

/// What one run of the command did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self::with_routes(Router::new())
    }

    /// With handlers of the test's own for what is no JSON.
    pub(crate) fn with_routes(routes: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let router = routes.fallback(move |request: Request<Body>| answer(shared, request));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            script,
            port,
            home: tempfile::tempdir().unwrap(),
            _runtime: runtime,
        }
    }

    /// `on("GET /apps/demo", 200, json)`. Of several answers to one request each is given once, the last for ever.
    pub(crate) fn on(self, request: &str, status: u16, body: Value) -> Self {
        self.script
            .lock()
            .unwrap()
            .answers
            .entry(request.to_owned())
            .or_default()
            .push_back((status, body));
        self
    }

    /// Requests so far, `METHOD /path body`, in order; those of one command that run at once are sorted by the test.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().requests)
    }

    /// Runs `ropewalk` with `args` in an empty folder, logged in by the environment.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "", &[("ROPEWALK_TOKEN", "secret-token")])
    }

    /// The same with standard input and other variables.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &str, env: &[(&str, &str)]) -> Ran {
        self.run_in(self.home.path(), args, stdin, env)
    }

    /// The same in a folder.
    pub(crate) fn run_in(
        &self,
        folder: &Path,
        args: &[&str],
        stdin: &str,
        env: &[(&str, &str)],
    ) -> Ran {
        let mut child = self
            .command(args)
            .envs(env.iter().copied())
            .current_dir(folder)
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone before we wrote it.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(&self.port.to_string(), "PORT")
        };
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Starts `ropewalk` with `args`, logged in, its streams in pipes for the test to use.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.spawn_with(args, &[])
    }

    /// The same with other variables.
    pub(crate) fn spawn_with(&self, args: &[&str], env: &[(&str, &str)]) -> Child {
        let mut command = self.command(args);
        command.env("ROPEWALK_TOKEN", "secret-token");
        command.envs(env.iter().copied()).spawn().unwrap()
    }

    /// `ropewalk` with `args`, not logged in, in an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .env("GIT_CEILING_DIRECTORIES", self.home.path())
            .env("ROPEWALK_URL", self.url())
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn url(&self) -> String {
        format!("http://api.localhost:{}", self.port)
    }
}

async fn answer(script: Arc<Mutex<Script>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let asked = format!("{} {}", parts.method, parts.uri.path());
    let range = parts
        .headers
        .get("range")
        .and_then(|range| range.to_str().ok());
    let mut record = asked.clone();
    for more in [range.unwrap_or_default(), &String::from_utf8_lossy(&body)] {
        if !more.is_empty() {
            record = format!("{record} {more}");
        }
    }
    let mut script = script.lock().unwrap();
    script.requests.push(record);
    let unknown = (
        404,
        json!({"id": "not_found", "message": format!("Nothing is scripted for {asked}.")}),
    );
    let (status, body) = match script.answers.get_mut(&asked) {
        Some(answers) if answers.len() > 1 => answers.pop_front(),
        Some(answers) => answers.front().cloned(),
        None => None,
    }
    .unwrap_or(unknown);
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

/// A run that worked.
pub(crate) fn ok(stdout: &str, stderr: &str) -> Ran {
    Ran {
        code: 0,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}

/// A run that did not.
pub(crate) fn failed(code: i32, stderr: &str) -> Ran {
    Ran {
        code,
        stdout: String::new(),
        stderr: stderr.to_owned(),
    }
}

fn named(name: &str) -> Value {
    json!({"id": ID, "name": name})
}

pub(crate) fn account() -> Value {
    json!({"id": ID, "email": "dev@example.com", "name": null, "allow_tracking": false, "beta": false,
        "federated": false, "identity_provider": null, "sms_number": null, "two_factor_authentication": false,
        "verified": true, "country_of_residence": null, "default_organization": null, "default_team": null,
        "last_login": null, "suspended_at": null, "delinquent_at": null, "created_at": AT, "updated_at": AT})
}

/// An app whose git host is the one beside the scripted API on `port`.
pub(crate) fn app(name: &str, port: u16) -> Value {
    json!({"id": ID, "name": name, "acm": false, "archived_at": null, "buildpack_provided_description": "Node.js",
        "build_stack": named("debian-13"), "stack": named("debian-13"), "generation": named("cedar"),
        "git_url": format!("http://git.localhost:{port}/{name}.git"),
        "web_url": format!("http://{name}.localhost:{port}/"), "internal_routing": false, "locked": false,
        "maintenance": false, "owner": {"id": ID, "email": "dev@example.com"}, "organization": null, "team": null,
        "region": named("us"), "released_at": AT, "repo_size": 0, "slug_size": 63_000_000, "space": null,
        "create_status": "complete", "created_at": AT, "updated_at": AT})
}

pub(crate) fn dyno(name: &str, state: &str, version: u64) -> Value {
    let process_type = name.split('.').next().unwrap_or_default();
    json!({"id": ID, "name": name, "type": process_type, "state": state, "size": "Standard-1X",
        "command": "node index.js", "attach_url": null, "release": {"id": ID, "version": version},
        "app": named("demo"), "created_at": AT, "updated_at": AT})
}

pub(crate) fn formation(process_type: &str, quantity: u32, size: &str) -> Value {
    json!({"id": ID, "type": process_type, "quantity": quantity, "size": size, "dyno_size": named(size),
        "command": "node index.js", "app": named("demo"), "created_at": AT, "updated_at": AT})
}

pub(crate) fn release(version: u64, description: &str, current: bool) -> Value {
    json!({"id": ID, "version": version, "description": description, "status": "succeeded", "current": current,
        "eligible_for_rollback": version > 1, "user": {"id": ID, "email": "dev@example.com"}, "slug": null,
        "oci_image": null, "artifacts": [], "addon_plan_names": [], "output_stream_url": null, "app": named("demo"),
        "created_at": AT, "updated_at": AT})
}
