//! The threads that serve: one for each core, each with a runtime of its own.
//!
//! A client's connection stays on the thread that took it, and connections to dynos stay on the one that opened them: a
//! request wakes no other core, and what it touches does not move between their caches. Work is not taken from a busy
//! thread, so connections are spread when they come. Knows no protocol.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How many connections more than the least busy core one may have before it gives away what it accepts. Within this a
/// connection stays where it woke somebody.
const SLACK: usize = 4;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Dropping them ends what runs on them.
#[derive(Debug)]
pub(crate) struct Cores {
    cores: Box<[Core]>,
    _running: DropGuard,
}

#[derive(Debug)]
struct Core {
    handle: Handle,
    /// Connections of clients.
    open: Arc<AtomicUsize>,
}

/// A connection's place on a core, free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    core: usize,
    open: Arc<AtomicUsize>,
}

impl Cores {
    /// As many threads as the process may use cores.
    ///
    /// # Errors
    /// A thread or its runtime could not be made.
    pub(crate) fn start() -> io::Result<Cores> {
        let stop = CancellationToken::new();
        let running = stop.clone().drop_guard();
        let count = thread::available_parallelism().map_or(1, usize::from);
        let cores = (0..count).map(|index| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let stop = stop.clone();
            thread::Builder::new()
                .name(format!("core-{index}"))
                .spawn(move || {
                    HERE.set(index);
                    runtime.block_on(stop.cancelled());
                })?;
            Ok(Core {
                handle,
                open: Arc::default(),
            })
        });
        Ok(Cores {
            cores: cores.collect::<io::Result<_>>()?,
            _running: running,
        })
    }

    /// The number of the core whose thread this is; of no core on others.
    pub(crate) fn here() -> usize {
        HERE.get()
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> + Clone {
        self.cores.iter().map(|core| &core.handle)
    }

    /// A place for a connection that this core has accepted.
    pub(crate) fn seat(&self) -> Seat {
        let here = Cores::here();
        let core = place(here, self.cores.iter().map(|core| core.open.load(Relaxed)));
        let open = match self.cores.get(core) {
            Some(core) => Arc::clone(&core.open),
            None => Arc::default(),
        };
        open.fetch_add(1, Relaxed);
        Seat { core, open }
    }

    /// Where to run what has this seat, if it is another core than this one.
    pub(crate) fn elsewhere(&self, seat: &Seat) -> Option<&Handle> {
        match seat.core == Cores::here() {
            true => None,
            false => self.cores.get(seat.core).map(|core| &core.handle),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

/// The core for a connection that came to `here`, by how many each has.
fn place(here: usize, open: impl Iterator<Item = usize>) -> usize {
    let mut least = (here, usize::MAX);
    let mut own = 0;
    for (core, open) in open.enumerate() {
        if core == here {
            own = open;
        }
        if open < least.1 {
            least = (core, open);
        }
    }
    match own > least.1.saturating_add(SLACK) {
        true => least.0,
        false => here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stays_unless_its_core_has_many_more() {
        assert_eq!(place(0, [0, 0].into_iter()), 0);
        assert_eq!(place(1, [0, SLACK].into_iter()), 1);
        assert_eq!(place(1, [0, SLACK + 1].into_iter()), 0);
        assert_eq!(place(0, [9, 8, 3, 7].into_iter()), 2);
        assert_eq!(place(0, [9].into_iter()), 0);
    }

    #[test]
    fn however_they_come_connections_are_spread() {
        for cores in 1..9 {
            let mut open = vec![0; cores];
            for _ in 0..1_000 {
                // All wake the same core.
                let core = place(0, open.iter().copied());
                open[core] += 1;
            }
            let (least, most) = (open.iter().min(), open.iter().max());
            assert!(most.unwrap() - least.unwrap() <= SLACK + 1, "{open:?}");
        }
    }
}
