//! `run:inside`: a command beside what a running dyno does, in its container.

use std::ffi::OsString;
use std::process::ExitCode;

use ropewalk_client::types::dyno::DynoCreate;

use crate::cmd::context::{AppArgs, Context};
use crate::cmd::run::line::{self, Flag};
use crate::cmd::run::{attach_url, has_tty, session, terminal_env};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    /// The dyno, such as web.1
    #[arg(value_name = "DYNO")]
    dyno: String,
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
    /// `run:inside web.1 bash --app demo`: flags may stand behind the command, as with Heroku's.
    pub(crate) fn take_late_flags(&mut self, typed: &[OsString]) {
        const KNOWN: [Flag; 5] = [
            Flag::App,
            Flag::Remote,
            Flag::ExitCode,
            Flag::NoTty,
            Flag::NoNotify,
        ];
        for (flag, value) in line::take_late_flags(&mut self.command, &KNOWN, typed) {
            match flag {
                Flag::App => self.app.app = Some(value),
                Flag::Remote => self.app.remote = Some(value),
                Flag::ExitCode => self.exit_code = true,
                Flag::NoTty => self.no_tty = true,
                Flag::NoNotify => self.no_notify = true,
                // Not among those that are known here.
                Flag::Size | Flag::ProcessType | Flag::Env => {}
            }
        }
    }
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let tty = has_tty(args.no_tty);
    let command = line::join(&args.command);
    let wanted = DynoCreate {
        command: command.clone(),
        env: tty.then(|| terminal_env(cx)),
        force_no_tty: (!tty).then_some(true),
        ..DynoCreate::default()
    };
    let paint = cx.out.paint_err();
    let what = format!(
        "Running {} inside {} on {}",
        paint.command(&command),
        paint.dyno(&args.dyno),
        paint.app(&app)
    );
    let action = (!args.no_notify).then(|| cx.out.action(&what));
    let dyno = client.run_inside(&app, &args.dyno, &wanted).await?;
    let connection = client.attach(attach_url(&dyno)?).await?;
    let signals = session::Signals::listen()?;
    if let Some(action) = action {
        action.end(&paint.good("up"))?;
    }
    session::run(connection, signals, tty).await
}
