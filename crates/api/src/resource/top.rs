//! `/ropewalk/top`, `/ropewalk/apps/:app/top`: requests of the last seconds, of every app that the actor may see, or of one
//! app by dyno. Asked again and again by whoever watches; bounded by the apps that have requests.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use ropewalk_api_types::Top;
use ropewalk_api_types::top::TopRow;
use ropewalk_model::Traffic;
use ropewalk_model::traffic::{Recent, Requests, Window};
use ropewalk_store as store;
use ropewalk_store::Dyno;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::metrics;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

pub(crate) async fn all(Shared(state): Shared<State>, actor: Actor) -> ApiResult {
    let recent = state.ctx.platform.recent(None);
    let mut apps = app::visible(&state, &actor, |app, _| recent.apps.contains_key(&app.id)).await?;
    apps.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    let rows = apps
        .iter()
        .filter_map(|app| Some(of_app(app, recent.apps.get(&app.id)?)))
        .collect();
    Ok(ok(&top(&recent, rows, Vec::new())))
}

pub(crate) async fn of_one(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let mut dynos = state.ctx.store.read(move |view| view.dynos(id)).await?;
    dynos.retain(|row| row.name.process_type.is_web());
    dynos.sort_by_key(|row| (row.name.number, row.created_at));
    let recent = state.ctx.platform.recent(Some(id));
    let nothing = Traffic::default();
    let traffic = recent.apps.get(&id).unwrap_or(&nothing);
    let rows = dynos.iter().map(|row| of_dyno(row, traffic)).collect();
    Ok(ok(&top(&recent, vec![of_app(&app, traffic)], rows)))
}

fn top(recent: &Recent, apps: Vec<TopRow>, dynos: Vec<TopRow>) -> Top {
    Top {
        seconds: recent.seconds,
        measured_seconds: recent.measured,
        apps,
        dynos,
    }
}

fn of_app(app: &store::App, traffic: &Traffic) -> TopRow {
    let nothing = Window::default();
    let window = traffic.windows.first().unwrap_or(&nothing);
    let load = traffic.load.as_ref();
    TopRow {
        id: app.id.0,
        requests: metrics::requests(app.name.to_string(), &window.app, window.measured),
        in_flight: load.map(|load| load.in_flight),
        waiting: load.map(|load| load.waiting),
        router_errors: metrics::router_errors(&window.app),
        edge_answers: metrics::edge_answers(&window.app),
    }
}

fn of_dyno(row: &Dyno, traffic: &Traffic) -> TopRow {
    let (nothing, none) = (Window::default(), Requests::default());
    let window = traffic.windows.first().unwrap_or(&nothing);
    let own = window.dynos.get(&row.id).unwrap_or(&none);
    let load = traffic.load.as_ref();
    TopRow {
        id: row.id.0,
        requests: metrics::requests(row.name.to_string(), own, window.measured),
        in_flight: load.map(|load| load.dynos.get(&row.id).copied().unwrap_or(0)),
        waiting: None,
        router_errors: BTreeMap::new(),
        edge_answers: BTreeMap::new(),
    }
}
