//! The loop: asks about every certificate that is served, when it is time to, and keeps what was answered.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_logs::Logs;
use ropewalk_model::log_line::LogSource;
use ropewalk_model::{AppId, Egress};
use ropewalk_telemetry::{Round, Shutdown};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::answer::{self, Answer, Verdict};
use crate::fetch::{Fetcher, Timing};
use crate::folder::{Folder, Name};
use crate::plan;
use crate::status::Status;
use crate::subject::Subject;

/// Longest time between two looks at what is due.
const PERIOD: Duration = Duration::from_secs(60);
/// Questions under way at the same time.
const MOST: usize = 4;

/// What it takes.
#[derive(Debug)]
pub struct Parts {
    /// Where answers are kept; it may be lost.
    pub folder: PathBuf,
    pub logs: Logs,
    pub egress: Egress,
    pub timing: Timing,
}

/// A certificate that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// PEM, the server's own certificate first.
    pub chain: String,
    pub hosts: Vec<String>,
    /// Whose log tells of what is wrong; without one only the server's own does.
    pub app: Option<AppId>,
}

/// What goes to clients with a handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct Staple {
    /// DER.
    pub answer: Arc<Vec<u8>>,
    /// Not any more from then on.
    pub until: Timestamp,
}

impl fmt::Debug for Staple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staple")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// What authorities say about the certificates of an installation. Clones are the same one.
#[derive(Clone)]
pub struct Staples(Arc<Inner>);

struct Inner {
    folder: Folder,
    logs: Logs,
    fetcher: Fetcher,
    known: Mutex<HashMap<Name, Known>>,
    /// What is served changed.
    served: Notify,
    /// What is given out changed.
    changed: Notify,
}

/// A certificate that is served, and what is known of it.
struct Known {
    served: Served,
    subject: Arc<Subject>,
    held: Option<Held>,
    due: Timestamp,
    is_asked: bool,
    failures: u32,
    /// Of the last try.
    why: Option<String>,
    told: Option<Timestamp>,
}

struct Held {
    answer: Answer,
    bytes: Arc<Vec<u8>>,
}

impl fmt::Debug for Staples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Staples")
    }
}

impl Staples {
    /// Nobody is asked before [`Self::run`].
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            folder: Folder::new(&parts.folder),
            logs: parts.logs,
            fetcher: Fetcher::new(parts.egress, parts.timing),
            known: Mutex::default(),
            served: Notify::new(),
            changed: Notify::new(),
        }))
    }

    /// What is served now, all of it. Answers that were kept about it are there at once, those about others are
    /// forgotten.
    pub async fn serve(&self, served: Vec<Served>) {
        let this = self.clone();
        let taken = tokio::task::spawn_blocking(move || this.0.take(served)).await;
        if let Err(error) = taken {
            tracing::error!(%error, "What is served could not be looked through for whom to ask about it.");
        }
    }

    /// What clients of a chain get, if there is an answer that holds.
    pub fn staple(&self, chain: &str, now: Timestamp) -> Option<Staple> {
        let known = self.0.lock();
        let held = known.get(&Name::of(chain))?.held.as_ref()?;
        (held.answer.verdict == Verdict::Good && held.answer.until > now).then(|| Staple {
            answer: Arc::clone(&held.bytes),
            until: held.answer.until,
        })
    }

    /// How it is with a chain, `None` of what is not served.
    pub fn status(&self, chain: &str, now: Timestamp) -> Option<Status> {
        let known = self.0.lock();
        known.get(&Name::of(chain)).map(|known| known.status(now))
    }

    /// Waits until what [`Self::staple`] gives is another.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Works until `shutdown`. To be run once at a time.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut tasks = JoinSet::new();
        // Whoever is asked by a run that broke off is asked again.
        self.0
            .lock()
            .values_mut()
            .for_each(|known| known.is_asked = false);
        while !shutdown.is_cancelled() {
            let now = Timestamp::now();
            let round = Round::begin(PERIOD);
            let wait = self.begin(&mut tasks, now);
            self.0.tell(now);
            round.end(Ok::<_, std::convert::Infallible>(()));
            tokio::select! {
                () = self.0.served.notified() => {}
                Some(ended) = tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "A question about a certificate broke off.");
                },
                () = sleep(wait.min(PERIOD)) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Asks what is due, and tells how long nothing is.
    fn begin(&self, tasks: &mut JoinSet<()>, now: Timestamp) -> Duration {
        let mut known = self.0.lock();
        let mut waiting: Vec<(&Name, &mut Known)> = known
            .iter_mut()
            .filter(|(_, known)| known.subject.asked().is_some() && !known.is_asked)
            .collect();
        waiting.sort_by_key(|(_, known)| known.due);
        for (name, known) in waiting {
            if known.due > now {
                return Duration::try_from(known.due.duration_since(now)).unwrap_or(PERIOD);
            }
            if tasks.len() >= MOST {
                break;
            }
            known.is_asked = true;
            let (this, name) = (self.clone(), name.clone());
            let subject = Arc::clone(&known.subject);
            tasks.spawn(async move { this.0.ask(&name, &subject).await });
        }
        PERIOD
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks on the disk.
    fn take(&self, served: Vec<Served>) {
        let now = Timestamp::now();
        let mut news = HashMap::new();
        for one in served {
            let name = Name::of(&one.chain);
            let is_known = self.lock().contains_key(&name);
            let fresh = match is_known {
                true => None,
                false => self.fresh(&name, one.clone(), now),
            };
            news.insert(name, (one, fresh));
        }
        let mut known = self.lock();
        known.retain(|name, _| news.contains_key(name));
        let mut has_new = false;
        for (name, (served, fresh)) in news {
            match (known.get_mut(&name), fresh) {
                (Some(known), _) => known.served = served,
                (None, Some(fresh)) => {
                    has_new = true;
                    known.insert(name, fresh);
                }
                (None, None) => {}
            }
        }
        let names: HashSet<Name> = known.keys().cloned().collect();
        drop(known);
        if has_new {
            self.served.notify_one();
        }
        if let Err(error) = self.folder.retain(&names) {
            tracing::warn!(%error, "Old answers about certificates could not be removed.");
        }
    }

    /// `None` of what is no chain: it is not served either.
    fn fresh(&self, name: &Name, served: Served, now: Timestamp) -> Option<Known> {
        let subject = Subject::of(&served.chain).ok()?;
        let held = subject.asked().and_then(|asked| {
            let bytes = self.folder.read(name).unwrap_or_else(|error| {
                tracing::warn!(%error, "A kept answer about a certificate could not be read.");
                None
            })?;
            let answer = answer::check(&bytes, asked, now).ok()?;
            let bytes = Arc::new(bytes);
            Some(Held { answer, bytes })
        });
        let due = match &held {
            Some(held) => plan::after(&held.answer, now, rand::random()),
            None => now,
        };
        Some(Known {
            served,
            subject: Arc::new(subject),
            held,
            due,
            is_asked: false,
            failures: 0,
            why: None,
            told: None,
        })
    }

    async fn ask(&self, name: &Name, subject: &Subject) {
        let Some(asked) = subject.asked() else {
            return;
        };
        let fetched = self.fetcher.fetch(asked).await;
        let now = Timestamp::now();
        let judged = match fetched {
            Ok(bytes) => answer::check(&bytes, asked, now)
                .map(|answer| (answer, bytes))
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Ok((_, bytes)) = &judged {
            let (folder, name, bytes) = (self.folder.clone(), name.clone(), bytes.clone());
            let kept = tokio::task::spawn_blocking(move || folder.write(&name, &bytes)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(%error, "An answer about a certificate could not be kept on disk.");
            }
        }
        let mut known = self.lock();
        let Some(known) = known.get_mut(name) else {
            return;
        };
        known.is_asked = false;
        match judged {
            Ok((answer, bytes)) => {
                tracing::debug!(hosts = ?known.served.hosts, until = %answer.until, "An authority told of a certificate.");
                known.failures = 0;
                known.why = None;
                known.due = plan::after(&answer, now, rand::random());
                let bytes = Arc::new(bytes.to_vec());
                known.held = Some(Held { answer, bytes });
                self.changed.notify_one();
            }
            // The last answer stays while it holds.
            Err(why) => {
                tracing::warn!(hosts = ?known.served.hosts, why, "An authority did not tell of a certificate.");
                known.failures = known.failures.saturating_add(1);
                known.why = Some(why);
                known.due = plan::retry(known.failures, now, rand::random());
            }
        }
    }

    /// Once a day, of what clients refuse.
    fn tell(&self, now: Timestamp) {
        for known in self.lock().values_mut() {
            let Some(trouble) = known.status(now).trouble() else {
                known.told = None;
                continue;
            };
            if !plan::is_due(known.told, now) {
                continue;
            }
            known.told = Some(now);
            let hosts = known.served.hosts.join(", ");
            tracing::error!(hosts, "Warning: {trouble}.");
            if let Some(app) = known.served.app {
                let text = format!("Warning: {hosts}: {trouble}");
                self.logs
                    .append(app, now, LogSource::App, "api", text.as_bytes());
            }
        }
    }
}

impl Known {
    fn status(&self, now: Timestamp) -> Status {
        let answer = self.held.as_ref().map(|held| &held.answer);
        Status::of(&self.subject, answer, self.why.as_deref(), now)
    }
}
