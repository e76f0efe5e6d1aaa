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
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use ropewalk_api_types::LogSession;
use ropewalk_api_types::log_session::LogSessionCreate;
use ropewalk_logs::{Entry, Filter, Follow};
use ropewalk_model::log_line::LogSource;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::grant::{Grant, Need};
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
/// Between comments that keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events are gathered up to about this size, in bytes.
const CHUNK: usize = 32 << 10;

/// What an address says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    id: Uuid,
    #[serde(flatten)]
    grant: Grant,
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
        grant: Grant::of(&actor, app.id),
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
    if claims.grant.age() > life || !claims.grant.holds(&state.ctx.store, Need::See).await? {
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
    let app = claims.grant.app();
    let body = if claims.tail {
        let follow = state.ctx.logs.follow(app, filter, after).await?;
        let lost = claims.grant.lost(state.ctx.store.clone(), Need::See);
        // A clean end, at which clients come again with the last id they have; a cut would be an error to them.
        let stopped = state.ctx.shutdown.clone().cancelled_owned();
        let end = Box::pin(futures_util::future::select(
            Box::pin(lost),
            Box::pin(stopped),
        ));
        Body::from_stream(tail(follow).take_until(end))
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

/// Events as they come, a comment when none does.
fn tail(follow: Follow) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send {
    let mut tick = tokio::time::interval(KEEP_ALIVE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.reset();
    futures_util::stream::unfold((follow, tick), |(mut follow, mut tick)| async move {
        let text = tokio::select! {
            biased;
            _ = tick.tick() => ": keepalive\n\n".to_owned(),
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
        Some((Ok(Bytes::from(text)), (follow, tick)))
    })
}

fn write_event(out: &mut String, entry: &Entry) {
    // A carriage return would end the field; elsewhere in a line it is a progress bar's.
    let line = entry.line().replace('\r', " ");
    // Writing to a String cannot fail.
    let _ = write!(out, "id: {}\ndata: {line}\n\n", entry.seq);
}
