//! Whose key it is, and what its owner may do. Looked up anew for each command: a key that was removed meanwhile, or
//! an app that is no longer shared, opens nothing.

use ropewalk_model::rights::Actor;
use ropewalk_model::{AppName, Scopes};
use ropewalk_store::{App, StoreError, User};

use super::exec::Asked;
use crate::context::Context;
use crate::error::chain;
use crate::git::auth::may;

const UNKNOWN: &str = "Couldn't find that app.";
const LEDGER: &str = "Ropewalk cannot read its ledger right now. Try again.";

/// The owner of a key by its fingerprint, `SHA256:…`. `Err` is for the client.
pub(super) async fn owner(
    context: &Context,
    fingerprint: &str,
) -> Result<Option<User>, &'static str> {
    let fingerprint = fingerprint.to_owned();
    let found = context
        .store
        .read(move |view| view.ssh_key_owner(&fingerprint))
        .await;
    found.map_err(|error| unreadable(&error))
}

/// The app and the user, or what the client is told.
pub(super) async fn authorize(
    context: &Context,
    fingerprint: &str,
    asked: &Asked,
) -> Result<(App, User), &'static str> {
    let Some(user) = owner(context, fingerprint).await? else {
        return Err("This key was removed from its account.");
    };
    let name = asked.repo.strip_suffix(".git").map(AppName::parse);
    let Some(Ok(name)) = name else {
        return Err(UNKNOWN);
    };
    let id = user.id;
    let found = context
        .store
        .read(move |view| match view.find_app(name.as_str()) {
            Ok(app) => Ok(Some((view.relation(id, &app)?, app))),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        })
        .await;
    let Some((relation, app)) = found.map_err(|error| unreadable(&error))? else {
        return Err(UNKNOWN);
    };
    // A key is the account itself: it has no narrower scope.
    let actor = Actor {
        user: user.id,
        admin: user.admin,
        scopes: Scopes::parse("global"),
    };
    match may(&actor, relation, asked.service) {
        Ok(()) => Ok((app, user)),
        Err(_) => Err(UNKNOWN),
    }
}

fn unreadable(error: &StoreError) -> &'static str {
    tracing::error!(error = chain(error), "Could not look up an SSH key.");
    LEDGER
}
