//! What is there: the ledger's rows beside the engine's containers. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use ropewalk_engine::{Container, ContainerId, Status, listen};
use ropewalk_model::{AppId, DynoId, DynoState, ProcessType};
use ropewalk_store::{App, Domain, Dyno, Release, Result as StoreResult, View};

use crate::SchedulerError;
use crate::launch::{KIND_DYNO, LABEL_DYNO, LABEL_KIND};
use crate::plan::{Desired, Seat, Seen, Spec, Wanted};
use crate::reconcile::Shared;

/// One look at everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) apps: Vec<AppWorld>,
    pub(crate) domains: Vec<Domain>,
    /// Containers that say they are dynos of ours but have no row.
    pub(crate) orphans: Vec<ContainerId>,
    /// Attached one-offs that have no row any more: their app was deleted.
    pub(crate) lost_runs: Vec<DynoId>,
    pub(crate) containers: HashMap<DynoId, Container>,
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
}

struct Rows {
    /// With nothing seen yet.
    apps: Vec<AppWorld>,
    dynos: Vec<Dyno>,
    domains: Vec<Domain>,
}

/// Containers are listed before rows are read: a row is written before its container is made, so a container
/// without a row is an orphan and never one that is just being made. The same goes for attached one-offs.
pub(crate) async fn world(shared: &Shared) -> Result<World, SchedulerError> {
    let attached = shared.runs.attached();
    let listed = shared.engine.list().await?;
    let rows = shared.store.read(read_rows).await?;
    let known: BTreeSet<DynoId> = rows.dynos.iter().map(|dyno| dyno.id).collect();
    let lost_runs = attached
        .into_iter()
        .filter(|id| !known.contains(id))
        .collect();
    let mut containers = HashMap::new();
    let mut orphans = Vec::new();
    for container in listed {
        if container.labels.get(LABEL_KIND).map(String::as_str) != Some(KIND_DYNO) {
            continue;
        }
        match container
            .labels
            .get(LABEL_DYNO)
            .and_then(|text| text.parse::<DynoId>().ok())
        {
            Some(id) if known.contains(&id) => {
                containers.insert(id, container);
            }
            Some(id) if shared.is_busy(id) => {}
            _ => orphans.push(container.id),
        }
    }
    let mut by_app: BTreeMap<AppId, Vec<Seen>> = BTreeMap::new();
    for dyno in rows.dynos {
        let seen = see(shared, dyno, &containers);
        by_app.entry(seen.dyno.app).or_default().push(seen);
    }
    let mut apps = rows.apps;
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

fn see(shared: &Shared, dyno: Dyno, containers: &HashMap<DynoId, Container>) -> Seen {
    let container = containers.get(&dyno.id);
    let seat = match container {
        None => Seat::Absent,
        Some(container) => match (container.status, container.exit) {
            (Status::Created, _) => Seat::Made,
            (Status::Running | Status::Paused, _) => Seat::Running {
                since: container.started_at.unwrap_or(dyno.created_at),
            },
            (_, Some(exit)) => Seat::Ended { exit },
            (_, None) => Seat::Absent,
        },
    };
    let waits_for_port = dyno.state == DynoState::Starting && dyno.name.process_type.is_web();
    let listening = container
        .and_then(|container| container.pid)
        .filter(|_| waits_for_port)
        .and_then(|pid| listen::listening(pid).ok())
        .unwrap_or_default();
    let drained = !dyno.name.process_type.is_web() || shared.routes.is_drained(dyno.id);
    let busy = shared.is_busy(dyno.id);
    Seen {
        dyno,
        seat,
        listening,
        drained,
        busy,
    }
}

fn read_rows(view: &View<'_>) -> StoreResult<Rows> {
    let mut apps = Vec::new();
    for app in view.apps()? {
        let current = view.current_release(&app)?;
        let candidate = app
            .candidate_version
            .map(|version| view.release(app.id, version))
            .transpose()?;
        let formation = view
            // Not the head release's formation: the current one keeps its types until the candidate has passed.
            .quantities(app.id)?
            .into_iter()
            .map(|row| Wanted {
                process_type: row.process_type,
                quantity: row.quantity,
                size: row.size,
            })
            .collect();
        let desired = Desired {
            app: app.id,
            current: spec(view, &current)?,
            candidate: candidate
                .as_ref()
                .map(|release| spec(view, release))
                .transpose()?,
            formation,
        };
        let blank = current.slug.is_none();
        let config = view.config_vars(app.id, current.version)?;
        let page = |name: &str| config.0.get(name).filter(|url| !url.is_empty()).cloned();
        let (error_page_url, maintenance_page_url) =
            (page("ERROR_PAGE_URL"), page("MAINTENANCE_PAGE_URL"));
        apps.push(AppWorld {
            app,
            desired,
            seen: Vec::new(),
            blank,
            error_page_url,
            maintenance_page_url,
        });
    }
    Ok(Rows {
        apps,
        dynos: view.all_dynos()?,
        domains: view.all_domains()?,
    })
}

fn spec(view: &View<'_>, release: &Release) -> StoreResult<Spec> {
    let commands = match release.slug {
        Some(slug) => view
            .slug(slug)?
            .process_types
            .into_iter()
            .filter_map(|(name, command)| Some((ProcessType::parse(&name).ok()?, command)))
            .collect(),
        None => BTreeMap::new(),
    };
    Ok(Spec {
        version: release.version,
        commands,
    })
}

/// Now, to the microsecond that the ledger keeps.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
