//! `auth:2fa`, `auth:2fa:*`: one's own second factor.

use std::process::ExitCode;

use ropewalk_client::types::Secret;
use ropewalk_client::types::two_factor::TwoFactorChange;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::{Failure, json, prompt};

pub(crate) async fn show(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let found = cx.client()?.two_factor().await?;
    if args.json {
        json::print(&cx.out, &found)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.line(match found.enabled {
        true => "Two-factor authentication is enabled",
        false => "Two-factor authentication is not enabled",
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn enable(cx: &Context) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let first = TwoFactorChange {
        password: Some(Secret(prompt::ask_secret("Password: ")?)),
        code: None,
    };
    let proposed = client.enable_two_factor(&first).await?;
    let (Some(uri), Some(secret)) = (proposed.otpauth_uri, proposed.secret) else {
        return Err(Failure::new("The server gave no secret.").into());
    };
    cx.out.note(&format!(
        "Add this to your authenticator, as an address or by the key alone:\n{}\nKey: {}",
        uri.0, secret.0
    ))?;
    let code = prompt::ask("Code that it shows: ")?;
    let second = TwoFactorChange {
        password: None,
        code: Some(Secret(code.trim().to_owned())),
    };
    let enabled = client.enable_two_factor(&second).await?;
    cx.out.note(
        "Two-factor authentication is enabled. Keep these recovery codes where you keep no device;\n\
         each is good once, in place of a code:",
    )?;
    for code in enabled.recovery_codes.unwrap_or_default() {
        cx.out.line(&code.0)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn disable(cx: &Context) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let change = TwoFactorChange {
        password: Some(Secret(prompt::ask_secret("Password: ")?)),
        code: None,
    };
    let action = cx.out.action("Disabling two-factor authentication");
    client.disable_two_factor(&change).await?;
    action.done()?;
    Ok(ExitCode::SUCCESS)
}
