//! `/apps/:app/log-sessions`: an address, and behind it the app's log as server-sent events.
//!
//! Everything about a session stands in its address, sealed, so that a client resumes after the server was
//! killed. It ends with the token it was made by.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use ropewalk_api_types::LogSession;
use ropewalk_api_types::log_session::LogSessionCreate;
use ropewalk_logs::{Entry, Filter, Follow};
use ropewalk_model::log_line::LogSource;
use ropewalk_model::{AppId, TokenId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, created};
use crate::transport::error::{ApiError, ApiResult};

const KIND: &str = "log session";
/// Lines when the client does not say.
const DEFAULT_LINES: u32 = 100;
/// Most lines of the past.
const MAX_LINES: u32 = 1_500;
/// A session that does not follow must be opened within this time, in seconds.
const LIFE: i64 = 300;
/// One that follows may be resumed within this time, in seconds.
const TAIL_LIFE: i64 = 86_400;
/// Between comments that keep the connection open; also how often the token is looked at again.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events are gathered up to about this size, in bytes.
const CHUNK: usize = 32 << 10;

/// What an address says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    id: Uuid,
    app: Uuid,
    user: Uuid,
    token: Uuid,
    /// Unix time in seconds.
    at: i64,
    lines: u32,
    tail: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    process: Option<String>,
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<LogSessionCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    if let Some(source) = &asked.source {
        source_named(source)?;
    }
    let now = Timestamp::now();
    let claims = Claims {
        id: Uuid::new_v4(),
        app: app.id.0,
        user: actor.user.id.0,
        token: actor.token.id.0,
        at: now.as_second(),
        lines: asked.lines.unwrap_or(DEFAULT_LINES).min(MAX_LINES),
        tail: asked.tail.unwrap_or(false),
        source: asked.source,
        process: asked
            .dyno
            .or(asked.dyno_name)
            .or(asked.process_type)
            .filter(|process| !process.is_empty())
            .map(|process| process.chars().take(128).collect()),
    };
    let token = state
        .ctx
        .signing_key
        .seal(KIND, &claims)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(created(&LogSession {
        id: claims.id,
        logplex_url: state.ctx.urls.api(&format!("/ropewalk/logs/{token}")),
        created_at: now,
        updated_at: now,
    }))
}

pub(crate) async fn stream(
    Shared(state): Shared<State>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let gone = || ApiError::not_found("log_session");
    let claims: Claims = state.ctx.signing_key.open(KIND, &token).ok_or_else(gone)?;
    let life = if claims.tail { TAIL_LIFE } else { LIFE };
    let age = Timestamp::now().as_second() - claims.at;
    if age > life || !still_allowed(&state, &claims).await? {
        return Err(gone());
    }
    let after = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let filter = Filter {
        lines: Some(claims.lines as usize),
        source: claims.source.as_deref().map(source_named).transpose()?,
        process: claims.process.clone(),
    };
    let app = AppId(claims.app);
    let body = if claims.tail {
        let follow = state.ctx.logs.follow(app, filter, after).await?;
        Body::from_stream(tail(state, claims, follow))
    } else {
        let entries = state.ctx.logs.read(app, &filter).await?;
        let mut text = String::new();
        for entry in entries
            .iter()
            .filter(|entry| after.is_none_or(|after| entry.seq > after))
        {
            write_event(&mut text, entry);
        }
        Body::from(text)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn source_named(text: &str) -> ApiResult<LogSource> {
    [LogSource::App, LogSource::Heroku]
        .into_iter()
        .find(|source| source.as_str() == text)
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "There is no log source {text:?}. Sources are: app, heroku."
            ))
        })
}

/// Whether the token is still there, and whoever has it may still see the app.
async fn still_allowed(state: &State, claims: &Claims) -> ApiResult<bool> {
    let (app, user, token) = (
        AppId(claims.app),
        UserId(claims.user),
        TokenId(claims.token),
    );
    let found = state
        .ctx
        .store
        .read(move |view| {
            let held = view.tokens(user)?.into_iter().find(|held| held.id == token);
            let Some(token) = held else {
                return Ok(None);
            };
            let user = view.user(user)?;
            let owner = match view.app(app) {
                Ok(app) => app.owner,
                Err(ropewalk_store::StoreError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(Some((Actor { user, token }, owner)))
        })
        .await?;
    Ok(found.is_some_and(|(actor, owner)| {
        let expired = actor
            .token
            .expires_at
            .is_some_and(|at| at <= Timestamp::now());
        !expired && authorise(&actor, Verb::Read, Resource::App { owner }).is_ok()
    }))
}

/// Events as they come, a comment when none does.
fn tail(
    state: State,
    claims: Claims,
    follow: Follow,
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send {
    let mut tick = tokio::time::interval(KEEP_ALIVE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.reset();
    futures_util::stream::unfold(
        (state, claims, follow, tick),
        |(state, claims, mut follow, mut tick)| async move {
            let text = tokio::select! {
                biased;
                _ = tick.tick() => {
                    if !still_allowed(&state, &claims).await.unwrap_or(true) {
                        return None;
                    }
                    ": keepalive\n\n".to_owned()
                }
                first = follow.next() => {
                    let mut text = String::new();
                    write_event(&mut text, &*first?);
                    while text.len() < CHUNK
                        && let Some(Some(more)) = follow.next().now_or_never()
                    {
                        write_event(&mut text, &more);
                    }
                    text
                }
            };
            Some((Ok(Bytes::from(text)), (state, claims, follow, tick)))
        },
    )
}

fn write_event(out: &mut String, entry: &Entry) {
    // A carriage return would end the field; elsewhere in a line it is a progress bar's.
    let line = entry.line().replace('\r', " ");
    // Writing to a String cannot fail.
    let _ = write!(out, "id: {}\ndata: {line}\n\n", entry.seq);
}
