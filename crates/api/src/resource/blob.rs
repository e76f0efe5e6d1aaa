//! `/ropewalk/sources/:token`, `/ropewalk/slugs/:token`: archives in and out. The address alone authorises, for one
//! thing in one direction, for a time, and as long as the token it was given to may do that.

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, header};
use jiff::Timestamp;
use ropewalk_model::{SlugId, SourceId, TokenId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authorise::Actor;
use crate::builds::Archive;
use crate::context::Context;
use crate::grant::{Grant, Need};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};

/// How long an address takes an archive, in seconds.
const TAKES: i64 = 3_600;
/// How long an address gives one, in seconds.
const GIVES: i64 = 86_400;

const SOURCES: &str = "/ropewalk/sources/";
const SLUGS: &str = "/ropewalk/slugs/";

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// An archive comes in.
    Put,
    /// An archive goes out.
    Get,
}

impl Way {
    fn lasts(self) -> i64 {
        match self {
            Self::Put => TAKES,
            Self::Get => GIVES,
        }
    }

    /// Keeps the seals of different addresses apart.
    fn kind(self, of: &str) -> String {
        match self {
            Self::Put => format!("put {of}"),
            Self::Get => format!("get {of}"),
        }
    }
}

/// What the address of a source says: sources are an account's, not an app's.
#[derive(Debug, Serialize, Deserialize)]
struct OfSource {
    id: Uuid,
    account: Uuid,
    token: Uuid,
    /// When it was given: Unix time in seconds.
    at: i64,
}

impl OfSource {
    fn is_over(&self, way: Way) -> bool {
        Timestamp::now().as_second() - self.at > way.lasts()
    }
}

/// What the address of a slug says.
#[derive(Debug, Serialize, Deserialize)]
struct OfSlug {
    id: Uuid,
    #[serde(flatten)]
    grant: Grant,
}

/// The address of a source, for whoever asks for it.
pub(crate) fn source_url(ctx: &Context, way: Way, actor: &Actor, id: Uuid) -> ApiResult<String> {
    let claims = OfSource {
        id,
        account: actor.user.id.0,
        token: actor.token.id.0,
        at: Timestamp::now().as_second(),
    };
    seal(ctx, &way.kind("source"), SOURCES, &claims)
}

/// The address of a slug's archive, for whom `grant` names.
pub(crate) fn slug_url(ctx: &Context, way: Way, grant: Grant, id: SlugId) -> ApiResult<String> {
    let grant = match way {
        Way::Put => grant,
        Way::Get => grant.within_the_hour(),
    };
    let claims = OfSlug { id: id.0, grant };
    seal(ctx, &way.kind("slug"), SLUGS, &claims)
}

fn seal(ctx: &Context, kind: &str, path: &str, claims: &impl Serialize) -> ApiResult<String> {
    let sealed = ctx.signing_key.seal(kind, claims);
    let token = sealed.map_err(|error| ApiError::internal(&error))?;
    Ok(ctx.urls.api(&format!("{path}{token}")))
}

/// The source that an address of ours gives; whatever host it names, the seal is ours. `None` for anybody else's.
///
/// # Errors
/// An address of ours that gives nothing any more.
pub(crate) fn source_of(ctx: &Context, url: &str) -> ApiResult<Option<(UserId, SourceId)>> {
    let token = url.rsplit_once(SOURCES).map(|(_, token)| token);
    let kind = Way::Get.kind("source");
    let Some(claims) = token.and_then(|token| ctx.signing_key.open::<OfSource>(&kind, token))
    else {
        return Ok(None);
    };
    match claims.is_over(Way::Get) {
        true => Err(ApiError::invalid(
            "That source is older than 24 hours: send it again.",
        )),
        false => Ok(Some((UserId(claims.account), SourceId(claims.id)))),
    }
}

fn gone() -> ApiError {
    ApiError::not_found("archive")
}

async fn open_source(ctx: &Context, way: Way, token: &str) -> ApiResult<(UserId, SourceId)> {
    let claims: OfSource = ctx
        .signing_key
        .open(&way.kind("source"), token)
        .ok_or_else(gone)?;
    let (account, token) = (UserId(claims.account), TokenId(claims.token));
    let holds = ctx
        .store
        .read(move |view| {
            let token = view.token(token)?.filter(|token| token.user == account);
            Ok(token.is_some_and(|token| !token.has_expired(Timestamp::now())))
        })
        .await?;
    match holds && !claims.is_over(way) {
        true => Ok((account, SourceId(claims.id))),
        false => Err(gone()),
    }
}

async fn open_slug(ctx: &Context, way: Way, token: &str) -> ApiResult<(SlugId, Grant)> {
    let OfSlug { id, grant } = ctx
        .signing_key
        .open(&way.kind("slug"), token)
        .ok_or_else(gone)?;
    let need = match way {
        Way::Put => Need::Change,
        Way::Get => Need::See,
    };
    match grant.age() <= way.lasts() && grant.holds(&ctx.store, need).await? {
        true => Ok((SlugId(id), grant)),
        false => Err(gone()),
    }
}

pub(crate) async fn put_source(
    Shared(state): Shared<State>,
    Path(token): Path<String>,
    request: Request,
) -> ApiResult {
    let (account, source) = open_source(&state.ctx, Way::Put, &token).await?;
    let platform = &state.ctx.platform;
    platform
        .put_source(account, source, archive(request))
        .await?;
    Ok(taken())
}

pub(crate) async fn get_source(
    Shared(state): Shared<State>,
    Path(token): Path<String>,
) -> ApiResult {
    let (account, source) = open_source(&state.ctx, Way::Get, &token).await?;
    let archive = state.ctx.platform.source(account, source).await?;
    Ok(given(archive, "application/octet-stream"))
}

pub(crate) async fn put_slug(
    Shared(state): Shared<State>,
    Path(token): Path<String>,
    request: Request,
) -> ApiResult {
    let (slug, _) = open_slug(&state.ctx, Way::Put, &token).await?;
    state.ctx.platform.put_slug(slug, archive(request)).await?;
    Ok(taken())
}

pub(crate) async fn get_slug(Shared(state): Shared<State>, Path(token): Path<String>) -> ApiResult {
    let (slug, grant) = open_slug(&state.ctx, Way::Get, &token).await?;
    let archive = state.ctx.platform.slug(slug).await?;
    // A slug that is cut off is shorter than was said: nobody takes it for the whole.
    let lost = Box::pin(grant.lost(state.ctx.store.clone(), Need::See));
    let archive = Archive {
        length: archive.length,
        body: Box::pin(archive.body.take_until(lost)),
    };
    Ok(given(archive, "application/gzip"))
}

fn archive(request: Request) -> Archive {
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = request
        .into_body()
        .into_data_stream()
        .map_err(std::io::Error::other);
    Archive {
        length,
        body: Box::pin(body),
    }
}

/// 200 without a body: clients that get one here wait for ever.
fn taken() -> Response {
    Response::new(Body::empty())
}

fn given(archive: Archive, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from_stream(archive.body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = archive.length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
