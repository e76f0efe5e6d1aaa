//! Keeps apps' web dynos as many as their monitors ask for: measures, asks, writes where `ps:scale` writes.
//!
//! What was measured is in memory only. After a restart of the server a step up takes half a minute, one down five.

mod history;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ropewalk_autoscale::{Decision, Dynos, Memory, Moment, Rule, Signals, decide};
use ropewalk_logs::Logs;
use ropewalk_model::AppId;
use ropewalk_model::formation::Quantity;
use ropewalk_model::log_line::LogSource;
use ropewalk_scheduler::{Report, Routes, Scheduler};
use ropewalk_store::{Formation, FormationChange, Monitor, Store, View};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use history::History;

/// Seconds between two looks at the monitors.
const PERIOD: u64 = 10;

/// Measures every second and decides every [`PERIOD`], until `shutdown`.
pub(super) async fn keep(
    store: Store,
    logs: Logs,
    routes: Routes,
    scheduler: Scheduler,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let began = Instant::now();
    let mut autoscaler = Autoscaler::new(store, logs);
    let mut traffic = routes.traffic();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = 0;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            report = traffic.recv() => match report {
                Ok(report) => autoscaler.hear(&report, began.elapsed().as_secs()),
                Err(RecvError::Lagged(_)) => autoscaler.forget_traffic(),
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = seconds.tick() => {
                let now = began.elapsed().as_secs();
                // Who has no traffic is not reported, so without a router nothing is known of anybody.
                if !routes.routers().is_empty() {
                    autoscaler.close_second(now);
                }
                if now >= next {
                    next = now + PERIOD;
                    if autoscaler.step(now).await {
                        scheduler.changed();
                    }
                }
            }
        }
    }
}

/// Every app with an active monitor, and what is known of it.
#[derive(Debug)]
struct Autoscaler {
    store: Store,
    logs: Logs,
    watched: HashMap<AppId, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    history: History,
    memory: Memory,
}

/// A monitor and how its process type is now.
#[derive(Debug)]
struct Subject {
    monitor: Monitor,
    /// `None` while it is left alone: a release is on its way, maintenance is on, or there is nothing to scale.
    current: Option<u32>,
}

impl Autoscaler {
    fn new(store: Store, logs: Logs) -> Self {
        Self {
            store,
            logs,
            watched: HashMap::new(),
        }
    }

    fn hear(&mut self, report: &Report, now: u64) {
        for (app, watched) in &mut self.watched {
            if let Some(stats) = report.get(app) {
                watched.history.add(stats, now);
            }
        }
    }

    fn close_second(&mut self, now: u64) {
        for watched in self.watched.values_mut() {
            watched.history.close(now);
        }
    }

    fn forget_traffic(&mut self) {
        for watched in self.watched.values_mut() {
            watched.history = History::default();
        }
    }

    /// One look at all monitors. Whether something was scaled.
    async fn step(&mut self, now: u64) -> bool {
        let subjects = match self.store.read(subjects).await {
            Ok(subjects) => subjects,
            Err(error) => {
                tracing::warn!(%error, "The monitors could not be read.");
                return false;
            }
        };
        let active: HashSet<AppId> = subjects.iter().map(|subject| subject.monitor.app).collect();
        self.watched.retain(|app, _| active.contains(app));
        let mut scaled = false;
        for subject in subjects {
            scaled |= self.judge(subject, now).await;
        }
        scaled
    }

    async fn judge(&mut self, subject: Subject, now: u64) -> bool {
        let monitor = subject.monitor;
        let watched = self.watched.entry(monitor.app).or_default();
        let Some(current) = subject.current else {
            watched.memory.unsettled(now);
            return false;
        };
        let dynos = Dynos::ready(current);
        watched.memory.saw(&dynos, now);
        let signals = Signals {
            traffic: watched.history.samples(),
            readings: &[],
        };
        let moment = Moment {
            second: now,
            wall: Timestamp::now(),
        };
        let rule = Rule::from(monitor.rule);
        let decision = decide(&rule, &signals, &dynos, &watched.memory, &moment);
        watched.memory.judged(&decision, now);
        let Some(quantity) = decision.change() else {
            return false;
        };
        let app = monitor.app;
        match apply(&self.store, monitor, current, quantity).await {
            Ok(Some(row)) => {
                watched.memory.done(&decision, now);
                say(&self.logs, app, &row, &decision);
                true
            }
            // Somebody was quicker.
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%app, %error, "An app could not be scaled.");
                false
            }
        }
    }
}

fn subjects(view: &View<'_>) -> ropewalk_store::Result<Vec<Subject>> {
    view.active_monitors()?
        .into_iter()
        .map(|monitor| {
            Ok(Subject {
                current: current(view, &monitor)?,
                monitor,
            })
        })
        .collect()
}

/// What is wanted of a process type that may be scaled now.
fn current(view: &View<'_>, monitor: &Monitor) -> ropewalk_store::Result<Option<u32>> {
    let app = view.app(monitor.app)?;
    if app.maintenance || app.candidate_version.is_some() {
        return Ok(None);
    }
    let formation = view.formation(app.id)?;
    Ok(formation
        .iter()
        .find(|row| row.process_type == monitor.process_type)
        .map(|row| row.quantity))
}

/// Writes the quantity, unless something changed since it was thought of.
async fn apply(
    store: &Store,
    monitor: Monitor,
    before: u32,
    quantity: u32,
) -> ropewalk_store::Result<Option<Formation>> {
    store
        .write(move |tx| {
            let same = tx
                .active_monitors()?
                .iter()
                .any(|known| known.id == monitor.id && known.rule == monitor.rule);
            if !same || current(tx, &monitor)? != Some(before) {
                return Ok(None);
            }
            let change = FormationChange {
                process_type: monitor.process_type.clone(),
                quantity: Some(Quantity::Set(quantity)),
                size: None,
            };
            let rows = tx.scale(monitor.app, &[change], Timestamp::now())?;
            Ok(rows
                .into_iter()
                .find(|row| row.process_type == monitor.process_type))
        })
        .await
}

fn say(logs: &Logs, app: AppId, row: &Formation, decision: &Decision) {
    let text = format!(
        "Scaled to {}@{}:{} by autoscale ({})",
        row.process_type, row.quantity, row.size.name, decision.reason
    );
    logs.append(
        app,
        Timestamp::now(),
        LogSource::App,
        "api",
        text.as_bytes(),
    );
}

#[cfg(test)]
mod tests;
