//! `/apps`: making, showing, renaming and ending apps; and [`find`], the only way to somebody's app.

use std::collections::HashMap;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::app::{AppCreate, AppUpdate};
use ropewalk_api_types::error::ErrorApp;
use ropewalk_api_types::{App, Named, UserRef};
use ropewalk_model::{AppId, AppName, ReleaseId, UserId};
use ropewalk_store as store;
use ropewalk_store::View;
use serde::Serialize;
use uuid::Uuid;

use crate::authorise::{Actor, Denied, Relation, Resource, Verb, authorise};
use crate::context::Context;
use crate::resource::path::Path;
use crate::resource::{account, app_name, generation, region, stack};
use crate::state::State;
use crate::transport::about;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<store::App>; 3] = [
    ("id", |app| Key::Text(app.id.to_string())),
    ("name", |app| Key::Text(app.name.to_string())),
    ("updated_at", |app| Key::Time(app.updated_at)),
];

/// The app of that name or id, if `actor` may `verb` it; anything else looks as if it were not there.
pub(crate) async fn find(
    state: &State,
    actor: &Actor,
    name_or_id: &str,
    verb: Verb,
) -> ApiResult<store::App> {
    find_for(state, actor, name_or_id, verb, Resource::App).await
}

/// The same for its config vars.
pub(crate) async fn find_for_config(
    state: &State,
    actor: &Actor,
    name_or_id: &str,
    verb: Verb,
) -> ApiResult<store::App> {
    find_for(state, actor, name_or_id, verb, Resource::Config).await
}

/// The same for whatever `resource` makes of the actor's relation to the app.
pub(crate) async fn find_for(
    state: &State,
    actor: &Actor,
    name_or_id: &str,
    verb: Verb,
    resource: impl FnOnce(Relation) -> Resource,
) -> ApiResult<store::App> {
    let (key, user) = (name_or_id.to_owned(), actor.user.id);
    let (app, relation) = state
        .ctx
        .store
        .read(move |view| {
            let app = view.find_app(&key)?;
            let relation = view.relation(user, &app)?;
            Ok((app, relation))
        })
        .await?;
    // Who may see the app may also be told that an error is about it; everybody else learns nothing of it.
    let allowed = authorise(actor, verb, resource(relation));
    if allowed != Err(Denied::Hidden) {
        about::note(ErrorApp {
            id: app.id.0,
            name: app.name.to_string(),
        });
    }
    allowed?;
    Ok(app)
}

/// `GET /apps`: everything the actor may see.
pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    list_where(&state, &actor, wanted, |_| true).await
}

/// `GET /users/:user/apps`: those the actor owns or works on, also for an administrator, who may see more.
pub(crate) async fn list_own(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(user): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    account::check_self(&actor, &user)?;
    list_where(&state, &actor, wanted, |relation| {
        relation != Relation::Stranger
    })
    .await
}

async fn list_where(
    state: &State,
    actor: &Actor,
    wanted: Wanted,
    keep: impl Fn(Relation) -> bool,
) -> ApiResult {
    let apps = visible(state, actor, |_, relation| keep(relation)).await?;
    answer(state, wanted, apps, |app| app).await
}

/// Those that the actor may see and `keep` chooses.
pub(crate) async fn visible(
    state: &State,
    actor: &Actor,
    keep: impl Fn(&store::App, Relation) -> bool,
) -> ApiResult<Vec<store::App>> {
    authorise(actor, Verb::Read, Resource::App(Relation::Owner))?;
    let user = actor.user.id;
    let (mut apps, shared) = state
        .ctx
        .store
        .read(move |view| Ok((view.apps()?, view.collaborations(user)?)))
        .await?;
    apps.retain(|app| !app.ephemeral);
    apps.retain(|app| {
        let relation = Relation::of(user, app.owner, shared.contains(&app.id));
        keep(app, relation) && authorise(actor, Verb::Read, Resource::App(relation)).is_ok()
    });
    Ok(apps)
}

/// The page of `apps` that was asked for. Only its apps are looked up further, and each owner once.
pub(crate) async fn answer<T: Serialize>(
    state: &State,
    wanted: Wanted,
    apps: Vec<store::App>,
    form: impl Fn(App) -> T,
) -> ApiResult {
    let page = wanted.select(apps, &ATTRIBUTES)?;
    let (ctx, apps) = (state.ctx.clone(), page.items);
    let wires = state
        .ctx
        .store
        .read(move |view| {
            let mut owners = HashMap::new();
            apps.iter()
                .map(|app| wire(&ctx, view, app, &mut owners))
                .collect::<store::Result<Vec<App>>>()
        })
        .await?;
    let items: Vec<T> = wires.into_iter().map(form).collect();
    Ok(page.head.answer(&items))
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = find(&state, &actor, &app, Verb::Read).await?;
    show(&state, app).await.map(|app| ok(&app))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<AppCreate>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::NewApp)?;
    if let Some(flag) = asked.feature_flags.iter().flatten().next() {
        return Err(ApiError::invalid(format!(
            "There is no feature flag {flag}."
        )));
    }
    if let Some(region) = &asked.region {
        region::check(region)?;
    }
    let stack = match &asked.stack {
        Some(stack) => stack::find_name(&state, stack).await?,
        None => state.ctx.default_stack.clone(),
    };
    let app = match &asked.name {
        Some(name) => {
            let name =
                AppName::parse(name).map_err(|error| ApiError::invalid(error.to_string()))?;
            insert(&state, &actor, name, &stack).await?
        }
        None => insert_with_new_name(&state, &actor, &stack).await?,
    };
    state.ctx.say_who(app.id, &actor.user, "Initial release");
    state.ctx.say_who(app.id, &actor.user, "Release v1 created");
    state.ctx.platform.settled().await;
    show(&state, app).await.map(|app| created(&app))
}

async fn insert(
    state: &State,
    actor: &Actor,
    name: AppName,
    stack: &str,
) -> Result<store::App, store::StoreError> {
    let new = store::NewApp {
        id: AppId(Uuid::new_v4()),
        name,
        owner: actor.user.id,
        stack: stack.to_owned(),
        release: ReleaseId(Uuid::new_v4()),
    };
    state
        .ctx
        .store
        .write(move |tx| tx.create_app(&new, Timestamp::now()))
        .await
}

async fn insert_with_new_name(state: &State, actor: &Actor, stack: &str) -> ApiResult<store::App> {
    // One of 400 million names is rarely taken; twice in a row never.
    for _ in 0..5 {
        match insert(state, actor, app_name::make_up()?, stack).await {
            Err(store::StoreError::Taken { .. }) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(ApiError::internal(&"no free app name found"))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<AppUpdate>,
) -> ApiResult {
    let before = match asked.name {
        Some(_) => find_for(&state, &actor, &app, Verb::Write, Resource::Ownership).await?,
        None => find(&state, &actor, &app, Verb::Write).await?,
    };
    let id = before.id;
    let name = match asked.name {
        Some(name) if name != before.name.as_str() => {
            Some(AppName::parse(&name).map_err(|error| ApiError::invalid(error.to_string()))?)
        }
        _ => None,
    };
    let stack = match &asked.build_stack {
        Some(stack) => Some(stack::find_name(&state, stack).await?),
        None => None,
    };
    let renamed = name.clone();
    let app = state
        .ctx
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            if let Some(name) = &name {
                tx.rename_app(id, name, now)?;
            }
            if let Some(on) = asked.maintenance {
                tx.set_maintenance(id, on, now)?;
            }
            if let Some(stack) = &stack {
                tx.set_stack(id, stack, now)?;
            }
            tx.app(id)
        })
        .await?;
    let say = |text: &str| state.ctx.say_who(id, &actor.user, text);
    if let Some(name) = renamed {
        say(&format!("Renamed to {name}"));
    }
    if app.maintenance != before.maintenance {
        say(match app.maintenance {
            true => "Maintenance mode enabled",
            false => "Maintenance mode disabled",
        });
    }
    if app.stack != before.stack {
        say(&format!(
            "Stack changed to {} for the next build",
            app.stack
        ));
    }
    state.ctx.platform.settled().await;
    show(&state, app).await.map(|app| ok(&app))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = find_for(&state, &actor, &app, Verb::Write, Resource::Ownership).await?;
    let id = app.id;
    let last = show(&state, app).await?;
    let homes = state
        .ctx
        .store
        .write(move |tx| {
            let homes = tx.canary_of(id)?;
            tx.delete_app(id)?;
            Ok(homes)
        })
        .await?;
    for home in homes {
        let text = format!(
            "Canary {} destroyed, this app's own dynos answer",
            last.name
        );
        state.ctx.say_who(home, &actor.user, &text);
    }
    state.ctx.logs.forget(id);
    state.ctx.platform.app_deleted(id);
    state.ctx.platform.settled().await;
    tracing::info!(app = %id, user = %actor.user.id, "App destroyed.");
    Ok(ok(&last))
}

pub(crate) async fn show(state: &State, app: store::App) -> ApiResult<App> {
    let ctx = state.ctx.clone();
    let store = ctx.store.clone();
    Ok(store
        .read(move |view| wire(&ctx, view, &app, &mut HashMap::new()))
        .await?)
}

/// An app as others name it.
pub(crate) fn named(app: &store::App) -> Named {
    Named {
        id: app.id.0,
        name: app.name.to_string(),
    }
}

/// `owners` keeps those looked up before.
fn wire(
    ctx: &Context,
    view: &View<'_>,
    app: &store::App,
    owners: &mut HashMap<UserId, UserRef>,
) -> store::Result<App> {
    let owner = match owners.get(&app.owner) {
        Some(owner) => owner.clone(),
        None => {
            let user = view.user(app.owner)?;
            let owner = UserRef {
                id: user.id.0,
                email: user.email,
            };
            owners.insert(app.owner, owner.clone());
            owner
        }
    };
    let current = view.current_release(app)?;
    let slug = current.slug.map(|slug| view.slug(slug)).transpose()?;
    let slug_size = slug.as_ref().map_or(0, |slug| {
        slug.tgz.as_ref().map_or(slug.image_size, |tgz| tgz.size)
    });
    Ok(App {
        id: app.id.0,
        name: app.name.to_string(),
        acm: app.acm,
        archived_at: None,
        buildpack_provided_description: slug.and_then(|slug| slug.buildpack_description),
        build_stack: stack::named(&app.stack),
        stack: stack::named(&current.stack),
        generation: generation::named(),
        git_url: ctx.urls.git(app.name.as_str()),
        web_url: Some(ctx.urls.web(app.name.as_str())),
        internal_routing: Some(false),
        locked: false,
        maintenance: app.maintenance,
        owner,
        organization: None,
        team: None,
        region: region::named(),
        released_at: app.released_at,
        repo_size: Some(ctx.platform.repo_size(app.id)),
        slug_size: Some(slug_size),
        space: None,
        create_status: Some("complete".to_owned()),
        created_at: app.created_at,
        updated_at: app.updated_at,
    })
}
