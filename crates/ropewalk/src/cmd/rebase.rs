//! `rebase`: apps on the newest version of their stack, without a build; and how `stack` says that one is behind.

use std::process::ExitCode;

use ropewalk_client::Client;
use ropewalk_client::types::error::id;
use ropewalk_client::types::rebase::Rebase;
use serde::Serialize;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::ending::ending;
use crate::ui::{Failure, json};

/// Digits of a version that people are shown.
const DIGITS: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Every app that you may change and that is behind, one after the other
    #[arg(long, conflicts_with_all = ["app", "remote"])]
    all: bool,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// One of `--all`, as JSON.
#[derive(Debug, Serialize)]
struct Attempt {
    #[serde(flatten)]
    rebase: Rebase,
    /// Why it is on the old version still.
    failure: Option<String>,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    if args.all {
        return all(cx, args.json).await;
    }
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let before = client.stack_versions(&app).await?;
    let rebase = rebase(cx, &client, &before).await?;
    if args.json.json {
        json::print(&cx.out, &rebase)?;
    } else if !rebase.rebased {
        let paint = cx.out.paint();
        cx.out.line(&format!(
            "{} runs on the newest version of its stack: {}.",
            paint.app(&rebase.app.name),
            named(&rebase.stack.name, rebase.to.as_deref())
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One after the other, so that the host never has the old and the new dynos of all apps at once.
async fn all(cx: &Context, wanted: JsonArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let mut apps = client.apps().await?;
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    let mut attempts: Vec<Attempt> = Vec::new();
    for app in apps {
        let before = match client.stack_versions(&app.id.to_string()).await {
            Ok(before) => before,
            // Somebody destroyed it meanwhile.
            Err(error) if error.has_id(id::NOT_FOUND) => continue,
            Err(error) => return Err(error.into()),
        };
        if !is_behind(&before) {
            continue;
        }
        attempts.push(match rebase(cx, &client, &before).await {
            Ok(rebase) => Attempt {
                rebase,
                failure: None,
            },
            Err(error) => {
                let failure = format!("{error:#}");
                cx.out.remark(&failure)?;
                Attempt {
                    rebase: before,
                    failure: Some(failure),
                }
            }
        });
    }
    if wanted.json {
        json::print(&cx.out, &attempts)?;
    } else if attempts.is_empty() {
        cx.out
            .line("Every app of yours runs on the newest version of its stack.")?;
    }
    let failed = attempts.iter().filter(|one| one.failure.is_some());
    let failed: Vec<&str> = failed.map(|one| one.rebase.app.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!(
        "{} of {} apps were not rebased: {}.",
        failed.len(),
        attempts.len(),
        failed.join(", ")
    );
    Err(Failure::new(text)
        .hint("What they ran before serves on. See ropewalk releases and ropewalk logs.")
        .into())
}

/// Asks for it, and waits until the release serves.
async fn rebase(cx: &Context, client: &Client, before: &Rebase) -> anyhow::Result<Rebase> {
    let app = before.app.id.to_string();
    let Some((from, to)) = before.from.as_deref().zip(before.to.as_deref()) else {
        // Refused, in the server's words.
        return Ok(client.rebase(&app).await?);
    };
    if from == to {
        return Ok(client.rebase(&app).await?);
    }
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Rebasing {} from {} to {}",
        paint.app(&before.app.name),
        named(&before.stack.name, Some(from)),
        paint.key(digits(to))
    ));
    let rebase = client.rebase(&app).await?;
    let version = rebase.release.version;
    let made = client.release(&app, &version.to_string()).await?;
    let ended = ending(client, &app, &made).await?;
    if let Some(failure) = ended.failure(version) {
        return Err(failure.into());
    }
    action.done_with(&format!("v{version}"))?;
    Ok(rebase)
}

/// What to say of an app that is behind, and what to type.
pub(crate) fn advice(versions: &Rebase) -> Option<String> {
    let from = versions.from.as_deref().filter(|_| is_behind(versions))?;
    Some(format!(
        "{} runs on {}, and {} is the newest.\nRun ropewalk rebase -a {} to put it on that without a build.",
        versions.app.name,
        named(&versions.stack.name, Some(from)),
        digits(versions.to.as_deref()?),
        versions.app.name
    ))
}

/// Whether a rebase would change anything.
fn is_behind(versions: &Rebase) -> bool {
    versions.from.is_some() && versions.to.is_some() && versions.from != versions.to
}

/// `debian-13 4f5e6d7c8b9a`
fn named(stack: &str, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{stack} {}", digits(version)),
        None => stack.to_owned(),
    }
}

/// The beginning of a digest, as people tell them apart.
fn digits(version: &str) -> &str {
    let hex = version.strip_prefix("sha256:").unwrap_or(version);
    hex.get(..DIGITS).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use ropewalk_client::types::{Named, ReleaseRef};

    use super::*;

    fn versions(from: Option<&str>, to: Option<&str>) -> Rebase {
        let named = |name: &str| Named {
            id: Default::default(),
            name: name.to_owned(),
        };
        Rebase {
            app: named("demo"),
            stack: named("debian-13"),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            rebased: false,
            release: ReleaseRef {
                id: Default::default(),
                version: 2,
            },
        }
    }

    #[test]
    fn only_an_app_that_can_be_rebased_is_behind() {
        let (old, new) = (
            Some("sha256:0123456789abcdef"),
            Some("sha256:4f5e6d7c8b9a0000"),
        );
        for (from, to) in [(new, new), (None, new), (old, None), (None, None)] {
            assert_eq!(advice(&versions(from, to)), None, "{from:?} {to:?}");
        }
        let text = advice(&versions(old, new));
        assert_eq!(
            text.as_deref(),
            Some(
                "demo runs on debian-13 0123456789ab, and 4f5e6d7c8b9a is the newest.\n\
                 Run ropewalk rebase -a demo to put it on that without a build."
            )
        );
    }
}
