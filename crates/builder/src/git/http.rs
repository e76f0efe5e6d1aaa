//! Git's smart HTTP: who asks is checked here, the protocol itself is spoken by git.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, EXPIRES, PRAGMA, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use ropewalk_store::{App, User};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::auth::{authorize, plain};
use super::body::{Encoding, LINGER, bounded, feed};
use super::exchange::{self, BUSY, Course, Exchange, Service};
use super::process::Running;
use crate::context::{Builder, Context};
use crate::error::chain;
use crate::{Error, Result};

pub(crate) fn routes(builder: Builder) -> Router {
    Router::new()
        .route("/{repo}/info/refs", get(info_refs))
        .route("/{repo}/git-receive-pack", post(receive_pack))
        .route("/{repo}/git-upload-pack", post(upload_pack))
        .with_state(builder)
}

#[derive(Debug, Deserialize)]
struct InfoRefs {
    service: Option<String>,
}

/// Which refs there are: how every push and fetch begins.
async fn info_refs(
    State(builder): State<Builder>,
    Path(repo): Path<String>,
    Query(query): Query<InfoRefs>,
    headers: HeaderMap,
) -> Response {
    let Some(service) = query.service.as_deref().and_then(Service::parse) else {
        return plain(
            StatusCode::FORBIDDEN,
            "Only git's smart HTTP is spoken here.",
        );
    };
    let context = &builder.0;
    match begin(context, &headers, &repo, service).await {
        Ok((app, _, permit)) => {
            let version = protocol(&headers, service);
            advertise(context, &app, service, version, permit).await
        }
        Err(refusal) => refusal,
    }
}

async fn receive_pack(
    State(builder): State<Builder>,
    Path(repo): Path<String>,
    request: Request,
) -> Response {
    answer_exchange(&builder.0, &repo, Service::Receive, request).await
}

async fn upload_pack(
    State(builder): State<Builder>,
    Path(repo): Path<String>,
    request: Request,
) -> Response {
    answer_exchange(&builder.0, &repo, Service::Upload, request).await
}

/// Credentials, access, and a place among the processes of git.
async fn begin(
    context: &Context,
    headers: &HeaderMap,
    repo: &str,
    service: Service,
) -> Result<(App, User, OwnedSemaphorePermit), Response> {
    let (app, user) = authorize(context, headers, repo, service).await?;
    let permit = exchange::place(context, service).ok_or_else(|| {
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, BUSY);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("60"));
        response
    })?;
    Ok((app, user, permit))
}

async fn advertise(
    context: &Arc<Context>,
    app: &App,
    service: Service,
    version: Option<String>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let start = async {
        let repo = context.repos.ensure(&context.git, app.id).await?;
        let mut command = context.git.command(&repo);
        command.args([
            service.name(),
            "--stateless-rpc",
            "--http-backend-info-refs",
        ]);
        command.arg(&repo);
        let newest = version.as_deref().is_some_and(|v| v.contains("version=2"));
        if let Some(version) = &version {
            command.env("GIT_PROTOCOL", version);
        }
        let limit = context.options.limits.receive;
        let (running, input) =
            Running::start(context, service.name(), &mut command, limit, None, permit)?;
        drop(input);
        // Version 2 begins with capabilities instead.
        let head = match newest {
            true => Bytes::new(),
            false => announcement(service),
        };
        Ok(running.into_body(head))
    };
    let kind = format!("application/x-git-{}-advertisement", service.name());
    answer(start.await, &kind)
}

/// A push's pack or a fetch's negotiation goes in, git's answer comes out, both as they come.
async fn answer_exchange(
    context: &Arc<Context>,
    repo: &str,
    service: Service,
    request: Request,
) -> Response {
    let (app, user, permit) = match begin(context, request.headers(), repo, service).await {
        Ok(begun) => begun,
        Err(refusal) => return refusal,
    };
    let headers = request.headers();
    let expected = format!("application/x-git-{}-request", service.name());
    if headers
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != expected.as_str())
    {
        return plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "That is not a request of git.",
        );
    }
    let encoding = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Encoding::Plain,
        Some(b"gzip" | b"x-gzip") => Encoding::Gzip,
        Some(_) => {
            return plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Only gzip is understood.",
            );
        }
    };
    let version = protocol(headers, service);
    let start = async {
        let Exchange {
            running,
            input,
            most,
        } = exchange::start(
            context,
            app,
            user,
            service,
            Course::Stateless,
            version.as_deref(),
            permit,
        )
        .await?;
        if let Some(input) = input {
            let feeding = feed(request.into_body(), encoding, most, input);
            let (shutdown, over) = (context.shutdown.clone(), running.over.clone());
            context.tasks.spawn(async move {
                if let Err(error) = bounded(feeding, &shutdown, &over, LINGER).await {
                    tracing::debug!(%error, "A client's request ended early.");
                }
            });
        }
        Ok(running.into_body(Bytes::new()))
    };
    let kind = format!("application/x-git-{}-result", service.name());
    answer(start.await, &kind)
}

fn answer(body: Result<axum::body::Body>, kind: &str) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(error = chain(&error), "Could not serve git.");
            let text = match error {
                Error::GitStart(_) => "Ropewalk cannot run git on its host.",
                _ => "Ropewalk cannot use the app's repository right now.",
            };
            return plain(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let never = "no-cache, max-age=0, must-revalidate";
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(never));
    headers.insert(
        EXPIRES,
        HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"),
    );
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// `# service=…` as a packet line, and a flush.
fn announcement(service: Service) -> Bytes {
    let line = format!("# service=git-{}\n", service.name());
    Bytes::from(format!("{:04x}{line}0000", line.len() + 4))
}

/// The protocol version that the client asks for. A push has version 0 only.
fn protocol(headers: &HeaderMap, service: Service) -> Option<String> {
    let value = headers.get("git-protocol")?.to_str().ok()?;
    let fits = value.len() <= 64
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b':' | b'-'));
    (service == Service::Upload && fits).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_is_a_packet_line() {
        assert_eq!(
            announcement(Service::Receive),
            "001f# service=git-receive-pack\n0000"
        );
        assert_eq!(
            announcement(Service::Upload),
            "001e# service=git-upload-pack\n0000"
        );
    }

    #[test]
    fn only_versions_reach_the_environment() {
        let protocol = |value: &'static str, service| {
            let mut headers = HeaderMap::new();
            headers.insert("git-protocol", HeaderValue::from_static(value));
            protocol(&headers, service)
        };
        assert_eq!(
            protocol("version=2", Service::Upload),
            Some("version=2".into())
        );
        assert_eq!(protocol("version=2", Service::Receive), None);
        assert_eq!(protocol("version=2 x;y", Service::Upload), None);
    }
}
