//! What clients know and this installation does not have: add-ons, teams, review apps and the like.
//!
//! Answers are truthful: lists are empty, single things are not found, and whoever wants to make one is told that it
//! is not there and what to do instead. Nothing is ever made up. A capability that comes leaves this table.

use std::collections::HashMap;

use axum::Router;
use axum::extract::State as Shared;
use axum::routing::{any, get, post};
use http::Method;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

/// One kind of thing that is not there.
#[derive(Debug, Clone, Copy)]
struct Absent {
    /// As clients read it in `resource`.
    resource: &'static str,
    /// That it is not there, and what to do instead.
    instead: &'static str,
    /// `GET`: an empty list.
    lists: &'static [&'static str],
    /// `POST` and `PUT`: refused.
    makers: &'static [&'static str],
    /// Any method: not found.
    things: &'static [&'static str],
}

const ADD_ONS: &str = "Add-ons are not available here. Run the service where the app can reach it, and give the app \
    its address as a config var: `ropewalk config:set DATABASE_URL=...`.";
const PIPELINE_PARTS: &str = "Pipelines are not linked to a git host here, and make no review apps. `ropewalk \
    pipelines:info` shows their apps, `ropewalk releases` tells which commit an app runs.";
const TEAMS: &str = "Teams are not available here. Apps belong to single accounts.";
const SPACES: &str = "Spaces are not available here. Each app has a network of its own already.";
const WEBHOOKS: &str = "Webhooks are not available here. `ropewalk logs --tail` tells of releases and of dynos that \
    start, stop and crash.";
const TELEMETRY: &str = "Telemetry drains are not available here. Let the app send its telemetry itself, to an \
    address in a config var.";
const REVIEW_APPS: &str = "Review apps are not available here. Create an app for the branch and push to it: `git push <remote> <branch>:main`.";
const SETUPS: &str =
    "Apps are not set up from an app.json here. Create the app, set its config vars and push.";

const ABSENT: &[Absent] = &[
    Absent {
        resource: "add_on",
        instead: ADD_ONS,
        lists: &[
            "/addons",
            "/users/{user}/addons",
            "/apps/{app}/addons",
            "/addons/{addon}/addon-attachments",
        ],
        makers: &["/apps/{app}/addons"],
        things: &[
            "/actions/addons/resolve",
            "/addons/{addon}",
            "/addons/{addon}/actions/{*rest}",
            "/addons/{addon}/config",
            "/addons/{addon}/config/{*rest}",
            "/addons/{addon}/webhooks",
            "/addons/{addon}/webhooks/{*rest}",
            "/apps/{app}/addons/{addon}",
            "/apps/{app}/addons/{addon}/{*rest}",
            // What clients ask of databases, on a host of their own or on this one.
            "/client/v11/{*rest}",
            "/postgres/v0/{*rest}",
            "/redis/v0/{*rest}",
            "/data/{*rest}",
        ],
    },
    Absent {
        resource: "add_on attachment",
        instead: ADD_ONS,
        lists: &["/addon-attachments", "/apps/{app}/addon-attachments"],
        makers: &["/addon-attachments"],
        things: &[
            "/actions/addon-attachments/resolve",
            "/addon-attachments/{attachment}",
            "/apps/{app}/addon-attachments/{attachment}",
        ],
    },
    Absent {
        resource: "addon_service",
        instead: ADD_ONS,
        lists: &["/addon-services"],
        makers: &[],
        things: &[
            "/addon-services/{service}",
            "/addon-services/{service}/{*rest}",
        ],
    },
    Absent {
        resource: "pipeline",
        instead: PIPELINE_PARTS,
        lists: &[],
        makers: &[],
        things: &["/pipelines/{pipeline}/{*rest}"],
    },
    Absent {
        resource: "team",
        instead: TEAMS,
        lists: &["/teams", "/enterprise-accounts"],
        makers: &["/teams", "/teams/apps"],
        things: &[
            "/teams/{team}",
            "/teams/{team}/{*rest}",
            "/enterprise-accounts/{*rest}",
        ],
    },
    Absent {
        resource: "invitation",
        instead: TEAMS,
        lists: &["/invitations"],
        makers: &[],
        things: &[
            "/invitations/{invitation}",
            "/invitations/{invitation}/{*rest}",
        ],
    },
    Absent {
        resource: "space",
        instead: SPACES,
        lists: &["/spaces"],
        makers: &["/spaces"],
        things: &["/spaces/{space}", "/spaces/{space}/{*rest}"],
    },
    Absent {
        resource: "webhook",
        instead: WEBHOOKS,
        lists: &[
            "/apps/{app}/webhooks",
            "/apps/{app}/webhook-deliveries",
            "/apps/{app}/webhook-events",
        ],
        makers: &["/apps/{app}/webhooks"],
        things: &[
            "/apps/{app}/webhooks/{webhook}",
            "/apps/{app}/webhook-deliveries/{delivery}",
            "/apps/{app}/webhook-events/{event}",
        ],
    },
    Absent {
        resource: "telemetry_drain",
        instead: TELEMETRY,
        lists: &["/telemetry-drains", "/apps/{app}/telemetry-drains"],
        makers: &["/telemetry-drains"],
        things: &["/telemetry-drains/{drain}"],
    },
    Absent {
        resource: "review_app",
        instead: REVIEW_APPS,
        lists: &[],
        makers: &["/review-apps"],
        things: &["/review-apps/{review_app}", "/apps/{app}/review-app"],
    },
    Absent {
        resource: "app_setup",
        instead: SETUPS,
        lists: &[],
        makers: &["/app-setups"],
        things: &["/app-setups/{setup}"],
    },
    Absent {
        resource: "account_feature",
        instead: "Accounts have no features to switch here.",
        lists: &["/account/features"],
        makers: &[],
        things: &["/account/features/{feature}"],
    },
];

/// The routes of everything that is not there.
pub(crate) fn routes() -> Router<State> {
    let mut router = Router::new();
    for absent in ABSENT {
        for path in absent.lists {
            router = router.route(path, get(empty));
        }
        for path in absent.makers {
            let refuse = async |state, actor: Actor, method: Method, names: Names| {
                check(state, actor, method, names).await?;
                Err::<(), _>(ApiError::invalid(absent.instead))
            };
            router = router.route(path, post(refuse).put(refuse));
        }
        for path in absent.things {
            let miss = async |state, actor: Actor, method: Method, names: Names| {
                check(state, actor, method, names).await?;
                Err::<(), _>(ApiError::absent(absent.resource, absent.instead))
            };
            router = router.route(path, any(miss));
        }
    }
    router
}

type Names = Path<HashMap<String, String>>;

async fn empty(
    state: Shared<State>,
    actor: Actor,
    method: Method,
    names: Names,
    wanted: Wanted,
) -> ApiResult {
    const ATTRIBUTES: [Attribute<()>; 1] = [("id", |()| Key::Number(0))];
    check(state, actor, method, names).await?;
    wanted.page(Vec::new(), &ATTRIBUTES)
}

/// Who asks below an app must be let to that app, as for what is there.
async fn check(
    Shared(state): Shared<State>,
    actor: Actor,
    method: Method,
    Path(names): Names,
) -> ApiResult<()> {
    let verb = match method.is_safe() {
        true => Verb::Read,
        false => Verb::Write,
    };
    match names.get("app") {
        Some(name) => app::find(&state, &actor, name, verb).await.map(drop),
        None => Ok(authorise(&actor, Verb::Read, Resource::Account)?),
    }
}
