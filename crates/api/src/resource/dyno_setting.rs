//! `/ropewalk/apps/:app/dyno-settings`: how an app's dynos start and stop.
//!
//! What is set holds for the dynos that run, too: no release is made, and none restarts for it.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::DynoSettings;
use ropewalk_api_types::dyno_setting::DynoSettingsUpdate;
use ropewalk_model::dyno_setting::{DynoSettingError, Name};
use ropewalk_model::{self as model, AppDynoSettings, ProcessType};
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};

/// Process types of one app that have settings; more than any app has types.
const MAX_TYPES: usize = 100;

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let settings = state.ctx.store.read(move |view| view.dyno_settings(id));
    Ok(ok(&shown(&app, &settings.await?)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<DynoSettingsUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let of = asked
        .process_type
        .as_deref()
        .map(process_type)
        .transpose()?;
    let changes = changes(&asked.settings)?;
    if of.is_some()
        && let Some((name, _)) = changes.iter().find(|(name, _)| name.is_of_app())
    {
        let text = format!(
            "{} is said of the whole app, not of one process type.",
            name.as_str()
        );
        return Err(ApiError::invalid(text));
    }
    let id = app.id;
    let (settings, changed) = state
        .ctx
        .store
        .write(move |tx| {
            // It may have been destroyed meanwhile.
            tx.app(id)?;
            let mut changed = Vec::new();
            for (name, text) in changes {
                if tx.set_dyno_setting(id, of.as_ref(), name, text.as_deref(), Timestamp::now())? {
                    changed.push(name.as_str());
                }
            }
            let settings = tx.dyno_settings(id)?;
            for row in tx.formation(id)? {
                let name = &row.process_type;
                if settings.most(name).is_some_and(|most| row.quantity > most) {
                    return Err(store::StoreError::Refused(format!(
                        "There are to be {} dynos of {name}, and of a singleton there is at most one. First: ropewalk \
                         ps:scale {name}=1",
                        row.quantity
                    )));
                }
            }
            if settings.types.len() > MAX_TYPES {
                return Err(store::StoreError::Refused(format!(
                    "No more than {MAX_TYPES} process types of an app have settings of their own."
                )));
            }
            Ok((settings, changed))
        })
        .await?;
    if !changed.is_empty() {
        let text = format!("Dyno settings changed: {}", changed.join(", "));
        state.ctx.say_who(app.id, &actor.user, &text);
        state.ctx.platform.settled().await;
    }
    Ok(ok(&shown(&app, &settings)))
}

fn process_type(text: &str) -> ApiResult<ProcessType> {
    ProcessType::parse(text).map_err(|error| ApiError::invalid(error.to_string()))
}

/// The settings and their texts as they are kept, `None` for those that end.
fn changes(asked: &BTreeMap<String, Option<String>>) -> ApiResult<Vec<(Name, Option<String>)>> {
    let refuse = |error: DynoSettingError| ApiError::invalid(error.to_string());
    let mut changes = Vec::new();
    for (name, text) in asked {
        let name = Name::parse(name).map_err(refuse)?;
        let mut settings = model::DynoSettings::default();
        if let Some(text) = text {
            settings.set(name, text).map_err(refuse)?;
        }
        changes.push((name, settings.text(name)));
    }
    Ok(changes)
}

fn shown(app: &store::App, settings: &AppDynoSettings) -> DynoSettings {
    let texts = |settings: &model::DynoSettings| {
        Name::ALL
            .into_iter()
            .filter_map(|name| Some((name.as_str().to_owned(), settings.text(name)?)))
            .collect::<BTreeMap<_, _>>()
    };
    let types = settings.types.iter();
    DynoSettings {
        app: app::named(app),
        all: texts(&settings.all),
        types: types
            .map(|(name, settings)| (name.to_string(), texts(settings)))
            .collect(),
    }
}
