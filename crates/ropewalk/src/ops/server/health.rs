//! Whether dynos and builds can run now, by what was last seen of the host, of the engine and of the scheduler.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_engine::Engine;
use ropewalk_scheduler::Scheduler;
use ropewalk_telemetry::{Round, Tasks};
use tokio::sync::watch;

/// Between two questions to the engine.
const PERIOD: Duration = Duration::from_secs(3);
/// For its answer. With [`PERIOD`] this bounds how long a dead engine looks alive.
const ANSWER: Duration = Duration::from_secs(5);
/// Without a successful look of the scheduler: its period, and the longest that one look may take.
const LOOK: Duration = Duration::from_secs(45);
/// The same when looks fail; one that fails now and then is nothing.
const FAILING: Duration = Duration::from_secs(5);

/// What the answer is made of. Clones see the same.
#[derive(Debug, Clone)]
pub(super) struct Health {
    /// Whether everything was in place when it was last looked for.
    pub(super) prepared: watch::Receiver<bool>,
    /// Whether the engine answers.
    pub(super) engine: watch::Receiver<bool>,
    /// Whether pushes can be taken.
    pub(super) git: watch::Receiver<bool>,
    pub(super) scheduler: Scheduler,
}

impl Health {
    /// `Err` says in a few words, for anybody, what is missing.
    pub(super) fn now(&self) -> Result<(), &'static str> {
        let status = self.scheduler.status();
        let limit = if status.could_look { LOOK } else { FAILING };
        let looked = status.last_success.map(|at| at.elapsed() <= limit);
        verdict(
            *self.prepared.borrow(),
            *self.engine.borrow(),
            *self.git.borrow(),
            looked,
        )
    }
}

/// `looked`: whether the dynos were looked at lately; `None` before the first time.
fn verdict(
    prepared: bool,
    engine: bool,
    git: bool,
    looked: Option<bool>,
) -> Result<(), &'static str> {
    if !engine {
        return Err("the container engine does not answer");
    }
    if !prepared {
        return Err("the host is not ready for dynos");
    }
    match looked {
        None => return Err("starting"),
        Some(false) => return Err("the dynos cannot be looked after"),
        Some(true) => {}
    }
    if git { Ok(()) } else { Err("starting") }
}

/// Asks the engine again and again whether it is there.
pub(super) fn watch_engine(tasks: &Tasks, engine: &Arc<dyn Engine>) -> watch::Receiver<bool> {
    ask(tasks, engine, PERIOD, ANSWER)
}

fn ask(
    tasks: &Tasks,
    engine: &Arc<dyn Engine>,
    period: Duration,
    patience: Duration,
) -> watch::Receiver<bool> {
    let answers = watch::Sender::new(false);
    let receiver = answers.subscribe();
    let engine = engine.clone();
    tasks.supervise("engine health", move |token| {
        let (engine, answers) = (engine.clone(), answers.clone());
        async move {
            loop {
                let round = Round::begin(period + patience);
                let answer = tokio::time::timeout(patience, engine.info()).await;
                answers.send_replace(matches!(answer, Ok(Ok(_))));
                round.end(match answer {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
                });
                tokio::select! {
                    () = token.cancelled() => return Ok::<(), Infallible>(()),
                    () = tokio::time::sleep(period) => {}
                }
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use ropewalk_engine::fake::FakeEngine;
    use ropewalk_model::InstanceId;

    use super::*;

    #[test]
    fn every_part_can_make_it_red() {
        assert_eq!(verdict(true, true, true, Some(true)), Ok(()));
        for (prepared, engine, git, looked) in [
            (false, true, true, Some(true)),
            (true, false, true, Some(true)),
            (true, true, false, Some(true)),
            (true, true, true, None),
            (true, true, true, Some(false)),
        ] {
            assert!(verdict(prepared, engine, git, looked).is_err());
        }
    }

    #[tokio::test]
    async fn an_engine_that_hangs_or_dies_is_noticed_and_so_is_its_return() {
        let fake = FakeEngine::new(InstanceId::parse("0a0b0c0d").expect("hex"));
        let engine: Arc<dyn Engine> = Arc::new(fake.clone());
        let tasks = Tasks::default();
        let short = Duration::from_millis(20);
        let mut answers = ask(&tasks, &engine, short, short * 5);
        let within = Duration::from_secs(15);
        let mut turns = async |to: bool| {
            let turned = tokio::time::timeout(within, answers.wait_for(|is| *is == to)).await;
            turned.expect("in time").expect("asked on");
        };
        turns(true).await;
        fake.hold("info");
        turns(false).await;
        fake.release("info");
        turns(true).await;
        fake.go_away();
        turns(false).await;
        fake.come_back();
        turns(true).await;
        tasks.stop(Duration::from_secs(1)).await;
    }
}
