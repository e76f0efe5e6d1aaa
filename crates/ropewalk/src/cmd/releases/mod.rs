//! `releases`, `releases:*`: what ran when, and the way back.

pub(crate) mod ending;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod output;
pub(crate) mod retry;
pub(crate) mod rollback;

use std::time::Duration;

use ropewalk_client::Client;
use ropewalk_client::types::Release;
use tokio::time::Instant;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::Failure;
use crate::ui::clean::Cleaner;

/// How long an output may take to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// `v5`, `5` or an id, as the API takes it.
fn version(typed: &str) -> &str {
    match typed.strip_prefix('v') {
        Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            number
        }
        _ => typed,
    }
}

/// The release that was named, or the newest.
async fn release(client: &Client, app: &str, typed: Option<&str>) -> anyhow::Result<Release> {
    match typed {
        Some(typed) => Ok(client.release(app, version(typed)).await?),
        None => {
            let newest = client.releases(app, 1).await?.into_iter().next();
            newest.ok_or_else(|| Failure::new(format!("{app} has no releases.")).into())
        }
    }
}

/// Shows an output from its first byte to its end. It is the result, unless JSON is `wanted` as that: then it is told
/// as progress, on standard error.
pub(crate) async fn show_output(
    cx: &Context,
    client: &Client,
    url: &str,
    wanted: JsonArgs,
) -> anyhow::Result<()> {
    let give_up = Instant::now() + BEGINS_WITHIN;
    let mut output = loop {
        if let Some(output) = client.output(url).await? {
            break output;
        }
        if Instant::now() >= give_up {
            return Err(Failure::new("The output has not begun yet.")
                .hint("Try again in a moment.")
                .into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let mut cleaner = Cleaner::default();
    while let Some(bytes) = output.chunk().await? {
        match wanted.json {
            true => cx.out.stream_note(&mut cleaner, &bytes)?,
            false => cx.out.stream(&mut cleaner, &bytes)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_may_start_with_v() {
        for (typed, sent) in [
            ("v5", "5"),
            ("5", "5"),
            ("v", "v"),
            ("vx", "vx"),
            ("0a1b", "0a1b"),
        ] {
            assert_eq!(version(typed), sent);
        }
    }
}
