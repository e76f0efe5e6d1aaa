//! Questions to the server of this host, by its socket and the administrator's token: no name, port or login is needed.

use std::time::Duration;

use ropewalk_api_types::task::Task;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::data::Data;
use super::server::LOCAL_NAME;

/// For the server's answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why there is no answer.
pub(crate) enum Asked {
    NoServer,
    Failed(String),
}

/// What the server says of a stack.
#[derive(Debug, Deserialize)]
pub(crate) struct StackStatus {
    pub(crate) name: String,
    /// The newest.
    pub(crate) version: String,
    pub(crate) apps: u32,
    pub(crate) apps_behind: u32,
}

/// What it does all the time.
pub(crate) async fn tasks(data: &Data) -> Result<Vec<Task>, Asked> {
    ask(data, "tasks").await
}

/// The stacks that it can build and run apps on.
pub(crate) async fn stacks(data: &Data) -> Result<Vec<StackStatus>, Asked> {
    #[derive(Deserialize)]
    struct Status {
        stacks: Vec<StackStatus>,
    }
    Ok(ask::<Status>(data, "status").await?.stacks)
}

async fn ask<T: DeserializeOwned>(data: &Data, what: &str) -> Result<T, Asked> {
    let socket = data.socket("platform.sock");
    if tokio::net::UnixStream::connect(&socket).await.is_err() {
        return Err(Asked::NoServer);
    }
    let failed = |error: &dyn std::fmt::Display| Asked::Failed(error.to_string());
    let token = std::fs::read_to_string(data.path("admin-token"))
        .map_err(|error| Asked::Failed(format!("the administrator's token: {error}")))?;
    let client = reqwest::Client::builder()
        .unix_socket(socket)
        .timeout(ANSWER)
        .build()
        .map_err(|error| failed(&error))?;
    let asked = client
        .get(format!("http://{LOCAL_NAME}/ropewalk/{what}"))
        .header("Accept", "application/vnd.heroku+json; version=3")
        .bearer_auth(token.trim())
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| failed(&error))?;
    asked.json().await.map_err(|error| failed(&error))
}
