//! `/pipeline-promotions`: the slug that one app runs becomes a release of others, with their own config vars.
//!
//! A promotion is a release like any other: it is made by the same transaction, its release command runs and its dynos
//! must pass, and until then what the target ran before keeps serving.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::ById;
use ropewalk_api_types::pipeline::{
    PipelinePromotion, PipelinePromotionCreate, PipelinePromotionTarget, PromotionSource,
    PromotionStatus, PromotionTargetStatus,
};
use ropewalk_model::release::ReleaseStatus;
use ropewalk_model::{PipelineId, PromotionId, ReleaseId, SlugId};
use ropewalk_store as store;
use ropewalk_store::{NewRelease, Promotion, PromotionTarget, StoreError, Tx, View};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{app, pipeline, release};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

/// Apps that are promoted to at once.
const MAX_TARGETS: usize = 100;

const TARGET_ATTRIBUTES: [Attribute<PipelinePromotionTarget>; 1] =
    [("id", |target| Key::Text(target.id.to_string()))];

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<PipelinePromotionCreate>,
) -> ApiResult {
    let pipeline = pipeline::find(&state, &actor, &asked.pipeline.id, Verb::Write).await?;
    let source = app::find(&state, &actor, &asked.source.app.id, Verb::Read).await?;
    if asked.targets.is_empty() || asked.targets.len() > MAX_TARGETS {
        return Err(ApiError::invalid(format!(
            "A promotion has 1 to {MAX_TARGETS} targets."
        )));
    }
    let mut targets: Vec<store::App> = Vec::new();
    for target in &asked.targets {
        let target = app::find(&state, &actor, &target.app.id, Verb::Write).await?;
        if targets.iter().all(|known| known.id != target.id) {
            targets.push(target);
        }
    }
    let wanted = asked.source.release.map(|release| release.id);
    let user = actor.user.id;
    let (promotion, made) = state
        .ctx
        .store
        .write(move |tx| {
            check_in(tx, pipeline.id, &source)?;
            for target in &targets {
                check_in(tx, pipeline.id, target)?;
                if target.id == source.id {
                    return Err(StoreError::Refused(format!(
                        "{} cannot be promoted to itself.",
                        source.name
                    )));
                }
            }
            let from = match &wanted {
                Some(id) => release::find(tx, &source, id)?,
                None => tx.current_release(&source)?,
            };
            let slug = promotable(tx, &source, &from)?;
            let now = Timestamp::now();
            let mut made = Vec::new();
            for target in &targets {
                let new = NewRelease {
                    id: ReleaseId(Uuid::new_v4()),
                    app: target.id,
                    user,
                    description: describe(&source, &from, &slug),
                    slug: Some(tx.share_slug(&slug, target.id, SlugId(Uuid::new_v4()), now)?),
                    config: None,
                    // What was tried is what runs.
                    stack: from
                        .stack_version
                        .clone()
                        .map(|version| (from.stack.clone(), version)),
                };
                made.push(tx.create_release(new, now)?);
            }
            let promotion = Promotion {
                id: PromotionId(Uuid::new_v4()),
                pipeline: pipeline.id,
                source_app: source.id,
                source_release: from.id,
                created_at: now,
            };
            let rows: Vec<_> = made.iter().map(|row| (row.app, row.version)).collect();
            tx.create_promotion(&promotion, &rows, now)?;
            Ok((promotion, made))
        })
        .await?;
    for row in &made {
        release::announce(&state, &actor, row, &row.description);
    }
    // Releases without dynos are through at once; the others have just begun.
    show(&state, promotion).await.map(|wire| created(&wire))
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(promotion): Path<String>,
) -> ApiResult {
    let promotion = find(&state, &actor, &promotion).await?;
    show(&state, promotion).await.map(|wire| ok(&wire))
}

pub(crate) async fn targets(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(promotion): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let promotion = find(&state, &actor, &promotion).await?;
    let targets = state
        .ctx
        .store
        .read(move |view| {
            view.promotion_targets(promotion.id)?
                .into_iter()
                .map(|target| wire_target(view, &promotion, target))
                .collect::<store::Result<Vec<_>>>()
        })
        .await?;
    wanted.page(targets, &TARGET_ATTRIBUTES)
}

async fn find(state: &State, actor: &Actor, id: &str) -> ApiResult<Promotion> {
    let absent = || ApiError::not_found("pipeline_promotion");
    let id: PromotionId = id.parse().map_err(|_| absent())?;
    let found = state.ctx.store.read(move |view| view.promotion(id)).await?;
    match pipeline::find(state, actor, &found.pipeline.to_string(), Verb::Read).await {
        Ok(_) => Ok(found),
        Err(error) if error.status() == http::StatusCode::NOT_FOUND => Err(absent()),
        Err(error) => Err(error),
    }
}

fn check_in(tx: &Tx<'_>, pipeline: PipelineId, app: &store::App) -> store::Result<()> {
    match tx.coupling_of_app(app.id)? {
        Some(coupling) if coupling.pipeline == pipeline => Ok(()),
        _ => Err(StoreError::Refused(format!(
            "{} is not in that pipeline.",
            app.name
        ))),
    }
}

/// The slug that goes on.
fn promotable(
    tx: &Tx<'_>,
    source: &store::App,
    from: &store::Release,
) -> store::Result<store::Slug> {
    let refused =
        |why: &str| StoreError::Refused(format!("Cannot promote {}: {why}.", source.name));
    let slug = from
        .slug
        .ok_or_else(|| refused("nothing has been deployed to it"))?;
    if from.status != ReleaseStatus::Succeeded {
        return Err(refused(&format!("v{} did not succeed", from.version)));
    }
    tx.slug(slug)
}

/// `Promote demo-staging v5 1a2b3c4d`
fn describe(source: &store::App, from: &store::Release, slug: &store::Slug) -> String {
    let commit: String = slug
        .commit
        .iter()
        .flat_map(|text| text.chars())
        .take(8)
        .collect();
    let text = format!("Promote {} v{} {commit}", source.name, from.version);
    text.trim_end().to_owned()
}

async fn show(state: &State, promotion: Promotion) -> ApiResult<PipelinePromotion> {
    Ok(state
        .ctx
        .store
        .read(move |view| {
            let targets = view
                .promotion_targets(promotion.id)?
                .into_iter()
                .map(|target| outcome(view, target.release))
                .collect::<store::Result<Vec<_>>>()?;
            let pending = targets
                .iter()
                .any(|release| release.status == ReleaseStatus::Pending);
            let updated_at = targets.iter().map(|release| release.updated_at).max();
            Ok(PipelinePromotion {
                id: promotion.id.0,
                pipeline: ById {
                    id: promotion.pipeline.0,
                },
                source: PromotionSource {
                    app: ById {
                        id: promotion.source_app.0,
                    },
                    release: ById {
                        id: promotion.source_release.0,
                    },
                },
                status: match pending {
                    true => PromotionStatus::Pending,
                    false => PromotionStatus::Completed,
                },
                created_at: promotion.created_at,
                updated_at: updated_at.unwrap_or(promotion.created_at),
            })
        })
        .await?)
}

/// What became of the release, or of the one that took its place with the same code, as a change of config vars does.
fn outcome(view: &View<'_>, release: store::Release) -> store::Result<store::Release> {
    let mut release = release;
    while release.status == ReleaseStatus::Expired {
        match view.release(release.app, release.version + 1) {
            Ok(next) if next.slug == release.slug => release = next,
            Ok(_) | Err(StoreError::NotFound(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(release)
}

fn wire_target(
    view: &View<'_>,
    promotion: &Promotion,
    target: PromotionTarget,
) -> store::Result<PipelinePromotionTarget> {
    let made = target.release.id;
    let release = outcome(view, target.release)?;
    let (status, error_message) = match release.status {
        ReleaseStatus::Pending => (PromotionTargetStatus::Pending, None),
        ReleaseStatus::Succeeded => (PromotionTargetStatus::Succeeded, None),
        ReleaseStatus::Failed => (
            PromotionTargetStatus::Failed,
            Some(
                release
                    .failure
                    .unwrap_or_else(|| "Release failed".to_owned()),
            ),
        ),
        ReleaseStatus::Expired => (
            PromotionTargetStatus::Failed,
            Some("A newer release took its place before it could take effect.".to_owned()),
        ),
    };
    Ok(PipelinePromotionTarget {
        id: target.id,
        app: ById { id: target.app.0 },
        pipeline_promotion: ById { id: promotion.id.0 },
        release: Some(ById { id: made.0 }),
        status,
        error_message,
    })
}
