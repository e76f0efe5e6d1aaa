//! An engine whose containers are functions of the test, working on the real mounted folders.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use ropewalk_engine::*;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

type Script = Arc<dyn Fn(Job) -> BoxFuture<'static, Exit> + Send + Sync>;

/// One container's run.
pub struct Job {
    pub spec: ContainerSpec,
    /// What is mounted at /tmp/build.
    pub tree: PathBuf,
    out: mpsc::UnboundedSender<Bytes>,
}

impl Job {
    pub fn say(&self, text: &str) {
        let _ = self.out.send(Bytes::from(text.to_owned()));
    }

    pub fn app(&self) -> PathBuf {
        self.tree.join("app")
    }

    pub fn result(&self, name: &str, text: &str) {
        std::fs::write(self.tree.join("result").join(name), text).unwrap();
    }

    /// What the driver of a Node app leaves.
    pub fn node(&self) {
        self.say("-----> Node.js app detected\n");
        self.result("detected", "heroku/nodejs\tNode.js\n");
        self.result("phases", "detect\t10\ncompile\t20\n");
        self.result(
            "release.yml",
            "---\ndefault_process_types:\n  web: npm start\n  console: node\n",
        );
    }
}

pub fn exit(code: i64) -> Exit {
    Exit {
        code,
        out_of_memory: false,
    }
}

struct Held {
    spec: ContainerSpec,
    exit: watch::Sender<Option<Exit>>,
    task: Option<AbortHandle>,
}

pub struct PlayedEngine {
    script: Arc<Mutex<Script>>,
    held: Arc<Mutex<HashMap<String, Held>>>,
    /// What was run, in order: each container with what it was told.
    pub ran: Arc<Mutex<Vec<ContainerSpec>>>,
    /// Containers that were asked for.
    pub asked: AtomicUsize,
}

impl Default for PlayedEngine {
    fn default() -> Self {
        let script: Script = Arc::new(|job| {
            Box::pin(async move {
                job.node();
                exit(0)
            })
        });
        Self {
            script: Arc::new(Mutex::new(script)),
            held: Arc::default(),
            ran: Arc::default(),
            asked: AtomicUsize::new(0),
        }
    }
}

impl fmt::Debug for PlayedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlayedEngine")
    }
}

impl PlayedEngine {
    pub fn play<F, T>(&self, script: F)
    where
        F: Fn(Job) -> T + Send + Sync + 'static,
        T: Future<Output = Exit> + Send + 'static,
    {
        *self.script.lock().unwrap() = Arc::new(move |job| Box::pin(script(job)));
    }

    pub fn containers(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    pub fn last_spec(&self) -> ContainerSpec {
        self.ran.lock().unwrap().last().unwrap().clone()
    }

    /// All containers are gone.
    pub fn forget(&self) {
        for held in self.held.lock().unwrap().drain() {
            if let Some(task) = held.1.task {
                task.abort();
            }
        }
    }

    /// A container that was left by an earlier run.
    pub fn leave(&self, spec: ContainerSpec) {
        let held = Held {
            spec,
            exit: watch::Sender::new(None),
            task: None,
        };
        self.held
            .lock()
            .unwrap()
            .insert(held.spec.name.clone(), held);
    }
}

/// A number and as many words, each ended by NUL; nothing when the input ends early.
async fn words(input: &mut DuplexStream) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let count: usize = word(input).await?.parse().unwrap();
    for _ in 0..count {
        words.push(word(input).await?);
    }
    Some(words)
}

async fn word(input: &mut DuplexStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        match input.read_u8().await.ok()? {
            0 => return Some(String::from_utf8(bytes).unwrap()),
            byte => bytes.push(byte),
        }
    }
}

fn unused<T>() -> BoxFuture<'static, Result<T>> {
    Box::pin(async { Err(EngineError::Unreachable("not played".into())) })
}

fn missing(id: &ContainerId) -> EngineError {
    EngineError::NotFound {
        kind: "container",
        name: id.0.clone(),
    }
}

impl Engine for PlayedEngine {
    fn info(&self) -> BoxFuture<'_, Result<EngineInfo>> {
        unused()
    }
    fn load_image<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn has_image<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
    fn remove_image<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn ensure_network<'a>(&'a self, _: &'a NetworkSpec) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn networks(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        unused()
    }
    fn remove_network<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<ContainerId>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.leave(spec.clone());
        Box::pin(async { Ok(ContainerId(spec.name.clone())) })
    }
    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let all = self.held.lock().unwrap();
            all.get(&id.0).ok_or_else(|| missing(id)).map(drop)
        })
    }
    fn hold<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<FirstProcess>> {
        Box::pin(async { Ok(FirstProcess::named(id.clone())) })
    }
    fn furnish<'a>(
        &'a self,
        process: &'a FirstProcess,
        mounts: &'a [Mount],
    ) -> BoxFuture<'a, Result<()>> {
        let id = &process.container;
        Box::pin(async {
            let mut all = self.held.lock().unwrap();
            let held = all.get_mut(&id.0).ok_or_else(|| missing(id))?;
            held.spec.mounts.extend_from_slice(mounts);
            Ok(())
        })
    }
    fn rename<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let mut all = self.held.lock().unwrap();
            let held = all.get_mut(&id.0).ok_or_else(|| missing(id))?;
            name.clone_into(&mut held.spec.name);
            Ok(())
        })
    }
    fn freeze<'a>(&'a self, _: &'a Container) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn thaw<'a>(&'a self, _: &'a Container) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn reclaim<'a>(&'a self, _: &'a Container) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn signal<'a>(&'a self, _: &'a ContainerId, _: &'a str) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn stop<'a>(&'a self, _: &'a ContainerId, _: Duration) -> BoxFuture<'a, Result<Stopped>> {
        unused()
    }
    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let held = self.held.lock().unwrap().remove(&id.0);
            if let Some(task) = held.and_then(|held| held.task) {
                task.abort();
            }
            Ok(())
        })
    }
    fn list(&self) -> BoxFuture<'_, Result<Vec<Container>>> {
        Box::pin(async {
            let all = self.held.lock().unwrap();
            let containers = all.values().map(|held| Container {
                id: ContainerId(held.spec.name.clone()),
                name: held.spec.name.clone(),
                labels: held.spec.labels.clone(),
                image: held.spec.image.clone(),
                status: Status::Running,
                ip: None,
                pid: None,
                started_at: None,
                finished_at: None,
                exit: None,
            });
            Ok(containers.collect())
        })
    }
    fn inspect<'a>(&'a self, _: &'a ContainerId) -> BoxFuture<'a, Result<Option<Container>>> {
        unused()
    }
    fn wait<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Exit>> {
        Box::pin(async {
            let mut exit = {
                let all = self.held.lock().unwrap();
                all.get(&id.0).ok_or_else(|| missing(id))?.exit.subscribe()
            };
            let ended = exit
                .wait_for(Option::is_some)
                .await
                .map_err(|_| missing(id))?;
            Ok(ended.unwrap())
        })
    }
    fn gone<'a>(&'a self, process: &'a FirstProcess) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { self.wait(&process.container).await.map(drop) })
    }
    fn logs<'a>(
        &'a self,
        _: &'a ContainerId,
        _: Option<(i64, i32)>,
        _: bool,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Output>>>> {
        unused()
    }
    fn attach<'a>(&'a self, id: &'a ContainerId, _: bool) -> BoxFuture<'a, Result<Attached>> {
        Box::pin(async {
            let (out, lines) = mpsc::unbounded_channel();
            let (input, mut told) = tokio::io::duplex(1 << 16);
            let mut all = self.held.lock().unwrap();
            let held = all.get_mut(&id.0).ok_or_else(|| missing(id))?;
            let (script, ran) = (Arc::clone(&self.script), Arc::clone(&self.ran));
            let (all_held, name) = (Arc::clone(&self.held), id.0.clone());
            let exit = held.exit.clone();
            let task = tokio::spawn(async move {
                let Some(variables) = words(&mut told).await else {
                    exit.send_replace(Some(super::engine::exit(199)));
                    return;
                };
                let command = words(&mut told).await.unwrap();
                let spec = {
                    let mut all = all_held.lock().unwrap();
                    // It may be gone: its build was cancelled.
                    let Some(held) = all.get_mut(&name) else {
                        return;
                    };
                    let spec = &mut held.spec;
                    spec.env = variables
                        .iter()
                        .map(|variable| variable.split_once('=').unwrap())
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect();
                    spec.command = command;
                    spec.clone()
                };
                ran.lock().unwrap().push(spec.clone());
                let tree = spec
                    .mounts
                    .iter()
                    .find(|mount| mount.target == "/tmp/build")
                    .map(|mount| mount.source.clone())
                    .unwrap();
                let run = (script.lock().unwrap())(Job { spec, tree, out });
                let ended = run.await;
                exit.send_replace(Some(ended));
            });
            held.task = Some(task.abort_handle());
            let output = stream::unfold(lines, async |mut lines| {
                let bytes = lines.recv().await?;
                let output = Output {
                    stream: OutputStream::Stdout,
                    at: None,
                    bytes,
                };
                Some((Ok(output), lines))
            });
            Ok(Attached {
                input: Box::pin(input),
                output: Box::pin(output),
            })
        })
    }
    fn exec<'a>(&'a self, _: &'a ContainerId, _: &'a ExecSpec) -> BoxFuture<'a, Result<Exec>> {
        unused()
    }
    fn resize<'a>(&'a self, _: &'a ContainerId, _: u16, _: u16) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn resize_exec<'a>(&'a self, _: &'a str, _: u16, _: u16) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn exec_exit<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<i64>>> {
        unused()
    }
    fn signal_exec<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<()>> {
        unused()
    }
    fn events(&self) -> BoxFuture<'_, Result<BoxStream<Result<Event>>>> {
        unused()
    }
    fn stats<'a>(&'a self, _: &'a ContainerId) -> BoxFuture<'a, Result<Stats>> {
        unused()
    }
}
