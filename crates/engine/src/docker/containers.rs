//! The life of one container: made, started, watched, spoken to, stopped, removed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    ResizeContainerTTYOptionsBuilder, StartContainerOptions, StatsOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::failure::Call;
use super::frames::Form;
use super::{DockerEngine, spec, stream, terminate, view};
use crate::container::{
    Attached, Container, ContainerId, ContainerSpec, Exit, Stats, Status, Stopped,
};
use crate::{EngineError, Result};

/// Containers asked about at a time when listing.
const INSPECTIONS: usize = 8;

/// For one container to be told of within a list, in seconds: one that is stuck must not hold up the others for long.
const LISTED_WITHIN: u64 = 3;

/// How long a killed process may take to be gone, in seconds: a host that writes much is slow here.
const KILLED_WITHIN: u64 = 30;

/// Keys that would detach a terminal: bytes that no UTF-8 text holds, for the engine's own choice (^P ^Q) holds back
/// every ^P that a user types.
const DETACH_KEYS: &str = "%FF,%FE,%FF,%FE";

pub(super) const POLL: Duration = Duration::from_millis(50);

impl DockerEngine {
    pub(super) async fn create_container(&self, spec: &ContainerSpec) -> Result<ContainerId> {
        let call = Call::new("create", "container", &spec.name, 30);
        let host = self.host().await?;
        let options = CreateContainerOptionsBuilder::default()
            .name(&spec.name)
            .build();
        let body = spec::request(spec, &self.scope.instance, host);
        let created = call
            .answer(self.client()?.create_container(Some(options), body))
            .await
            .map_err(|error| match error {
                // What is missing is what the container is made from.
                EngineError::NotFound { .. } => EngineError::NotFound {
                    kind: "image",
                    name: spec.image.clone(),
                },
                error => error,
            })?;
        for warning in &created.warnings {
            tracing::debug!(container = spec.name, warning, "Docker Engine warned.");
        }
        Ok(ContainerId(created.id))
    }

    pub(super) async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let call = Call::new("start", "container", &id.0, 60);
        call.checked()?;
        let request = self
            .client()?
            .start_container(&id.0, None::<StartContainerOptions>);
        call.within(async {
            match request.await {
                // The container is there, its network is not.
                Err(Error::DockerResponseServerError {
                    status_code: 404,
                    message,
                }) if !message.contains("No such container") => Err(call.refused(message)),
                // It runs already.
                Err(Error::DockerResponseServerError {
                    status_code: 304, ..
                }) => Ok(()),
                result => result.map_err(|error| call.failed(error)),
            }
        })
        .await
    }

    pub(super) async fn rename_container(&self, id: &ContainerId, name: &str) -> Result<()> {
        let call = Call::new("rename", "container", &id.0, 10);
        call.checked()?;
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        call.within(async {
            match self.client()?.rename_container(&id.0, options).await {
                Err(Error::DockerResponseServerError {
                    status_code: 409, ..
                }) => Err(EngineError::Conflict {
                    name: name.to_owned(),
                }),
                result => result.map_err(|error| call.failed(error)),
            }
        })
        .await
    }

    /// Sends a signal; `false` when there was no process to get it.
    pub(super) async fn deliver(&self, id: &ContainerId, signal: &str) -> Result<bool> {
        let call = Call::new("signal", "container", &id.0, 10);
        call.checked()?;
        let options = KillContainerOptionsBuilder::default()
            .signal(signal)
            .build();
        let request = self.client()?.kill_container(&id.0, Some(options));
        call.within(async {
            match request.await {
                Ok(()) => Ok(true),
                Err(Error::DockerResponseServerError {
                    status_code: 409, ..
                }) => Ok(false),
                Err(error) => Err(call.failed(error)),
            }
        })
        .await
    }

    /// SIGTERM to every process; `false` when there is none. The engine's own goes to the first, which hands it to its
    /// child's group and to nobody else.
    async fn terminate(&self, id: &ContainerId) -> Result<bool> {
        if let Some(pid) = self
            .inspect_container(id)
            .await?
            .and_then(|found| found.pid)
        {
            let container = id.clone();
            let told =
                tokio::task::spawn_blocking(move || terminate::others(&container, pid)).await;
            if let Ok(Err(error)) = told {
                tracing::info!(container = %id, %error, "Not all processes of a container could be told to end.");
            }
        }
        self.deliver(id, "TERM").await
    }

    /// Not the engine's own "stop": that one does not tell which of its two signals ended the process.
    pub(super) async fn stop_container(
        &self,
        id: &ContainerId,
        grace: Duration,
    ) -> Result<Stopped> {
        let mut killed = false;
        if self.terminate(id).await? {
            match tokio::time::timeout(grace, self.ended(id)).await {
                Ok(ended) => {
                    ended?;
                }
                Err(_) => {
                    killed = self.deliver(id, "KILL").await?;
                    Call::new("kill", "container", &id.0, KILLED_WITHIN)
                        .within(self.ended(id))
                        .await?;
                }
            }
        }
        let container = self.inspect_container(id).await?;
        let container = container.ok_or_else(|| no_container(id))?;
        match (container.exit, container.status) {
            (Some(exit), _) => Ok(Stopped { killed, exit }),
            // One that was never started has nothing to tell of its end.
            (None, Status::Created) => Ok(Stopped {
                killed,
                exit: Exit {
                    code: 0,
                    out_of_memory: false,
                },
            }),
            (None, _) => Err(Call::new("stop", "container", &id.0, 0).refused("it has not ended")),
        }
    }

    pub(super) async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let call = Call::new("remove", "container", &id.0, 60);
        call.checked()?;
        let docker = self.client()?;
        call.within(async {
            loop {
                let options = RemoveContainerOptionsBuilder::default()
                    .force(true)
                    .v(true)
                    .build();
                match docker.remove_container(&id.0, Some(options)).await {
                    Ok(())
                    | Err(Error::DockerResponseServerError {
                        status_code: 404, ..
                    }) => return Ok(()),
                    // Somebody else is at it: it is gone when the engine knows it no longer.
                    Err(Error::DockerResponseServerError {
                        status_code: 409,
                        message,
                    }) if message.contains("already in progress") => {
                        tokio::time::sleep(POLL).await;
                    }
                    Err(error) => return Err(call.failed(error)),
                }
            }
        })
        .await
    }

    pub(super) async fn list_containers(&self) -> Result<Vec<Container>> {
        let call = Call::new("list", "containers", "", 30);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", vec![self.label_filter()])]))
            .build();
        let docker = self.client()?;
        call.within(async {
            let summaries = docker
                .list_containers(Some(options))
                .await
                .map_err(|error| call.failed(error))?;
            // Pids, times and ends stand in the full answers only.
            let listed: Vec<_> = summaries.into_iter().filter_map(view::listed).collect();
            futures_util::stream::iter(listed)
                .map(|container| self.look_at(container))
                .buffered(INSPECTIONS)
                .try_filter_map(async |container| Ok(container))
                .try_collect()
                .await
        })
        .await
    }

    /// A listed container in full, or as it was listed when the engine cannot tell; `None` when it is gone.
    async fn look_at(&self, listed: Container) -> Result<Option<Container>> {
        match self.inspect_within(&listed.id, LISTED_WITHIN).await {
            Err(error @ (EngineError::Timeout { .. } | EngineError::Refused { .. })) => {
                tracing::debug!(container = %listed.id, %error, "A container could not be looked at.");
                Ok(Some(listed))
            }
            other => other,
        }
    }

    pub(super) async fn inspect_container(&self, id: &ContainerId) -> Result<Option<Container>> {
        self.inspect_within(id, 10).await
    }

    async fn inspect_within(&self, id: &ContainerId, seconds: u64) -> Result<Option<Container>> {
        let call = Call::new("inspect", "container", &id.0, seconds);
        call.checked()?;
        let request = self
            .client()?
            .inspect_container(&id.0, None::<InspectContainerOptions>);
        match call.answer(request).await {
            Ok(answer) => Ok(view::container(answer)),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn wait_container(&self, id: &ContainerId) -> Result<Exit> {
        let call = Call::new("wait for", "container", &id.0, 10);
        let before = self.inspect_container(id).await?;
        let before = before.ok_or_else(|| no_container(id))?;
        if let Some(exit) = before.exit {
            return Ok(exit);
        }
        if before.status == Status::Created {
            return Err(call.refused("it has not been started"));
        }
        let code = self.ended(id).await?;
        let out_of_memory = match self.inspect_container(id).await? {
            Some(Container {
                exit: Some(exit), ..
            }) => exit.out_of_memory,
            // Removed in the meantime.
            _ => false,
        };
        Ok(Exit {
            code,
            out_of_memory,
        })
    }

    /// Returns the exit code once no process runs.
    pub(super) async fn ended(&self, id: &ContainerId) -> Result<i64> {
        let call = Call::new("wait for", "container", &id.0, 10);
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let mut answers = std::pin::pin!(self.client()?.wait_container(&id.0, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(call.failed(error)),
            None => Err(EngineError::Unreachable(
                "the connection ended while waiting".to_owned(),
            )),
        }
    }

    pub(super) async fn attach_container(&self, id: &ContainerId, tty: bool) -> Result<Attached> {
        let call = Call::new("attach to", "container", &id.0, 10);
        call.checked()?;
        let path = format!(
            "/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={DETACH_KEYS}"
        );
        stream::attach(&self.socket, call, &path, Bytes::new(), form(tty)).await
    }

    pub(super) async fn resize_container(
        &self,
        id: &ContainerId,
        rows: u16,
        columns: u16,
    ) -> Result<()> {
        let call = Call::new("resize", "container", &id.0, 10);
        call.checked()?;
        let options = ResizeContainerTTYOptionsBuilder::default()
            .h(rows.into())
            .w(columns.into())
            .build();
        call.answer(self.client()?.resize_container_tty(&id.0, options))
            .await
    }

    pub(super) async fn read_stats(&self, id: &ContainerId) -> Result<Stats> {
        let call = Call::new("measure", "container", &id.0, 10);
        call.checked()?;
        let options = StatsOptionsBuilder::default()
            .stream(false)
            .one_shot(true)
            .build();
        let mut answers = std::pin::pin!(self.client()?.stats(&id.0, Some(options)));
        let answer = call.answer(answers.try_next()).await?;
        answer.map(view::stats).ok_or_else(|| no_container(id))
    }
}

pub(super) fn form(tty: bool) -> Form {
    if tty { Form::Raw } else { Form::Framed }
}

fn no_container(id: &ContainerId) -> EngineError {
    EngineError::NotFound {
        kind: "container",
        name: id.0.clone(),
    }
}
