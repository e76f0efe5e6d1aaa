//! `auth:whoami`, `auth:token`, `logout`: the token in use.

use std::process::ExitCode;

use ropewalk_client::types::error::id;

use crate::cmd::context::{Context, JsonArgs, not_logged_in};
use crate::env;
use crate::ui::json;

pub(crate) async fn whoami(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let account = cx.client()?.account().await?;
    if args.json {
        json::print(&cx.out, &account)?;
    } else {
        cx.out.line(&account.email)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn token(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let token = cx.token()?.ok_or_else(not_logged_in)?;
    if args.json {
        json::print(&cx.out, &serde_json::json!({ "token": token }))?;
    } else {
        cx.out.line(&token)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets the stored token; ends its session first when login had made it.
pub(crate) async fn logout(cx: &Context) -> anyhow::Result<ExitCode> {
    let host = cx.api_host()?;
    let file = cx.netrc()?;
    let mut netrc = file.read()?;
    let action = cx.out.action("Logging out");
    let mut left_over = None;
    if let Some(token) = netrc.password(&host.name) {
        let client = cx.client_with(&cx.url()?, Some(token))?;
        // A token that is no session was made for more than this login, and one that is refused is gone already.
        left_over = client
            .end_session("~")
            .await
            .err()
            .filter(|error| !(error.has_id(id::NOT_FOUND) || error.has_id(id::UNAUTHORIZED)));
    }
    netrc.remove(&host.name);
    netrc.remove(&host.git_host().name);
    file.write(&netrc)?;
    action.done()?;
    // A server that is away must not keep anybody logged in here.
    if let Some(error) = left_over {
        cx.out.remark(&format!(
            "The token is forgotten here, but the server could not be told: {error}.\nEnd it later with ropewalk sessions:destroy."
        ))?;
    }
    if cx.env.token.is_some() {
        cx.out
            .remark(&format!("{} is still set, and still in use.", env::TOKEN))?;
    }
    Ok(ExitCode::SUCCESS)
}
