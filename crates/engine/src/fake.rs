//! For tests: containers kept in memory, which do what the test says.
//!
//! Behaves as Docker Engine does where callers can tell the difference: names are taken once, a network must be there
//! before a start, input that ends is seen, events are lost when the engine goes away while containers run on. Time is
//! tokio's, so a paused clock moves it. Nothing here is used outside tests.

mod verbs;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use ropewalk_model::InstanceId;
use tokio::sync::watch;

use crate::container::{Container, ContainerSpec, ExecSpec, Exit, OutputStream, Stats};
use crate::{EngineError, Result};
use world::World;

/// Port on which a listening container answers, at an address of its own.
pub const PORT: u16 = 5000;

/// What a container does once started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs until SIGTERM, then ends with 143. With `listen` a real HTTP server answers each request on the
    /// container's address and [`PORT`] with 200 and the container's name.
    RunForever { listen: bool },
    /// The same, but SIGTERM does nothing.
    IgnoreTerm { listen: bool },
    /// Ends by itself.
    Exit { after_ms: u64, code: i64 },
    /// Writes a text and has ended when the start is answered.
    Print { text: String, code: i64 },
    /// Writes what it reads, and ends with 0 when its input ends.
    Echo,
    /// The start is refused with this message.
    FailToStart(String),
}

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Unreachable,
    Refuse(String),
    /// Never answers.
    Hang,
}

/// One call that was made, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The verb's name in [`crate::Engine`].
    pub verb: &'static str,
    /// Name of the container, exec, network or image; empty for verbs that have none.
    pub name: String,
}

/// An engine in memory; clones are handles to the same one.
#[derive(Clone)]
pub struct FakeEngine {
    world: Arc<Mutex<World>>,
}

impl FakeEngine {
    /// An engine on which every container runs until SIGTERM without listening, and every image is there.
    pub fn new(instance: InstanceId) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(instance))),
        }
    }

    /// Decides what containers started from now on do.
    pub fn on_start(&self, decide: impl Fn(&ContainerSpec) -> Behaviour + Send + Sync + 'static) {
        self.world().decide = Arc::new(decide);
    }

    /// Decides what execs do; the default is to end with 0 at once. As containers do, but that SIGHUP ends an
    /// [`Behaviour::Echo`] with 129, and that all end with 137 when their container does.
    pub fn on_exec(&self, decide: impl Fn(&ExecSpec) -> Behaviour + Send + Sync + 'static) {
        self.world().decide_exec = Arc::new(decide);
    }

    /// Times of starts, ends and output; the default is the system's clock.
    pub fn set_clock(&self, now: impl Fn() -> Timestamp + Send + Sync + 'static) {
        self.world().now = Arc::new(now);
    }

    /// The next `times` calls of `verb` go wrong.
    pub fn fail_next(&self, verb: &'static str, times: usize, fault: Fault) {
        let mut world = self.world();
        let faults = world.faults.entry(verb).or_default();
        faults.extend(std::iter::repeat_n(fault, times));
    }

    /// Docker Engine dies: event streams end, logs break and nothing answers, containers run on.
    pub fn go_away(&self) {
        let mut world = self.world();
        world.away = true;
        world.listeners.clear();
        for known in world.boxes.values() {
            known.changed.send_modify(|count| *count += 1);
        }
    }

    /// Calls of `verb` are noted, and wait until [`Self::release`] before they do anything; what a list tells is what
    /// was there when it was asked.
    pub fn hold(&self, verb: &'static str) {
        self.world().held.insert(verb, watch::Sender::new(()));
    }

    pub fn release(&self, verb: &'static str) {
        self.world().held.remove(verb);
    }

    pub fn come_back(&self) {
        self.world().away = false;
    }

    /// A container ends through no call of ours, as when its process is killed from outside.
    pub fn end(&self, name: &str, exit: Exit) {
        self.world().end(name, exit);
    }

    /// A container is removed behind our back.
    pub fn vanish(&self, name: &str) {
        self.world().remove(name);
    }

    /// The engine cannot tell about a container any more, or can again.
    pub fn set_stuck(&self, name: &str, stuck: bool) {
        let mut world = self.world();
        if stuck {
            world.stuck.insert(name.to_owned());
        } else {
            world.stuck.remove(name);
        }
    }

    /// A container writes something.
    pub fn say(&self, name: &str, stream: OutputStream, text: &str) {
        self.world().say(name, stream, text.as_bytes());
    }

    /// An image is there no longer; loading an archive brings all images back.
    pub fn forget_image(&self, image: &str) {
        self.world().missing_images.insert(image.to_owned());
    }

    pub fn set_stats(&self, name: &str, stats: Stats) {
        self.world().stats.insert(name.to_owned(), stats);
    }

    /// All calls so far, failed ones too.
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// How a container was asked for.
    pub fn spec(&self, name: &str) -> Option<ContainerSpec> {
        self.world().find(name).map(|known| known.spec.clone())
    }

    /// How all execs so far were asked for.
    pub fn execs(&self) -> Vec<ExecSpec> {
        let world = self.world();
        world.execs.iter().map(|exec| exec.spec.clone()).collect()
    }

    /// Whether a container is frozen.
    pub fn is_frozen(&self, name: &str) -> bool {
        let world = self.world();
        world.find(name).is_some_and(|known| known.frozen)
    }

    /// All containers by name, without a call being noted.
    pub fn containers(&self) -> BTreeMap<String, Container> {
        self.world().seen()
    }

    /// Everything that was written to a container's input.
    pub fn input_of(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        let known = world.find(name);
        known.map(|known| known.input.clone()).unwrap_or_default()
    }

    /// A panic in one test's closure says nothing about the world behind it.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call and lets it go wrong if it shall.
    async fn call(&self, verb: &'static str, name: &str) -> Result<()> {
        let (fault, held) = {
            let mut world = self.world();
            let held = world.held.get(verb).map(watch::Sender::subscribe);
            (world.note(verb, name), held)
        };
        if let Some(mut held) = held {
            // Nothing is ever sent: it closes on release.
            let _ = held.changed().await;
        }
        match fault {
            None => Ok(()),
            Some(Fault::Unreachable) => Err(EngineError::Unreachable("it is away".to_owned())),
            Some(Fault::Refuse(message)) => Err(EngineError::Refused {
                verb,
                name: name.to_owned(),
                message,
            }),
            Some(Fault::Hang) => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeEngine")
    }
}

#[cfg(test)]
mod tests;
