//! Every path of the API and the handler it leads to.

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{delete, get, patch, post, put};
use axum::{Router, response::Response};
use http::StatusCode;
use ropewalk_api_types::error::id;

use crate::context::Context;
use crate::resource::*;
use crate::state::State;
use crate::transport::error::ApiError;
use crate::transport::frame;

/// The whole API, for the host `api.<domain>`.
pub fn routes(ctx: Context) -> Router {
    let streams = Router::new()
        .route("/ropewalk/logs/{token}", get(log_session::stream))
        .route("/ropewalk/outputs/{token}", get(output::stream))
        .route("/ropewalk/attach/{token}", get(attach::connect))
        .route(
            "/ropewalk/sources/{token}",
            get(blob::get_source).put(blob::put_source),
        )
        .route(
            "/ropewalk/slugs/{token}",
            get(blob::get_slug).put(blob::put_slug),
        )
        .merge(of_browser_logins())
        .method_not_allowed_fallback(unknown)
        .layer(from_fn(frame::stream));
    let resources = Router::new()
        .merge(of_accounts())
        .merge(of_apps())
        .merge(of_deploys())
        .merge(of_pipelines())
        .merge(of_dynos())
        .merge(of_catalogue())
        .route("/schema", get(schema::info))
        .merge(later::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(from_fn(frame::resource));
    resources.merge(streams).with_state(State::new(ctx))
}

/// Largest form, in bytes.
const MAX_FORM: usize = 8 << 10;

/// A poll waits longer than resources may, and people see pages rather than JSON.
fn of_browser_logins() -> Router<State> {
    Router::new()
        .route("/auth", post(browser_login::ask))
        .route(
            "/cli/browser/{id}",
            get(browser_login::form).post(browser_login::decide),
        )
        .route("/cli/auth/{id}", get(browser_login::poll))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(from_fn(frame::private))
}

fn of_accounts() -> Router<State> {
    Router::new()
        .route("/account", get(account::own).patch(account::update))
        .route("/account/rate-limits", get(rate_limit::info))
        .route("/account/keys", get(key::list).post(key::create))
        .route("/account/keys/{key}", get(key::info).delete(key::delete))
        .route(
            "/users/{user}",
            get(account::info).patch(account::update_self),
        )
        .route("/users/{user}/apps", get(app::list_own))
        .route(
            "/oauth/authorizations",
            get(oauth::list).post(oauth::create),
        )
        .route(
            "/oauth/authorizations/{authorization}",
            get(oauth::info).patch(oauth::update).delete(oauth::delete),
        )
        .route(
            "/oauth/authorizations/{authorization}/actions/regenerate-tokens",
            post(oauth::regenerate),
        )
        .route("/oauth/sessions", get(session::list))
        .route("/oauth/sessions/{session}", delete(session::delete))
        .route("/ropewalk/users", get(user::list).post(user::create))
        .route(
            "/ropewalk/users/{user}",
            get(user::info).patch(user::update).delete(user::delete),
        )
        .route(
            "/ropewalk/two-factor",
            get(two_factor::info)
                .post(two_factor::create)
                .delete(two_factor::delete),
        )
        .route("/account/delinquency", get(delinquency::info))
        .route("/filters/apps", post(app_filter::list))
        .route("/ropewalk/status", get(status::info))
        .route("/ropewalk/tasks", get(task::list))
        .route("/ropewalk/prometheus", get(scrape::info))
        .route("/ropewalk/ssh", get(ssh::info))
}

fn of_apps() -> Router<State> {
    Router::new()
        .route("/apps", get(app::list).post(app::create))
        .route(
            "/apps/{app}",
            get(app::info).patch(app::update).delete(app::delete),
        )
        .route(
            "/apps/{app}/config-vars",
            get(config_var::info).patch(config_var::update),
        )
        .route(
            "/apps/{app}/domains",
            get(domain::list).post(domain::create),
        )
        .route(
            "/apps/{app}/domains/{domain}",
            get(domain::info)
                .patch(domain::update)
                .delete(domain::delete),
        )
        .route(
            "/apps/{app}/sni-endpoints",
            get(sni_endpoint::list).post(sni_endpoint::create),
        )
        .route(
            "/apps/{app}/sni-endpoints/{endpoint}",
            get(sni_endpoint::info)
                .patch(sni_endpoint::update)
                .delete(sni_endpoint::delete),
        )
        .route(
            "/apps/{app}/acm",
            post(acm::enable).patch(acm::refresh).delete(acm::disable),
        )
        .route("/apps/{app}/features", get(app_feature::list))
        .route(
            "/apps/{app}/features/{feature}",
            get(app_feature::info).patch(app_feature::update),
        )
        .route(
            "/apps/{app}/collaborators",
            get(collaborator::list).post(collaborator::create),
        )
        .route(
            "/apps/{app}/collaborators/{collaborator}",
            get(collaborator::info).delete(collaborator::delete),
        )
        .route(
            "/apps/{app}/pre-authorizations",
            put(account::pre_authorize),
        )
        .route(
            "/apps/{app}/log-drains",
            get(log_drain::list).post(log_drain::create),
        )
        .route(
            "/apps/{app}/log-drains/{drain}",
            get(log_drain::info).delete(log_drain::delete),
        )
        .route("/apps/{app}/log-sessions", post(log_session::create))
        .route(
            "/ropewalk/apps/{app}/edge",
            get(edge::info).patch(edge::update),
        )
        .route("/ropewalk/apps/{app}/dynos", get(dyno::list_statuses))
        .route(
            "/ropewalk/apps/{app}/dyno-settings",
            get(dyno_setting::info).patch(dyno_setting::update),
        )
        .route(
            "/ropewalk/apps/{app}/sleep",
            get(sleep::info).put(sleep::update).delete(sleep::delete),
        )
        .route(
            "/ropewalk/apps/{app}/rebase",
            get(rebase::info).post(rebase::create),
        )
        .route(
            "/ropewalk/apps/{app}/tcp-routes",
            get(tcp_route::list).post(tcp_route::create),
        )
        .route(
            "/ropewalk/apps/{app}/tcp-routes/{route}",
            get(tcp_route::info).delete(tcp_route::delete),
        )
        .route(
            "/ropewalk/apps/{app}/jobs",
            get(job::list).post(job::create),
        )
        .route(
            "/ropewalk/apps/{app}/jobs/{job}",
            get(job::info).patch(job::update).delete(job::delete),
        )
        .route(
            "/ropewalk/apps/{app}/jobs/{job}/runs",
            get(job::runs).post(job::run),
        )
}

fn of_deploys() -> Router<State> {
    Router::new()
        .route("/apps/{app}/builds", get(build::list).post(build::create))
        .route(
            "/apps/{app}/builds/{build}",
            get(build::info).delete(build::cancel),
        )
        .route("/apps/{app}/build-cache", delete(build::delete_cache))
        .route("/sources", post(source::create))
        .route("/apps/{app}/sources", post(source::create_for_app))
        .route(
            "/apps/{app}/buildpack-installations",
            get(buildpack_installation::list).put(buildpack_installation::update),
        )
        .route(
            "/apps/{app}/releases",
            get(release::list).post(release::create),
        )
        .route("/apps/{app}/releases/{release}", get(release::info))
        .route(
            "/apps/{app}/releases/{release}/config-vars",
            get(config_var::of_release),
        )
        .route("/apps/{app}/slugs", post(slug::create))
        .route("/apps/{app}/slugs/{slug}", get(slug::info))
}

fn of_pipelines() -> Router<State> {
    Router::new()
        .route("/pipelines", get(pipeline::list).post(pipeline::create))
        .route(
            "/pipelines/{pipeline}",
            get(pipeline::info)
                .patch(pipeline::update)
                .delete(pipeline::delete),
        )
        .route("/pipeline-transfers", post(pipeline::transfer))
        .route(
            "/pipelines/{pipeline}/pipeline-stack",
            get(pipeline::pipeline_stack),
        )
        .route(
            "/pipelines/{pipeline}/stage/{stage}/config-vars",
            get(pipeline::config).patch(pipeline::update_config),
        )
        .route(
            "/pipelines/{pipeline}/pipeline-couplings",
            get(pipeline_coupling::list_of_pipeline),
        )
        .route(
            "/pipeline-couplings",
            get(pipeline_coupling::list).post(pipeline_coupling::create),
        )
        .route(
            "/users/{user}/pipeline-couplings",
            get(pipeline_coupling::list_own),
        )
        .route(
            "/apps/{app}/pipeline-couplings",
            get(pipeline_coupling::of_app),
        )
        .route(
            "/pipeline-couplings/{coupling}",
            get(pipeline_coupling::info)
                .patch(pipeline_coupling::update)
                .delete(pipeline_coupling::delete),
        )
        .route("/pipeline-promotions", post(pipeline_promotion::create))
        .route(
            "/pipeline-promotions/{promotion}",
            get(pipeline_promotion::info),
        )
        .route(
            "/pipeline-promotions/{promotion}/promotion-targets",
            get(pipeline_promotion::targets),
        )
        .route("/pipelines/{pipeline}/test-runs", get(test_run::list))
        .route(
            "/pipelines/{pipeline}/test-runs/{number}",
            get(test_run::info_by_number),
        )
        .route("/test-runs", post(test_run::create))
        .route(
            "/test-runs/{run}",
            get(test_run::info).patch(test_run::update),
        )
        .route("/test-runs/{run}/test-nodes", get(test_run::nodes))
        .route("/test-runs/{run}/test-cases", get(test_run::cases))
}

fn of_dynos() -> Router<State> {
    Router::new()
        .route(
            "/apps/{app}/dynos",
            get(dyno::list).post(dyno::create).delete(dyno::restart_all),
        )
        .route(
            "/apps/{app}/dynos/{dyno}",
            get(dyno::info)
                .post(dyno::run_inside)
                .delete(dyno::restart_one),
        )
        .route(
            "/apps/{app}/dynos/{dyno}/actions/stop",
            post(dyno::stop_one),
        )
        .route(
            "/apps/{app}/formations/{process_type}",
            delete(dyno::restart_type),
        )
        .route(
            "/apps/{app}/formations/{process_type}/actions/stop",
            post(dyno::stop_type),
        )
        .route(
            "/apps/{app}/formation",
            get(formation::list).patch(formation::update_batch),
        )
        .route(
            "/apps/{app}/formation/{process_type}",
            patch(formation::update).get(formation::info),
        )
        .route(
            "/apps/{app}/formation/{process_type}/monitors",
            get(monitor::list).post(monitor::create),
        )
        .route(
            "/apps/{app}/formation/{process_type}/monitors/{monitor}",
            get(monitor::info).patch(monitor::update),
        )
        .route(
            "/ropewalk/apps/{app}/formation/{process_type}/autoscale",
            get(autoscale::info)
                .put(autoscale::set)
                .delete(autoscale::delete),
        )
        .route("/ropewalk/apps/{app}/autoscale", get(autoscale::list))
        .route(
            "/ropewalk/apps/{app}/autoscale-events",
            get(autoscale::events),
        )
        .route("/ropewalk/apps/{app}/metrics", get(metrics::info))
        .route("/ropewalk/apps/{app}/top", get(top::of_one))
        .route("/ropewalk/top", get(top::all))
}

fn of_catalogue() -> Router<State> {
    Router::new()
        .route("/buildpacks/{name}", get(buildpack::info))
        .route("/dyno-sizes", get(dyno_size::list))
        .route("/dyno-sizes/{size}", get(dyno_size::info))
        .route(
            "/ropewalk/dyno-sizes",
            get(dyno_size::list_limits).post(dyno_size::create),
        )
        .route(
            "/ropewalk/dyno-sizes/{size}",
            get(dyno_size::limits)
                .patch(dyno_size::update)
                .delete(dyno_size::delete),
        )
        .route(
            "/apps/{app}/available-dyno-sizes",
            get(dyno_size::list_for_app),
        )
        .route("/generations", get(generation::list))
        .route("/generations/{generation}", get(generation::info))
        .route("/regions", get(region::list))
        .route("/regions/{region}", get(region::info))
        .route("/stacks", get(stack::list))
        .route("/stacks/{stack}", get(stack::info))
        .route("/apps/{app}/available-stacks", get(stack::list_for_app))
}

async fn unknown(request: Request) -> Response {
    ApiError::new(
        StatusCode::NOT_FOUND,
        id::NOT_FOUND,
        format!(
            "There is no {} {} here; look at the path and at the method.",
            request.method(),
            request.uri().path()
        ),
    )
    .into_response()
}
