//! The engine's verbs on the fake.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::world::KnownExec;
use super::{Behaviour, FakeEngine, PORT};
use crate::container::{
    Attached, Container, ContainerId, ContainerSpec, EngineInfo, Event, Exec, ExecSpec, Exit,
    Mount, NetworkSpec, Output, OutputStream, Stats, Status, Stopped,
};
use crate::{BoxStream, Engine, EngineError, FirstProcess, Result};

impl Engine for FakeEngine {
    fn info(&self) -> BoxFuture<'_, Result<EngineInfo>> {
        Box::pin(async {
            self.call("info", "").await?;
            Ok(EngineInfo {
                version: "fake".to_owned(),
                api_version: "1.41".to_owned(),
                cpus: 4,
                memory_bytes: 8 << 30,
                cgroup_version: 2,
                storage_driver: "memory".to_owned(),
                live_restore: true,
                swarm: false,
                data_root: PathBuf::from("/nonexistent"),
                architecture: std::env::consts::ARCH.to_owned(),
            })
        })
    }

    fn load_image<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("load_image", &archive.to_string_lossy()).await?;
            self.world().missing_images.clear();
            Ok(())
        })
    }

    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.call("has_image", image).await?;
            Ok(!self.world().missing_images.contains(image))
        })
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("remove_image", image).await?;
            self.forget_image(image);
            Ok(())
        })
    }

    fn ensure_network<'a>(&'a self, network: &'a NetworkSpec) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("ensure_network", &network.name).await?;
            self.world().networks.insert(network.name.clone());
            Ok(())
        })
    }

    fn networks(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            self.call("networks", "").await?;
            Ok(self.world().networks.iter().cloned().collect())
        })
    }

    fn remove_network<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("remove_network", name).await?;
            let mut world = self.world();
            let used = world.boxes.values().any(|known| {
                known.status == Status::Running && known.spec.network.as_deref() == Some(name)
            });
            if used {
                return Err(refused("remove", name, "containers run on it"));
            }
            world.networks.remove(name);
            Ok(())
        })
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<ContainerId>> {
        Box::pin(async move {
            self.call("create", &spec.name).await?;
            let mut world = self.world();
            if world.id(&spec.name).is_some() {
                return Err(EngineError::Conflict {
                    name: spec.name.clone(),
                });
            }
            if world.missing_images.contains(&spec.image) {
                return Err(EngineError::NotFound {
                    kind: "image",
                    name: spec.image.clone(),
                });
            }
            world.make(spec);
            Ok(ContainerId(spec.name.clone()))
        })
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("start", &id.0).await?;
            let behaviour = {
                let world = self.world();
                let known = world.find(&id.0).ok_or_else(|| no_container(id))?;
                if known.status == Status::Running {
                    return Ok(());
                }
                if let Some(network) = &known.spec.network
                    && !world.networks.contains(network)
                {
                    let message = format!("network {network} not found");
                    return Err(refused("start", &id.0, &message));
                }
                (world.decide)(&known.spec)
            };
            if let Behaviour::FailToStart(message) = &behaviour {
                return Err(refused("start", &id.0, message));
            }
            self.world().start(&id.0, behaviour.clone());
            let begun = self.behave(id, behaviour).await;
            if begun.is_err() {
                self.end(&id.0, ended_with(128));
            }
            begun
        })
    }

    fn hold<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<FirstProcess>> {
        Box::pin(async move {
            self.call("hold", &id.0).await?;
            let world = self.world();
            let known = world.find(&id.0).ok_or_else(|| no_container(id))?;
            match known.status {
                Status::Running => Ok(FirstProcess::named(id.clone())),
                _ => Err(refused("take hold of", &id.0, "it does not run")),
            }
        })
    }

    fn furnish<'a>(
        &'a self,
        process: &'a FirstProcess,
        mounts: &'a [Mount],
    ) -> BoxFuture<'a, Result<()>> {
        let id = &process.container;
        Box::pin(async move {
            self.call("furnish", &id.0).await?;
            let mut world = self.world();
            let known = world.find_mut(&id.0).ok_or_else(|| no_container(id))?;
            if known.status != Status::Running {
                return Err(refused("mount into", &id.0, "it does not run"));
            }
            known.spec.mounts.extend_from_slice(mounts);
            Ok(())
        })
    }

    fn rename<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("rename", &id.0).await?;
            let mut world = self.world();
            let own = world.id(&id.0).ok_or_else(|| no_container(id))?;
            if world.id(name).is_some_and(|other| other != own) {
                return Err(EngineError::Conflict {
                    name: name.to_owned(),
                });
            }
            if let Some(known) = world.boxes.get_mut(&own) {
                known.name = name.to_owned();
            }
            Ok(())
        })
    }

    fn signal<'a>(&'a self, id: &'a ContainerId, signal: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("signal", &id.0).await?;
            let mut world = self.world();
            world.set_frozen(&id.0, false);
            if world.id(&id.0).is_none() {
                return Err(no_container(id));
            }
            world.signal(&id.0, signal);
            Ok(())
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace: Duration) -> BoxFuture<'a, Result<Stopped>> {
        Box::pin(async move {
            self.call("stop", &id.0).await?;
            self.world().set_frozen(&id.0, false);
            let mut killed = false;
            if self.world().signal(&id.0, "TERM")
                && tokio::time::timeout(grace, self.ended(id)).await.is_err()
            {
                killed = self.world().signal(&id.0, "KILL");
            }
            let world = self.world();
            let known = world.find(&id.0).ok_or_else(|| no_container(id))?;
            let exit = known.exit.unwrap_or(ended_with(0));
            Ok(Stopped { killed, exit })
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("remove", &id.0).await?;
            self.world().set_frozen(&id.0, false);
            self.world().remove(&id.0);
            Ok(())
        })
    }

    fn freeze<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("freeze", &container.name).await?;
            match self.world().set_frozen(&container.id.0, true) {
                true => Ok(()),
                false => Err(refused("freeze", &container.name, "it does not run")),
            }
        })
    }

    fn thaw<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("thaw", &container.name).await?;
            self.world().set_frozen(&container.id.0, false);
            Ok(())
        })
    }

    fn reclaim<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.call("reclaim", &container.name).await })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Container>>> {
        Box::pin(async {
            let stuck = self.world().stuck.clone();
            let found = self.containers();
            self.call("list", "").await?;
            let listed = found.into_values().map(|container| {
                if !stuck.contains(&container.name) {
                    return container;
                }
                Container {
                    status: Status::Unknown,
                    ip: None,
                    pid: None,
                    started_at: None,
                    finished_at: None,
                    exit: None,
                    ..container
                }
            });
            Ok(listed.collect())
        })
    }

    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Option<Container>>> {
        Box::pin(async move {
            self.call("inspect", &id.0).await?;
            Ok(self.world().look(&id.0))
        })
    }

    fn wait<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Exit>> {
        Box::pin(async move {
            self.call("wait", &id.0).await?;
            if self.world().look(&id.0).map(|c| c.status) == Some(Status::Created) {
                return Err(refused("wait for", &id.0, "it has not been started"));
            }
            self.ended(id).await
        })
    }

    fn gone<'a>(&'a self, process: &'a FirstProcess) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.wait(&process.container).await.map(drop) })
    }

    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        since: Option<(i64, i32)>,
        follow: bool,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Output>>>> {
        Box::pin(async move {
            self.call("logs", &id.0).await?;
            let output = self.output(id, 0, follow)?;
            Ok(output
                .filter(move |output| {
                    let at = output.as_ref().ok().and_then(|output| output.at);
                    let at = at.map(|at| (at.as_second(), at.subsec_nanosecond()));
                    std::future::ready(at >= since)
                })
                .boxed())
        })
    }

    fn attach<'a>(&'a self, id: &'a ContainerId, _tty: bool) -> BoxFuture<'a, Result<Attached>> {
        Box::pin(async move {
            self.call("attach", &id.0).await?;
            self.world().set_frozen(&id.0, false);
            let from = {
                let world = self.world();
                let known = world.find(&id.0).ok_or_else(|| no_container(id))?;
                known.outputs.len()
            };
            let output = self.output(id, from, true)?;
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            let (engine, id) = (self.clone(), id.clone());
            tokio::spawn(async move {
                let mut chunk = vec![0; 4096];
                while let Ok(length @ 1..) = far.read(&mut chunk).await {
                    engine.read_input(&id, &chunk[..length]);
                }
                engine.input_ended(&id);
            });
            Ok(Attached {
                input: Box::pin(near),
                output: output
                    .map(|output| output.map(|output| Output { at: None, ..output }))
                    .boxed(),
            })
        })
    }

    fn exec<'a>(&'a self, id: &'a ContainerId, exec: &'a ExecSpec) -> BoxFuture<'a, Result<Exec>> {
        Box::pin(async move {
            self.call("exec", &id.0).await?;
            self.world().set_frozen(&id.0, false);
            let mut world = self.world();
            match world.find(&id.0).map(|known| known.status) {
                None => return Err(no_container(id)),
                Some(Status::Running) => {}
                Some(_) => return Err(refused("run a process in", &id.0, "it does not run")),
            }
            let behaviour = (world.decide_exec)(exec);
            let exit = watch::Sender::new(None);
            let attached = begin_exec(&behaviour, &exit);
            world.execs.push(KnownExec {
                spec: exec.clone(),
                container: id.0.clone(),
                behaviour,
                exit,
            });
            Ok(Exec {
                id: (world.execs.len() - 1).to_string(),
                attached,
            })
        })
    }

    fn resize<'a>(
        &'a self,
        id: &'a ContainerId,
        _rows: u16,
        _columns: u16,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.call("resize", &id.0).await })
    }

    fn resize_exec<'a>(
        &'a self,
        exec: &'a str,
        _rows: u16,
        _columns: u16,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.call("resize_exec", exec).await })
    }

    fn exec_exit<'a>(&'a self, exec: &'a str) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(async move {
            self.call("exec_exit", exec).await?;
            let exit = self.known_exec(exec, |known| *known.exit.borrow());
            exit.ok_or_else(|| no_exec(exec))
        })
    }

    fn signal_exec<'a>(&'a self, exec: &'a str, signal: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.call("signal_exec", exec).await?;
            self.known_exec(exec, |known| known.signal(signal))
                .ok_or_else(|| no_exec(exec))
        })
    }

    fn events(&self) -> BoxFuture<'_, Result<BoxStream<Result<Event>>>> {
        Box::pin(async {
            self.call("events", "").await?;
            let (sender, receiver) = mpsc::unbounded_channel();
            self.world().listeners.push(sender);
            Ok(stream::unfold(receiver, |mut receiver| async {
                let event = receiver.recv().await?;
                Some((event, receiver))
            })
            .boxed())
        })
    }

    fn stats<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Stats>> {
        Box::pin(async move {
            self.call("stats", &id.0).await?;
            let world = self.world();
            if world.id(&id.0).is_none() {
                return Err(no_container(id));
            }
            Ok(world.stats.get(&id.0).cloned().unwrap_or_default())
        })
    }
}

impl FakeEngine {
    /// Begins what a started container does.
    async fn behave(&self, id: &ContainerId, behaviour: Behaviour) -> Result<()> {
        let task = match behaviour {
            Behaviour::RunForever { listen: true } | Behaviour::IgnoreTerm { listen: true } => {
                let ip = self.world().look(&id.0).and_then(|seen| seen.ip);
                let ip = ip.ok_or_else(|| refused("start", &id.0, "no network to listen on"))?;
                tokio::spawn(serve(bind(id, ip).await?, id.0.clone()))
            }
            Behaviour::Exit { after_ms, code } => {
                let (engine, id) = (self.clone(), id.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    engine.end(&id.0, ended_with(code));
                })
            }
            Behaviour::Print { text, code } => {
                let mut world = self.world();
                world.say(&id.0, OutputStream::Stdout, text.as_bytes());
                world.end(&id.0, ended_with(code));
                return Ok(());
            }
            _ => return Ok(()),
        };
        match self.world().find_mut(&id.0) {
            Some(known) if known.status == Status::Running => known.tasks.push(task),
            _ => task.abort(),
        }
        Ok(())
    }

    fn known_exec<T>(&self, exec: &str, ask: impl FnOnce(&KnownExec) -> T) -> Option<T> {
        let number: usize = exec.parse().ok()?;
        self.world().execs.get(number).map(ask)
    }

    async fn ended(&self, id: &ContainerId) -> Result<Exit> {
        let mut changes = self.changes(id)?;
        loop {
            match self.world().look(&id.0) {
                Some(container) => {
                    if let Some(exit) = container.exit {
                        return Ok(exit);
                    }
                }
                // Removing kills.
                None => {
                    return Ok(ended_with(137));
                }
            }
            // That nobody changes it any more means that it is gone.
            let _ = changes.changed().await;
        }
    }

    fn changes(&self, id: &ContainerId) -> Result<watch::Receiver<u64>> {
        let world = self.world();
        let known = world.find(&id.0).ok_or_else(|| no_container(id))?;
        Ok(known.changed.subscribe())
    }

    /// Output from a message on, then as it comes when `follow`.
    fn output(
        &self,
        id: &ContainerId,
        from: usize,
        follow: bool,
    ) -> Result<BoxStream<Result<Output>>> {
        let state = (self.clone(), id.clone(), self.changes(id)?, from);
        Ok(
            stream::unfold(state, move |(engine, id, mut changes, next)| async move {
                loop {
                    let (output, over, away) = {
                        let world = engine.world();
                        let known = world.find(&id.0)?;
                        let over = known.status == Status::Exited;
                        (known.outputs.get(next).cloned(), over, world.away)
                    };
                    if away {
                        let error = EngineError::Unreachable("it is away".to_owned());
                        return Some((Err(error), (engine, id, changes, next)));
                    }
                    if let Some(output) = output {
                        return Some((Ok(output), (engine, id, changes, next + 1)));
                    }
                    if over || !follow {
                        return None;
                    }
                    changes.changed().await.ok()?;
                }
            })
            .boxed(),
        )
    }

    fn read_input(&self, id: &ContainerId, bytes: &[u8]) {
        let mut world = self.world();
        let Some(known) = world.find_mut(&id.0) else {
            return;
        };
        known.input.extend_from_slice(bytes);
        if known.behaviour == Behaviour::Echo {
            world.say(&id.0, OutputStream::Stdout, bytes);
        }
    }

    fn input_ended(&self, id: &ContainerId) {
        let mut world = self.world();
        let echo = world
            .find(&id.0)
            .is_some_and(|known| known.behaviour == Behaviour::Echo);
        if echo {
            world.end(&id.0, ended_with(0));
        }
    }
}

/// Begins what an exec does. Whatever it does, its output ends when it has ended.
fn begin_exec(behaviour: &Behaviour, exit: &watch::Sender<Option<i64>>) -> Attached {
    let (output, receiver) = mpsc::unbounded_channel();
    let output_of = |bytes: Vec<u8>| Output {
        stream: OutputStream::Stdout,
        at: None,
        bytes: bytes.into(),
    };
    let input: Pin<Box<dyn AsyncWrite + Send>> = match behaviour {
        Behaviour::Print { text, code } => {
            // Nobody has taken the other end away yet.
            let _ = output.send(Ok(output_of(text.clone().into_bytes())));
            exit.send_replace(Some(*code));
            Box::pin(tokio::io::sink())
        }
        behaviour => {
            let echoes = *behaviour == Behaviour::Echo;
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            let exit = exit.clone();
            tokio::spawn(async move {
                let mut ended = exit.subscribe();
                let reading = async {
                    let mut chunk = vec![0; 4096];
                    while let Ok(length @ 1..) = far.read(&mut chunk).await {
                        if echoes {
                            let _ = output.send(Ok(output_of(chunk[..length].to_vec())));
                        }
                    }
                    if !echoes {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    () = reading => drop(exit.send_replace(Some(0))),
                    _ = ended.wait_for(Option::is_some) => {}
                }
            });
            Box::pin(near)
        }
    };
    let output = stream::unfold(receiver, |mut receiver| async {
        let output = receiver.recv().await?;
        Some((output, receiver))
    });
    Attached {
        input,
        output: output.boxed(),
    }
}

fn ended_with(code: i64) -> Exit {
    Exit {
        code,
        out_of_memory: false,
    }
}

async fn bind(id: &ContainerId, ip: IpAddr) -> Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(ip, PORT))
        .await
        .map_err(|error| refused("start", &id.0, &error.to_string()))
}

/// Answers every connection's first request with the container's name.
async fn serve(listener: TcpListener, name: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let name = name.clone();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let length = name.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}"
            );
            // A client that went away needs no answer.
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

fn no_container(id: &ContainerId) -> EngineError {
    EngineError::NotFound {
        kind: "container",
        name: id.0.clone(),
    }
}

fn no_exec(exec: &str) -> EngineError {
    EngineError::NotFound {
        kind: "exec",
        name: exec.to_owned(),
    }
}

fn refused(verb: &'static str, name: &str, message: &str) -> EngineError {
    EngineError::Refused {
        verb,
        name: name.to_owned(),
        message: message.to_owned(),
    }
}
