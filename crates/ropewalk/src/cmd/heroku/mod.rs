//! `heroku -- …`: Heroku's own CLI, unmodified, against this server. `env`: the same without a helper process.
//!
//! The CLI takes no other host than Heroku's unless it looks like this machine, and some of its commands have hosts
//! of Heroku's written into them, to which they would send the token. So it is given a helper on loopback that is
//! its API, and its proxy for everything else, and lets nothing through to anybody but our server.

mod child;
mod environment;
mod exports;
mod gate;
mod git;
mod helper;
mod leash;
mod relay;
mod rewrite;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cmd::context::{Context, not_logged_in};
use crate::env::is_foreign;
pub(crate) use exports::{Args as EnvArgs, run as env};
pub(crate) use leash::{Args as LeashArgs, run as leashed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What Heroku's CLI is to do, as you would type it behind `heroku`
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
}

/// Runs `heroku ARGS` and gives its exit code.
pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let token = cx.token()?.ok_or_else(not_logged_in)?;
    let api = cx.api_host()?;
    if let Some(host) = cx
        .env
        .heroku
        .host
        .as_deref()
        .filter(|host| is_foreign(host))
    {
        cx.out.remark(&format!(
            "HEROKU_HOST is {host}. Without `ropewalk heroku`, Heroku's CLI would send your key to Heroku: unset it."
        ))?;
    }
    let program = child::find(cx.env.path.as_deref())?;
    let helper = helper::Helper::start(client, &token).await?;
    let ca = cx.env.ca.as_deref().or(cx.settings.ca.as_deref());
    let mut variables = environment::by_helper(&environment::Helper {
        port: helper.port(),
        token: &token,
        git: &api.git_host(),
        ca,
    });
    let folder = std::env::current_dir()?;
    let git_host = api.git_host();
    variables.extend(git::for_child(&cx.env.heroku, &git_host, ca, &folder, &args.args).await?);
    child::accept_terms(cx.env.heroku.cache.as_deref());
    let code = child::run(leash::command(&program, &args.args), &variables).await?;
    let folders = git::touched(&folder, &args.args);
    git::settle(cx, &git_host, ca, &folders).await?;
    Ok(code)
}

/// A variable and its value; `None` takes it away.
type Variable = (&'static str, Option<String>);
/// Names that are made, such as `GIT_CONFIG_KEY_3`, stand beside them.
type Variables = Vec<(String, Option<std::ffi::OsString>)>;

fn owned(variables: Vec<Variable>) -> Variables {
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.map(Into::into)))
        .collect()
}

/// What of the person's environment matters to Heroku's CLI and to the git beneath it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// HEROKU_HOST
    pub(crate) host: Option<String>,
    /// The folder where the CLI keeps what it may lose: HEROKU_CACHE_DIR, or `heroku` in XDG_CACHE_HOME or `.cache`.
    pub(crate) cache: Option<PathBuf>,
    /// GIT_CONFIG_COUNT: settings that git is given by its environment already.
    pub(crate) git_settings: usize,
    /// The proxy that git would use for HTTP, and for HTTPS.
    pub(crate) proxies: [Option<String>; 2],
}
