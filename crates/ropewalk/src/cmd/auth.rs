//! `auth:whoami`, `auth:token`, `logout`: the token in use.

use std::process::ExitCode;

use ropewalk_client::types::Authorization;

use crate::cmd::context::{Context, JsonArgs, not_logged_in};
use crate::cmd::login::DESCRIPTION;
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

pub(crate) fn token(cx: &Context) -> anyhow::Result<ExitCode> {
    let token = cx.token()?.ok_or_else(not_logged_in)?;
    cx.out.line(&token)?;
    Ok(ExitCode::SUCCESS)
}

/// Forgets the stored token; revokes it first when login had made it.
pub(crate) async fn logout(cx: &Context) -> anyhow::Result<ExitCode> {
    let host = cx.api_host()?;
    let file = cx.netrc()?;
    let mut netrc = file.read()?;
    let action = cx.out.action("Logging out");
    if let Some(token) = netrc.password(&host.name) {
        let client = cx.client_with(&cx.url()?, Some(token.clone()))?;
        // A token that the server refuses, or a server that is away, must not keep anybody logged in here.
        if let Ok(authorizations) = client.authorizations().await
            && let Some(own) = authorizations
                .iter()
                .find(|authorization| is_ours(authorization, &token))
        {
            client.revoke(&own.id.to_string()).await?;
        }
    }
    netrc.remove(&host.name);
    netrc.remove(&host.git_host().name);
    file.write(&netrc)?;
    action.done()?;
    if cx.env.token.is_some() {
        cx.out
            .remark(&format!("{} is still set, and still in use.", env::TOKEN))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists show `abcd**********wxyz`: the parts beside the asterisks have to match.
fn is_ours(authorization: &Authorization, token: &str) -> bool {
    let shown = authorization
        .access_token
        .as_ref()
        .map(|shown| shown.token.0.as_str())
        .unwrap_or_default();
    let matches = match (shown.find('*'), shown.rfind('*')) {
        (Some(first), Some(last)) => {
            let (start, end) = (
                shown.get(..first).unwrap_or_default(),
                shown.get(last + 1..).unwrap_or_default(),
            );
            !start.is_empty() && !end.is_empty() && token.starts_with(start) && token.ends_with(end)
        }
        _ => shown == token,
    };
    matches && authorization.description.starts_with(DESCRIPTION)
}
