//! The app as it is where it comes from. Only what an import needs is read, so that servers may say more or less.

use std::collections::BTreeMap;
use std::io::Read;

use ropewalk_client::{Client, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{HEROKU, Whence};
use crate::cmd::context::Context;
use crate::ui::Failure;

/// Longest token, in bytes.
const MAX_TOKEN: u64 = 4096;
/// Releases that are looked through for the current one.
const RELEASES: u32 = 50;

/// A client of the API that the app comes from.
pub(super) fn client(cx: &Context, url: &str, whence: Option<Whence>) -> anyhow::Result<Client> {
    let client = cx.client_with(url, None)?;
    let token = match whence {
        Some(Whence::Input) => Some(read_token()?),
        Some(Whence::Env) => cx.env.heroku_api_key.clone(),
        None => known_token(cx, &client)?,
    };
    let host = client.base().host_str().unwrap_or_default();
    let token = token.ok_or_else(|| {
        Failure::new(format!("No token for {host} is known.")).hint(
            "Pass one on standard input: heroku auth:token | ropewalk import heroku APP --token -",
        )
    })?;
    Ok(client.with_token(&token))
}

fn read_token() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(Failure::new("Standard input has no token.").into()),
        token => Ok(token.to_owned()),
    }
}

/// The token of our own server for our own server, Heroku's for Heroku, else what .netrc has for that host: a token
/// goes to no other host than the one it is for.
fn known_token(cx: &Context, client: &Client) -> anyhow::Result<Option<String>> {
    let own = cx.client()?;
    if own.base() == client.base() {
        return cx.token();
    }
    let host = client.base().host_str().unwrap_or_default();
    match &cx.env.heroku_api_key {
        Some(token) if client.base().as_str().trim_end_matches('/') == HEROKU => {
            Ok(Some(token.clone()))
        }
        _ => Ok(cx
            .netrc()
            .ok()
            .and_then(|netrc| netrc.read().ok()?.password(host))),
    }
}

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) app: App,
    pub(super) config_vars: Part<BTreeMap<String, String>>,
    pub(super) formation: Part<Vec<Formation>>,
    pub(super) buildpacks: Part<Vec<Installation>>,
    pub(super) domains: Part<Vec<Domain>>,
    pub(super) features: Part<Vec<Feature>>,
    pub(super) drains: Part<Vec<Drain>>,
    pub(super) addons: Part<Vec<Addon>>,
    pub(super) collaborators: Part<Vec<Collaborator>>,
    pub(super) certificates: Part<Vec<Certificate>>,
    pub(super) release: Part<Option<Release>>,
    /// Settings by the names of the API; none of a server that has no such thing.
    pub(super) edge: Part<Map<String, Value>>,
}

/// What was read, or why it could not be.
pub(super) type Part<T> = Result<T, String>;

#[derive(Debug, Deserialize)]
pub(super) struct App {
    pub(super) name: String,
    #[serde(default)]
    pub(super) maintenance: bool,
    pub(super) stack: Named,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Formation {
    #[serde(rename = "type")]
    pub(super) process_type: String,
    pub(super) quantity: u32,
    pub(super) size: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Installation {
    #[serde(default)]
    pub(super) ordinal: u32,
    pub(super) buildpack: Buildpack,
}

#[derive(Debug, Deserialize)]
pub(super) struct Buildpack {
    pub(super) url: String,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Domain {
    pub(super) hostname: String,
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) enabled: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Drain {
    pub(super) url: String,
    #[serde(default)]
    pub(super) addon: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Addon {
    pub(super) name: String,
    #[serde(default)]
    pub(super) config_vars: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Collaborator {
    pub(super) user: Email,
    #[serde(default)]
    pub(super) role: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Email {
    pub(super) email: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Certificate {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Release {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) current: bool,
    pub(super) slug: Option<Id>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Id {
    pub(super) id: String,
}

impl Origin {
    /// Without the app itself there is nothing to copy; of everything else what can be read is.
    pub(super) async fn read(from: &Client, app: &str) -> anyhow::Result<Self> {
        let found: App = from.read(&["apps", app]).await?;
        let app = found.name.clone();
        let app = app.as_str();
        let release = match from.releases_as::<Release>(app, RELEASES).await {
            Ok(releases) => Ok(releases.into_iter().find(|release| release.current)),
            Err(error) => Err(error.to_string()),
        };
        let mut buildpacks: Part<Vec<Installation>> =
            list(from, app, "buildpack-installations").await;
        if let Ok(buildpacks) = &mut buildpacks {
            buildpacks.sort_by_key(|one| one.ordinal);
        }
        let mut formation: Part<Vec<Formation>> = list(from, app, "formation").await;
        if let Ok(formation) = &mut formation {
            // Lists come in the order of their ids.
            formation.sort_by(|a, b| a.process_type.cmp(&b.process_type));
        }
        Ok(Self {
            app: found,
            config_vars: part(from.read(&["apps", app, "config-vars"]).await),
            formation,
            buildpacks,
            domains: list(from, app, "domains").await,
            features: list(from, app, "features").await,
            drains: list(from, app, "log-drains").await,
            addons: list(from, app, "addons").await,
            collaborators: list(from, app, "collaborators").await,
            certificates: list(from, app, "sni-endpoints").await,
            release,
            edge: edge(from, app).await,
        })
    }
}

async fn edge(from: &Client, app: &str) -> Part<Map<String, Value>> {
    if from.base().as_str().trim_end_matches('/') == HEROKU {
        return Ok(Map::new());
    }
    match from.read(&["ropewalk", "apps", app, "edge"]).await {
        Err(error) if error.api().is_some_and(|answer| answer.status == 404) => Ok(Map::new()),
        read => part(read).map(|mut edge: Map<String, Value>| {
            edge.remove("app");
            edge
        }),
    }
}

async fn list<T: DeserializeOwned>(from: &Client, app: &str, what: &str) -> Part<Vec<T>> {
    part(from.read_list(&["apps", app, what]).await)
}

fn part<T>(read: Result<T, Error>) -> Part<T> {
    read.map_err(|error| error.to_string())
}
