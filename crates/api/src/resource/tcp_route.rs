//! `/ropewalk/apps/:app/tcp-routes`: ports of the host, and names over TLS, whose bytes go to an app's dynos as they are.
//!
//! Answers once clients can come in, or come in no more.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use http::StatusCode;
use jiff::Timestamp;
use ropewalk_api_types::TcpRoute;
use ropewalk_api_types::tcp_route::{ProxyProtocol, TcpRouteCreate, TcpRouteStatus};
use ropewalk_model::ProcessType;
use ropewalk_model::dyno::PORT;
use ropewalk_model::tcp::{self, IDLE_TIMEOUT, IDLE_TIMEOUTS};
use ropewalk_store as store;
use ropewalk_store::{NewTcpRoute, StoreError, TcpEntrance, WantedEntrance};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::context::Context;
use crate::resource::path::Path;
use crate::resource::{app, domain};
use crate::state::State;
use crate::transport::body::{Json, json, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<TcpRoute>; 2] = [
    ("id", |route| Key::Text(route.id.to_string())),
    ("address", |route| Key::Text(route.address.clone())),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let rows = state.ctx.store.read(move |view| view.tcp_routes(id));
    let rows = rows.await?;
    let unbound = state.ctx.platform.unbound_ports();
    let shown = rows
        .iter()
        .map(|row| shown(&state.ctx, &app, row, unbound.as_ref()));
    wanted.page(shown.collect(), &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, route)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let row = find(&state, &app, &route).await?;
    let unbound = state.ctx.platform.unbound_ports();
    Ok(ok(&shown(&state.ctx, &app, &row, unbound.as_ref())))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<TcpRouteCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let new = NewTcpRoute {
        id: Uuid::new_v4(),
        app: app.id,
        process_type: process_type(asked.process_type)?,
        entrance: entrance(&state.ctx, asked.port, asked.hostname)?,
        dyno_port: dyno_port(asked.dyno_port)?,
        idle_timeout: idle_timeout(asked.idle_timeout)?,
        proxy_protocol: asked.proxy_protocol.map(|version| match version {
            ProxyProtocol::V1 => tcp::ProxyProtocol::V1,
            ProxyProtocol::V2 => tcp::ProxyProtocol::V2,
        }),
    };
    let own = app.name.clone();
    let row = state
        .ctx
        .store
        .write(move |tx| {
            tx.app(new.app)?;
            if let WantedEntrance::This(TcpEntrance::Hostname(name)) = &new.entrance {
                let mut domains = tx.domains(new.app)?.into_iter();
                if domains.any(|domain| domain.hostname == *name) {
                    return Err(StoreError::Refused(format!(
                        "{name} is a domain of {own}, where requests over HTTP come in. For a TCP route it has to be \
                         removed there first: ropewalk domains:remove {name}."
                    )));
                }
            }
            tx.add_tcp_route(&new, Timestamp::now())
        })
        .await?;
    let text = format!(
        "TCP route {} to {} added",
        entrance_of(&row),
        row.process_type
    );
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.settled().await;
    let unbound = state.ctx.platform.unbound_ports();
    let shown = shown(&state.ctx, &app, &row, unbound.as_ref());
    Ok(json(StatusCode::CREATED, &shown))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, route)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let row = find(&state, &app, &route).await?;
    let unbound = state.ctx.platform.unbound_ports();
    let shown = shown(&state.ctx, &app, &row, unbound.as_ref());
    let id = row.id;
    let removed = state.ctx.store.write(move |tx| tx.remove_tcp_route(id));
    removed.await?;
    let text = format!(
        "TCP route {} to {} removed",
        entrance_of(&row),
        row.process_type
    );
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.settled().await;
    Ok(ok(&shown))
}

fn process_type(asked: Option<String>) -> ApiResult<ProcessType> {
    let Some(text) = asked else {
        return Ok(ProcessType::web());
    };
    let process_type =
        ProcessType::parse(&text).map_err(|error| ApiError::invalid(error.to_string()))?;
    if process_type.is_one_off() {
        return Err(ApiError::invalid(format!(
            "Dynos of {process_type} run once; a TCP route leads to a process type of the Procfile that is scaled."
        )));
    }
    Ok(process_type)
}

fn entrance(
    ctx: &Context,
    port: Option<u16>,
    hostname: Option<String>,
) -> ApiResult<WantedEntrance> {
    let Some(hostname) = hostname else {
        let Some(open) = ctx.tcp_ports else {
            return Err(ApiError::invalid(
                "This server opens no ports for apps. Its administrator does: ropewalk server --tcp-ports 20000-20099. \
                 Clients that speak TLS can come in by a name: ropewalk tcp:add --sni HOSTNAME.",
            ));
        };
        return match port {
            None => Ok(WantedEntrance::Lowest(open)),
            Some(port) if open.contains(port) => Ok(WantedEntrance::This(TcpEntrance::Port(port))),
            Some(port) => Err(ApiError::invalid(format!(
                "Port {port} is not among those that this server opens for apps: {open}."
            ))),
        };
    };
    if port.is_some() {
        return Err(ApiError::invalid(
            "A TCP route has a port or a hostname, not both: add one for each.",
        ));
    }
    let hostname = domain::hostname(&hostname, &ctx.urls.domain)?;
    if hostname.starts_with("*.") {
        return Err(ApiError::invalid(
            "A TCP route is for one name, without a wildcard.",
        ));
    }
    if !ctx.urls.speaks_https() {
        return Err(ApiError::invalid(
            "This server speaks no TLS, so no client could name a host. Its administrator lets it: \
             ropewalk install --acme-email EMAIL, or --cert FILE --key FILE.",
        ));
    }
    Ok(WantedEntrance::This(TcpEntrance::Hostname(hostname)))
}

fn dyno_port(asked: Option<u16>) -> ApiResult<u16> {
    match asked {
        None => Ok(PORT),
        Some(0) => Err(ApiError::invalid("dyno_port must be 1 to 65535.")),
        Some(port) => Ok(port),
    }
}

fn idle_timeout(asked: Option<u32>) -> ApiResult<u32> {
    match asked {
        None => Ok(IDLE_TIMEOUT),
        Some(seconds) if IDLE_TIMEOUTS.contains(&seconds) => Ok(seconds),
        Some(_) => Err(ApiError::invalid(format!(
            "idle_timeout must be {} to {} seconds.",
            IDLE_TIMEOUTS.start(),
            IDLE_TIMEOUTS.end()
        ))),
    }
}

/// By port, host name or id.
async fn find(state: &State, app: &store::App, key: &str) -> ApiResult<store::TcpRoute> {
    let (id, key) = (app.id, key.to_ascii_lowercase());
    let found = state
        .ctx
        .store
        .read(move |view| view.find_tcp_route(id, &key));
    Ok(found.await?)
}

fn entrance_of(row: &store::TcpRoute) -> String {
    match &row.entrance {
        TcpEntrance::Port(port) => format!("on port {port}"),
        TcpEntrance::Hostname(name) => format!("for {name}"),
    }
}

fn shown(
    ctx: &Context,
    app: &store::App,
    row: &store::TcpRoute,
    unbound: Option<&BTreeMap<u16, String>>,
) -> TcpRoute {
    let (port, hostname) = match &row.entrance {
        TcpEntrance::Port(port) => (Some(*port), None),
        TcpEntrance::Hostname(name) => (None, Some(name.clone())),
    };
    let address = match &row.entrance {
        TcpEntrance::Port(port) => format!("{}:{port}", ctx.urls.domain),
        TcpEntrance::Hostname(name) => match ctx.urls.tls_port() {
            Some(port) => format!("{name}:{port}"),
            None => name.clone(),
        },
    };
    let is_closed = port.is_some_and(|port| ctx.tcp_ports.is_none_or(|open| !open.contains(port)));
    let failed = port.and_then(|port| unbound?.get(&port).cloned());
    let (status, status_reason) = match (is_closed, failed, unbound) {
        (true, _, _) => (
            TcpRouteStatus::Failed,
            Some("the administrator opens this port no more".to_owned()),
        ),
        (false, Some(reason), _) => (TcpRouteStatus::Failed, Some(reason)),
        (false, None, Some(_)) => (TcpRouteStatus::Open, None),
        (false, None, None) => (TcpRouteStatus::Unknown, None),
    };
    TcpRoute {
        id: row.id,
        app: app::named(app),
        process_type: row.process_type.to_string(),
        port,
        hostname,
        dyno_port: row.dyno_port,
        idle_timeout: row.idle_timeout,
        proxy_protocol: row.proxy_protocol.map(|version| match version {
            tcp::ProxyProtocol::V1 => ProxyProtocol::V1,
            tcp::ProxyProtocol::V2 => ProxyProtocol::V2,
        }),
        address,
        status,
        status_reason,
        created_at: row.created_at,
    }
}
