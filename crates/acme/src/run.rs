//! The loop: read the ledger, plan, act; on every signal and now and then.
//!
//! It takes no input and retries nothing: what an order could not do, a later look sees again. Orders run beside it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_logs::Logs;
use ropewalk_model::AppId;
use ropewalk_model::acm::{AcmStatus, Outcome};
use ropewalk_model::log_line::LogSource;
use ropewalk_store::{AcmDomain, AcmeOrder, NewSniEndpoint, PlatformCertificate, Store};
use ropewalk_telemetry::{Round, Shutdown};
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use uuid::Uuid;

use crate::answers::{Answers, Front};
use crate::authority::Authority;
use crate::certificate::{self, Said};
use crate::hook::Hook;
use crate::order::{self, Issued, Job, Means};
use crate::plan::{self, Action, Asked, Held, MEMORY, Order, Policy, Seen, Served, Wanted, plan};
use crate::platform::{self, Name, Names};
use crate::settings::Settings;

/// Longest time between two looks.
const PERIOD: Duration = Duration::from_secs(20);
/// Between two times that old orders are forgotten.
const FORGET: Duration = Duration::from_secs(60 * 60);

/// What it takes to get certificates.
pub struct Parts {
    pub store: Store,
    pub logs: Logs,
    pub front: Arc<dyn Front>,
    pub settings: Settings,
    pub policy: Policy,
    /// The platform's domain, where its own names below it are to have certificates too.
    pub platform: Option<String>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("settings", &self.settings)
            .field("policy", &self.policy)
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

/// Gets and renews the certificates of an installation. Clones are the same one.
#[derive(Clone)]
pub struct Acme(Arc<Inner>);

struct Inner {
    logs: Logs,
    front: Arc<dyn Front>,
    policy: Policy,
    platform: Option<String>,
    /// Whoever starts the server asks for new tries for the platform's own names.
    began: Timestamp,
    means: Means,
    changed: Notify,
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acme")
    }
}

/// What the loop remembers; all of it may be lost.
#[derive(Default)]
struct Memory {
    tasks: JoinSet<Done>,
    /// Names of orders under way.
    in_flight: HashMap<Id, String>,
    /// By endpoint, and when the certificate in it was put there.
    windows: HashMap<Uuid, (Timestamp, Asked)>,
    /// By domain.
    warned: HashMap<Uuid, Timestamp>,
    /// How far it is with the platform's own names.
    told: HashMap<Uuid, (Option<AcmStatus>, Option<String>)>,
}

/// A certificate that serves a name now.
struct Serving {
    chain: String,
    since: Timestamp,
}

enum Done {
    Order,
    Window {
        endpoint: Uuid,
        since: Timestamp,
        asked: Asked,
    },
}

impl Acme {
    /// Nothing is ordered before [`Self::run`].
    pub fn new(parts: Parts) -> Result<Self, rustls::Error> {
        let hook = parts.settings.hook.clone().map(|program| Hook { program });
        let policy = Policy {
            dns: hook.is_some(),
            ..parts.policy
        };
        let means = Means {
            authority: Arc::new(Authority::new(parts.settings, parts.store.clone())?),
            answers: Arc::new(Answers::new(Arc::clone(&parts.front))),
            store: parts.store,
            hook,
        };
        Ok(Self(Arc::new(Inner {
            logs: parts.logs,
            front: parts.front,
            policy,
            platform: parts.platform,
            began: Timestamp::now(),
            means,
            changed: Notify::new(),
        })))
    }

    /// Domains that want certificates changed: look again. Never waits.
    pub fn changed(&self) {
        self.0.changed.notify_one();
    }

    /// Works until `shutdown`; orders under way are then left. To be run once at a time.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut memory = Memory::default();
        let mut forgot = None;
        while !shutdown.is_cancelled() {
            let round = Round::begin(PERIOD);
            let looked = self.look(&mut memory).await;
            if let Err(error) = &looked {
                tracing::warn!(%error, "Automatic certificates could not be looked after.");
            }
            round.end(looked);
            let now = tokio::time::Instant::now();
            if forgot.is_none_or(|at| now.duration_since(at) >= FORGET) {
                self.forget().await;
                forgot = Some(now);
            }
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = sleep(PERIOD) => {}
                Some(ended) = memory.tasks.join_next_with_id() => memory.take(ended),
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn look(&self, memory: &mut Memory) -> ropewalk_store::Result<()> {
        let store = &self.0.means.store;
        let is_wanted = self.0.platform.is_some();
        let (rows, mut own, apps, orders) = store
            .read(move |view| {
                let apps = match is_wanted {
                    true => view.apps()?,
                    false => Vec::new(),
                };
                let own = view.platform_certificates()?;
                Ok((view.acm_domains()?, own, apps, view.acme_orders()?))
            })
            .await?;
        let names = self.0.platform.as_ref().map(|domain| {
            let apps = apps.iter().map(|app| app.name.as_str());
            Names::new(domain, apps, self.0.policy.dns)
        });
        let surplus = Names::surplus(names.as_ref(), &own, Timestamp::now());
        if !surplus.is_empty() {
            own.retain(|one| !surplus.contains(&one.hostname));
            self.remove(surplus).await?;
        }
        let names = names.map(|names| names.wanted).unwrap_or_default();
        let serving = serving(&rows, &own);
        let mut domains: Vec<Wanted> = rows.iter().map(|row| memory.wanted(row)).collect();
        for name in &names {
            let certificate = own.iter().find(|one| one.hostname == name.host);
            domains.push(memory.wanted_by_platform(name, certificate, self.0.began));
        }
        domains.sort_by_key(|wanted| wanted.domain);
        memory.retain(&domains, &serving);
        let seen = Seen {
            domains,
            orders,
            in_flight: memory.in_flight.values().cloned().collect(),
            warned: memory.warned.clone(),
        };
        let now = Timestamp::now();
        for action in plan(&seen, &self.0.policy, now) {
            match action {
                Action::Order(order) => self.begin(order, &serving, memory, now).await?,
                Action::AskWindow { endpoint } => self.ask(endpoint, &serving, memory),
                Action::Say {
                    domain,
                    app: None,
                    status,
                    reason,
                } => {
                    let name = names.iter().find(|name| platform::id(&name.host) == domain);
                    memory.tell(domain, name, status, reason);
                }
                Action::Say {
                    domain,
                    app: Some(_),
                    status,
                    reason,
                } => {
                    store
                        .write(move |tx| tx.set_acm_status(domain, status, reason.as_deref(), now))
                        .await?;
                }
                Action::Warn {
                    domain,
                    app,
                    host,
                    until,
                    reason,
                } => {
                    memory.warned.insert(domain, now);
                    tracing::warn!(host, %until, reason, "A certificate could not be renewed.");
                    if let Some(app) = app {
                        self.0.say(app, &format!("Warning: {host}: {reason}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Certificates of the platform's own names that nobody needs.
    async fn remove(&self, hosts: Vec<String>) -> ropewalk_store::Result<()> {
        tracing::info!(?hosts, "Removed certificates of names that need none.");
        self.0
            .means
            .store
            .write(move |tx| {
                hosts
                    .iter()
                    .try_for_each(|host| tx.remove_platform_certificate(host))
            })
            .await?;
        self.0.front.certificates_changed();
        Ok(())
    }

    /// The row is written first: whoever is killed in between has ordered at most what is remembered.
    async fn begin(
        &self,
        order: Order,
        serving: &HashMap<Uuid, Serving>,
        memory: &mut Memory,
        now: Timestamp,
    ) -> ropewalk_store::Result<()> {
        let row = AcmeOrder {
            id: Uuid::new_v4(),
            hostname: order.host.clone(),
            app: order.app,
            challenge: order.challenge,
            began_at: now,
            outcome: None,
            reason: None,
        };
        let replaced = order
            .replaces
            .and_then(|endpoint| certificate::id(&serving.get(&endpoint)?.chain));
        let job = Job {
            id: row.id,
            domain: order.domain,
            host: order.host.clone(),
            challenge: order.challenge,
            replaces: replaced,
        };
        self.0
            .means
            .store
            .write(move |tx| tx.begin_acme_order(&row))
            .await?;
        tracing::info!(
            host = order.host,
            challenge = order.challenge.as_str(),
            "Ordered a certificate."
        );
        let this = self.clone();
        let app = order.app;
        let handle = memory.tasks.spawn(async move {
            this.0.carry_out(app, &job).await;
            Done::Order
        });
        memory.in_flight.insert(handle.id(), order.host);
        Ok(())
    }

    fn ask(&self, endpoint: Uuid, serving: &HashMap<Uuid, Serving>, memory: &mut Memory) {
        let Some(certificate) = serving.get(&endpoint) else {
            return;
        };
        let (id, since) = (certificate::id(&certificate.chain), certificate.since);
        // Not again before the answer is here.
        let now = Timestamp::now();
        let again = now
            .checked_add(jiff::SignedDuration::from_mins(5))
            .unwrap_or(now);
        let known = memory.windows.get(&endpoint).map(|(_, asked)| *asked);
        let window = match known {
            Some(Asked::At { window, .. }) => window,
            _ => None,
        };
        memory
            .windows
            .insert(endpoint, (since, Asked::At { window, again }));
        let authority = Arc::clone(&self.0.means.authority);
        memory.tasks.spawn(async move {
            Done::Window {
                endpoint,
                since,
                asked: authority.window(id).await,
            }
        });
    }

    async fn forget(&self) {
        let now = Timestamp::now();
        let Ok(cutoff) = now.checked_sub(MEMORY) else {
            return;
        };
        let store = &self.0.means.store;
        if let Err(error) = store.write(move |tx| tx.forget_acme_orders(cutoff)).await {
            tracing::warn!(%error, "Old orders could not be forgotten.");
        }
    }
}

impl Inner {
    async fn carry_out(&self, app: Option<AppId>, job: &Job) {
        let outcome = order::run(&self.means, job).await;
        let ended = match outcome {
            Ok(issued) => self.keep(app, job, issued).await,
            Err(failure) => {
                tracing::warn!(
                    host = job.host,
                    challenge = job.challenge.as_str(),
                    outcome = failure.outcome.as_str(),
                    detail = failure.detail,
                    "No certificate was issued."
                );
                if let Some(app) = app.filter(|_| failure.outcome != Outcome::Away) {
                    let text = format!(
                        "No certificate was issued for {} ({}): {}",
                        job.host,
                        job.challenge.as_str(),
                        failure.reason
                    );
                    self.say(app, &text);
                }
                let (id, outcome, reason) = (job.id, failure.outcome, failure.reason);
                self.means
                    .store
                    .write(move |tx| tx.end_acme_order(id, outcome, Some(&reason)))
                    .await
            }
        };
        if let Err(error) = ended {
            tracing::error!(host = job.host, %error, "The end of an order could not be written.");
        }
    }

    /// In one change: what the ledger says of the order and what it serves by.
    async fn keep(
        &self,
        app: Option<AppId>,
        job: &Job,
        issued: Issued,
    ) -> ropewalk_store::Result<()> {
        let (id, domain, host) = (job.id, job.domain, job.host.clone());
        let (chain, key) = (issued.chain, issued.key);
        let is_kept = self
            .means
            .store
            .write(move |tx| {
                tx.end_acme_order(id, Outcome::Issued, None)?;
                let Some(app) = app else {
                    tx.put_platform_certificate(&host, &chain, &key, Timestamp::now())?;
                    return Ok(true);
                };
                let new = NewSniEndpoint {
                    id: Uuid::new_v4(),
                    app,
                    name: name(domain),
                    certificate_chain: chain,
                    private_key: key,
                };
                let kept = tx.keep_acm_certificate(domain, &new, Timestamp::now())?;
                Ok(kept.is_some())
            })
            .await?;
        if is_kept {
            tracing::info!(host = job.host, until = %issued.said.until, "A certificate was issued.");
            if let Some(app) = app {
                let until = issued.said.until.strftime("%Y-%m-%d");
                let text = format!("Certificate for {} issued, good until {until}", job.host);
                self.say(app, &text);
            }
            self.front.certificates_changed();
        }
        Ok(())
    }

    /// Adds a line to the app's log.
    fn say(&self, app: AppId, text: &str) {
        let now = Timestamp::now();
        self.logs
            .append(app, now, LogSource::App, "api", text.as_bytes());
    }
}

impl Memory {
    fn take(&mut self, ended: Result<(Id, Done), tokio::task::JoinError>) {
        match ended {
            Ok((id, Done::Order)) => {
                self.in_flight.remove(&id);
            }
            Ok((
                _,
                Done::Window {
                    endpoint,
                    since,
                    asked,
                },
            )) => {
                self.windows.insert(endpoint, (since, asked));
            }
            Err(error) => {
                self.in_flight.remove(&error.id());
                tracing::error!(%error, "An order broke off.");
            }
        }
    }

    /// Forgets what is about domains that are gone.
    fn retain(&mut self, domains: &[Wanted], serving: &HashMap<Uuid, Serving>) {
        self.windows
            .retain(|id, (since, _)| serving.get(id).is_some_and(|one| one.since == *since));
        let domains: HashSet<Uuid> = domains.iter().map(|wanted| wanted.domain).collect();
        self.warned.retain(|id, _| domains.contains(id));
        self.told.retain(|id, _| domains.contains(id));
    }

    fn wanted(&self, row: &AcmDomain) -> Wanted {
        let served = match &row.endpoint {
            None => Served::Nothing,
            Some(endpoint) if !endpoint.acm => Served::Brought,
            Some(endpoint) => self.held(endpoint.id, &endpoint.certificate_chain),
        };
        Wanted {
            domain: row.domain.id,
            app: Some(row.domain.app),
            leads: false,
            host: row.domain.hostname.clone(),
            asked_at: row.asked_at,
            status: row.domain.acm_status,
            reason: row.domain.acm_status_reason.clone(),
            served,
        }
    }

    fn wanted_by_platform(
        &self,
        name: &Name,
        certificate: Option<&PlatformCertificate>,
        asked_at: Timestamp,
    ) -> Wanted {
        let domain = platform::id(&name.host);
        let (status, reason) = self.told.get(&domain).cloned().unwrap_or_default();
        Wanted {
            domain,
            app: None,
            leads: name.leads,
            host: name.host.clone(),
            asked_at: Some(asked_at),
            status,
            reason,
            served: certificate.map_or(Served::Nothing, |one| {
                self.held(one.id, &one.certificate_chain)
            }),
        }
    }

    fn held(&self, endpoint: Uuid, chain: &str) -> Served {
        match Said::of(chain) {
            Err(_) => Served::Nothing,
            Ok(said) => Served::Held(Held {
                endpoint,
                from: said.from,
                until: said.until,
                window: self
                    .windows
                    .get(&endpoint)
                    .map_or(plan::Asked::Never, |(_, asked)| *asked),
            }),
        }
    }

    /// How far it is with a name of the platform's own is said in the server's log.
    fn tell(
        &mut self,
        domain: Uuid,
        name: Option<&Name>,
        status: Option<AcmStatus>,
        reason: Option<String>,
    ) {
        if let (Some(name), Some(reason)) = (name, &reason) {
            match status {
                Some(AcmStatus::Failed) => tracing::warn!(
                    host = name.host,
                    reason,
                    "Gave up on a certificate for a name of the platform's own. Once that is set right, restart the server."
                ),
                _ => tracing::info!(
                    host = name.host,
                    reason,
                    "A name of the platform's own waits for its certificate."
                ),
            }
        }
        self.told.insert(domain, (status, reason));
    }
}

/// What serves, by its id.
fn serving(rows: &[AcmDomain], own: &[PlatformCertificate]) -> HashMap<Uuid, Serving> {
    let endpoints = rows.iter().filter_map(|row| row.endpoint.as_ref());
    let of_domains = endpoints.map(|one| (one.id, &one.certificate_chain, one.updated_at));
    let of_platform = own
        .iter()
        .map(|one| (one.id, &one.certificate_chain, one.updated_at));
    of_domains
        .chain(of_platform)
        .map(|(id, chain, since)| {
            let chain = chain.clone();
            (id, Serving { chain, since })
        })
        .collect()
}

/// Of the certificate of a domain, among those of its app.
fn name(domain: Uuid) -> String {
    let id = domain.simple().to_string();
    format!("acm-{}", id.get(..12).unwrap_or(&id))
}
