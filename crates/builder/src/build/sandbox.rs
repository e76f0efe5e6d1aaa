//! The container in which buildpacks run: unprivileged, bounded in memory, processes, time and disk, with low weight
//! on CPU and IO, on a network of its own from which neither the server nor any dyno is reached.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ropewalk_engine::{
    ContainerId, ContainerSpec, EngineError, Exit, Limits as ContainerLimits, Mount, NetworkSpec,
};
use tokio::task::JoinHandle;

use super::buildpacks::MOUNT;
use super::disk;
use super::failure::Failure;
use super::inherit::Inherited;
use super::log::{BuildLog, Lines};
use super::recipe::Recipe;
use super::site::Site;
use crate::context::Context;
use crate::error::chain;

/// Where the build's tree is mounted.
pub(crate) const ROOT: &str = "/tmp/build";
/// Label whose value tells builds from dynos.
pub(crate) const LABEL_KIND: &str = "ropewalk.kind";
pub(crate) const KIND: &str = "build";
/// How often the disk is looked at during a build.
const DISK_EVERY: Duration = Duration::from_secs(2);
/// Default memory of a build, in bytes.
const MEMORY: u64 = 2 << 30;
/// A build yields to dynos: a quarter of the weight that a container has by default.
const CPU_SHARES: u32 = 256;
const IO_WEIGHT: u16 = 100;

/// One container at a time; it is gone after [`Sandbox::clear`], even if making it was interrupted.
#[derive(Debug)]
pub(crate) struct Sandbox {
    context: Arc<Context>,
    creating: Option<JoinHandle<Result<ContainerId, EngineError>>>,
    container: Option<ContainerId>,
    runs: usize,
}

impl Sandbox {
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        Self {
            context: Arc::clone(context),
            creating: None,
            container: None,
            runs: 0,
        }
    }

    /// Runs a command to its end, its output going to the log.
    pub(crate) async fn run(
        &mut self,
        mut spec: ContainerSpec,
        deadline: Instant,
        log: &mut BuildLog,
    ) -> Result<Exit, Failure> {
        self.runs += 1;
        spec.name = format!("{}-{}", spec.name, self.runs);
        let memory = spec.limits.memory;
        let id = self.create(spec).await?;
        let engine = Arc::clone(&self.context.engine);
        // Attached before the start, so that nothing is lost.
        let mut attached = engine.attach(&id, false).await?;
        engine.start(&id).await?;
        // Whether somebody reads what is said has no say in the limits: all are polled beside each other.
        let exit = {
            let context = Arc::clone(&self.context);
            let ended = async {
                let mut lines = Lines::default();
                while let Some(output) = attached.output.next().await {
                    log.foreign(lines.push(&output?.bytes)).await;
                }
                log.foreign(lines.finish()).await;
                Ok::<_, Failure>(engine.wait(&id).await?)
            };
            tokio::select! {
                exit = ended => exit?,
                failure = disk_runs_out(&context) => return Err(failure),
                () = tokio::time::sleep_until(deadline.into()) => {
                    return Err(Failure::OutOfTime(context.options.limits.build));
                }
            }
        };
        self.discard(id);
        match exit.out_of_memory && exit.code != 0 {
            true => Err(Failure::OutOfMemory { mib: memory >> 20 }),
            false => Ok(exit),
        }
    }

    /// Removes what is there, and what is still being made.
    pub(crate) async fn clear(&mut self) {
        if let Some(creating) = self.creating.take()
            && let Ok(Ok(id)) = creating.await
        {
            self.container = Some(id);
        }
        if let Some(id) = self.container.take() {
            remove(&self.context, &id).await;
        }
    }

    /// In a task of its own: an engine that was asked makes the container whether or not anybody still listens.
    async fn create(&mut self, spec: ContainerSpec) -> Result<ContainerId, Failure> {
        let engine = Arc::clone(&self.context.engine);
        let creating = self.creating.insert(self.context.tasks.spawn(async move {
            if let Some(name) = spec.network.clone() {
                engine
                    .ensure_network(&NetworkSpec { name, subnet: None })
                    .await?;
            }
            engine.create(&spec).await
        }));
        let created = creating.await;
        self.creating = None;
        let id = created??;
        self.container = Some(id.clone());
        Ok(id)
    }

    /// The container has ended: it is removed beside what comes next.
    fn discard(&mut self, id: ContainerId) {
        self.container = None;
        let context = Arc::clone(&self.context);
        self.context
            .tasks
            .spawn(async move { remove(&context, &id).await });
    }
}

/// Ends when there is less free than there must be.
async fn disk_runs_out(context: &Context) -> Failure {
    let mut look = tokio::time::interval(DISK_EVERY);
    loop {
        look.tick().await;
        if let Err(failure) = disk::check(context).await {
            return failure;
        }
    }
}

/// The container of a build, its command still missing.
pub(crate) fn spec(
    context: &Context,
    site: &Site,
    recipe: &Recipe,
    version: Option<&str>,
) -> ContainerSpec {
    let options = &context.options;
    let short: String = site.id.0.simple().to_string().chars().take(12).collect();
    let labels = [
        (LABEL_KIND, KIND.to_owned()),
        ("ropewalk.app", recipe.app.id.to_string()),
        ("ropewalk.build", site.id.to_string()),
    ];
    ContainerSpec {
        name: format!("rw-{}-build-{short}", options.instance),
        image: recipe.image.clone(),
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        env: environment(&context.inherited, site, recipe, version),
        user: format!("{0}:{0}", ropewalk_slug::DYNO_ID),
        working_dir: ROOT.to_owned(),
        hostname: "build".to_owned(),
        mounts: mounts(context, site),
        network: Some(format!("rwb-{}", options.instance)),
        limits: ContainerLimits {
            memory: memory(options.limits.memory),
            cpu_shares: CPU_SHARES,
            cpu_millis: cpu_millis(cores()),
            pids: options.limits.pids,
            io_weight: IO_WEIGHT,
            ..ContainerLimits::default()
        },
        ..ContainerSpec::default()
    }
}

fn environment(
    inherited: &Inherited,
    site: &Site,
    recipe: &Recipe,
    version: Option<&str>,
) -> Vec<(String, String)> {
    let mut env: BTreeMap<String, String> =
        [("CURL_CONNECT_TIMEOUT", "30"), ("CURL_TIMEOUT", "180")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    env.extend(inherited.env.iter().cloned());
    env.extend(
        [
            ("HOME", format!("{ROOT}/home")),
            ("LANG", "C.UTF-8".to_owned()),
            ("STACK", recipe.stack.name.clone()),
            ("REQUEST_ID", site.id.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    env.extend(version.map(|version| ("SOURCE_VERSION".to_owned(), version.to_owned())));
    let of_tests = recipe.config.0.iter();
    env.extend(
        of_tests
            .filter(|(name, _)| recipe.app.ephemeral && is_of_tests(name))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    env.into_iter().collect()
}

/// What a test run tells its programs of itself.
fn is_of_tests(name: &str) -> bool {
    matches!(name, "CI" | "CI_NODE_INDEX" | "CI_NODE_TOTAL") || name.starts_with("HEROKU_TEST_RUN_")
}

fn mounts(context: &Context, site: &Site) -> Vec<Mount> {
    let mount = |source: &Path, target: &str, read_only| Mount {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    };
    let mut mounts = vec![
        mount(&site.tree(), ROOT, false),
        mount(&site.env(), &format!("{ROOT}/env"), true),
        mount(&context.options.buildpacks, MOUNT, true),
        // Not a tmpfs: older engines give one the owner root and the mode of the image's folder.
        mount(&site.dyno_home(), "/app", false),
        // Neither is a tmpfs, whose pages would count as the build's memory. What lies here is on the disk that is
        // watched, and goes with the build.
        mount(&site.tmp(), "/tmp", false),
        mount(&site.var_tmp(), "/var/tmp", false),
    ];
    if let Some(bundle) = &context.inherited.ca_bundle {
        mounts.push(mount(bundle, Inherited::ca_target(), true));
    }
    mounts
}

fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// What a build may use of so many cores, in thousandths of one: the weight alone keeps dynos running but not quick,
/// for what a build fills (caches, memory bandwidth) has no weight. All but one core, three quarters of two, one of one.
fn cpu_millis(cores: u32) -> u32 {
    match cores {
        0 | 1 => 1000,
        2 => 1500,
        cores => (cores - 1).saturating_mul(1000),
    }
}

/// 2 GiB, or half of the host's where that is less, unless the operator chose.
fn memory(chosen: u64) -> u64 {
    if chosen > 0 {
        return chosen;
    }
    let host = rustix::system::sysinfo();
    let total = u64::from(host.mem_unit).saturating_mul(host.totalram);
    MEMORY.min(total / 2)
}

async fn remove(context: &Context, id: &ContainerId) {
    if let Err(error) = context.engine.remove(id).await {
        tracing::warn!(container = %id, error = chain(&error), "Could not remove a build's container; the next start will.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_leaves_cores_to_others() {
        let millis = [1, 2, 3, 4, 64].map(cpu_millis);
        assert_eq!(millis, [1000, 1500, 2000, 3000, 63_000]);
    }
}
