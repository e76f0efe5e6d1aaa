//! What each command of Heroku's CLI does against a platform: one row for each, in the order they are run, and the
//! families that have no row of their own.
//!
//! A row that says `not yet` asserts how the CLI is refused. Whoever builds what is missing changes its steps and its
//! verdict, and writes docs/heroku-cli.md again with UPDATE_EXPECT=1.

use crate::by_hand;
use crate::world::World;

/// What a user may expect of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In every set-up.
    Works,
    /// Only with the helper: the CLI asks a host of Heroku's, which the helper stands in for.
    Helper,
    NotYet,
    /// Not yet, for want of something bigger than the command.
    Awaits(&'static str),
    /// With the reason.
    Never(&'static str),
}

pub(crate) struct Row {
    pub(crate) command: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) steps: Steps,
}

pub(crate) enum Steps {
    Typed(&'static [Step]),
    /// What takes more than a line: `Err` says what went wrong.
    ByHand(fn(&World) -> Result<(), String>),
}

/// One command line: `{app}` is the app's name.
pub(crate) struct Step {
    pub(crate) line: &'static str,
    pub(crate) code: i32,
    /// Texts that it prints, to either stream; blanks and line breaks count as one blank.
    pub(crate) says: &'static [&'static str],
}

const fn good(line: &'static str, says: &'static [&'static str]) -> Step {
    Step {
        line,
        code: 0,
        says,
    }
}

const fn bad(line: &'static str, code: i32, says: &'static [&'static str]) -> Step {
    Step { line, code, says }
}

const fn works(command: &'static str, steps: &'static [Step]) -> Row {
    Row {
        command,
        verdict: Verdict::Works,
        steps: Steps::Typed(steps),
    }
}

const fn helper(command: &'static str, steps: &'static [Step]) -> Row {
    Row {
        command,
        verdict: Verdict::Helper,
        steps: Steps::Typed(steps),
    }
}

const fn not_yet(command: &'static str, steps: &'static [Step]) -> Row {
    Row {
        command,
        verdict: Verdict::NotYet,
        steps: Steps::Typed(steps),
    }
}

const fn awaits(command: &'static str, what: &'static str, steps: &'static [Step]) -> Row {
    Row {
        command,
        verdict: Verdict::Awaits(what),
        steps: Steps::Typed(steps),
    }
}

const fn by_hand(command: &'static str, steps: fn(&World) -> Result<(), String>) -> Row {
    Row {
        command,
        verdict: Verdict::Works,
        steps: Steps::ByHand(steps),
    }
}

const fn never(command: &'static str, why: &'static str, steps: &'static [Step]) -> Row {
    Row {
        command,
        verdict: Verdict::Never(why),
        steps: Steps::Typed(steps),
    }
}

const HEROKUS_HOST: &str =
    "it asks a host that is written into the CLI; the helper refuses it, and no token leaves";
const TESTS: &str = "it asks a host that is written into the CLI for the repository at GitHub; `ropewalk ci:run` and \
                     `ropewalk ci:rerun` do it";
const TEAMS: &str =
    "there are no teams: an app has one owner, and collaborators who may all do the same";
const BY_TLS: &str = "it reads what tests say by TLS alone, which the helper does not speak; on a server with HTTPS it \
                      works by `ropewalk env`, and `ropewalk` has it everywhere";
const LOCAL: &str = "the CLI does not ask the server for it";

/// Run from top to bottom, on one app.
pub(crate) const ROWS: &[Row] = &[
    works("auth:whoami", &[good("auth:whoami", &["admin@localhost"])]),
    works("auth:token", &[good("auth:token", &["RWK-"])]),
    works(
        "apps:create",
        &[
            good(
                "create {app}",
                &["Creating {app}... done", "http://{app}.localhost:{port}/"],
            ),
            bad("create {app}", 2, &["Error ID: invalid_params"]),
            bad("create Not_A_Name", 2, &["Error ID: invalid_params"]),
        ],
    ),
    by_hand("git:remote", by_hand::git_remote_and_push),
    by_hand("git:clone", by_hand::git_clone),
    by_hand("apps", by_hand::many_apps),
    works(
        "apps:info",
        &[
            good(
                "apps:info -a {app}",
                &[
                    "=== {app}",
                    "Owner: admin@localhost",
                    "Stack: debian-13",
                    "Region: us",
                ],
            ),
            good("apps:info -j -a {app}", &["\"name\": \"{app}\""]),
            // Without a name: by the git remote.
            good("apps:info -s", &["web_url=http://{app}.localhost:{port}/"]),
            bad(
                "apps:info -a nobodys",
                2,
                &["Couldn't find that app.", "Error ID: not_found"],
            ),
        ],
    ),
    works(
        "apps:open",
        &[good(
            "open -a {app}",
            &["Opening http://{app}.localhost:{port}/"],
        )],
    ),
    by_hand("config:set", by_hand::config_keeps_every_byte),
    works(
        "config",
        &[good(
            "config -a {app}",
            &["=== {app} Config Vars", "PLAIN: 1"],
        )],
    ),
    works("config:get", &[good("config:get PLAIN -a {app}", &["1"])]),
    by_hand("config:edit", by_hand::config_edit),
    works(
        "config:unset",
        &[good(
            "config:unset PLAIN SPELT -a {app}",
            &["Unsetting PLAIN, SPELT and restarting {app}... done, v"],
        )],
    ),
    works(
        "ps",
        &[good(
            "ps -a {app}",
            &["=== web (Standard-1X): node server.js (1)", "web.1: "],
        )],
    ),
    works(
        "ps:scale",
        &[
            good(
                "ps:scale -a {app}",
                &["web=1:Standard-1X worker=0:Standard-1X"],
            ),
            good(
                "ps:scale web=2 -a {app}",
                &["now running web at 2:Standard-1X"],
            ),
            good(
                "ps:scale web+1 worker=1 -a {app}",
                &["web at 3:Standard-1X", "worker at 1:Standard-1X"],
            ),
            good(
                "ps:scale web-1 -a {app}",
                &["now running web at 2:Standard-1X"],
            ),
            good(
                "ps:scale web=2:standard-1x worker=0 -a {app}",
                &["web at 2:Standard-1X"],
            ),
            bad(
                "ps:scale nope=1 -a {app}",
                2,
                &[
                    "Couldn't find that process type (nope).",
                    "Error ID: not_found",
                ],
            ),
            bad(
                "ps:scale web=1:gigantic -a {app}",
                2,
                &["gigantic", "Error ID: "],
            ),
        ],
    ),
    works("ps:wait", &[good("ps:wait -a {app}", &[])]),
    works(
        "ps:restart",
        &[
            good(
                "ps:restart -d web.1 -a {app}",
                &["Restarting dyno web.1 on {app}... done"],
            ),
            good(
                "ps:restart -p web -a {app}",
                &["Restarting all web dynos on {app}... done"],
            ),
            good(
                "ps:restart -a {app}",
                &["Restarting all dynos on {app}... done"],
            ),
        ],
    ),
    works(
        "ps:stop",
        &[
            good(
                "ps:stop -d web.2 -a {app}",
                &["Stopping dyno web.2 on {app}... done"],
            ),
            bad("ps:stop -d web.9 -a {app}", 2, &["Error ID: not_found"]),
        ],
    ),
    works(
        "ps:type",
        &[
            good("ps:type -a {app}", &["web Standard-1X 2"]),
            good("ps:type web=standard-2x -a {app}", &["web Standard-2X 2"]),
            good(
                "ps:scale web=1:standard-1x -a {app}",
                &["web at 1:Standard-1X"],
            ),
        ],
    ),
    works(
        "releases",
        &[good(
            "releases -a {app}",
            &["{app} Releases - Current: v", "Initial release", "Deploy "],
        )],
    ),
    works(
        "releases:info",
        &[good(
            "releases:info v1 -a {app}",
            &["=== Release v1", "Change: Initial release"],
        )],
    ),
    works(
        "releases:output",
        &[good(
            "releases:output -a {app}",
            &["has no release output available"],
        )],
    ),
    works(
        "releases:rollback",
        &[
            good(
                "releases:rollback -a {app}",
                &["Rolling back {app} to v", "done, v"],
            ),
            good(
                "rollback v2 -a {app}",
                &["Rolling back {app} to v2... done, v"],
            ),
            bad("rollback v1000 -a {app}", 2, &["Error ID: not_found"]),
        ],
    ),
    by_hand("releases:retry", by_hand::releases_retry),
    Row {
        command: "apps:diff",
        verdict: Verdict::Awaits(
            "it compares config vars, buildpacks and stacks, but not code: a slug has no checksum before it was first \
             downloaded",
        ),
        steps: Steps::ByHand(by_hand::diff),
    },
    by_hand("logs", by_hand::logs_resume_after_the_server_was_killed),
    by_hand("run", by_hand::run),
    by_hand("run:detached", by_hand::run_detached),
    by_hand("run:inside", by_hand::run_inside),
    works(
        "domains",
        &[good(
            "domains -a {app}",
            &["{app} Heroku Domain", "{app}.localhost"],
        )],
    ),
    works(
        "domains:add",
        &[
            good(
                "domains:add www.{app}.example.com -a {app}",
                &[
                    "Adding www.{app}.example.com to {app}... done",
                    "DNS Target",
                ],
            ),
            bad(
                "domains:add www.{app}.example.com -a {app}",
                2,
                &["Error ID: "],
            ),
        ],
    ),
    works(
        "domains:info",
        &[good(
            "domains:info www.{app}.example.com -a {app}",
            &["kind: custom", "hostname: www.{app}.example.com"],
        )],
    ),
    works("domains:wait", &[good("domains:wait -a {app}", &[])]),
    works(
        "domains:remove",
        &[
            good(
                "domains:remove www.{app}.example.com -a {app}",
                &["Removing www.{app}.example.com from {app}... done"],
            ),
            bad(
                "domains:remove www.{app}.example.com -a {app}",
                2,
                &["Error ID: not_found"],
            ),
        ],
    ),
    works(
        "domains:clear",
        &[good(
            "domains:clear -a {app}",
            &["Removing all domains from {app}... done"],
        )],
    ),
    works(
        "certs",
        &[good("certs -a {app}", &["{app} has no SSL certificates."])],
    ),
    works(
        "certs:auto",
        &[good(
            "certs:auto -a {app}",
            &["Automatic Certificate Management is disabled on {app}"],
        )],
    ),
    // No authority can look at this machine. With one of its own, this command and the next do what they say.
    works(
        "certs:auto:enable",
        &[bad(
            "certs:auto:enable -a {app}",
            2,
            &["This server is for this machine alone"],
        )],
    ),
    works(
        "certs:auto:refresh",
        &[bad(
            "certs:auto:refresh -a {app}",
            2,
            &["Automatic certificates are not enabled on {app}."],
        )],
    ),
    works(
        "certs:auto:disable",
        &[good(
            "certs:auto:disable -a {app} --confirm {app}",
            &["Disabling Automatic Certificate Management... done"],
        )],
    ),
    works(
        "buildpacks",
        &[good("buildpacks -a {app}", &["{app} has no Buildpacks."])],
    ),
    works(
        "buildpacks:set",
        &[
            good(
                "buildpacks:set heroku/nodejs -a {app}",
                &["Buildpack set. Next release on {app} will use heroku/nodejs."],
            ),
            bad(
                "buildpacks:set nonsense -a {app}",
                2,
                &["\"nonsense\" is no buildpack"],
            ),
        ],
    ),
    works(
        "buildpacks:add",
        &[
            good(
                "buildpacks:add heroku/python -a {app}",
                &["1. heroku/nodejs 2. heroku/python"],
            ),
            good(
                "buildpacks:add -i 1 https://example.com/pack.tgz -a {app}",
                &["1. https://example.com/pack.tgz 2. heroku/nodejs"],
            ),
        ],
    ),
    works(
        "buildpacks:remove",
        &[good(
            "buildpacks:remove heroku/python -a {app}",
            &["Buildpack removed. Next release on {app} will use:"],
        )],
    ),
    works(
        "buildpacks:clear",
        &[good("buildpacks:clear -a {app}", &["Buildpacks cleared."])],
    ),
    never(
        "buildpacks:info",
        "there is no registry of buildpacks",
        &[bad(
            "buildpacks:info heroku/nodejs",
            2,
            &["Could not find the buildpack"],
        )],
    ),
    never(
        "buildpacks:search",
        "there is no registry of buildpacks",
        &[good("buildpacks:search node", &["No buildpacks found"])],
    ),
    never(
        "buildpacks:versions",
        "there is no registry of buildpacks",
        &[bad(
            "buildpacks:versions heroku/nodejs",
            2,
            &["Could not find"],
        )],
    ),
    works("drains", &[good("drains -a {app}", &[])]),
    works(
        "drains:add",
        &[
            good(
                "drains:add https://drain.example.com/x -a {app}",
                &["Successfully added drain https://drain.example.com/x"],
            ),
            good("drains -a {app}", &["https://drain.example.com/x (d."]),
        ],
    ),
    works(
        "drains:remove",
        &[
            good(
                "drains:remove https://drain.example.com/x -a {app}",
                &["Successfully removed drain https://drain.example.com/x"],
            ),
            bad(
                "drains:remove https://drain.example.com/x -a {app}",
                2,
                &["Error ID: not_found"],
            ),
        ],
    ),
    works(
        "features",
        &[good("features -a {app}", &["=== App Features {app}"])],
    ),
    works(
        "features:info",
        &[good(
            "features:info preboot -a {app}",
            &["=== preboot", "Enabled: true"],
        )],
    ),
    by_hand("features:enable", by_hand::session_affinity),
    works(
        "features:disable",
        &[
            good(
                "features:disable http-session-affinity -a {app}",
                &["Disabling http-session-affinity for {app}... done"],
            ),
            bad(
                "features:disable preboot -a {app}",
                2,
                &["preboot cannot be switched off"],
            ),
        ],
    ),
    works(
        "labs",
        &[good(
            "labs -a {app}",
            &[
                "=== User Features admin@localhost",
                "=== App Features {app}",
            ],
        )],
    ),
    works(
        "labs:info",
        &[
            good(
                "labs:info preboot -a {app}",
                &["=== preboot", "Enabled: true"],
            ),
            bad("labs:info telepathy -a {app}", 2, &["Error ID: not_found"]),
        ],
    ),
    works(
        "labs:enable",
        &[
            good(
                "labs:enable http-session-affinity -a {app}",
                &["Enabling http-session-affinity for {app}... done"],
            ),
            bad(
                "labs:enable telepathy -a {app}",
                2,
                &["Error ID: not_found"],
            ),
        ],
    ),
    works(
        "labs:disable",
        &[
            good(
                "labs:disable http-session-affinity -a {app}",
                &["Disabling http-session-affinity for {app}... done"],
            ),
            bad(
                "labs:disable preboot -a {app}",
                2,
                &["preboot cannot be switched off"],
            ),
        ],
    ),
    works(
        "maintenance:on",
        &[good(
            "maintenance:on -a {app}",
            &["Enabling maintenance mode for {app}... done"],
        )],
    ),
    works("maintenance", &[good("maintenance -a {app}", &["on"])]),
    works(
        "maintenance:off",
        &[
            good(
                "maintenance:off -a {app}",
                &["Disabling maintenance mode for {app}... done"],
            ),
            good("maintenance -a {app}", &["off"]),
        ],
    ),
    works(
        "apps:stacks",
        &[good(
            "stack -a {app}",
            &["=== {app} Available Stacks", "* debian-13"],
        )],
    ),
    works(
        "apps:stacks:set",
        &[
            good(
                "stack:set debian-13 -a {app}",
                &["Setting stack to debian-13... done"],
            ),
            bad("stack:set heroku-18 -a {app}", 2, &["Error ID: "]),
        ],
    ),
    works(
        "access",
        &[good("access -a {app}", &["admin@localhost owner"])],
    ),
    by_hand("access:add", by_hand::access),
    awaits(
        "access:update",
        TEAMS,
        &[bad(
            "access:update other@example.com -p deploy -a {app}",
            2,
            &["is not owned by a team"],
        )],
    ),
    by_hand("apps:leave", by_hand::leave),
    by_hand("certs:add", by_hand::certs),
    works("keys", &[good("keys", &["You have no SSH keys."])]),
    by_hand("keys:add", by_hand::keys_add),
    works(
        "keys:remove",
        &[good(
            "keys:remove dev@example.com",
            &["Removing dev@example.com SSH key... done"],
        )],
    ),
    works("keys:clear", &[good("keys:clear", &["done"])]),
    works(
        "authorizations",
        &[good(
            "authorizations",
            &["Administrator of this installation", "global"],
        )],
    ),
    by_hand("authorizations:create", by_hand::authorizations),
    works("sessions", &[good("sessions", &["No OAuth sessions."])]),
    by_hand("sessions:destroy", by_hand::sessions_destroy),
    works("regions", &[good("regions", &["us This server"])]),
    helper(
        "ps:autoscale:enable",
        &[
            bad(
                "ps:autoscale:enable --min 1 --max 2 --p95 100 -a {app}",
                1,
                &["Autoscaling is only available with Performance or Private dynos"],
            ),
            good(
                "ps:type web=performance-m -a {app}",
                &["web Performance-M 1"],
            ),
            good(
                "ps:autoscale:enable --min 1 --max 2 --p95 100 -a {app}",
                &["Enabling dyno autoscaling... done"],
            ),
        ],
    ),
    helper(
        "ps:autoscale:disable",
        &[good(
            "ps:autoscale:disable -a {app}",
            &["Disabling dyno autoscaling... done"],
        )],
    ),
    never(
        "apps:errors",
        HEROKUS_HOST,
        &[bad("apps:errors -a {app}", 2, &["was not contacted"])],
    ),
    never(
        "apps:favorites",
        HEROKUS_HOST,
        &[bad(
            "apps:favorites",
            2,
            &["particleboard.heroku.com", "was not contacted"],
        )],
    ),
    never(
        "apps:favorites:add",
        HEROKUS_HOST,
        &[bad(
            "apps:favorites:add -a {app}",
            2,
            &["was not contacted"],
        )],
    ),
    never(
        "apps:favorites:remove",
        HEROKUS_HOST,
        &[bad(
            "apps:favorites:remove -a {app}",
            2,
            &["was not contacted"],
        )],
    ),
    never(
        "notifications",
        HEROKUS_HOST,
        &[bad(
            "notifications",
            2,
            &["telex.heroku.com", "was not contacted"],
        )],
    ),
    never(
        "status",
        "it is Heroku's own state",
        &[bad("status", 1, &["Heroku platform status is unavailable"])],
    ),
    never(
        "auth:login",
        "`ropewalk login` does it; the CLI is given the token",
        &[bad(
            "auth:login",
            2,
            &["Cannot log in with HEROKU_API_KEY set"],
        )],
    ),
    works(
        "auth:2fa",
        &[good(
            "auth:2fa",
            &["Two-factor authentication is not enabled"],
        )],
    ),
    never(
        "auth:2fa:disable",
        "the CLI has it no more; `ropewalk auth:2fa:disable` does it",
        &[bad(
            "auth:2fa:disable",
            2,
            &["this command has been removed"],
        )],
    ),
    works("addons", &[good("addons -a {app}", &["No add-ons"])]),
    not_yet(
        "addons:create",
        &[bad(
            "addons:create heroku-postgresql:mini -a {app}",
            2,
            &["Add-ons are not available here."],
        )],
    ),
    not_yet(
        "pg:info",
        &[good(
            "pg:info -a {app}",
            &["has no heroku-postgresql databases"],
        )],
    ),
    not_yet("redis:info", &[good("redis:info -a {app}", &[])]),
    works("pipelines", &[good("pipelines", &["=== My Pipelines"])]),
    works(
        "pipelines:create",
        &[good(
            "pipelines:create x-{app} -a {app} -s staging",
            &[
                "Creating x-{app} pipeline... done",
                "Adding {app} to x-{app} pipeline as staging... done",
            ],
        )],
    ),
    works(
        "pipelines:info",
        &[good(
            "pipelines:info x-{app}",
            &["=== x-{app}", "{app} staging"],
        )],
    ),
    works(
        "pipelines:rename",
        &[good(
            "pipelines:rename x-{app} y-{app}",
            &["Renaming x-{app} pipeline to y-{app}... done"],
        )],
    ),
    works(
        "pipelines:promote",
        &[
            good("apps:create {app}-2 --no-remote", &[]),
            good(
                "pipelines:add y-{app} -a {app}-2 -s production",
                &["Adding {app}-2 to y-{app} pipeline as production... done"],
            ),
            good(
                "pipelines:promote -a {app}",
                &["Promotion successful", "{app}-2: succeeded"],
            ),
            good("apps:destroy -a {app}-2 -c {app}-2", &[]),
        ],
    ),
    works(
        "pipelines:update",
        &[good(
            "pipelines:update -a {app} -s production",
            &["Changing {app} to production... done"],
        )],
    ),
    works("ci", &[good("ci -p y-{app}", &["y-{app} pipeline"])]),
    works(
        "ci:config:set",
        &[good(
            "ci:config:set -a {app} PROBE=1",
            &["Setting PROBE... done", "PROBE: 1"],
        )],
    ),
    works(
        "ci:config",
        &[good(
            "ci:config -a {app}",
            &["y-{app} test config vars", "PROBE: 1"],
        )],
    ),
    works(
        "ci:config:get",
        &[good("ci:config:get -a {app} PROBE", &["1"])],
    ),
    works(
        "ci:config:unset",
        &[good(
            "ci:config:unset -a {app} PROBE",
            &["Unsetting PROBE... done"],
        )],
    ),
    awaits(
        "ci:last",
        BY_TLS,
        &[good("ci:last -a {app}", &["No Heroku CI runs found"])],
    ),
    awaits(
        "ci:info",
        BY_TLS,
        &[bad(
            "ci:info 1 -a {app}",
            2,
            &["Couldn't find that test run."],
        )],
    ),
    works(
        "pipelines:remove",
        &[good(
            "pipelines:remove -a {app}",
            &["Removing {app}... done"],
        )],
    ),
    works(
        "pipelines:destroy",
        &[good(
            "pipelines:destroy y-{app}",
            &["Destroying y-{app} pipeline... done"],
        )],
    ),
    works("teams", &[good("teams", &["Team"])]),
    not_yet(
        "spaces",
        &[bad("spaces", 2, &["You do not have access to any spaces."])],
    ),
    helper(
        "webhooks",
        &[good("webhooks -a {app}", &["{app} has no webhooks"])],
    ),
    not_yet(
        "webhooks:add",
        &[bad(
            "webhooks:add -i api:release -l notify -u https://example.com -a {app}",
            2,
            &["Webhooks are not available here."],
        )],
    ),
    works(
        "telemetry",
        &[good(
            "telemetry -a {app}",
            &["There are no telemetry drains in {app}"],
        )],
    ),
    not_yet("clients", &[bad("clients", 2, &["Error ID: not_found"])]),
    not_yet(
        "ps:exec",
        &[bad(
            "ps:exec -a {app}",
            2,
            &["Couldn't find that app feature."],
        )],
    ),
    not_yet(
        "apps:transfer",
        &[bad(
            "apps:transfer other@example.com -a {app}",
            2,
            &["Error ID: not_found"],
        )],
    ),
    awaits(
        "apps:lock",
        TEAMS,
        &[bad(
            "apps:lock -a {app}",
            2,
            &["Teams are not available here."],
        )],
    ),
    awaits(
        "apps:unlock",
        TEAMS,
        &[bad(
            "apps:unlock -a {app}",
            2,
            &["Teams are not available here."],
        )],
    ),
    awaits(
        "apps:join",
        TEAMS,
        &[bad(
            "apps:join -a {app}",
            2,
            &["Teams are not available here."],
        )],
    ),
    not_yet(
        "usage:addons",
        &[bad("usage:addons -a {app}", 2, &["Error ID: not_found"])],
    ),
    by_hand("apps:rename", by_hand::rename),
    by_hand("apps:destroy", by_hand::destroy),
];

/// What the newest version is tried with, when it is not the pinned one: names of rows.
pub(crate) const SMOKE: &[&str] = &[
    "auth:whoami",
    "apps:create",
    "git:remote",
    "apps:info",
    "config:set",
    "ps:scale",
    "releases",
    "logs",
    "buildpacks:set",
    "apps:favorites",
    "ps:autoscale:enable",
    "apps:destroy",
];

/// Commands without a row: the longest beginning that fits decides.
pub(crate) const FAMILIES: &[(&str, Verdict)] = &[
    ("access:remove", Verdict::Works),
    (
        "accounts",
        Verdict::Never("the CLI keeps Heroku's accounts in them"),
    ),
    ("addons:", Verdict::NotYet),
    ("auth:logout", Verdict::Never("`ropewalk logout` does it")),
    // Tested together with their creation.
    ("authorizations:info", Verdict::Works),
    ("authorizations:revoke", Verdict::Works),
    ("authorizations:rotate", Verdict::Works),
    ("authorizations:update", Verdict::Works),
    ("autocomplete", Verdict::Never(LOCAL)),
    ("certs:info", Verdict::Works),
    ("certs:remove", Verdict::Works),
    ("certs:update", Verdict::Works),
    ("certs:generate", Verdict::Never(LOCAL)),
    ("ci:debug", Verdict::NotYet),
    ("ci:migrate-manifest", Verdict::Never(LOCAL)),
    ("ci:open", Verdict::Never("it opens Heroku's own pages")),
    ("ci:rerun", Verdict::Never(TESTS)),
    ("ci:run", Verdict::Never(TESTS)),
    ("clients:", Verdict::NotYet),
    ("container:", Verdict::NotYet),
    ("data:", Verdict::NotYet),
    ("domains:update", Verdict::Works),
    ("local", Verdict::Never(LOCAL)),
    ("mcp:start", Verdict::Never(LOCAL)),
    ("members", Verdict::NotYet),
    ("orgs", Verdict::NotYet),
    ("pg:", Verdict::NotYet),
    // Tested together with pipelines:promote.
    ("pipelines:add", Verdict::Works),
    ("pipelines:", Verdict::NotYet),
    ("pipelines:connect", Verdict::Never(HEROKUS_HOST)),
    ("pipelines:setup", Verdict::Never(HEROKUS_HOST)),
    ("pipelines:diff", Verdict::Never(HEROKUS_HOST)),
    ("ps:copy", Verdict::NotYet),
    ("ps:forward", Verdict::NotYet),
    ("ps:socks", Verdict::NotYet),
    ("redis:", Verdict::NotYet),
    ("repl", Verdict::Never(LOCAL)),
    ("reviewapps:", Verdict::NotYet),
    ("spaces:", Verdict::NotYet),
    ("telemetry:", Verdict::NotYet),
    ("version:info", Verdict::Never(LOCAL)),
    ("webhooks:", Verdict::NotYet),
];

/// What is said of a command of the CLI, if anything is.
pub(crate) fn verdict(command: &str) -> Option<Verdict> {
    let row = ROWS.iter().find(|row| row.command == command);
    row.map(|row| row.verdict).or_else(|| {
        FAMILIES
            .iter()
            .filter(|(family, _)| command.starts_with(family))
            .max_by_key(|(family, _)| family.len())
            .map(|(_, verdict)| *verdict)
    })
}
