//! `/ropewalk/ssh`: where git speaks SSH, and the key it must show there.

use axum::extract::State as Shared;
use ropewalk_api_types::SshGit;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn info(Shared(state): Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let Some(ssh) = &state.ctx.ssh else {
        return Err(ApiError::not_found("ssh"));
    };
    let domain = &state.ctx.urls.domain;
    // SSH asks the system's resolver, and few of them know names below localhost.
    let local = domain == "localhost" || domain.ends_with(".localhost");
    Ok(ok(&SshGit {
        host: match local {
            true => "localhost".to_owned(),
            false => format!("git.{domain}"),
        },
        port: ssh.port,
        host_key: ssh.host_key.clone(),
    }))
}
