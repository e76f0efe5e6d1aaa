//! `config`, `config:*`: an app's config vars.

pub(crate) mod edit;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod set;
pub(crate) mod unset;

use ropewalk_client::Client;
use ropewalk_client::types::config_var::ConfigVarsUpdate;
use ropewalk_client::types::release::ReleaseStatus;
use ropewalk_client::types::{ConfigVars, Release};

use crate::cmd::context::Context;
use crate::cmd::releases::ending::{Ending, ending};

/// `--no-wait`
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct WaitArgs {
    /// Do not wait until the change has taken effect
    #[arg(long)]
    no_wait: bool,
}

/// Sends a change and follows the release that it makes: `Setting A and restarting ⬢ demo... done, v5`.
///
/// # Errors
/// A refused change, and a release that does not come to serve: the config vars are as before then. A newer release
/// that takes its place is none, for that builds on the change.
async fn change(
    cx: &Context,
    client: &Client,
    app: &str,
    doing: &str,
    update: &ConfigVarsUpdate,
    wait: WaitArgs,
) -> anyhow::Result<ConfigVars> {
    let paint = cx.out.paint_err();
    let keys: Vec<String> = update.keys().map(|key| paint.key(key)).collect();
    let action = cx.out.action(&format!(
        "{doing} {} and restarting {}",
        keys.join(", "),
        paint.app(app)
    ));
    let before = newest(client, app).await?.map(|release| release.version);
    let vars = client.update_config_vars(app, update).await?;
    let Some(release) = newest(client, app).await? else {
        action.done()?;
        return Ok(vars);
    };
    let version = format!("v{}", release.version);
    // What was so already makes no release, and what became of an older one is no news.
    if before == Some(release.version) {
        action.done_with("nothing changed")?;
        return Ok(vars);
    }
    if wait.no_wait && release.status == ReleaseStatus::Pending {
        action.end(&format!("pending, {version}"))?;
        return Ok(vars);
    }
    match ending(client, app, &release).await? {
        Ending::Superseded { by } => {
            action.done_with(&format!("{version}, superseded by v{by}"))?;
        }
        ended => match ended.failure(release.version) {
            Some(failure) => return Err(failure.into()),
            None => action.done_with(&version)?,
        },
    }
    Ok(vars)
}

async fn newest(client: &Client, app: &str) -> anyhow::Result<Option<Release>> {
    Ok(client.releases(app, 1).await?.into_iter().next())
}
