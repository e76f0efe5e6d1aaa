//! The commands that speak the public API: one file for each, or for each small noun.
//!
//! A command takes the [`context::Context`] and its own arguments, and gives an exit code. None of them knows
//! anything about the server but what the API says.

pub(crate) mod absent;
pub(crate) mod access;
pub(crate) mod apps;
pub(crate) mod auth;
pub(crate) mod authorizations;
pub(crate) mod autoscale;
pub(crate) mod buildpacks;
pub(crate) mod builds;
pub(crate) mod certs;
pub(crate) mod certs_auto;
pub(crate) mod ci;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod domains;
pub(crate) mod drains;
pub(crate) mod edge;
pub(crate) mod features;
pub(crate) mod git;
pub(crate) mod heroku;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod maintenance;
pub(crate) mod metrics;
pub(crate) mod open;
pub(crate) mod pipelines;
pub(crate) mod ps;
pub(crate) mod rebase;
pub(crate) mod releases;
pub(crate) mod run;
pub(crate) mod sessions;
pub(crate) mod sizes;
pub(crate) mod slugs;
pub(crate) mod stack;
pub(crate) mod status;
pub(crate) mod tcp;
pub(crate) mod top;
pub(crate) mod two_factor;
pub(crate) mod users;
pub(crate) mod version;

use std::process::ExitCode;

use crate::cli::ApiCommand as Command;
use context::Context;

/// Runs one command.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let cx = &Context::for_process()?;
    match command {
        Command::Login(args) => login::run(cx, args).await,
        Command::Logout => auth::logout(cx).await,
        Command::Whoami(args) => auth::whoami(cx, args).await,
        Command::Token(args) => auth::token(cx, args),
        Command::TwoFactor(args) => two_factor::show(cx, args).await,
        Command::TwoFactorEnable => two_factor::enable(cx).await,
        Command::TwoFactorDisable => two_factor::disable(cx).await,
        Command::Authorizations(args) => authorizations::list(cx, args).await,
        Command::AuthorizationsCreate(args) => authorizations::create(cx, args).await,
        Command::AuthorizationsInfo(args) => authorizations::info(cx, args).await,
        Command::AuthorizationsUpdate(args) => authorizations::update(cx, args).await,
        Command::AuthorizationsRotate(args) => authorizations::rotate(cx, args).await,
        Command::AuthorizationsRevoke(args) => authorizations::revoke(cx, args).await,
        Command::Sessions(args) => sessions::list(cx, args).await,
        Command::SessionsDestroy(args) => sessions::destroy(cx, args).await,
        Command::Users(args) => users::list(cx, args).await,
        Command::UsersCreate(args) => users::create(cx, args).await,
        Command::UsersUpdate(args) => users::update(cx, args).await,
        Command::UsersPassword(args) => users::password(cx, args).await,
        Command::UsersDestroy(args) => users::destroy(cx, args).await,
        Command::Access(args) => access::list(cx, args).await,
        Command::AccessAdd(args) => access::add(cx, args).await,
        Command::AccessRemove(args) => access::remove(cx, args).await,
        Command::Apps(args) => apps::list::run(cx, args).await,
        Command::AppsCreate(args) => apps::create::run(cx, args).await,
        Command::AppsInfo(args) => apps::info::run(cx, args).await,
        Command::AppsRename(args) => apps::rename::run(cx, args).await,
        Command::AppsDestroy(args) => apps::destroy::run(cx, args).await,
        Command::GitRemote(args) => git::remote(cx, args).await,
        Command::Keys(args) => keys::list(cx, args).await,
        Command::KeysAdd(args) => keys::add(cx, args).await,
        Command::KeysRemove(args) => keys::remove(cx, args).await,
        Command::KeysClear(args) => keys::clear(cx, args).await,
        Command::GitCredentials(args) => git::credentials(cx, &args),
        Command::Config(args) => config::list::run(cx, args).await,
        Command::ConfigGet(args) => config::get::run(cx, args).await,
        Command::ConfigSet(args) => config::set::run(cx, args).await,
        Command::ConfigUnset(args) => config::unset::run(cx, args).await,
        Command::ConfigEdit(args) => config::edit::run(cx, args).await,
        Command::Ps(args) => ps::list::run(cx, args).await,
        Command::PsScale(args) => ps::scale::run(cx, args).await,
        Command::PsRestart(args) => ps::restart::run(cx, args).await,
        Command::PsStop(args) => ps::stop::run(cx, args).await,
        Command::PsType(args) => ps::resize::run(cx, args).await,
        Command::PsWait(args) => ps::wait::run(cx, args).await,
        Command::PsSleep(args) => ps::sleep::sleep(cx, args).await,
        Command::PsWake(args) => ps::sleep::wake(cx, args).await,
        Command::PsSettings(args) => ps::settings::show(cx, args).await,
        Command::PsSettingsSet(args) => ps::settings::set(cx, args).await,
        Command::PsSettingsUnset(args) => ps::settings::unset(cx, args).await,
        Command::PsAutoscale(args) => ps::autoscale::show(cx, args).await,
        Command::PsAutoscaleEnable(args) => ps::autoscale::enable(cx, args).await,
        Command::PsAutoscaleDisable(args) => ps::autoscale::disable(cx, args).await,
        Command::Autoscale(args) => autoscale::show(cx, args).await,
        Command::AutoscaleSet(args) => autoscale::set(cx, args).await,
        Command::AutoscaleUnset(args) => autoscale::unset(cx, args).await,
        Command::AutoscaleEvents(args) => autoscale::events(cx, args).await,
        Command::Logs(args) => logs::run(cx, args).await,
        Command::Releases(args) => releases::list::run(cx, args).await,
        Command::ReleasesInfo(args) => releases::info::run(cx, args).await,
        Command::ReleasesOutput(args) => releases::output::run(cx, args).await,
        Command::ReleasesRetry(args) => releases::retry::run(cx, args).await,
        Command::Rollback(args) => releases::rollback::run(cx, args).await,
        Command::Run(args) => run::attached(cx, args).await,
        Command::RunDetached(args) => run::detached(cx, args).await,
        Command::RunInside(args) => run::inside::run(cx, args).await,
        Command::Jobs(args) => jobs::list(cx, args).await,
        Command::JobsAdd(args) => jobs::add(cx, args).await,
        Command::JobsSet(args) => jobs::set(cx, args).await,
        Command::JobsRemove(args) => jobs::remove(cx, args).await,
        Command::JobsRun(args) => jobs::run(cx, args).await,
        Command::JobsRuns(args) => jobs::runs(cx, args).await,
        Command::Buildpacks(args) => buildpacks::list(cx, args).await,
        Command::BuildpacksSet(args) => buildpacks::set(cx, args).await,
        Command::BuildpacksAdd(args) => buildpacks::add(cx, args).await,
        Command::BuildpacksRemove(args) => buildpacks::remove(cx, args).await,
        Command::BuildpacksClear(args) => buildpacks::clear(cx, args).await,
        Command::Builds(args) => builds::list(cx, args).await,
        Command::BuildsInfo(args) => builds::info(cx, args).await,
        Command::BuildsOutput(args) => builds::output(cx, args).await,
        Command::BuildsCreate(args) => builds::create::run(cx, args).await,
        Command::BuildsCancel(args) => builds::cancel(cx, args).await,
        Command::BuildsCachePurge(args) => builds::purge_cache(cx, args).await,
        Command::Pipelines(args) => pipelines::list(cx, args).await,
        Command::PipelinesAdd(args) => pipelines::change::add(cx, args).await,
        Command::PipelinesCreate(args) => pipelines::change::create(cx, args).await,
        Command::PipelinesDestroy(args) => pipelines::change::destroy(cx, args).await,
        Command::PipelinesInfo(args) => pipelines::info(cx, args).await,
        Command::PipelinesPromote(args) => pipelines::promote::run(cx, args).await,
        Command::PipelinesRemove(args) => pipelines::change::remove(cx, args).await,
        Command::PipelinesRename(args) => pipelines::change::rename(cx, args).await,
        Command::PipelinesUpdate(args) => pipelines::change::update(cx, args).await,
        Command::Ci(args) => ci::list(cx, args).await,
        Command::CiConfig(args) => ci::config::list(cx, args).await,
        Command::CiConfigGet(args) => ci::config::get(cx, args).await,
        Command::CiConfigSet(args) => ci::config::set(cx, args).await,
        Command::CiConfigUnset(args) => ci::config::unset(cx, args).await,
        Command::CiInfo(args) => ci::info(cx, args).await,
        Command::CiLast(args) => ci::last(cx, args).await,
        Command::CiRerun(args) => ci::run::rerun(cx, args).await,
        Command::CiRun(args) => ci::run::run(cx, args).await,
        Command::Slugs(args) => slugs::list(cx, args).await,
        Command::SlugsInfo(args) => slugs::info(cx, args).await,
        Command::SlugsDownload(args) => slugs::download(cx, args).await,
        Command::Import(args) => import::run(cx, args).await,
        Command::Stack(args) => stack::list(cx, args).await,
        Command::StackSet(args) => stack::set(cx, args).await,
        Command::Rebase(args) => rebase::run(cx, args).await,
        Command::Domains(args) => domains::list(cx, args).await,
        Command::DomainsAdd(args) => domains::add(cx, args).await,
        Command::DomainsRemove(args) => domains::remove(cx, args).await,
        Command::DomainsClear(args) => domains::clear(cx, args).await,
        Command::DomainsInfo(args) => domains::info(cx, args).await,
        Command::DomainsUpdate(args) => domains::update(cx, args).await,
        Command::DomainsWait(args) => domains::wait(cx, args).await,
        Command::Certs(args) => certs::list(cx, args).await,
        Command::CertsAuto(args) => certs_auto::show(cx, args).await,
        Command::CertsAutoDisable(args) => certs_auto::disable(cx, args).await,
        Command::CertsAutoEnable(args) => certs_auto::enable(cx, args).await,
        Command::CertsAutoRefresh(args) => certs_auto::refresh(cx, args).await,
        Command::CertsAdd(args) => certs::add(cx, args).await,
        Command::CertsInfo(args) => certs::info(cx, args).await,
        Command::CertsRemove(args) => certs::remove(cx, args).await,
        Command::CertsUpdate(args) => certs::update(cx, args).await,
        Command::Drains(args) => drains::list(cx, args).await,
        Command::DrainsAdd(args) => drains::add(cx, args).await,
        Command::DrainsRemove(args) => drains::remove(cx, args).await,
        Command::Features(args) => features::list(cx, args).await,
        Command::FeaturesInfo(args) => features::info(cx, args).await,
        Command::FeaturesEnable(args) => features::switch(cx, args, true).await,
        Command::FeaturesDisable(args) => features::switch(cx, args, false).await,
        Command::Maintenance(args) => maintenance::show(cx, args).await,
        Command::MaintenanceOn(args) => maintenance::switch(cx, args, true).await,
        Command::MaintenanceOff(args) => maintenance::switch(cx, args, false).await,
        Command::Edge(args) => edge::show(cx, args).await,
        Command::EdgeSet(args) => edge::set(cx, args).await,
        Command::EdgeUnset(args) => edge::unset(cx, args).await,
        Command::Sizes(args) => sizes::list(cx, args).await,
        Command::SizesAdd(args) => sizes::add(cx, args).await,
        Command::SizesSet(args) => sizes::set(cx, args).await,
        Command::SizesRemove(args) => sizes::remove(cx, args).await,
        Command::Tcp(args) => tcp::list(cx, args).await,
        Command::TcpAdd(args) => tcp::add(cx, args).await,
        Command::TcpRemove(args) => tcp::remove(cx, args).await,
        Command::Metrics(args) => metrics::show(cx, args).await,
        Command::RouterTop(args) => top::show(cx, args).await,
        Command::Heroku(args) => heroku::run(cx, args).await,
        Command::HerokuLeashed(args) => heroku::leashed(cx, &args),
        Command::Env(args) => heroku::env(cx, &args),
        Command::Open(args) => open::run(cx, args).await,
        Command::Status(args) => status::run(cx, args).await,
        Command::Version(args) => version::run(cx, args),
        Command::Completions(args) => completions::shell(cx, args),
        Command::Man(args) => completions::man(cx, &args),
    }
}
