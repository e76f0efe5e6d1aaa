//! `config`, `config:*`: an app's config vars.

pub(crate) mod edit;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod set;
pub(crate) mod unset;

use ropewalk_client::Client;

/// The version that a change made, for `done, v5`.
async fn newest_version(client: &Client, app: &str) -> anyhow::Result<Option<u64>> {
    Ok(client
        .releases(app, 1)
        .await?
        .first()
        .map(|release| release.version))
}

/// Ends `Setting A and restarting ⬢ demo... done, v5`.
async fn finish(
    action: crate::ui::action::Action,
    client: &Client,
    app: &str,
) -> anyhow::Result<()> {
    match newest_version(client, app).await? {
        Some(version) => action.done_with(&format!("v{version}"))?,
        None => action.done()?,
    }
    Ok(())
}
