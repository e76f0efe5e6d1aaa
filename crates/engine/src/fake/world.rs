//! The state behind the fake engine and the steps that change it. No step waits: waiting is done in `verbs.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use ropewalk_model::InstanceId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Behaviour, Call, Fault};
use crate::Result;
use crate::container::{
    Container, ContainerId, ContainerSpec, Event, EventKind, ExecSpec, Exit, LABEL_INSTANCE,
    Output, OutputStream, Stats, Status,
};

/// Above every pid that Linux gives, so that nobody takes it for a process.
const FIRST_PID: u32 = 1 << 30;

type Decide = Arc<dyn Fn(&ContainerSpec) -> Behaviour + Send + Sync>;
type DecideExec = Arc<dyn Fn(&ExecSpec) -> Behaviour + Send + Sync>;
type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub(super) struct World {
    pub(super) instance: InstanceId,
    pub(super) decide: Decide,
    pub(super) decide_exec: DecideExec,
    pub(super) now: Now,
    pub(super) away: bool,
    pub(super) faults: HashMap<&'static str, VecDeque<Fault>>,
    pub(super) calls: Vec<Call>,
    /// Verbs whose calls wait.
    pub(super) held: HashMap<&'static str, watch::Sender<()>>,
    /// By id, which is the name that a container was made with. Looked up by [`World::find`].
    pub(super) boxes: BTreeMap<String, Known>,
    pub(super) networks: BTreeSet<String>,
    pub(super) missing_images: BTreeSet<String>,
    /// Containers that the engine cannot tell about.
    pub(super) stuck: BTreeSet<String>,
    pub(super) stats: BTreeMap<String, Stats>,
    pub(super) listeners: Vec<mpsc::UnboundedSender<Result<Event>>>,
    /// By number, which is the id as well.
    pub(super) execs: Vec<KnownExec>,
    made: u32,
}

/// A process beside a container's first one.
pub(super) struct KnownExec {
    pub(super) spec: ExecSpec,
    pub(super) container: String,
    pub(super) behaviour: Behaviour,
    /// How it ended.
    pub(super) exit: watch::Sender<Option<i64>>,
}

/// A container.
pub(super) struct Known {
    /// What it is called now.
    pub(super) name: String,
    pub(super) spec: ContainerSpec,
    pub(super) status: Status,
    pub(super) frozen: bool,
    pub(super) behaviour: Behaviour,
    pub(super) outputs: Vec<Output>,
    pub(super) input: Vec<u8>,
    /// Counts what happened to it, for those who wait.
    pub(super) changed: watch::Sender<u64>,
    pub(super) tasks: Vec<JoinHandle<()>>,
    number: u32,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    pub(super) exit: Option<Exit>,
}

impl KnownExec {
    /// One that has ended stays as it is.
    pub(super) fn end(&self, code: i64) {
        self.exit.send_if_modified(|exit| {
            let runs = exit.is_none();
            *exit = exit.or(Some(code));
            runs
        });
    }

    pub(super) fn signal(&self, signal: &str) {
        let deaf = matches!(self.behaviour, Behaviour::IgnoreTerm { .. });
        match signal {
            "HUP" if self.behaviour == Behaviour::Echo => self.end(129),
            "TERM" if !deaf => self.end(143),
            "KILL" => self.end(137),
            _ => {}
        }
    }
}

impl World {
    pub(super) fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            decide: Arc::new(|_| Behaviour::RunForever { listen: false }),
            decide_exec: Arc::new(|_| Behaviour::Print {
                text: String::new(),
                code: 0,
            }),
            now: Arc::new(Timestamp::now),
            away: false,
            faults: HashMap::new(),
            calls: Vec::new(),
            held: HashMap::new(),
            boxes: BTreeMap::new(),
            networks: BTreeSet::new(),
            missing_images: BTreeSet::new(),
            stuck: BTreeSet::new(),
            stats: BTreeMap::new(),
            listeners: Vec::new(),
            execs: Vec::new(),
            made: 0,
        }
    }

    pub(super) fn note(&mut self, verb: &'static str, name: &str) -> Option<Fault> {
        self.calls.push(Call {
            verb,
            name: name.to_owned(),
        });
        let fault = self.faults.get_mut(verb).and_then(VecDeque::pop_front);
        fault.or_else(|| self.away.then_some(Fault::Unreachable))
    }

    pub(super) fn make(&mut self, spec: &ContainerSpec) {
        self.made += 1;
        let mut spec = spec.clone();
        let instance = self.instance.to_string();
        spec.labels.insert(LABEL_INSTANCE.to_owned(), instance);
        self.boxes.insert(
            spec.name.clone(),
            Known {
                name: spec.name.clone(),
                spec,
                status: Status::Created,
                frozen: false,
                behaviour: Behaviour::RunForever { listen: false },
                outputs: Vec::new(),
                input: Vec::new(),
                changed: watch::Sender::new(0),
                tasks: Vec::new(),
                number: self.made,
                started_at: None,
                finished_at: None,
                exit: None,
            },
        );
    }

    /// The id of a container, by that or by its name.
    pub(super) fn id(&self, text: &str) -> Option<String> {
        let mut boxes = self.boxes.iter();
        boxes
            .find(|(id, known)| known.name == text || *id == text)
            .map(|(id, _)| id.clone())
    }

    pub(super) fn find(&self, text: &str) -> Option<&Known> {
        self.boxes.get(&self.id(text)?)
    }

    pub(super) fn find_mut(&mut self, text: &str) -> Option<&mut Known> {
        let id = self.id(text)?;
        self.boxes.get_mut(&id)
    }

    pub(super) fn start(&mut self, name: &str, behaviour: Behaviour) {
        let now = (self.now)();
        if let Some(known) = self.find_mut(name) {
            known.behaviour = behaviour;
            known.status = Status::Running;
            known.started_at = Some(now);
            self.tell(name, EventKind::Started);
        }
    }

    /// A running container ends; one that does not run stays as it is.
    pub(super) fn end(&mut self, name: &str, exit: Exit) {
        let now = (self.now)();
        let Some(known) = self.find_mut(name) else {
            return;
        };
        if known.status != Status::Running {
            return;
        }
        known.status = Status::Exited;
        known.exit = Some(exit);
        known.finished_at = Some(now);
        for task in known.tasks.drain(..) {
            task.abort();
        }
        let id = self.id(name);
        for exec in &self.execs {
            if self.id(&exec.container) == id {
                exec.end(137);
            }
        }
        if exit.out_of_memory {
            self.tell(name, EventKind::OutOfMemory);
        }
        self.tell(name, EventKind::Ended);
    }

    /// What a signal does; `false` when nothing runs.
    pub(super) fn signal(&mut self, name: &str, signal: &str) -> bool {
        let Some(known) = self.find(name) else {
            return false;
        };
        let running = known.status == Status::Running;
        let deaf = matches!(known.behaviour, Behaviour::IgnoreTerm { .. });
        let code = match signal.trim_start_matches("SIG") {
            "KILL" => Some(137),
            "TERM" if !deaf => Some(143),
            _ => None,
        };
        if let Some(code) = code {
            let out_of_memory = false;
            self.end(
                name,
                Exit {
                    code,
                    out_of_memory,
                },
            );
        }
        running
    }

    /// `false` when it does not run.
    pub(super) fn set_frozen(&mut self, name: &str, frozen: bool) -> bool {
        match self.find_mut(name) {
            Some(known) if known.status == Status::Running => {
                known.frozen = frozen;
                true
            }
            _ => false,
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.signal(name, "KILL");
        if let Some(id) = self.id(name)
            && self.boxes.remove(&id).is_some()
        {
            self.tell(&id, EventKind::Other);
        }
    }

    pub(super) fn say(&mut self, name: &str, stream: OutputStream, bytes: &[u8]) {
        let at = (self.now)();
        if let Some(known) = self.find_mut(name) {
            known.outputs.push(Output {
                stream,
                at: Some(at),
                bytes: Bytes::copy_from_slice(bytes),
            });
            known.changed.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn seen(&self) -> BTreeMap<String, Container> {
        let seen = self.boxes.iter();
        seen.filter_map(|(id, known)| Some((known.name.clone(), self.look(id)?)))
            .collect()
    }

    pub(super) fn look(&self, name: &str) -> Option<Container> {
        let id = self.id(name)?;
        let known = self.boxes.get(&id)?;
        let running = known.status == Status::Running;
        Some(Container {
            id: ContainerId(id.clone()),
            name: known.name.clone(),
            labels: known.spec.labels.clone(),
            image: known.spec.image.clone(),
            status: known.status,
            ip: (running && known.spec.network.is_some()).then(|| self.address(known.number)),
            pid: running.then_some(FIRST_PID + known.number),
            started_at: known.started_at,
            finished_at: known.finished_at,
            exit: known.exit,
        })
    }

    /// An address of this machine alone. Each instance has its own range of 127.0.0.0/8, not the one that others use;
    /// 254 containers are enough for a test.
    fn address(&self, number: u32) -> IpAddr {
        let instance = u32::from_str_radix(self.instance.as_str(), 16).unwrap_or(0);
        let [high, low, ..] = instance.to_be_bytes();
        let last = u8::try_from(number % 254 + 1).unwrap_or(1);
        Ipv4Addr::new(127, high | 0x40, low, last).into()
    }

    fn tell(&mut self, name: &str, kind: EventKind) {
        if let Some(known) = self.find(name) {
            known.changed.send_modify(|count| *count += 1);
        }
        let event = Event {
            container: ContainerId(name.to_owned()),
            kind,
        };
        self.listeners
            .retain(|listener| listener.send(Ok(event.clone())).is_ok());
    }
}
