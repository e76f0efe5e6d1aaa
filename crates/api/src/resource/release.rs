//! `/apps/:app/releases`: what ran when and why; going back; releasing a slug.

use std::collections::HashMap;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::release::{Artifact, ReleaseCreate};
use ropewalk_api_types::{ById, Release, UserRef};
use ropewalk_model::release::ReleaseStatus;
use ropewalk_model::{ReleaseId, SlugId, UserId};
use ropewalk_store as store;
use ropewalk_store::{NewRelease, StoreError, View};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::context::Context;
use crate::grant::Grant;
use crate::resource::path::Path;
use crate::resource::{app, output};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{self, Attribute, Key};

const ATTRIBUTES: [Attribute<store::Release>; 3] = [
    ("version", |release| Key::Number(release.version.into())),
    ("id", |release| Key::Text(release.id.to_string())),
    ("created_at", |release| Key::Time(release.created_at)),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: range::Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let rows = state
        .ctx
        .store
        .read(move |view| view.releases(id, u32::MAX >> 1))
        .await?;
    // Only those of the page are looked up further: an app may have thousands.
    let page = wanted.select(rows, &ATTRIBUTES)?;
    let grant = Grant::of(&actor, app.id);
    let (ctx, rows) = (state.ctx.clone(), page.items);
    let releases = state
        .ctx
        .store
        .read(move |view| {
            let mut wires = Wires::new(&ctx, view, &app, grant);
            rows.iter()
                .map(|row| wires.of(row))
                .collect::<store::Result<Vec<Release>>>()
        })
        .await?;
    Ok(page.head.answer(&releases))
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, release)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let grant = Grant::of(&actor, app.id);
    let ctx = state.ctx.clone();
    let release = state
        .ctx
        .store
        .read(move |view| {
            let row = find(view, &app, &release)?;
            Wires::new(&ctx, view, &app, grant).of(&row)
        })
        .await?;
    Ok(ok(&release))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<ReleaseCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    if asked.oci_image.is_some() {
        return Err(ApiError::invalid(
            "Releases of images are not available; release a slug instead.",
        ));
    }
    let (id, user) = (app.id, actor.user.id);
    let grant = Grant::of(&actor, id);
    let description = asked.description;
    let wanted = match (asked.release, asked.slug) {
        (Some(release), None) => Wanted::Before(release),
        (None, Some(slug)) => Wanted::Slug(slug),
        _ => {
            return Err(ApiError::invalid(
                "Say either the release to go back to or the slug to release.",
            ));
        }
    };
    let ctx = state.ctx.clone();
    let (made, wire) = state
        .ctx
        .store
        .write(move |tx| {
            let new = match wanted {
                Wanted::Before(release) => back_to(tx, &app, user, &release)?,
                Wanted::Slug(slug) => of_slug(tx, &app, user, &slug, description)?,
            };
            let made = tx.create_release(new, Timestamp::now())?;
            let app = tx.app(id)?;
            let wire = Wires::new(&ctx, tx, &app, grant).of(&made)?;
            Ok((made, wire))
        })
        .await?;
    announce(&state, &actor, &made, &made.description);
    Ok(created(&wire))
}

/// What a new release is to be.
enum Wanted {
    /// As this one was, by id or version.
    Before(String),
    /// This slug, by id.
    Slug(String),
}

/// Code, config vars and stack version as they were in `release`.
fn back_to(
    view: &View<'_>,
    app: &store::App,
    user: UserId,
    release: &str,
) -> store::Result<NewRelease> {
    let target = find(view, app, release)?;
    let refused =
        |why: &str| StoreError::Refused(format!("Cannot roll back to v{}: {why}.", target.version));
    let slug = target
        .slug
        .ok_or_else(|| refused("nothing was deployed then"))?;
    if target.status != ReleaseStatus::Succeeded {
        return Err(refused("that release did not succeed"));
    }
    Ok(NewRelease {
        id: ReleaseId(Uuid::new_v4()),
        app: app.id,
        user,
        description: format!("Rollback to v{}", target.version),
        slug: Some(slug),
        config: Some(view.config_vars(app.id, target.version)?),
        stack: target
            .stack_version
            .map(|version| (target.stack.clone(), version)),
    })
}

/// A slug of this app once more, with the config vars of now.
fn of_slug(
    view: &View<'_>,
    app: &store::App,
    user: UserId,
    slug: &str,
    description: Option<String>,
) -> store::Result<NewRelease> {
    let id: SlugId = slug.parse().map_err(|_| StoreError::NotFound("slug"))?;
    if view
        .expected_slug(id)?
        .is_some_and(|expected| expected.app == app.id)
    {
        return Err(StoreError::Refused(
            "That slug has no archive yet: PUT it to the slug's blob address first.".to_owned(),
        ));
    }
    let slug = view.slug(id)?;
    if slug.app != app.id {
        return Err(StoreError::NotFound("slug"));
    }
    let head = view.head_release(app)?;
    // As the release before, where that ran on this stack; else on the newest version of it.
    let stack = match head.stack_version.is_some() && head.stack == slug.stack {
        true => None,
        false => {
            let newest = view.newest_stack(&slug.stack)?.ok_or_else(|| {
                StoreError::Refused(format!(
                    "The slug was built for the stack {}, which is not on this host.",
                    slug.stack
                ))
            })?;
            Some((newest.name, newest.version))
        }
    };
    let description = description.unwrap_or_else(|| match &slug.commit {
        Some(commit) => format!("Deploy {}", commit.chars().take(8).collect::<String>()),
        None => "Deploy".to_owned(),
    });
    Ok(NewRelease {
        id: ReleaseId(Uuid::new_v4()),
        app: app.id,
        user,
        description: description.chars().take(1_000).collect(),
        slug: Some(id),
        config: None,
        stack,
    })
}

/// Says in the app's log what was released, and wakes who carries it out.
pub(crate) fn announce(state: &State, actor: &Actor, made: &store::Release, what: &str) {
    state.ctx.say_who(made.app, &actor.user, what);
    let release = format!("Release v{} created", made.version);
    state.ctx.say_who(made.app, &actor.user, &release);
    state.ctx.platform.changed();
}

/// By id or version number, `v7` or `7`.
pub(crate) fn find(
    view: &View<'_>,
    app: &store::App,
    id_or_version: &str,
) -> store::Result<store::Release> {
    if let Ok(id) = id_or_version.parse::<ReleaseId>() {
        return view.release_by_id(app.id, id);
    }
    let number = id_or_version.strip_prefix('v').unwrap_or(id_or_version);
    let version = number
        .parse()
        .map_err(|_| StoreError::NotFound("release"))?;
    view.release(app.id, version)
}

/// Makes wire forms of one app's releases; looks each user and slug up once.
struct Wires<'a> {
    ctx: &'a Context,
    view: &'a View<'a>,
    app: &'a store::App,
    grant: Grant,
    users: HashMap<UserId, UserRef>,
    commands: HashMap<SlugId, bool>,
}

impl<'a> Wires<'a> {
    fn new(ctx: &'a Context, view: &'a View<'a>, app: &'a store::App, grant: Grant) -> Self {
        Self {
            ctx,
            view,
            app,
            grant,
            users: HashMap::new(),
            commands: HashMap::new(),
        }
    }

    fn of(&mut self, row: &store::Release) -> store::Result<Release> {
        let user = self.user(row.user)?;
        let output_stream_url = match row.slug {
            Some(slug) if self.has_command(slug)? => {
                Some(output::url(self.ctx, self.grant, row.id.0))
            }
            _ => None,
        };
        Ok(Release {
            id: row.id.0,
            app: app::named(self.app),
            version: row.version.into(),
            description: row.description.clone(),
            status: status(row.status),
            current: row.version == self.app.current_version,
            eligible_for_rollback: row.slug.is_some() && row.status == ReleaseStatus::Succeeded,
            user,
            slug: row.slug.map(|slug| ById { id: slug.0 }),
            oci_image: None,
            artifacts: row
                .slug
                .map(|slug| Artifact {
                    artifact_type: "slug".to_owned(),
                    id: slug.0,
                })
                .into_iter()
                .collect(),
            addon_plan_names: Vec::new(),
            output_stream_url,
            failure: row.failure.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }

    fn user(&mut self, id: UserId) -> store::Result<UserRef> {
        if let Some(user) = self.users.get(&id) {
            return Ok(user.clone());
        }
        let user = UserRef {
            id: id.0,
            email: self.view.user(id)?.email,
        };
        self.users.insert(id, user.clone());
        Ok(user)
    }

    /// Whether the slug declares a release command.
    fn has_command(&mut self, id: SlugId) -> store::Result<bool> {
        if let Some(known) = self.commands.get(&id) {
            return Ok(*known);
        }
        let has = self.view.slug(id)?.process_types.contains_key("release");
        self.commands.insert(id, has);
        Ok(has)
    }
}

fn status(status: ReleaseStatus) -> ropewalk_api_types::release::ReleaseStatus {
    use ropewalk_api_types::release::ReleaseStatus as Wire;
    match status {
        ReleaseStatus::Pending => Wire::Pending,
        ReleaseStatus::Succeeded => Wire::Succeeded,
        ReleaseStatus::Failed => Wire::Failed,
        ReleaseStatus::Expired => Wire::Expired,
    }
}
