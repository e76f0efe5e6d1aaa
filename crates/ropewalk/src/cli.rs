//! Which commands there are, and how arguments become one of them.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::cmd::{
    absent, access, apps, authorizations, autoscale, buildpacks, builds, certs, certs_auto, ci,
    completions, config, context, domains, drains, edge, features, git, heroku, import, jobs, keys,
    login, logs, open, pipelines, ps, rebase, releases, run, sessions, sizes, slugs, stack, tcp,
    top, users,
};
use crate::ops::OpsCommand;

/// A Heroku of your own: push with git, scale from the command line.
#[derive(Debug, Parser)]
#[command(
    name = "ropewalk",
    bin_name = "ropewalk",
    version,
    disable_help_subcommand = false
)]
#[command(
    max_term_width = 110,
    after_help = "The commands mean what they mean on Heroku. Run `ropewalk help COMMAND` for one of them."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Mode>,
}

#[derive(Debug, Subcommand)]
enum Mode {
    #[command(flatten)]
    Api(Box<ApiCommand>),
    #[command(flatten)]
    Ops(Box<OpsCommand>),
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: Command,
}

/// The two halves of the program.
#[derive(Debug)]
pub(crate) enum Command {
    /// Speaks the public API.
    Api(Box<ApiCommand>),
    /// Runs the platform on its host.
    Ops(Box<OpsCommand>),
}

/// The commands of [`crate::cmd`].
#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    /// Log in to a server and remember it
    #[command(name = "login", alias = "auth:login")]
    Login(login::Args),
    /// Forget the token, and end it if login made it
    #[command(name = "logout", alias = "auth:logout")]
    Logout,
    /// Show who you are logged in as
    #[command(name = "auth:whoami", visible_alias = "whoami")]
    Whoami(context::JsonArgs),
    /// Print the token in use
    #[command(name = "auth:token")]
    Token(context::JsonArgs),
    /// Show whether logging in takes a code
    #[command(name = "auth:2fa", visible_alias = "2fa", alias = "twofactor")]
    TwoFactor(context::JsonArgs),
    /// Ask for a code whenever you log in
    #[command(name = "auth:2fa:enable", alias = "2fa:enable")]
    TwoFactorEnable,
    /// Ask for no code any more
    #[command(name = "auth:2fa:disable", aliases = ["2fa:disable", "twofactor:disable"])]
    TwoFactorDisable,

    /// List your tokens
    #[command(name = "authorizations")]
    Authorizations(context::JsonArgs),
    /// Create a token for a program
    #[command(name = "authorizations:create")]
    AuthorizationsCreate(authorizations::CreateArgs),
    /// Show one token, without its text
    #[command(name = "authorizations:info")]
    AuthorizationsInfo(authorizations::IdArgs),
    /// Change a token's description
    #[command(name = "authorizations:update")]
    AuthorizationsUpdate(authorizations::UpdateArgs),
    /// Give a token a new text and refuse the old one
    #[command(name = "authorizations:rotate")]
    AuthorizationsRotate(authorizations::IdArgs),
    /// Refuse a token from now on
    #[command(name = "authorizations:revoke", alias = "authorizations:destroy")]
    AuthorizationsRevoke(authorizations::IdArgs),
    /// List where you are logged in
    #[command(name = "sessions")]
    Sessions(context::JsonArgs),
    /// End a login
    #[command(name = "sessions:destroy")]
    SessionsDestroy(sessions::DestroyArgs),

    /// List the server's accounts (administrators)
    #[command(name = "users")]
    Users(context::JsonArgs),
    /// Create an account (administrators)
    #[command(name = "users:create", alias = "users:add")]
    UsersCreate(users::CreateArgs),
    /// Change an account (administrators)
    #[command(name = "users:update")]
    UsersUpdate(users::UpdateArgs),
    /// Set your password, or somebody's (administrators)
    #[command(name = "users:password", alias = "auth:password")]
    UsersPassword(users::PasswordArgs),
    /// End an account (administrators)
    #[command(name = "users:destroy", aliases = ["users:delete", "users:remove"])]
    UsersDestroy(users::DestroyArgs),

    /// List who works on an app
    #[command(name = "access", alias = "sharing")]
    Access(access::ListArgs),
    /// Let somebody work on an app
    #[command(name = "access:add", alias = "sharing:add")]
    AccessAdd(access::UserArgs),
    /// Let somebody work on an app no more
    #[command(name = "access:remove", alias = "sharing:remove")]
    AccessRemove(access::UserArgs),

    /// List your apps
    #[command(name = "apps", visible_alias = "list", alias = "apps:list")]
    Apps(apps::list::Args),
    /// Create an app and a git remote for it
    #[command(name = "apps:create", visible_alias = "create")]
    AppsCreate(apps::create::Args),
    /// Show an app's details
    #[command(name = "apps:info", visible_alias = "info")]
    AppsInfo(apps::info::Args),
    /// Rename an app
    #[command(name = "apps:rename", visible_alias = "rename")]
    AppsRename(apps::rename::Args),
    /// Destroy an app for good
    #[command(
        name = "apps:destroy",
        visible_alias = "destroy",
        alias = "apps:delete"
    )]
    AppsDestroy(apps::destroy::Args),

    /// Add a git remote that leads to an app
    #[command(name = "git:remote")]
    GitRemote(git::RemoteArgs),
    /// List your SSH keys
    #[command(name = "keys")]
    Keys(keys::ListArgs),
    /// Add an SSH key, to push over SSH
    #[command(name = "keys:add")]
    KeysAdd(keys::AddArgs),
    /// Remove an SSH key
    #[command(name = "keys:remove")]
    KeysRemove(keys::RemoveArgs),
    /// Remove all your SSH keys
    #[command(name = "keys:clear")]
    KeysClear(context::JsonArgs),
    /// Answer git's question for our git host's token
    #[command(name = "git:credentials", hide = true)]
    GitCredentials(git::CredentialsArgs),

    /// Show an app's config vars
    #[command(name = "config")]
    Config(config::list::Args),
    /// Show one config var's value
    #[command(name = "config:get")]
    ConfigGet(config::get::Args),
    /// Set config vars and restart
    #[command(name = "config:set", alias = "config:add")]
    ConfigSet(config::set::Args),
    /// Remove config vars and restart
    #[command(name = "config:unset", alias = "config:remove")]
    ConfigUnset(config::unset::Args),
    /// Edit config vars in your editor
    #[command(name = "config:edit")]
    ConfigEdit(config::edit::Args),

    /// List an app's dynos
    #[command(name = "ps", visible_alias = "dyno", alias = "ps:list")]
    Ps(ps::list::Args),
    /// Change how many dynos of which size run; without arguments, show it
    #[command(name = "ps:scale", visible_alias = "scale", alias = "dyno:scale")]
    PsScale(ps::scale::Args),
    /// Restart dynos
    #[command(name = "ps:restart", visible_alias = "restart", alias = "dyno:restart")]
    PsRestart(ps::restart::Args),
    /// Stop dynos
    #[command(name = "ps:stop", visible_alias = "stop", aliases = ["dyno:stop", "ps:kill", "kill", "dyno:kill"])]
    PsStop(ps::stop::Args),
    /// Show or change the size of dynos
    #[command(name = "ps:type", aliases = ["ps:resize", "dyno:type", "dyno:resize", "resize"])]
    PsType(ps::resize::Args),
    /// Wait until all dynos run the newest release that has not failed
    #[command(name = "ps:wait")]
    PsWait(ps::wait::Args),
    /// Put an app to sleep until somebody asks for it
    #[command(name = "ps:sleep")]
    PsSleep(ps::sleep::Args),
    /// Wake an app that sleeps
    #[command(name = "ps:wake")]
    PsWake(context::AppJsonArgs),
    /// Show how dynos start and stop, where it differs from the habit
    #[command(name = "ps:settings")]
    PsSettings(context::AppJsonArgs),
    /// Change how dynos start and stop
    #[command(name = "ps:settings:set", after_help = ps::settings::SETTINGS)]
    PsSettingsSet(ps::settings::SetArgs),
    /// Let dynos start and stop as is the habit
    #[command(name = "ps:settings:unset")]
    PsSettingsUnset(ps::settings::UnsetArgs),
    /// Show between how many dynos web is scaled by itself
    #[command(name = "ps:autoscale", alias = "dyno:autoscale")]
    PsAutoscale(ps::autoscale::Args),
    /// Scale web by itself, by its response time
    #[command(name = "ps:autoscale:enable", alias = "dyno:autoscale:enable")]
    PsAutoscaleEnable(ps::autoscale::EnableArgs),
    /// Leave the number of web dynos as it is
    #[command(name = "ps:autoscale:disable", alias = "dyno:autoscale:disable")]
    PsAutoscaleDisable(ps::autoscale::Args),
    /// Show by what process types are scaled
    #[command(name = "autoscale")]
    Autoscale(context::AppJsonArgs),
    /// Scale a process type by itself
    #[command(name = "autoscale:set", after_help = autoscale::SETTINGS)]
    AutoscaleSet(autoscale::SetArgs),
    /// Leave the number of dynos of a process type as it is
    #[command(name = "autoscale:unset")]
    AutoscaleUnset(autoscale::UnsetArgs),
    /// Show what was decided, and why
    #[command(name = "autoscale:events")]
    AutoscaleEvents(autoscale::EventsArgs),

    /// Show an app's log
    #[command(name = "logs")]
    Logs(logs::Args),

    /// List an app's releases
    #[command(name = "releases")]
    Releases(releases::list::Args),
    /// Show one release
    #[command(name = "releases:info")]
    ReleasesInfo(releases::info::Args),
    /// Show the output of a release command
    #[command(name = "releases:output")]
    ReleasesOutput(releases::output::Args),
    /// Release the same code once more
    #[command(name = "releases:retry")]
    ReleasesRetry(releases::retry::Args),
    /// Go back to an earlier release
    #[command(name = "releases:rollback", visible_alias = "rollback")]
    Rollback(releases::rollback::Args),

    /// Run a command in a one-off dyno
    #[command(name = "run")]
    Run(run::Args),
    /// Run a command in a one-off dyno and do not wait for it
    #[command(name = "run:detached")]
    RunDetached(run::DetachedArgs),
    /// Run a command inside a running dyno
    #[command(name = "run:inside")]
    RunInside(run::inside::Args),

    /// List an app's jobs: commands that recur
    #[command(name = "jobs")]
    Jobs(context::AppJsonArgs),
    /// Let a command recur
    #[command(name = "jobs:add", after_help = jobs::NOTES)]
    JobsAdd(jobs::AddArgs),
    /// Change a job, pause it or resume it
    #[command(name = "jobs:set")]
    JobsSet(jobs::SetArgs),
    /// Remove a job; a run that goes on is left to end
    #[command(name = "jobs:remove")]
    JobsRemove(jobs::JobArgs),
    /// Run a job now
    #[command(name = "jobs:run")]
    JobsRun(jobs::JobArgs),
    /// Show a job's last runs and their exit codes
    #[command(name = "jobs:runs")]
    JobsRuns(jobs::JobArgs),

    /// List an app's buildpacks
    #[command(name = "buildpacks")]
    Buildpacks(buildpacks::ListArgs),
    /// Set the buildpack, or the one at an index
    #[command(name = "buildpacks:set")]
    BuildpacksSet(buildpacks::SetArgs),
    /// Add a buildpack
    #[command(name = "buildpacks:add")]
    BuildpacksAdd(buildpacks::AddArgs),
    /// Remove a buildpack
    #[command(name = "buildpacks:remove")]
    BuildpacksRemove(buildpacks::RemoveArgs),
    /// Remove all buildpacks and detect again
    #[command(name = "buildpacks:clear")]
    BuildpacksClear(context::AppJsonArgs),

    /// List an app's builds
    #[command(name = "builds")]
    Builds(builds::ListArgs),
    /// Show one build
    #[command(name = "builds:info")]
    BuildsInfo(builds::InfoArgs),
    /// Show a build's output
    #[command(name = "builds:output")]
    BuildsOutput(builds::OutputArgs),
    /// Build what is committed here, an archive or an address
    #[command(name = "builds:create")]
    BuildsCreate(builds::create::Args),
    /// End a build under way
    #[command(name = "builds:cancel")]
    BuildsCancel(builds::CancelArgs),
    /// Throw the build cache away
    #[command(name = "builds:cache:purge", alias = "builds:cache:delete")]
    BuildsCachePurge(context::AppArgs),

    /// List your pipelines
    #[command(name = "pipelines", alias = "pipelines:list")]
    Pipelines(context::JsonArgs),
    /// Add an app to a pipeline
    #[command(name = "pipelines:add")]
    PipelinesAdd(pipelines::change::AddArgs),
    /// Create a pipeline, and add an app to it
    #[command(name = "pipelines:create")]
    PipelinesCreate(pipelines::change::CreateArgs),
    /// Destroy a pipeline; its apps stay
    #[command(name = "pipelines:destroy", alias = "pipelines:delete")]
    PipelinesDestroy(pipelines::change::DestroyArgs),
    /// Show the apps of a pipeline
    #[command(name = "pipelines:info")]
    PipelinesInfo(pipelines::InfoArgs),
    /// Release an app's code to the apps at the next stage, without a build
    #[command(name = "pipelines:promote")]
    PipelinesPromote(pipelines::promote::Args),
    /// Remove an app from its pipeline
    #[command(name = "pipelines:remove")]
    PipelinesRemove(pipelines::change::RemoveArgs),
    /// Rename a pipeline
    #[command(name = "pipelines:rename")]
    PipelinesRename(pipelines::change::RenameArgs),
    /// Move an app to another stage of its pipeline
    #[command(name = "pipelines:update")]
    PipelinesUpdate(pipelines::change::UpdateArgs),
    /// List a pipeline's test runs
    #[command(name = "ci", alias = "ci:list")]
    Ci(ci::ListArgs),
    /// Show the config vars of test runs
    #[command(name = "ci:config")]
    CiConfig(ci::config::ListArgs),
    /// Show one config var of test runs
    #[command(name = "ci:config:get")]
    CiConfigGet(ci::config::GetArgs),
    /// Set config vars of test runs
    #[command(name = "ci:config:set", alias = "ci:config:add")]
    CiConfigSet(ci::config::SetArgs),
    /// Remove config vars of test runs
    #[command(name = "ci:config:unset", alias = "ci:config:remove")]
    CiConfigUnset(ci::config::UnsetArgs),
    /// Show what a test run said, and how it ended
    #[command(name = "ci:info")]
    CiInfo(ci::InfoArgs),
    /// Show what the newest test run said, and how it ended
    #[command(name = "ci:last")]
    CiLast(ci::LastArgs),
    /// Run the tests of an earlier test run's commit again
    #[command(name = "ci:rerun")]
    CiRerun(ci::run::RerunArgs),
    /// Run the tests of what is committed here
    #[command(name = "ci:run")]
    CiRun(ci::run::Args),

    /// List the slugs of an app's releases
    #[command(name = "slugs")]
    Slugs(slugs::ListArgs),
    /// Show one slug
    #[command(name = "slugs:info")]
    SlugsInfo(slugs::InfoArgs),
    /// Download a slug and unpack it
    #[command(name = "slugs:download")]
    SlugsDownload(slugs::DownloadArgs),

    /// Copy an app from Heroku, or from another Ropewalk
    #[command(name = "import")]
    Import(import::Args),

    /// Show the stacks there are and the app's own
    #[command(name = "stack", alias = "apps:stacks")]
    Stack(stack::ListArgs),
    /// Choose the stack of the next build
    #[command(name = "stack:set", alias = "apps:stacks:set")]
    StackSet(stack::SetArgs),
    /// Put an app on the newest version of its stack, without a build
    #[command(name = "rebase", alias = "stack:rebase")]
    Rebase(rebase::Args),

    /// List an app's domains
    #[command(name = "domains")]
    Domains(domains::ListArgs),
    /// Add a domain
    #[command(name = "domains:add")]
    DomainsAdd(domains::AddArgs),
    /// Remove a domain
    #[command(name = "domains:remove")]
    DomainsRemove(domains::NameArgs),
    /// Remove all domains that were added
    #[command(name = "domains:clear")]
    DomainsClear(context::AppJsonArgs),
    /// Show one domain
    #[command(name = "domains:info")]
    DomainsInfo(domains::NameArgs),
    /// Serve a domain with another certificate
    #[command(name = "domains:update")]
    DomainsUpdate(domains::UpdateArgs),
    /// Wait until domains are ready
    #[command(name = "domains:wait")]
    DomainsWait(domains::WaitArgs),

    /// List an app's certificates
    #[command(name = "certs")]
    Certs(certs::ListArgs),
    /// Add a certificate for an app's domains
    #[command(name = "certs:add")]
    CertsAdd(certs::AddArgs),
    /// Show how far the platform is with the certificates that it gets by itself
    #[command(name = "certs:auto")]
    CertsAuto(certs_auto::ShowArgs),
    /// Leave certificates to people again
    #[command(name = "certs:auto:disable")]
    CertsAutoDisable(certs_auto::DisableArgs),
    /// Let the platform get and renew the certificates of an app's domains
    #[command(name = "certs:auto:enable")]
    CertsAutoEnable(certs_auto::ShowArgs),
    /// Try anew what failed
    #[command(name = "certs:auto:refresh")]
    CertsAutoRefresh(certs_auto::RefreshArgs),
    /// Show one certificate
    #[command(name = "certs:info")]
    CertsInfo(certs::InfoArgs),
    /// Remove a certificate
    #[command(name = "certs:remove")]
    CertsRemove(certs::RemoveArgs),
    /// Replace a certificate and its key
    #[command(name = "certs:update")]
    CertsUpdate(certs::UpdateArgs),

    /// List an app's log drains
    #[command(name = "drains")]
    Drains(drains::ListArgs),
    /// Send an app's log to a URL: https://…, syslog+tls://HOST:PORT, syslog://HOST:PORT
    #[command(name = "drains:add")]
    DrainsAdd(drains::AddArgs),
    /// Remove a log drain
    #[command(name = "drains:remove")]
    DrainsRemove(drains::RemoveArgs),

    /// List an app's features
    #[command(name = "features", alias = "labs")]
    Features(context::AppJsonArgs),
    /// Show one feature
    #[command(name = "features:info", alias = "labs:info")]
    FeaturesInfo(features::NameArgs),
    /// Switch a feature on
    #[command(name = "features:enable", alias = "labs:enable")]
    FeaturesEnable(features::NameArgs),
    /// Switch a feature off
    #[command(name = "features:disable", alias = "labs:disable")]
    FeaturesDisable(features::NameArgs),

    /// Show whether maintenance mode is on
    #[command(name = "maintenance")]
    Maintenance(context::AppJsonArgs),
    /// Answer every request with the maintenance page
    #[command(name = "maintenance:on")]
    MaintenanceOn(context::AppJsonArgs),
    /// Let requests through again
    #[command(name = "maintenance:off")]
    MaintenanceOff(context::AppJsonArgs),

    /// Show what is asked of requests before they reach an app
    #[command(name = "edge")]
    Edge(context::AppJsonArgs),
    /// Ask something of requests before they reach an app
    #[command(name = "edge:set", after_help = edge::SETTINGS)]
    EdgeSet(edge::SetArgs),
    /// Ask something of requests no more
    #[command(name = "edge:unset")]
    EdgeUnset(edge::UnsetArgs),

    /// List the dyno sizes: what a dyno of each may use
    #[command(name = "sizes")]
    Sizes(context::JsonArgs),
    /// Add a dyno size (administrators)
    #[command(name = "sizes:add", after_help = sizes::SETTINGS)]
    SizesAdd(sizes::SettingsArgs),
    /// Change what dynos of a size may use; those that run are replaced one after the other (administrators)
    #[command(name = "sizes:set", after_help = sizes::SETTINGS)]
    SizesSet(sizes::SettingsArgs),
    /// Remove a dyno size that nothing has (administrators)
    #[command(name = "sizes:remove")]
    SizesRemove(sizes::RemoveArgs),

    /// List where bytes of any protocol come in for an app
    #[command(name = "tcp")]
    Tcp(context::AppJsonArgs),
    /// Lead a port of the server, or a name over TLS, to an app's dynos as it is
    #[command(name = "tcp:add", after_help = tcp::NOTES)]
    TcpAdd(tcp::AddArgs),
    /// Lead a port or name to an app no more
    #[command(name = "tcp:remove")]
    TcpRemove(tcp::RemoveArgs),

    /// Show what requests were like in the last minutes, and what dynos use
    #[command(name = "metrics")]
    Metrics(context::AppJsonArgs),
    /// Watch the requests of every app, or of one app's dynos
    #[command(name = "router:top")]
    RouterTop(top::Args),

    /// Run Heroku's own CLI against this server
    #[command(name = "heroku")]
    Heroku(heroku::Args),
    /// Become Heroku's CLI, and end with the helper
    #[command(name = "heroku:leashed", hide = true)]
    HerokuLeashed(heroku::LeashArgs),
    /// Print what to export for Heroku's own CLI to talk to this server directly (HTTPS only)
    #[command(name = "env")]
    Env(heroku::EnvArgs),

    /// Open an app in the browser
    #[command(name = "open", alias = "apps:open")]
    Open(open::Args),
    /// Show whether the server answers, and to whom
    #[command(name = "status")]
    Status(context::JsonArgs),
    /// Show the version of this program
    #[command(name = "version", alias = "version:info")]
    Version(context::JsonArgs),
    /// Print a completion script for a shell
    #[command(name = "completions", aliases = ["autocomplete", "autocomplete:script"])]
    Completions(completions::Args),
    /// Write man pages into a folder
    #[command(name = "man")]
    Man(completions::ManArgs),
}

/// Nothing to run: help, the version, or a mistake.
#[derive(Debug)]
pub(crate) enum Early {
    /// What clap has to say.
    Clap(clap::Error),
    /// A command or flag of Heroku's that we do not have.
    Absent(crate::ui::Failure),
}

impl Early {
    /// Shows it and gives the exit code: 0 for help and version, 2 for mistakes.
    pub(crate) fn show(self) -> ExitCode {
        match self {
            Self::Absent(failure) => crate::ui::failure::show(&failure.into()),
            Self::Clap(error) => {
                // A reader that has gone needs no help.
                let _ = error.print();
                if error.use_stderr() {
                    ExitCode::from(2)
                } else {
                    ExitCode::SUCCESS
                }
            }
        }
    }
}

/// What `args` (the program's name first) ask for.
///
/// # Errors
/// Everything that ends before a command runs: see [`Early`].
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Early> {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = Cli::try_parse_from(&args).map_err(|error| explain(error, &args))?;
    let Some(mode) = cli.command else {
        return Err(no_command(&args));
    };
    Ok(Invocation {
        command: match mode {
            Mode::Ops(command) => Command::Ops(command),
            Mode::Api(mut command) => {
                match command.as_mut() {
                    ApiCommand::Run(run) => run.take_late_flags(&args),
                    ApiCommand::RunDetached(run) => run.take_late_flags(&args),
                    ApiCommand::RunInside(run) => run.take_late_flags(&args),
                    _ => {}
                }
                Command::Api(command)
            }
        },
    })
}

/// Without a command: the same as for `--help`.
fn no_command(args: &[OsString]) -> Early {
    let program = args.first().cloned().unwrap_or_default();
    match Cli::try_parse_from([program, "--help".into()]) {
        Err(help) => Early::Clap(help),
        Ok(_) => Early::Absent(crate::ui::Failure::usage("No command was named.")),
    }
}

fn explain(error: clap::Error, args: &[OsString]) -> Early {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && let Some(command) = args.get(1)
        && let Some(failure) = absent::flag(&command.to_string_lossy(), flag)
    {
        return Early::Absent(failure);
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        return Early::Clap(error);
    }
    let typed = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => name.clone(),
        _ => args
            .get(1)
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    Early::Absent(absent::explain(&typed))
}

#[cfg(test)]
mod tests;
