//! Keeps process types as many as their rules ask for: measures, asks `crates/autoscale`, writes where `ps:scale` writes,
//! and says so in the app's log, in the ledger's events and to webhooks.
//!
//! What was measured is in memory only; what was done is read back from the events. So after a restart of the server a
//! need is seen as quickly as before, and nothing goes until enough was measured anew.

mod history;
mod notice;
mod number;
mod prometheus;
mod readings;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ropewalk_autoscale::{Decision, Dynos, Hold, Memory, Moment, Signals, decide};
use ropewalk_logs::Logs;
use ropewalk_model::formation::{FormationError, Quantity};
use ropewalk_model::log_line::LogSource;
use ropewalk_model::scaling::{Settings, Target};
use ropewalk_model::{AppId, AppName, DynoId, DynoState, ProcessType};
use ropewalk_scheduler::{Report, Routes, Scheduler, Usage};
use ropewalk_store::{
    AutoscaleEvent, AutoscaleRule, Formation, FormationChange, NewAutoscaleEvent, Store,
    StoreError, View,
};
use ropewalk_telemetry::Round;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::egress::Egress;
use history::History;
use notice::{Notice, Told};
use number::{Asker, Question};
use readings::Readings;

/// Seconds between two looks at the rules.
const PERIOD: u64 = 2;
/// Seconds between two questions for an app's own number.
const ASKING: u64 = 10;
/// Seconds for which it matters what was done before a restart.
const REMEMBERED: u64 = 3600;
/// Where the clock of seconds begins, so that there is room for what was before.
const BEGINNING: u64 = 86_400;
/// Looks in a row at which CPU and memory of no dyno could be read, after which that is said: one that has just come up is
/// not known everywhere yet.
const BLIND: u32 = 5;
/// Seconds without advice after which the same is news again.
const SILENCE: u64 = 300;
/// Most events of one notice.
const NOTICED: u32 = 100;
/// Answers to questions and outcomes of notices that wait.
const WAITING: usize = 256;

/// What it takes to keep up with rules.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    store: Store,
    logs: Logs,
    routes: Routes,
    scheduler: Scheduler,
    egress: Arc<Egress>,
    asker: Asker,
}

impl Parts {
    pub(super) fn new(
        parts: &super::Parts,
        egress: Egress,
        domain: String,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            store: parts.store.clone(),
            logs: parts.logs.clone(),
            routes: parts.routes.clone(),
            scheduler: parts.scheduler.clone(),
            egress: Arc::new(egress),
            asker: Asker::new(parts.scheduler.clone(), domain)?,
        })
    }
}

/// What comes back from tasks of their own.
enum News {
    Number(Key, String, Result<f64, String>),
    Told(Told),
}

/// The second that it is, `began` being the start.
fn second(began: Instant) -> u64 {
    BEGINNING + began.elapsed().as_secs()
}

/// Passes reports on with the second in which they came; `None` where some were missed. Not in the loop itself, which may be
/// busy for a second: what came late would look like a burst.
fn listen(routes: &Routes, began: Instant) -> mpsc::Receiver<Option<(u64, Report)>> {
    let mut traffic = routes.traffic();
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            let report = match traffic.recv().await {
                Ok(report) => Some((second(began), report)),
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
            };
            if sender.send(report).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Measures every second and decides every [`PERIOD`], until `shutdown`.
pub(super) async fn keep(parts: Parts, shutdown: CancellationToken) -> Result<(), Infallible> {
    let began = Instant::now();
    let mut autoscaler = Autoscaler::new(parts.store, parts.logs);
    let mut reports = listen(&parts.routes, began);
    let (sender, mut news) = mpsc::channel(WAITING);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = 0;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            report = reports.recv() => match report {
                Some(Some((second, report))) => autoscaler.hear(&report, second),
                Some(None) => autoscaler.forget_traffic(),
                None => return Ok(()),
            },
            Some(news) = news.recv() => match news {
                News::Number(key, name, answer) => autoscaler.note(key, &name, answer, second(began)),
                News::Told(told) => autoscaler.told(told).await,
            },
            _ = seconds.tick() => {
                let now = second(began);
                // Who has no traffic is not reported, so without a router nothing is known of anybody.
                if !parts.routes.routers().is_empty() {
                    autoscaler.close_second(now);
                }
                if now < next {
                    continue;
                }
                next = now + PERIOD;
                let round = Round::begin(Duration::from_secs(PERIOD));
                let subjects = autoscaler.look(now).await;
                let dynos = measured(&subjects);
                if !dynos.is_empty() {
                    let usage = parts.scheduler.usage_of(&dynos).await;
                    autoscaler.note_usage(&subjects, &usage, began.elapsed(), now);
                }
                if autoscaler.judge_all(&subjects, now).await {
                    parts.scheduler.changed();
                }
                for (key, question) in autoscaler.questions(&subjects, now) {
                    let (asker, sender) = (parts.asker.clone(), sender.clone());
                    tokio::spawn(async move {
                        let answer = asker.ask(&question).await;
                        let _ = sender.send(News::Number(key, question.name, answer)).await;
                    });
                }
                for notice in autoscaler.notices(&subjects) {
                    let (egress, sender) = (parts.egress.clone(), sender.clone());
                    tokio::spawn(async move {
                        let told = notice.tell(egress).await;
                        let _ = sender.send(News::Told(told)).await;
                    });
                }
                round.end(Ok::<_, Infallible>(()));
            }
        }
    }
}

/// A process type of an app.
type Key = (AppId, ProcessType);

/// Every process type with an active rule, and what is known of it.
#[derive(Debug)]
struct Autoscaler {
    store: Store,
    logs: Logs,
    /// Of apps whose web dynos have a rule.
    traffic: HashMap<AppId, History>,
    watched: HashMap<Key, Watched>,
    /// Rules whose webhook is being told.
    telling: HashSet<Uuid>,
}

#[derive(Debug, Default)]
struct Watched {
    readings: Readings,
    memory: Memory,
    /// As it was at the last look.
    hold: Hold,
    /// When it was last said that the host has no room for more.
    full: Option<u64>,
    /// When its rule was last changed.
    changed: Option<Timestamp>,
    /// What a dry run said last, and when it last would have said so.
    advised: Option<(u32, u64)>,
    /// When its own numbers were last asked for.
    asked: Option<u64>,
    turn: usize,
    /// Its own numbers that are being asked for.
    pending: HashSet<String>,
    /// Those that could not be had.
    failing: HashSet<String>,
    /// Looks in a row at which nothing of any ready dyno could be read.
    blind: u32,
}

/// A rule and how its process type is now.
#[derive(Debug)]
struct Subject {
    rule: AutoscaleRule,
    app_name: AppName,
    /// What is wanted; `None` for a process type that no release has.
    wanted: Option<u32>,
    hold: Hold,
    /// Dynos that are up, with the bytes of memory that each may use.
    ready: Vec<(DynoId, u64)>,
    /// Not told yet, and due.
    untold: Vec<AutoscaleEvent>,
}

impl Subject {
    fn key(&self) -> Key {
        (self.rule.app, self.rule.process_type.clone())
    }

    fn settings(&self) -> &Settings {
        &self.rule.settings
    }

    fn is_measured(&self) -> bool {
        let mut targets = self.settings().rule().targets().iter();
        targets.any(|target| matches!(target, Target::Cpu { .. } | Target::Memory { .. }))
    }

    fn dynos(&self) -> Option<Dynos> {
        let wanted = self.wanted?;
        let ready = u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        Some(Dynos {
            wanted,
            // Those that are about to stop are of no use.
            ready: ready.min(wanted),
            hold: self.hold,
        })
    }
}

impl Autoscaler {
    fn new(store: Store, logs: Logs) -> Self {
        Self {
            store,
            logs,
            traffic: HashMap::new(),
            watched: HashMap::new(),
            telling: HashSet::new(),
        }
    }

    fn hear(&mut self, report: &Report, now: u64) {
        for (app, history) in &mut self.traffic {
            if let Some(stats) = report.get(app) {
                history.add(stats, now);
            }
        }
    }

    fn close_second(&mut self, now: u64) {
        for history in self.traffic.values_mut() {
            history.close(now);
        }
    }

    fn forget_traffic(&mut self) {
        for history in self.traffic.values_mut() {
            *history = History::default();
        }
    }

    /// All that rules are about, as it is now.
    async fn look(&mut self, now: u64) -> Vec<Subject> {
        let known: HashSet<Key> = self.watched.keys().cloned().collect();
        let looked = self
            .store
            .read(move |view| {
                let subjects = subjects(view)?;
                let mut pasts = HashMap::new();
                for subject in &subjects {
                    if !known.contains(&subject.key()) {
                        let past = past(view, &subject.rule)?;
                        pasts.insert(subject.key(), past);
                    }
                }
                Ok((subjects, pasts))
            })
            .await;
        let (subjects, pasts) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                tracing::warn!(%error, "The autoscale rules could not be read.");
                return Vec::new();
            }
        };
        let active: HashSet<Key> = subjects.iter().map(Subject::key).collect();
        self.watched.retain(|key, _| active.contains(key));
        for (key, past) in pasts {
            self.watched.insert(key, Watched::recalled(&past, now));
        }
        let web: HashSet<AppId> = active
            .iter()
            .filter(|(_, process_type)| process_type.is_web())
            .map(|(app, _)| *app)
            .collect();
        self.traffic.retain(|app, _| web.contains(app));
        for app in web {
            self.traffic.entry(app).or_default();
        }
        subjects
    }

    fn note_usage(
        &mut self,
        subjects: &[Subject],
        usage: &BTreeMap<DynoId, Usage>,
        at: Duration,
        now: u64,
    ) {
        let mut blind = Vec::new();
        for subject in subjects.iter().filter(|subject| subject.is_measured()) {
            let quota: BTreeMap<DynoId, u64> = subject.ready.iter().copied().collect();
            let own = usage.iter().filter(|(dyno, _)| quota.contains_key(dyno));
            let own: BTreeMap<_, _> = own.map(|(dyno, usage)| (*dyno, *usage)).collect();
            if let Some(watched) = self.watched.get_mut(&subject.key()) {
                watched.readings.note_usage(&own, &quota, at, now);
                watched.blind = match own.is_empty() && !quota.is_empty() {
                    true => watched.blind.saturating_add(1),
                    false => 0,
                };
                if watched.blind == BLIND {
                    blind.push(subject.key());
                }
            }
        }
        for (app, process_type) in blind {
            let text = format!("Autoscale cannot read CPU and memory of {process_type}");
            self.say(app, &text);
        }
    }

    /// One decision for each. Whether something was scaled.
    async fn judge_all(&mut self, subjects: &[Subject], now: u64) -> bool {
        let mut scaled = false;
        for subject in subjects {
            scaled |= self.judge(subject, now).await;
        }
        scaled
    }

    async fn judge(&mut self, subject: &Subject, now: u64) -> bool {
        let key = subject.key();
        let watched = self.watched.entry(key.clone()).or_default();
        let before = std::mem::replace(&mut watched.hold, subject.hold);
        let changed = watched.changed.replace(subject.rule.updated_at);
        if changed.is_some_and(|changed| changed != subject.rule.updated_at) {
            // What another rule said is no reason to be silent.
            watched.advised = None;
        }
        let Some(dynos) = subject.dynos().filter(|dynos| dynos.hold != Hold::Still) else {
            watched.memory.unsettled(now);
            return false;
        };
        if before == Hold::NoFewer && dynos.hold == Hold::Free {
            // Dynos of another release are judged by what they do themselves.
            watched.memory.unsettled(now);
        }
        watched.memory.saw(&dynos, now);
        let traffic = self.traffic.get_mut(&key.0).filter(|_| key.1.is_web());
        let readings = watched.readings.all();
        let signals = Signals {
            traffic: traffic.map_or(&[], |history| history.samples()),
            readings: &readings,
        };
        let moment = Moment {
            second: now,
            wall: Timestamp::now(),
        };
        let rule = subject.settings().rule();
        let decision = decide(rule, &signals, &dynos, &watched.memory, &moment);
        watched.memory.judged(&decision, now);
        if watched.is_news(decision.advice(), now) {
            if let Err(error) = advise(&self.store, &subject.rule, &decision).await {
                tracing::warn!(app = %key.0, %error, "An advice could not be kept.");
            }
            self.say(key.0, &advised(&key.1, &decision));
            return false;
        }
        let Some(quantity) = decision.change() else {
            return false;
        };
        let mut decision = decision;
        let mut applied = apply(&self.store, &subject.rule, &decision, quantity).await;
        let mut full_now = None;
        if let Err(StoreError::Formation(full @ FormationError::Full { most, .. })) = &applied {
            let (most, text) = (*most, full.to_string());
            if watched
                .full
                .is_none_or(|last| now.saturating_sub(last) >= SILENCE)
            {
                watched.full = Some(now);
                full_now = Some(format!("Autoscale cannot go on: {text}"));
            }
            applied = match most > decision.from {
                // As far as it goes.
                true => {
                    decision.to = most;
                    apply(&self.store, &subject.rule, &decision, most).await
                }
                false => Ok(None),
            };
        }
        if matches!(applied, Ok(Some(_))) {
            watched.memory.done(&decision, now);
        }
        if let Some(text) = full_now {
            self.say(key.0, &text);
        }
        match applied {
            Ok(Some(row)) => {
                self.say(key.0, &scaled(&row, &decision));
                true
            }
            // Somebody was quicker.
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(app = %key.0, %error, "An app could not be scaled.");
                false
            }
        }
    }

    /// Own numbers that are due.
    fn questions(&mut self, subjects: &[Subject], now: u64) -> Vec<(Key, Question)> {
        let mut questions = Vec::new();
        for subject in subjects {
            let sources = subject.settings().sources();
            let Some(watched) = self.watched.get_mut(&subject.key()) else {
                continue;
            };
            let due = watched.asked.is_none_or(|asked| now >= asked + ASKING);
            if sources.is_empty() || subject.ready.is_empty() || !due {
                continue;
            }
            watched.asked = Some(now);
            watched.turn = watched.turn.wrapping_add(1);
            for (name, source) in sources {
                if watched.pending.insert(name.as_str().to_owned()) {
                    let question = Question {
                        app: subject.app_name.clone(),
                        name: name.as_str().to_owned(),
                        source: source.clone(),
                        dynos: subject.ready.iter().map(|(dyno, _)| *dyno).collect(),
                        turn: watched.turn,
                    };
                    questions.push((subject.key(), question));
                }
            }
        }
        questions
    }

    /// Takes an answer, and says once that there is none, and once that there is again.
    fn note(&mut self, key: Key, name: &str, answer: Result<f64, String>, now: u64) {
        let Some(watched) = self.watched.get_mut(&key) else {
            return;
        };
        watched.pending.remove(name);
        let text = match answer {
            Ok(number) => {
                watched.readings.note_own(name, number, now);
                if !watched.failing.remove(name) {
                    return;
                }
                format!("Autoscale reads {name} of {} again", key.1)
            }
            Err(why) => {
                if !watched.failing.insert(name.to_owned()) {
                    return;
                }
                format!("Autoscale cannot read {name} of {}: {why}", key.1)
            }
        };
        self.say(key.0, &text);
    }

    /// Those that are due, each once at a time.
    fn notices(&mut self, subjects: &[Subject]) -> Vec<Notice> {
        let due = subjects.iter().filter(|subject| !subject.untold.is_empty());
        let due = due.filter_map(|subject| {
            let webhook = subject.rule.webhook.clone()?;
            self.telling.insert(subject.rule.id).then(|| Notice {
                rule: subject.rule.id,
                app: subject.rule.app,
                app_name: subject.app_name.clone(),
                process_type: subject.rule.process_type.to_string(),
                webhook,
                events: subject.untold.clone(),
            })
        });
        due.collect()
    }

    async fn told(&mut self, told: Told) {
        let (rule, now) = (told.rule, Timestamp::now());
        let newest = told.outcome.as_ref().ok().copied();
        let noted = self
            .store
            .write(move |tx| tx.told_autoscale(rule, newest, now))
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "It could not be kept that a webhook was told.");
        }
        self.telling.remove(&rule);
        if let Err(why) = told.outcome {
            let text = format!(
                "Autoscale could not tell the webhook of {}: {why}",
                told.process_type
            );
            self.say(told.app, &text);
        }
    }

    fn say(&self, app: AppId, text: &str) {
        let now = Timestamp::now();
        self.logs
            .append(app, now, LogSource::App, "api", text.as_bytes());
    }
}

impl Watched {
    /// With what was done before this run of the server.
    fn recalled(past: &[AutoscaleEvent], now: u64) -> Self {
        let mut watched = Self::default();
        let wall = Timestamp::now();
        for event in past {
            let age = wall.as_second().saturating_sub(event.at.as_second());
            let Some(age) = u64::try_from(age).ok().filter(|age| *age < REMEMBERED) else {
                continue;
            };
            if event.applied {
                let at = now.saturating_sub(age);
                watched.memory.recall(event.from, event.to, event.panic, at);
            }
            watched.advised = (!event.applied).then_some((event.to, now));
        }
        watched
    }

    /// Whether an advice is to be said: not the same again, unless there was none for long.
    fn is_news(&mut self, advice: Option<u32>, now: u64) -> bool {
        let said = self
            .advised
            .filter(|(_, last)| now.saturating_sub(*last) < SILENCE);
        let Some(to) = advice else {
            self.advised = said;
            return false;
        };
        self.advised = Some((to, now));
        said.is_none_or(|(before, _)| before != to)
    }
}

/// Ready dynos whose use of CPU and memory is wanted.
fn measured(subjects: &[Subject]) -> Vec<DynoId> {
    let wanted = subjects.iter().filter(|subject| subject.is_measured());
    let ready = wanted.flat_map(|subject| subject.ready.iter());
    ready.map(|(dyno, _)| *dyno).collect()
}

fn subjects(view: &View<'_>) -> ropewalk_store::Result<Vec<Subject>> {
    let rules = view.active_autoscale_rules()?;
    rules.into_iter().map(|rule| subject(view, rule)).collect()
}

fn subject(view: &View<'_>, rule: AutoscaleRule) -> ropewalk_store::Result<Subject> {
    let app = view.app(rule.app)?;
    let (wanted, hold) = current(view, &rule)?;
    let dynos = view.dynos(app.id)?;
    let ready = dynos.into_iter().filter(|dyno| {
        dyno.name.process_type == rule.process_type
            && !dyno.one_off
            && dyno.retire.is_none()
            && dyno.state == DynoState::Up
            && dyno.release_version == app.current_version
    });
    let ready = ready
        .map(|dyno| (dyno.id, dyno.size.memory_mib << 20))
        .collect();
    let untold = match rule.webhook.is_some() && is_due(&rule) {
        true => {
            view.autoscale_events_since(rule.app, &rule.process_type, rule.told_event, NOTICED)?
        }
        false => Vec::new(),
    };
    Ok(Subject {
        app_name: app.name,
        wanted,
        hold,
        ready,
        untold,
        rule,
    })
}

/// What is wanted of a process type, and what may be done to it.
fn current(view: &View<'_>, rule: &AutoscaleRule) -> ropewalk_store::Result<(Option<u32>, Hold)> {
    let app = view.app(rule.app)?;
    let settings = view.dyno_settings(app.id)?;
    // Nobody is served, or there is nothing to scale.
    let still = app.maintenance
        || view.app_sleep(app.id)?.is_some()
        || settings.most(&rule.process_type).is_some();
    let hold = match (still, app.candidate_version) {
        (true, _) => Hold::Still,
        // A release command may run for an hour; who comes meanwhile is not left waiting.
        (false, Some(_)) => Hold::NoFewer,
        (false, None) => Hold::Free,
    };
    let formation = view.formation(app.id)?;
    let row = formation
        .iter()
        .find(|row| row.process_type == rule.process_type);
    Ok((row.map(|row| row.quantity), hold))
}

/// Whether a notice may be sent again.
fn is_due(rule: &AutoscaleRule) -> bool {
    let Some(told_at) = rule.told_at else {
        return true;
    };
    let since = Timestamp::now().as_second() - told_at.as_second();
    // A clock that was set back must not silence it for long.
    since < 0 || since >= i64::from(rule.notice_period) * 60
}

/// What was decided for a process type, of as far back as it matters.
fn past(view: &View<'_>, rule: &AutoscaleRule) -> ropewalk_store::Result<Vec<AutoscaleEvent>> {
    let mut events = view.autoscale_events(rule.app)?;
    events.retain(|event| event.process_type == rule.process_type);
    Ok(events)
}

/// Writes the quantity, unless something changed since it was thought of.
async fn apply(
    store: &Store,
    rule: &AutoscaleRule,
    decision: &Decision,
    quantity: u32,
) -> ropewalk_store::Result<Option<Formation>> {
    let (rule, from) = (rule.clone(), decision.from);
    let event = event(&rule, decision, true);
    store
        .write(move |tx| {
            let known = tx.autoscale_rule(rule.app, &rule.process_type)?;
            let same =
                known.is_some_and(|known| known.is_active && known.settings == rule.settings);
            let (wanted, hold) = current(tx, &rule)?;
            let may = match hold {
                Hold::Free => true,
                Hold::NoFewer => quantity > from,
                Hold::Still => false,
            };
            if !same || !may || wanted != Some(from) {
                return Ok(None);
            }
            let change = FormationChange {
                process_type: rule.process_type.clone(),
                quantity: Some(Quantity::Set(quantity)),
                size: None,
            };
            let rows = tx.scale(rule.app, &[change], event.at)?;
            tx.add_autoscale_event(&event)?;
            Ok(rows
                .into_iter()
                .find(|row| row.process_type == rule.process_type))
        })
        .await
}

/// Keeps what a dry run says.
async fn advise(
    store: &Store,
    rule: &AutoscaleRule,
    decision: &Decision,
) -> ropewalk_store::Result<()> {
    let event = event(rule, decision, false);
    store
        .write(move |tx| {
            tx.app(event.app)?;
            tx.add_autoscale_event(&event)
        })
        .await
}

fn event(rule: &AutoscaleRule, decision: &Decision, applied: bool) -> NewAutoscaleEvent {
    NewAutoscaleEvent {
        app: rule.app,
        process_type: rule.process_type.clone(),
        at: Timestamp::now(),
        from: decision.from,
        to: decision.to,
        applied,
        panic: decision.panic,
        reason: decision.reason.to_string(),
    }
}

fn scaled(row: &Formation, decision: &Decision) -> String {
    format!(
        "Scaled to {}@{}:{} by autoscale ({})",
        row.process_type, row.quantity, row.size.name, decision.reason
    )
}

fn advised(process_type: &ProcessType, decision: &Decision) -> String {
    format!(
        "Autoscale advises {process_type}@{} instead of {} ({})",
        decision.to, decision.from, decision.reason
    )
}

#[cfg(test)]
mod tests;
