//! `run`, `run:detached`: a command in a dyno of its own; `run:inside`: one in a dyno that runs.

pub(crate) mod inside;
pub(crate) mod line;
mod session;
mod terminal;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use ropewalk_client::types::Dyno;
use ropewalk_client::types::dyno::{DynoCreate, EnvValue};

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::logs;
use crate::cmd::run::line::Flag;
use crate::ui::{Failure, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Size of the dyno
    #[arg(short, long, value_name = "SIZE")]
    size: Option<String>,
    /// Process type that names the dyno, and gives its size
    #[arg(long = "type", value_name = "TYPE")]
    process_type: Option<String>,
    /// Environment variables for this dyno: KEY=VALUE, several with ; between them or by several flags
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Use pipes even on a terminal
    #[arg(long)]
    no_tty: bool,
    /// The exit code of the command is always passed on; this is here for habit's sake
    #[arg(short = 'x', long, hide = true)]
    exit_code: bool,
    /// Say nothing but what the command says
    #[arg(long)]
    no_notify: bool,
    /// Heroku's; there is no launcher
    #[arg(long, hide = true)]
    no_launcher: bool,
    #[command(flatten)]
    app: AppArgs,
    /// The command; flags of ours behind it are still ours, up to a `--`
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DetachedArgs {
    /// Follow what the command says, until you press Ctrl-C
    #[arg(short, long)]
    tail: bool,
    /// Heroku's; there is no launcher
    #[arg(long, hide = true)]
    no_launcher: bool,
    /// Size of the dyno
    #[arg(short, long, value_name = "SIZE")]
    size: Option<String>,
    /// Process type that names the dyno, and gives its size
    #[arg(long = "type", value_name = "TYPE")]
    process_type: Option<String>,
    /// Environment variables for this dyno: KEY=VALUE, several with ; between them or by several flags
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
    /// The command; flags of ours behind it are still ours, up to a `--`
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

impl Args {
    /// `run bash --app demo`: flags may stand behind the command, as with Heroku's.
    pub(crate) fn take_late_flags(&mut self, typed: &[OsString]) {
        const KNOWN: [Flag; 8] = [
            Flag::App,
            Flag::Remote,
            Flag::Size,
            Flag::ProcessType,
            Flag::Env,
            Flag::ExitCode,
            Flag::NoTty,
            Flag::NoNotify,
        ];
        for (flag, value) in line::take_late_flags(&mut self.command, &KNOWN, typed) {
            match flag {
                Flag::App => self.app.app = Some(value),
                Flag::Remote => self.app.remote = Some(value),
                Flag::Size => self.size = Some(value),
                Flag::ProcessType => self.process_type = Some(value),
                Flag::Env => self.env.push(value),
                Flag::ExitCode => self.exit_code = true,
                Flag::NoTty => self.no_tty = true,
                Flag::NoNotify => self.no_notify = true,
            }
        }
    }
}

impl DetachedArgs {
    /// `run:detached bash --app demo`: flags may stand behind the command, as with Heroku's.
    pub(crate) fn take_late_flags(&mut self, typed: &[OsString]) {
        const KNOWN: [Flag; 5] = [
            Flag::App,
            Flag::Remote,
            Flag::Size,
            Flag::ProcessType,
            Flag::Env,
        ];
        for (flag, value) in line::take_late_flags(&mut self.command, &KNOWN, typed) {
            match flag {
                Flag::App => self.app.app = Some(value),
                Flag::Remote => self.app.remote = Some(value),
                Flag::Size => self.size = Some(value),
                Flag::ProcessType => self.process_type = Some(value),
                Flag::Env => self.env.push(value),
                // Not among those that are known here.
                Flag::ExitCode | Flag::NoTty | Flag::NoNotify => {}
            }
        }
    }
}

pub(crate) async fn attached(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let tty = has_tty(args.no_tty);
    let command = line::join(&args.command);
    let mut env = extra_env(&args.env)?;
    if tty {
        env.extend(terminal_env(cx));
    }
    let wanted = DynoCreate {
        command: command.clone(),
        attach: Some(true),
        env: Some(env),
        force_no_tty: (!tty).then_some(true),
        size: args.size,
        process_type: args.process_type,
        time_to_live: None,
    };
    let paint = cx.out.paint_err();
    let what = format!("Running {} on {}", paint.command(&command), paint.app(&app));
    let action = (!args.no_notify).then(|| cx.out.action(&what));
    let dyno = client.create_dyno(&app, &wanted).await?;
    let connection = client.attach(attach_url(&dyno)?).await?;
    let signals = session::Signals::listen()?;
    if let Some(action) = action {
        action.end(&format!("{}, {}", paint.good("up"), paint.dyno(&dyno.name)))?;
    }
    session::run(connection, signals, tty).await
}

fn attach_url(dyno: &Dyno) -> Result<&str, Failure> {
    let url = dyno.attach_url.as_deref();
    url.ok_or_else(|| Failure::new("The server gave no address to attach to."))
}

/// Standard input and output are a terminal, and nobody wants it otherwise.
fn has_tty(unwanted: bool) -> bool {
    !unwanted && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// What a command is told of our terminal.
fn terminal_env(cx: &Context) -> BTreeMap<String, EnvValue> {
    let term = cx.env.term.clone().unwrap_or_else(|| "xterm".into());
    let mut env = BTreeMap::from([("TERM".to_owned(), EnvValue::Text(term))]);
    if let Some((rows, columns)) = terminal::size() {
        env.insert("LINES".into(), EnvValue::Number(rows.into()));
        env.insert("COLUMNS".into(), EnvValue::Number(columns.into()));
    }
    env
}

pub(crate) async fn detached(cx: &Context, args: DetachedArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let command = line::join(&args.command);
    let wanted = DynoCreate {
        command: command.clone(),
        attach: Some(false),
        env: Some(extra_env(&args.env)?),
        size: args.size,
        process_type: args.process_type,
        ..DynoCreate::default()
    };
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Running {} on {}",
        paint.command(&command),
        paint.app(&app)
    ));
    let dyno = client.create_dyno(&app, &wanted).await?;
    action.done_with(&paint.dyno(&dyno.name))?;
    if args.json.json {
        json::print(&cx.out, &dyno)?;
    } else if args.tail {
        return logs::follow(cx, &app, &dyno.name).await;
    } else {
        let logs = cx
            .out
            .paint()
            .command(&format!("ropewalk logs --app {app} --dyno {}", dyno.name));
        cx.out.line(&format!("Run {logs} to view the output."))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn extra_env(pairs: &[String]) -> Result<BTreeMap<String, EnvValue>, Failure> {
    let pairs = pairs
        .iter()
        .flat_map(|pairs| pairs.split(';'))
        .filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok((key.to_owned(), EnvValue::Text(value.to_owned())))
        }
        _ => Err(Failure::usage(
            "--env takes KEY=VALUE, or several with ; between them.",
        )),
    });
    pairs.collect()
}
