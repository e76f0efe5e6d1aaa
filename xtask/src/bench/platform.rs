//! A Ropewalk of the bench's own: its data directory, port and instance, used as a person uses one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::answer::{Awaited, Door, now};
use super::run::{Running, run};

/// For a command of the CLI.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// For the stack, which may have to be built.
const STACK_LIMIT: Duration = Duration::from_secs(1800);
/// For a push, from its begin to the client's end.
const PUSH_LIMIT: Duration = Duration::from_secs(1500);
const READY_LIMIT: Duration = Duration::from_secs(120);

pub(super) struct Platform {
    binary: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    token: String,
    /// Image in which builds run, by the engine's id.
    pub(super) build_image: String,
    /// Image in which dynos run, by the engine's id.
    pub(super) run_image: String,
    supervise: Child,
}

/// One deploy: seconds.
pub(super) struct Deployed {
    /// From the begin of `git push` to the first answer of the new version.
    pub(super) total: f64,
    /// To the end of `git push`, which also waits until the old dynos are out of use.
    pub(super) returned: f64,
    /// What the build's record says, by phase.
    pub(super) phases: BTreeMap<String, f64>,
}

impl Platform {
    /// Starts it and waits until it can run dynos. What is left of it is removed by [`super::clean_up`].
    pub(super) fn start(binary: &Path, data: &Path, cache: &Path) -> Result<Self> {
        let mut stack = Command::new(binary);
        stack
            .args(["stacks:build", "debian-13", "--data"])
            .arg(data)
            .arg("--cache")
            .arg(cache);
        run(&mut stack, STACK_LIMIT).context("the stack could not be built")?;
        let (build_image, run_image) = (image(data, "build")?, image(data, "run")?);
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::create_dir_all(data.join("run"))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(data.join("ropewalk.log"))?;
        let supervise = Command::new(binary)
            .arg("supervise")
            .arg("--data")
            .arg(data)
            .args(["--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the bench; this is ended when it has.
            .process_group(0)
            .spawn()
            .context("Ropewalk could not be started")?;
        let mut platform = Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            address,
            token: String::new(),
            build_image,
            run_image,
            supervise,
        };
        platform.wait_until_ready()?;
        let token = std::fs::read_to_string(data.join("admin-token"))?;
        token.trim().clone_into(&mut platform.token);
        Ok(platform)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let api = self.door("api");
        let began = Instant::now();
        while !matches!(api.get("/ropewalk/health"), Ok((200, _))) {
            let ended = self.supervise.try_wait()?;
            if ended.is_some() || began.elapsed() > READY_LIMIT {
                bail!("Ropewalk does not come up:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(())
    }

    pub(super) fn create(&self, app: &str) -> Result<()> {
        self.cli(&["create", app]).map(drop)
    }

    pub(super) fn destroy(&self, app: &str) -> Result<()> {
        self.cli(&["apps:destroy", "--app", app, "--confirm", app])
            .map(drop)
    }

    /// Pushes what is committed in `folder`.
    pub(super) fn push(&self, folder: &Path, app: &str) -> Result<()> {
        let url = format!("{}/{app}.git", self.url("git"));
        let mut push = self.command(folder, "git");
        run(push.args(["push", &url, "main"]), PUSH_LIMIT).map(drop)
    }

    /// Puts an app to sleep, and waits until it does.
    pub(super) fn sleep(&self, app: &str, tier: &str) -> Result<()> {
        let mut args = vec!["ps:sleep", "--app", app];
        if tier == "stopped" {
            args.push("--stopped");
        }
        self.cli(&args)?;
        let began = Instant::now();
        let word = format!("({tier})");
        loop {
            let dynos = self.cli(&["ps", "--app", app])?;
            // What is stopping is not gone yet.
            if dynos.contains(&word) && !dynos.contains("down") {
                return Ok(());
            }
            if began.elapsed() > COMMAND_LIMIT {
                bail!("{app} does not fall asleep:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Pushes what is committed in `folder`, and measures.
    pub(super) fn deploy(&self, folder: &Path, app: &str, version: u32) -> Result<Deployed> {
        let url = format!("{}/{app}.git", self.url("git"));
        let mut push = self.command(folder, "git");
        push.args(["push", &url, "main"]);
        let awaited = Awaited {
            version,
            since: now()?,
        };
        let began = Instant::now();
        let mut push = Running::start(&mut push, PUSH_LIMIT)?;
        let mut returned = None;
        let mut look = || {
            if returned.is_none() && push.is_done()? {
                returned = Some(began.elapsed());
            }
            Ok(())
        };
        let answered = self
            .door(app)
            .wait(&awaited, PUSH_LIMIT, &mut look)
            .with_context(|| format!("the platform's log:\n{}", self.log()))?;
        while returned.is_none() {
            if push.is_done()? {
                returned = Some(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        Ok(Deployed {
            total: answered.duration_since(began).as_secs_f64(),
            returned: returned.unwrap_or_default().as_secs_f64(),
            phases: self.phases(app)?,
        })
    }

    pub(super) fn scale(&self, app: &str, formation: &[String]) -> Result<()> {
        let mut args = vec!["ps:scale", "--app", app];
        args.extend(formation.iter().map(String::as_str));
        self.cli(&args).map(drop)
    }

    /// What it says of itself.
    pub(super) fn status(&self) -> Result<Value> {
        let (status, body) = self.door("api").read("/ropewalk/status", &self.token)?;
        if status != 200 {
            bail!("the platform's status is answered with {status}: {body}");
        }
        serde_json::from_str(&body).context("the platform's status is no JSON")
    }

    /// Seconds by phase of the app's last build. The public API does not tell them: this reads the ledger.
    fn phases(&self, app: &str) -> Result<BTreeMap<String, f64>> {
        let query = format!(
            "SELECT report FROM builds WHERE app_id = (SELECT id FROM apps WHERE name = '{app}') \
             ORDER BY created_at DESC LIMIT 1"
        );
        let mut command = Command::new("sqlite3");
        command
            .args(["-readonly", "-cmd", ".timeout 5000"])
            .arg(self.data.join("ledger.db"))
            .arg(query);
        let report: Value = serde_json::from_str(&run(&mut command, COMMAND_LIMIT)?)
            .context("the last build's report is not JSON")?;
        let phases = report["phases_ms"]
            .as_object()
            .context("the last build's report names no phases")?;
        Ok(phases
            .iter()
            .filter_map(|(name, millis)| Some((name.clone(), millis.as_f64()? / 1000.0)))
            .collect())
    }

    fn url(&self, label: &str) -> String {
        format!("http://{label}.localhost:{}", self.address.port())
    }

    pub(super) fn door(&self, label: &str) -> Door {
        Door {
            address: self.address,
            host: format!("{label}.localhost"),
        }
    }

    fn cli(&self, args: &[&str]) -> Result<String> {
        run(
            self.command(&self.data, &self.binary).args(args),
            COMMAND_LIMIT,
        )
    }

    /// A program that finds this platform, and no settings of the person who runs the bench.
    fn command(&self, folder: &Path, program: impl AsRef<OsStr>) -> Command {
        let helper = format!("!'{}' git:credentials", self.binary.display());
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("HOME", &self.data)
            .env("ROPEWALK_URL", self.url("api"))
            .env("ROPEWALK_TOKEN", &self.token)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_COUNT", "1")
            .env(
                "GIT_CONFIG_KEY_0",
                format!("credential.{}.helper", self.url("git")),
            )
            .env("GIT_CONFIG_VALUE_0", helper);
        command
    }

    /// The last lines of the platform's own log.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.data.join("ropewalk.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// What `stacks:build` wrote says which image builds and dynos run in.
fn image(data: &Path, what: &str) -> Result<String> {
    let text = std::fs::read(data.join("stacks/debian-13.json"))?;
    let stack: Value = serde_json::from_slice(&text)?;
    stack[what]["config_digest"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("the stack does not name its {what} image"))
}
