//! How a release ends: waiting for it, and the words for it.

use std::time::{Duration, Instant};

use ropewalk_client::Client;
use ropewalk_client::types::Release;
use ropewalk_client::types::release::ReleaseStatus;

use crate::cmd::context::{Context, JsonArgs};
use crate::cmd::releases::show_output;
use crate::ui::Failure;
use crate::ui::action::Action;
use crate::ui::json;

/// Longest wait for web dynos to pass: the longest boot, twice.
const BOOT: Duration = Duration::from_secs(150);
/// Longest time that a release command may take, before that.
const COMMAND: Duration = Duration::from_secs(3600);
/// Between two looks. The longer it takes the longer they are apart, for the server counts requests.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// How a release ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It serves.
    Serves,
    /// The one before it serves; the reason, where it is known.
    Failed(Option<String>),
    /// A newer one took its place before it could take effect.
    Superseded { by: u64 },
    /// It had not ended after this time.
    Open(Duration),
}

impl Ending {
    /// What to say when the release `version` had to serve and does not.
    pub(crate) fn failure(&self, version: u64) -> Option<Failure> {
        match self {
            Self::Serves => None,
            Self::Failed(reason) => Some(failed(version, reason.as_deref())),
            Self::Superseded { by } => Some(Failure::new(format!(
                "Release v{version} was superseded by v{by} before it took effect."
            ))),
            Self::Open(waited) => {
                let seconds = waited.as_secs();
                let text = format!("Release v{version} is still pending after {seconds} s.");
                Some(Failure::new(text).hint("It goes on; ropewalk releases shows how it ends."))
            }
        }
    }
}

/// What to say of a release that failed.
pub(crate) fn failed(version: u64, reason: Option<&str>) -> Failure {
    let why = reason.map_or(String::new(), |reason| {
        format!(": {}", reason.trim_end_matches('.'))
    });
    Failure::new(format!("Release v{version} failed{why}."))
        .hint("The release before it still serves. See ropewalk releases and ropewalk logs.")
}

/// Shows what becomes of a release that was just made: its command's output, then whether it serves; and the release
/// itself where that is `wanted`.
///
/// # Errors
/// It does not serve.
pub(crate) async fn see_through(
    cx: &Context,
    client: &Client,
    app: &str,
    made: &Release,
    action: Action,
    wanted: JsonArgs,
) -> anyhow::Result<()> {
    let version = format!("v{}", made.version);
    let action = match &made.output_stream_url {
        Some(url) => {
            action.end(&format!("{version}, running its release command"))?;
            show_output(cx, client, url, wanted).await?;
            cx.out.action(&format!("Waiting for {version} to serve"))
        }
        None => action,
    };
    let ended = ending(client, app, made).await?;
    if let Some(failure) = ended.failure(made.version) {
        return Err(failure.into());
    }
    action.done_with(&version)?;
    if wanted.json {
        let made = client.release(app, &made.version.to_string()).await?;
        json::print(&cx.out, &made)?;
    }
    Ok(())
}

/// Waits until `release` has ended, but not for ever.
pub(crate) async fn ending(
    client: &Client,
    app: &str,
    release: &Release,
) -> anyhow::Result<Ending> {
    let patience = match release.output_stream_url {
        Some(_) => COMMAND + BOOT,
        None => BOOT,
    };
    let began = Instant::now();
    let mut seen = release.clone();
    while seen.status == ReleaseStatus::Pending && began.elapsed() < patience {
        tokio::time::sleep((began.elapsed() / 10).clamp(LOOKS.0, LOOKS.1)).await;
        seen = client.release(app, &release.version.to_string()).await?;
    }
    Ok(match seen.status {
        ReleaseStatus::Succeeded => Ending::Serves,
        ReleaseStatus::Failed => Ending::Failed(seen.failure),
        ReleaseStatus::Pending => Ending::Open(patience),
        ReleaseStatus::Expired => {
            let newest = client.releases(app, 1).await?.into_iter().next();
            Ending::Superseded {
                by: newest.map_or(release.version, |newest| newest.version),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_but_serving_is_named() {
        let text = |ending: Ending| {
            ending
                .failure(5)
                .map(|failure| (failure.code, failure.message))
        };
        assert_eq!(text(Ending::Serves), None);
        for (ending, message) in [
            (
                Ending::Failed(Some("web.1 crashed: exit 1".to_owned())),
                "Release v5 failed: web.1 crashed: exit 1.",
            ),
            (Ending::Failed(None), "Release v5 failed."),
            (
                Ending::Superseded { by: 6 },
                "Release v5 was superseded by v6 before it took effect.",
            ),
            (
                Ending::Open(Duration::from_secs(150)),
                "Release v5 is still pending after 150 s.",
            ),
        ] {
            assert_eq!(text(ending), Some((1, message.to_owned())));
        }
    }
}
