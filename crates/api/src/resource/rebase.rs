//! `/ropewalk/apps/:app/rebase`: the same code and config vars on the newest version of their stack, without a build.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::rebase::Rebase;
use ropewalk_api_types::reference::ReleaseRef;
use ropewalk_model::{ReleaseId, UserId};
use ropewalk_store as store;
use ropewalk_store::{NewRelease, StoreError, View};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{app, release, stack};
use crate::state::State;
use crate::transport::body::{created, ok};
use crate::transport::error::ApiResult;

/// Digits of a version that a release's description shows: as many as tell images apart elsewhere.
const DIGITS: usize = 12;

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let look = move |view: &View<'_>| {
        let head = view.head_release(&app)?;
        let newest = view.newest_stack(&head.stack)?;
        Ok(wire(
            &app,
            &head,
            newest.map(|newest| newest.version),
            &head,
        ))
    };
    Ok(ok(&state.ctx.store.read(look).await?))
}

/// Makes a release like the newest one on the newest version of its stack: 201. An app that is on that already is left
/// as it is and answered 200, so that it can be asked for again and again.
///
/// From there it is a release like any other, and its release command runs too. Heroku runs none for a patch of a
/// stack, which is no release there; here it is one that can fail, and a command that cannot run on the new version
/// is better found before the dynos than after. It runs for each change of a config var anyway, so it must bear to.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let user = actor.user.id;
    let (made, answer) = state
        .ctx
        .store
        .write(move |tx| {
            // As it is now, not as it was when it was looked for.
            let app = tx.app(app.id)?;
            let head = tx.head_release(&app)?;
            let newest = newest(tx, &head)?;
            if head.stack_version.as_deref() == Some(newest.version.as_str()) {
                return Ok((None, wire(&app, &head, Some(newest.version), &head)));
            }
            let made = tx.create_release(rebased(&head, &newest, user), Timestamp::now())?;
            let answer = wire(&app, &head, Some(newest.version), &made);
            Ok((Some(made), answer))
        })
        .await?;
    Ok(match made {
        Some(made) => {
            release::announce(&state, &actor, &made, &made.description);
            created(&answer)
        }
        None => ok(&answer),
    })
}

/// The version to go to from `head`.
fn newest(view: &View<'_>, head: &store::Release) -> store::Result<store::Stack> {
    if head.slug.is_none() {
        return Err(StoreError::Refused(
            "Nothing was deployed yet. The first deploy takes the newest version of the stack."
                .to_owned(),
        ));
    }
    view.newest_stack(&head.stack)?.ok_or_else(|| {
        StoreError::Refused(format!(
            "This host has no version of the stack {} any more.",
            head.stack
        ))
    })
}

fn rebased(head: &store::Release, newest: &store::Stack, user: UserId) -> NewRelease {
    let digits = newest.version.trim_start_matches("sha256:");
    let digits: String = digits.chars().take(DIGITS).collect();
    NewRelease {
        id: ReleaseId(Uuid::new_v4()),
        app: head.app,
        user,
        description: format!("Rebase to {} {digits}", newest.name),
        slug: None,
        config: None,
        stack: Some((newest.name.clone(), newest.version.clone())),
    }
}

/// `head` is the release that is, or was, the newest; `last` is the newest now.
fn wire(
    app: &store::App,
    head: &store::Release,
    newest: Option<String>,
    last: &store::Release,
) -> Rebase {
    Rebase {
        app: app::named(app),
        stack: stack::named(&head.stack),
        from: head.stack_version.clone().filter(|_| head.slug.is_some()),
        to: newest,
        rebased: last.id != head.id,
        release: ReleaseRef {
            id: last.id.0,
            version: last.version.into(),
        },
    }
}
