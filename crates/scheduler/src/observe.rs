//! What is there: the ledger's rows beside the engine's containers. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use ropewalk_api_types::router::DynoProtocol;
use ropewalk_engine::{Container, ContainerId, Status};
use ropewalk_model::{AppId, DynoId, DynoState, ProcessType, SleepTier, edge};
use ropewalk_store::{App, AppSleep, Domain, Dyno, Release, Result as StoreResult, TcpRoute, View};

use crate::SchedulerError;
use crate::ages::Ages;
use crate::launch::{KIND_DYNO, LABEL_DYNO, LABEL_KIND};
use crate::outage::{self, Outages};
use crate::plan::{Desired, Seat, Seen, Spec, Wanted, is_web};
use crate::reconcile::Shared;
use crate::sleep::Rules;
use crate::standby;
use crate::watch::Running;

/// One look at everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) apps: Vec<AppWorld>,
    pub(crate) domains: Vec<Domain>,
    /// Containers that say they are dynos of ours but have no row.
    pub(crate) orphans: Vec<Orphan>,
    /// Attached one-offs that have no row any more: their app was deleted.
    pub(crate) lost_runs: Vec<DynoId>,
    pub(crate) containers: HashMap<DynoId, Container>,
}

#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) container: ContainerId,
    /// `None` when its label says nothing.
    pub(crate) dyno: Option<DynoId>,
}

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    ages: Ages,
    pub(crate) outages: Outages,
    /// Dynos whose container runs.
    pub(crate) running: Vec<Running>,
    containers: HashMap<DynoId, Container>,
    /// Candidates, and since when they are.
    candidates: HashMap<AppId, (u32, Timestamp)>,
}

impl Memory {
    /// Puts times of [`crate::ages::Clock`] in the place of those that were read, as [`Ages`] does for dynos.
    fn date_candidates(&mut self, apps: &mut [AppWorld], now: Timestamp) {
        let before = std::mem::take(&mut self.candidates);
        for app in apps {
            let Some(candidate) = &app.desired.candidate else {
                continue;
            };
            let known = before.get(&app.app.id).copied();
            let since = match known.filter(|(version, _)| *version == candidate.version) {
                Some((_, since)) => since,
                None => app.desired.candidate_since.min(now),
            };
            app.desired.candidate_since = since;
            self.candidates
                .insert(app.app.id, (candidate.version, since));
        }
    }

    /// A dyno's container, as it was last seen.
    pub(crate) fn container(&self, dyno: DynoId) -> Option<&Container> {
        self.containers.get(&dyno)
    }
}

#[derive(Debug)]
pub(crate) struct AppWorld {
    pub(crate) app: App,
    pub(crate) desired: Desired,
    pub(crate) seen: Vec<Seen>,
    /// Whether anything was ever deployed.
    pub(crate) blank: bool,
    pub(crate) error_page_url: Option<String>,
    pub(crate) maintenance_page_url: Option<String>,
    /// Requests that one web dyno takes at once, where the app says so.
    pub(crate) concurrency: Option<u32>,
    /// What its web dynos speak.
    pub(crate) protocol: DynoProtocol,
    pub(crate) edge: edge::Policy,
    pub(crate) tcp: Vec<TcpRoute>,
    /// What it says about its sleep.
    pub(crate) rules: Rules,
    pub(crate) sleep: Option<AppSleep>,
    /// Web dynos are wanted, asleep or awake.
    pub(crate) wants_web: bool,
    /// As the ledger has it.
    pub(crate) last_used: Option<Timestamp>,
    /// When its current release was made.
    pub(crate) released_at: Timestamp,
}

/// The config var by which an app says how many requests one of its web dynos takes at once.
const CONCURRENCY: &str = "ROPEWALK_REQUESTS_PER_DYNO";
/// Most that it may say.
const MOST_CONCURRENCY: u32 = 10_000;
/// The config var by which an app says what its web dynos speak.
const PROTOCOL: &str = "ROPEWALK_DYNO_PROTOCOL";

struct Rows {
    /// With nothing seen yet.
    apps: Vec<AppWorld>,
    dynos: Vec<Dyno>,
    domains: Vec<Domain>,
}

/// Containers are listed before rows are read: a row is written before its container is made, so a container
/// without a row is an orphan and never one that is just being made. The same goes for attached one-offs. A dyno that
/// was busy at any time since the look began counts as busy, for what was seen of it may be older than what was done
/// to it.
pub(crate) async fn world(shared: &Shared) -> Result<World, SchedulerError> {
    shared.begin_look();
    let attached = shared.runs.attached();
    let listed = shared.engine.list().await?;
    let rows = shared.store.read(read_rows).await?;
    let mut busy = shared.busy_since_look();
    let known: BTreeSet<DynoId> = rows.dynos.iter().map(|dyno| dyno.id).collect();
    let lost_runs = attached
        .into_iter()
        .filter(|id| !known.contains(id))
        .collect();
    shared.readers.keep(&known);
    let mut memory = shared.memory();
    let mut containers = HashMap::new();
    let mut orphans = Vec::new();
    for container in listed {
        if container.labels.get(LABEL_KIND).map(String::as_str) != Some(KIND_DYNO) {
            continue;
        }
        let dyno = container
            .labels
            .get(LABEL_DYNO)
            .and_then(|text| text.parse::<DynoId>().ok());
        if standby::is_name(shared, &container.name) {
            // It stands by, or did when it was listed; or whoever knew of it is no more. A dyno that has a row gets
            // another one when this one is gone, and with it what it may have written.
            let known = dyno.is_some_and(|id| shared.standbys.holds(id) || busy.contains(&id));
            if !known {
                orphans.push(Orphan {
                    container: container.id,
                    dyno,
                });
            }
            continue;
        }
        match dyno {
            // Nothing is known of it: what it was stays, and nothing is done to it.
            Some(id) if known.contains(&id) && container.status == Status::Unknown => {
                busy.insert(id);
                let before = memory.containers.remove(&id);
                containers.insert(id, before.unwrap_or(container));
            }
            Some(id) if known.contains(&id) => {
                containers.insert(id, container);
            }
            Some(id) if busy.contains(&id) => {}
            dyno => orphans.push(Orphan {
                container: container.id,
                dyno,
            }),
        }
    }
    memory.containers.clone_from(&containers);
    let mut seen: Vec<Seen> = rows
        .dynos
        .into_iter()
        .map(|dyno| see(shared, dyno, &containers, &busy))
        .collect();
    let booted = outage::booted();
    for one in &mut seen {
        let container = containers.get(&one.dyno.id);
        let ended = container.filter(|_| matches!(one.seat, Seat::Ended { .. }));
        one.lost = ended.is_some_and(|container| memory.outages.took(container, booted));
    }
    memory.running = seen
        .iter()
        .filter_map(|one| running(&one.dyno, containers.get(&one.dyno.id)?))
        .collect();
    memory.ages.set(seen.iter_mut(), shared.clock.now());
    let mut apps = rows.apps;
    memory.date_candidates(&mut apps, shared.clock.now());
    let booting = seen.iter().map(|one| &one.dyno);
    let booting = booting.filter(|dyno| dyno.state == DynoState::Starting);
    shared.ports.keep(&booting.map(|dyno| dyno.id).collect());
    drop(memory);
    let mut by_app: BTreeMap<AppId, Vec<Seen>> = BTreeMap::new();
    for one in seen {
        by_app.entry(one.dyno.app).or_default().push(one);
    }
    for app in &mut apps {
        app.seen = by_app.remove(&app.app.id).unwrap_or_default();
    }
    Ok(World {
        apps,
        domains: rows.domains,
        orphans,
        lost_runs,
        containers,
    })
}

fn see(
    shared: &Shared,
    dyno: Dyno,
    containers: &HashMap<DynoId, Container>,
    busy: &HashSet<DynoId>,
) -> Seen {
    let container = containers.get(&dyno.id);
    let seat = match container {
        None => Seat::Absent,
        Some(container) => match (container.status, container.exit) {
            (Status::Created, _) => Seat::Made,
            // Of what is unknown one thing is certain: there is something.
            (Status::Running | Status::Paused | Status::Unknown, _) => Seat::Running {
                // A container may have stood by for its dyno.
                since: container
                    .started_at
                    .map_or(dyno.created_at, |at| at.max(dyno.created_at)),
            },
            (_, Some(exit)) => Seat::Ended { exit },
            (_, None) => Seat::Absent,
        },
    };
    let waits_for_port = dyno.state == DynoState::Starting && is_web(&dyno);
    let listening = container
        .and_then(|container| container.pid)
        .filter(|_| waits_for_port)
        .map(|pid| shared.ports.bound(dyno.id, pid))
        .unwrap_or_default();
    // Other types end what they have by themselves when they are told to end: until they have, nobody else is started.
    let drained = match is_web(&dyno) {
        true => shared.routes.is_drained(dyno.id),
        false if dyno.state == DynoState::Down => shared.routes.is_left(dyno.id),
        false => shared.routes.is_drained(dyno.id),
    };
    let busy = busy.contains(&dyno.id);
    let frozen = shared.sleepers.is_frozen(dyno.id);
    Seen {
        tally: shared.checks.tally(dyno.id),
        written: shared.disk.used(dyno.id),
        dyno,
        seat,
        lost: false,
        listening,
        drained,
        frozen,
        busy,
    }
}

/// What is watched of a dyno that runs.
fn running(dyno: &Dyno, container: &Container) -> Option<Running> {
    if dyno.state == DynoState::Idle {
        return None;
    }
    Some(Running {
        dyno: dyno.id,
        app: dyno.app,
        name: dyno.name.clone(),
        quota: dyno.size.memory_mib << 20,
        disk_mib: dyno.size.disk_mib,
        container: container.id.clone(),
        pid: container.pid?,
    })
}

fn read_rows(view: &View<'_>) -> StoreResult<Rows> {
    let mut apps = Vec::new();
    let mut edges = view.edge_policies()?;
    let mut settings = view.all_dyno_settings()?;
    let (mut sleeps, last_used) = (view.app_sleeps()?, view.apps_last_used()?);
    let to_zero = view.apps_to_zero()?;
    let usual_size = view.sizes()?.usual();
    let mut tcp: HashMap<AppId, Vec<TcpRoute>> = HashMap::new();
    for route in view.all_tcp_routes()? {
        tcp.entry(route.app).or_default().push(route);
    }
    for app in view.apps()? {
        let current = view.current_release(&app)?;
        let candidate = app
            .candidate_version
            .map(|version| view.release(app.id, version))
            .transpose()?;
        let mut formation: Vec<Wanted> = view
            // Not the head release's formation: the current one keeps its types until the candidate has passed.
            .quantities(app.id)?
            .into_iter()
            .map(|row| Wanted {
                process_type: row.process_type,
                quantity: row.quantity,
                size: row.size,
            })
            .collect();
        let app_settings = settings.remove(&app.id).unwrap_or_default();
        let rules = Rules::of(&app_settings, &formation, to_zero.contains(&app.id));
        let sleep = sleeps.remove(&app.id);
        let wants_web =
            (formation.iter()).any(|wanted| wanted.process_type.is_web() && wanted.quantity > 0);
        let mut desired = Desired {
            app: app.id,
            current: spec(view, &current)?,
            candidate: candidate
                .as_ref()
                .map(|release| spec(view, release))
                .transpose()?,
            candidate_since: candidate
                .as_ref()
                .map_or(Timestamp::MIN, |release| release.created_at),
            formation: Vec::new(),
            usual_size,
            settings: app_settings,
            // Of a release's dynos it must be seen whether they pass.
            sleep: sleep
                .as_ref()
                .map(|sleep| sleep.tier)
                .filter(|_| candidate.is_none()),
        };
        // How many there are to be stays what people said; here is what that comes to while the app sleeps.
        for wanted in &mut formation {
            if desired.tier_of(&wanted.process_type) == Some(SleepTier::Stopped) {
                wanted.quantity = 0;
            }
        }
        desired.formation = formation;
        let blank = current.slug.is_none();
        let config = view.config_vars(app.id, current.version)?;
        let page = |name: &str| config.0.get(name).filter(|url| !url.is_empty()).cloned();
        let (error_page_url, maintenance_page_url) =
            (page("ERROR_PAGE_URL"), page("MAINTENANCE_PAGE_URL"));
        let concurrency = config.0.get(CONCURRENCY).and_then(|text| concurrency(text));
        let protocol = config
            .0
            .get(PROTOCOL)
            .map_or_else(Default::default, |text| protocol(text));
        apps.push(AppWorld {
            edge: edges.remove(&app.id).unwrap_or_default(),
            tcp: tcp.remove(&app.id).unwrap_or_default(),
            rules,
            sleep,
            wants_web,
            last_used: last_used.get(&app.id).copied(),
            released_at: current.created_at,
            app,
            desired,
            seen: Vec::new(),
            blank,
            error_page_url,
            maintenance_page_url,
            concurrency,
            protocol,
        });
    }
    Ok(Rows {
        apps,
        dynos: view.all_dynos()?,
        domains: view.all_domains()?,
    })
}

/// What is no such number says nothing.
fn concurrency(text: &str) -> Option<u32> {
    let number = text.trim().parse().ok()?;
    (1..=MOST_CONCURRENCY).contains(&number).then_some(number)
}

/// What is no name of a protocol says nothing.
fn protocol(text: &str) -> DynoProtocol {
    match text.trim() {
        "h2c" => DynoProtocol::H2c,
        _ => DynoProtocol::Http1,
    }
}

fn spec(view: &View<'_>, release: &Release) -> StoreResult<Spec> {
    let mut spec = Spec {
        version: release.version,
        ..Spec::default()
    };
    if let Some(slug) = release.slug {
        let slug = view.slug(slug)?;
        spec.checks = slug.checks_by_type();
        let commands = slug.process_types.into_iter();
        spec.commands = commands
            .filter_map(|(name, command)| Some((ProcessType::parse(&name).ok()?, command)))
            .collect();
    }
    Ok(spec)
}

/// Now by the host's clock, as rows and logs tell it. Nothing is timed by it.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_h2c_or_what_everybody_speaks() {
        assert_eq!(["h2c", " h2c\n"].map(protocol), [DynoProtocol::H2c; 2]);
        for odd in ["", "http1", "H2C", "h2", "grpc"] {
            assert_eq!(protocol(odd), DynoProtocol::Http1, "{odd:?}");
        }
    }

    #[test]
    fn a_number_of_requests_is_one_to_ten_thousand() {
        assert_eq!(
            ["1", " 5\n", "10000"].map(concurrency),
            [Some(1), Some(5), Some(10_000)]
        );
        for odd in ["", "0", "-1", "10001", "5.0", "five"] {
            assert_eq!(concurrency(odd), None, "{odd:?}");
        }
    }
}
