//! A git that takes a push or serves a fetch, started with every limit there is, whatever way the client came by.

use std::sync::Arc;

use ropewalk_store::{App, User};
use tokio::process::ChildStdin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::process::{Running, Serving};
use crate::Result;
use crate::context::Context;

/// Largest request of a fetch, in bytes: what it wants and has, as object ids.
const MAX_FETCH_REQUEST: u64 = 64 << 20;
/// What a push may send besides its pack, in bytes: the refs.
const PUSH_SLACK: u64 = 16 << 20;

/// Said to whoever finds no place among the processes of git.
pub(crate) const BUSY: &str =
    "Too many pushes or fetches are under way on this host. Try again in a minute.";

/// The two ways of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Pushes.
    Receive,
    /// Fetches and clones.
    Upload,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive-pack",
            Self::Upload => "upload-pack",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "git-receive-pack" => Some(Self::Receive),
            "git-upload-pack" => Some(Self::Upload),
            _ => None,
        }
    }
}

/// How much of the protocol one git speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// One request and its answer, as over HTTP.
    Stateless,
    /// From the refs to the end.
    Whole,
}

/// A git under way.
pub(crate) struct Exchange {
    pub(crate) running: Running,
    pub(crate) input: Option<ChildStdin>,
    /// Most bytes that the client may send.
    pub(crate) most: u64,
}

/// A place among the processes of git; `None` when all are taken.
pub(crate) fn place(context: &Context, service: Service) -> Option<OwnedSemaphorePermit> {
    let slots = match service {
        Service::Receive => &context.push_slots,
        Service::Upload => &context.fetch_slots,
    };
    Semaphore::try_acquire_owned(Arc::clone(slots)).ok()
}

/// Starts it. `version` is what the client asks for, checked already.
pub(crate) async fn start(
    context: &Arc<Context>,
    app: App,
    user: User,
    service: Service,
    course: Course,
    version: Option<&str>,
    place: OwnedSemaphorePermit,
) -> Result<Exchange> {
    let repo = context.repos.ensure(&context.git, app.id).await?;
    let mut command = context.git.command(&repo);
    command.arg(service.name());
    if course == Course::Stateless {
        command.arg("--stateless-rpc");
    }
    command.arg(&repo);
    if let Some(version) = version {
        command.env("GIT_PROTOCOL", version);
    }
    let limits = &context.options.limits;
    let (limit, most, serving) = match service {
        Service::Receive => {
            let in_use = context.repos.enter(app.id);
            let entered = context.pushes.enter(app, user);
            command.env("ROPEWALK_PUSH", &entered.secret);
            let serving = Serving { entered, in_use };
            (
                limits.receive,
                limits.push_bytes + PUSH_SLACK,
                Some(serving),
            )
        }
        Service::Upload => (limits.fetch, MAX_FETCH_REQUEST, None),
    };
    let (running, input) =
        Running::start(context, service.name(), &mut command, limit, serving, place)?;
    Ok(Exchange {
        running,
        input,
        most,
    })
}
