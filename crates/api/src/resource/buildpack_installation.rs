//! `/apps/:app/buildpack-installations`: which buildpacks the next build uses, in order.
//!
//! The ledger keeps `heroku/nodejs` for one of the platform's own and the address for any other; clients see and
//! send the former as `urn:buildpack:heroku/nodejs` too.

use axum::extract::State as Shared;
use ropewalk_api_types::BuildpackInstallation;
use ropewalk_api_types::buildpack_installation::{
    BuildpackInstallationsUpdate, InstalledBuildpack,
};

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};

const URN: &str = "urn:buildpack:";
/// Most buildpacks of an app.
const MAX: usize = 20;
/// Longest address, in bytes.
const MAX_URL: usize = 2_048;

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let kept = state
        .ctx
        .store
        .read(move |view| view.buildpacks(app.id))
        .await?;
    Ok(ok(&wire(kept)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<BuildpackInstallationsUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    if asked.updates.len() > MAX {
        return Err(ApiError::invalid(format!(
            "An app has at most {MAX} buildpacks."
        )));
    }
    let kept = asked
        .updates
        .iter()
        .map(|update| normal(&update.buildpack))
        .collect::<ApiResult<Vec<_>>>()?;
    let said = match kept.is_empty() {
        true => "Buildpacks cleared".to_owned(),
        false => format!("Buildpacks set to {}", kept.join(", ")),
    };
    let written = kept.clone();
    let id = app.id;
    state
        .ctx
        .store
        .write(move |tx| {
            tx.app(id)?;
            tx.set_buildpacks(id, &written)
        })
        .await?;
    state.ctx.say_who(app.id, &actor.user, &said);
    Ok(ok(&wire(kept)))
}

/// As the ledger keeps it.
pub(crate) fn normal(asked: &str) -> ApiResult<String> {
    let refused = || {
        ApiError::invalid(format!(
            "{:?} is no buildpack: send an http(s) address, or a name such as heroku/nodejs.",
            asked.chars().take(200).collect::<String>()
        ))
    };
    let text = asked.trim();
    if text.starts_with("https://") || text.starts_with("http://") {
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`');
        let host = text.split_once("://").map_or("", |(_, rest)| rest);
        // Credentials in an address would stand in logs and lists.
        let authority = host.split(['/', '?', '#']).next().unwrap_or("");
        let fits = text.len() <= MAX_URL
            && text.chars().all(plain)
            && !authority.is_empty()
            && !authority.contains('@');
        return if fits {
            Ok(text.to_owned())
        } else {
            Err(refused())
        };
    }
    let name = text.strip_prefix(URN).unwrap_or(text);
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 64
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    match name.split_once('/') {
        Some((space, own)) if part(space) && part(own) => Ok(name.to_owned()),
        _ => Err(refused()),
    }
}

/// As clients see it.
pub(crate) fn url(kept: &str) -> String {
    match kept.contains("://") {
        true => kept.to_owned(),
        false => format!("{URN}{kept}"),
    }
}

fn wire(kept: Vec<String>) -> Vec<BuildpackInstallation> {
    kept.into_iter()
        .zip(0..)
        .map(|(name, ordinal)| BuildpackInstallation {
            ordinal,
            buildpack: InstalledBuildpack {
                url: url(&name),
                name,
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for (asked, kept) in [
            ("heroku/nodejs", Some("heroku/nodejs")),
            ("urn:buildpack:heroku/nodejs", Some("heroku/nodejs")),
            (
                "https://git.example.com/x/y.git#main",
                Some("https://git.example.com/x/y.git#main"),
            ),
            ("http://example.com/b.tgz", Some("http://example.com/b.tgz")),
            ("nodejs", None),
            ("", None),
            ("../x", None),
            ("heroku/../x", None),
            ("https://", None),
            ("https://u:p@example.com/b.tgz", None),
            ("https://example.com/a b", None),
            ("file:///etc/passwd", None),
            ("ext::sh -c id/x", None),
        ] {
            assert_eq!(normal(asked).ok().as_deref(), kept, "{asked}");
        }
    }
}
