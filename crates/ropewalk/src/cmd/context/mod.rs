//! What every command knows: the environment, the stored settings, the server, the app that is meant.

pub(crate) mod hosts;
pub(crate) mod netrc;
pub(crate) mod remotes;
pub(crate) mod settings;

use std::path::PathBuf;

use clap::Args;
use ropewalk_client::{Client, Config};
use serde::Serialize;

use crate::env::Env;
use crate::ui::{Failure, Printer, json};
use hosts::{ApiHost, GitHost};
use netrc::Netrc;
use settings::Settings;

/// `-a`, `-r`: which app.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AppArgs {
    /// App to run the command against
    #[arg(short = 'a', long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// Git remote of the app
    #[arg(short = 'r', long, value_name = "REMOTE")]
    pub(crate) remote: Option<String>,
}

/// `--json`
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct JsonArgs {
    /// Output in JSON, as the API spells it
    #[arg(short = 'j', long)]
    pub(crate) json: bool,
}

/// `-a`, `-r`, `--json`
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AppJsonArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

impl JsonArgs {
    /// Prints `value` if JSON is wanted.
    pub(crate) fn print(self, cx: &Context, value: &impl Serialize) -> std::io::Result<()> {
        match self.json {
            true => json::print(&cx.out, value),
            false => Ok(()),
        }
    }
}

/// What every command knows.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) env: Env,
    pub(crate) out: Printer,
    pub(crate) settings: Settings,
}

impl Context {
    /// From this process's environment and the person's files.
    pub(crate) fn for_process() -> anyhow::Result<Self> {
        let env = Env::read();
        let settings = Settings::read(env.config_home.as_deref())?;
        Ok(Self {
            env,
            out: Printer::for_process(),
            settings,
        })
    }

    /// The API's address: the environment's, or the one of the last login.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        self.env.url.clone().or_else(|| self.settings.url.clone()).ok_or_else(|| {
            Failure::new("Which server? None is known yet.")
                .hint("Run ropewalk login --url http://api.localhost:8080 (your API's address), or set ROPEWALK_URL.")
                .into()
        })
    }

    /// The API's host.
    pub(crate) fn api_host(&self) -> anyhow::Result<ApiHost> {
        ApiHost::parse(&self.url()?)
    }

    /// The host that apps are pushed to.
    pub(crate) fn git_host(&self) -> anyhow::Result<GitHost> {
        Ok(self.api_host()?.git_host())
    }

    /// The token in force, if any: the environment's, or the one that login stored for this server.
    pub(crate) fn token(&self) -> anyhow::Result<Option<String>> {
        if let Some(token) = &self.env.token {
            return Ok(Some(token.clone()));
        }
        let machine = self.api_host()?.name;
        Ok(self.netrc()?.read()?.password(&machine))
    }

    /// A client that speaks for somebody.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let token = self.token()?.ok_or_else(not_logged_in)?;
        self.client_with(&self.url()?, Some(token))
    }

    /// A client for `url`, with or without a token.
    pub(crate) fn client_with(&self, url: &str, token: Option<String>) -> anyhow::Result<Client> {
        let config = Config {
            url: url.to_owned(),
            token,
            ca_file: self.env.ca.clone().or_else(|| self.settings.ca.clone()),
            user_agent: concat!("ropewalk/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        Ok(Client::new(&config)?)
    }

    /// The file that holds tokens, for us and for git.
    pub(crate) fn netrc(&self) -> anyhow::Result<NetrcFile> {
        let home = self
            .env
            .home
            .as_ref()
            .ok_or_else(|| Failure::new("HOME is not set, so there is no .netrc."))?;
        Ok(NetrcFile {
            path: home.join(".netrc"),
        })
    }

    /// The app that is meant: by flag, by remote, by environment, by the only app among the git remotes.
    pub(crate) async fn app(&self, args: &AppArgs) -> anyhow::Result<String> {
        if let Some(app) = &args.app {
            return Ok(app.clone());
        }
        if let Some(remote) = &args.remote {
            return remotes::app_of(remote, &self.git_host()?).await;
        }
        match &self.env.app {
            Some(app) => Ok(app.clone()),
            None => remotes::only_app(&self.git_host()?).await,
        }
    }
}

/// `.netrc` in the person's home.
#[derive(Debug)]
pub(crate) struct NetrcFile {
    pub(crate) path: PathBuf,
}

impl NetrcFile {
    /// What it holds; a missing file holds nothing.
    pub(crate) fn read(&self) -> anyhow::Result<Netrc> {
        Netrc::read(&self.path)
    }

    /// Replaces it by `netrc`, readable by its owner only.
    pub(crate) fn write(&self, netrc: &Netrc) -> anyhow::Result<()> {
        netrc.write(&self.path)
    }
}

/// Nobody is logged in.
pub(crate) fn not_logged_in() -> anyhow::Error {
    Failure::new("You are not logged in.")
        .hint("Run ropewalk login, or set ROPEWALK_TOKEN.")
        .into()
}
