//! The container in which buildpacks run: unprivileged, bounded in memory, processes, time and disk, with low weight
//! on CPU and IO, on a network of its own from which neither the server nor any dyno is reached.
//!
//! It starts before it is known what will run in it (`ready.rs`), and is then shown the build's folders and told the
//! command. A container serves one command and no other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ropewalk_engine::{
    ContainerId, ContainerSpec, EngineError, Exit, FirstProcess, Limits as ContainerLimits, Mount,
    waiting::{self, Blank},
};

use super::buildpacks::MOUNT;
use super::disk;
use super::failure::Failure;
use super::inherit::Inherited;
use super::log::{BuildLog, Lines};
use super::ready::{self, Making};
use super::recipe::Recipe;
use super::results::Results;
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

/// What is to run in a sandbox.
#[derive(Clone)]
pub(crate) struct Work {
    /// The build image, as the engine knows it.
    pub(crate) image: String,
    /// What the container is called, but for a number.
    pub(crate) name: String,
    /// Never shown by `Debug`: logins for package indexes may be among it.
    pub(crate) env: Vec<(String, String)>,
    /// Program and arguments, never a shell string.
    pub(crate) command: Vec<String>,
    /// In the order in which they lie on each other.
    pub(crate) mounts: Vec<Mount>,
    /// The build's tree, when the command is the driver, which notes there that all went well.
    pub(crate) driven: Option<PathBuf>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("name", &self.name)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// One container at a time; it is gone after [`Sandbox::clear`], even if making it was interrupted.
#[derive(Debug)]
pub(crate) struct Sandbox {
    context: Arc<Context>,
    image: Option<String>,
    /// The next container, of this image.
    next: Option<Making>,
    making: Option<Making>,
    container: Option<ContainerId>,
    runs: usize,
}

impl Sandbox {
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        Self {
            context: Arc::clone(context),
            image: None,
            next: None,
            making: None,
            container: None,
            runs: 0,
        }
    }

    /// Sees to it that a container of this image is ready, or being made, when the first command comes.
    pub(crate) fn prepare(&mut self, image: &str) {
        if self.next.is_none() {
            let making = ready::take(&self.context, image)
                .unwrap_or_else(|| ready::make(&self.context, image));
            self.next = Some(making);
            self.image = Some(image.to_owned());
        }
    }

    /// The image of the container that was prepared last.
    pub(crate) fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// Runs a command to its end, its output going to the log.
    pub(crate) async fn run(
        &mut self,
        mut work: Work,
        deadline: Instant,
        log: &mut BuildLog,
    ) -> Result<Exit, Failure> {
        self.runs += 1;
        work.name = format!("{}-{}", work.name, self.runs);
        let fits = self.image.as_ref() == Some(&work.image);
        if let Some(making) = self.next.take_if(|_| fits) {
            // It may have gone with a restart of the engine while nothing ran in it.
            match self.attempt(making, &work, deadline, log).await? {
                Attempt::Ended(exit) => return Ok(exit),
                Attempt::NotBegun(error) => {
                    tracing::info!(
                        error = chain(&error),
                        "A container that stood ready is of no use; another is made."
                    );
                    self.discard();
                }
            }
        }
        let making = ready::make(&self.context, &work.image);
        match self.attempt(making, &work, deadline, log).await? {
            Attempt::Ended(exit) => Ok(exit),
            Attempt::NotBegun(error) => Err(error.into()),
        }
    }

    async fn attempt(
        &mut self,
        making: Making,
        work: &Work,
        deadline: Instant,
        log: &mut BuildLog,
    ) -> Result<Attempt, Failure> {
        // In a task of its own: an engine that was asked makes the container whether or not anybody still listens.
        let made = self.making.insert(making).await;
        self.making = None;
        let mut blank = match made? {
            Ok(blank) => blank,
            Err(error) => return Ok(Attempt::NotBegun(error)),
        };
        let id = blank.id.clone();
        self.discard();
        self.container = Some(id.clone());
        if let Err(error) = self.begin(&mut blank, work).await {
            return Ok(Attempt::NotBegun(error));
        }
        // Whether somebody reads what is said has no say in the limits: all are polled beside each other.
        let exit = {
            let context = Arc::clone(&self.context);
            let ended = async {
                let mut lines = Lines::default();
                while let Some(output) = blank.attached.output.next().await {
                    log.foreign(lines.push(&output?.bytes)).await;
                }
                log.foreign(lines.finish()).await;
                end(&context, &blank.process, work).await
            };
            tokio::select! {
                exit = ended => exit?,
                failure = disk_runs_out(&self.context) => return Err(failure),
                () = tokio::time::sleep_until(deadline.into()) => {
                    return Err(Failure::OutOfTime(self.context.options.limits.build));
                }
            }
        };
        if exit.code == waiting::UNTOLD {
            let error = "the container was not told what to run".to_owned();
            return Ok(Attempt::NotBegun(EngineError::Unreachable(error)));
        }
        match exit.out_of_memory && exit.code != 0 {
            true => Err(Failure::OutOfMemory {
                mib: memory(self.context.options.limits.memory) >> 20,
            }),
            false => Ok(Attempt::Ended(exit)),
        }
    }

    /// Shows the container its folders, names it after its build, and tells it what to run.
    async fn begin(&self, blank: &mut Blank, work: &Work) -> Result<(), EngineError> {
        let engine = &self.context.engine;
        engine.furnish(&blank.process, &work.mounts).await?;
        waiting::tell(&mut blank.attached.input, &work.env, &work.command).await?;
        // For whoever looks at the host's containers; the build goes on meanwhile.
        if let Err(error) = engine.rename(&blank.id, &work.name).await {
            tracing::info!(container = %blank.id, error = chain(&error), "A build's container keeps the name it had.");
        }
        Ok(())
    }

    /// As [`Sandbox::clear`], but a little later: see [`ready::rest`].
    pub(crate) fn clear_later(&mut self) {
        let context = Arc::clone(&self.context);
        let mut all = std::mem::replace(self, Self::new(&context));
        self.image = all.image.clone();
        context.tasks.clone().spawn(async move {
            ready::rest(&context).await;
            all.clear().await;
        });
    }

    /// Removes what is there, and what is still being made.
    pub(crate) async fn clear(&mut self) {
        let made = [self.making.take(), self.next.take()];
        for making in made.into_iter().flatten() {
            if let Ok(Ok(blank)) = making.await {
                remove(&self.context, &blank.id).await;
            }
        }
        if let Some(id) = self.container.take() {
            remove(&self.context, &id).await;
        }
    }

    /// The container, if there is one, is of no more use: it is removed beside what comes next.
    fn discard(&mut self) {
        if let Some(id) = self.container.take() {
            let context = Arc::clone(&self.context);
            self.context
                .tasks
                .spawn(async move { remove(&context, &id).await });
        }
    }
}

/// How a container whose output has ended did end. Where all went well, the engine need not be asked, which takes it a
/// tenth of a second.
async fn end(context: &Context, process: &FirstProcess, work: &Work) -> Result<Exit, Failure> {
    if let Some(tree) = work.driven.clone() {
        context.engine.gone(process).await?;
        if tokio::task::spawn_blocking(move || Results::all_went_well(&tree)).await?? {
            return Ok(Exit {
                code: 0,
                out_of_memory: false,
            });
        }
    }
    Ok(context.engine.wait(&process.container).await?)
}

/// What became of a command in a container.
enum Attempt {
    Ended(Exit),
    /// Nothing of it ran.
    NotBegun(EngineError),
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

/// A container in which anything may be built; it waits to be told what.
pub(crate) fn blank(context: &Context, image: &str, name: String) -> ContainerSpec {
    let options = &context.options;
    ContainerSpec {
        name,
        image: image.to_owned(),
        labels: [(LABEL_KIND.to_owned(), KIND.to_owned())].into(),
        command: waiting::command(ROOT),
        user: format!("{0}:{0}", ropewalk_slug::DYNO_ID),
        hostname: "build".to_owned(),
        mounts: fixed_mounts(context),
        network: Some(format!("rwb-{}", options.instance)),
        limits: ContainerLimits {
            memory: memory(options.limits.memory),
            cpu_shares: CPU_SHARES,
            cpu_millis: cpu_millis(cores()),
            pids: options.limits.pids,
            io_weight: IO_WEIGHT,
            ..ContainerLimits::default()
        },
        open_stdin: true,
        ..ContainerSpec::default()
    }
}

/// What all of a build's commands have in common; the command is still missing.
pub(crate) fn work(context: &Context, site: &Site, recipe: &Recipe, version: Option<&str>) -> Work {
    let short: String = site.id.0.simple().to_string().chars().take(12).collect();
    Work {
        image: recipe.image.clone(),
        name: format!("rw-{}-build-{short}", context.options.instance),
        env: environment(&context.inherited, site, recipe, version),
        command: Vec::new(),
        mounts: mounts(site),
        driven: None,
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

fn mounts(site: &Site) -> Vec<Mount> {
    vec![
        // Not a tmpfs, whose pages would count as the build's memory. What lies here is on the disk that is watched,
        // and goes with the build.
        mount(&site.tmp(), "/tmp", false),
        mount(&site.var_tmp(), "/var/tmp", false),
        mount(&site.tree(), ROOT, false),
        mount(&site.env(), &format!("{ROOT}/env"), true),
        mount(&site.dyno_home(), "/app", false),
    ]
}

/// What is the same for every build.
fn fixed_mounts(context: &Context) -> Vec<Mount> {
    let mut mounts = vec![mount(&context.options.buildpacks, MOUNT, true)];
    if let Some(bundle) = &context.inherited.ca_bundle {
        mounts.push(mount(bundle, Inherited::ca_target(), true));
    }
    mounts
}

fn mount(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    }
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

pub(crate) async fn remove(context: &Context, id: &ContainerId) {
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
