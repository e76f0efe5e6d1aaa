//! The straight line: from a commit that git has received, or a source archive, to a release that serves.
//!
//! Until the release row is written, ending anywhere leaves nothing behind; from then on the release stands by itself
//! and is only followed.

pub(crate) mod address;
pub(crate) mod ahead;
mod app_json;
pub(crate) mod archive;
pub(crate) mod base;
pub(crate) mod beneath;
mod buildpacks;
pub(crate) mod cache;
pub(crate) mod changes;
mod checkout;
pub(crate) mod disk;
mod env_dir;
pub(crate) mod failure;
mod fetch;
mod file_checks;
mod file_jobs;
pub(crate) mod flat_yaml;
pub(crate) mod inherit;
pub(crate) mod log;
pub(crate) mod order;
pub(crate) mod pack;
mod phases;
mod process_types;
pub(crate) mod queue;
pub(crate) mod ready;
mod recipe;
mod redact;
mod results;
mod rows;
pub(crate) mod sandbox;
pub(crate) mod site;
pub(crate) mod slugignore;
mod tap;
pub(crate) mod test_run;
mod verify;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ropewalk_model::{AppId, BuildId};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::address::Address;
use self::buildpacks::Buildpack;
use self::cache::Lent;
use self::checkout::Objects;
use self::failure::Failure;
use self::file_checks::FileChecks;
use self::file_jobs::FileJobs;
use self::log::BuildLog;
use self::order::{ArchiveOrder, Order, Purpose, Source};
use self::phases::Phases;
use self::process_types::ProcessTypes;
use self::queue::{Claim, Place};
use self::recipe::Recipe;
use self::results::Results;
use self::site::{Ground, Site};
use crate::context::Builder;
use crate::context::Context;
use crate::error::chain;
use crate::{Error, Refused, Result};

impl Builder {
    /// Begins to build a source archive; the build has its row when this returns, and tells the rest in its output.
    ///
    /// # Errors
    /// When another build of that app is under way.
    pub async fn build(&self, order: ArchiveOrder) -> Result<BuildId, Refused> {
        let context = &self.0;
        context.is_swept()?;
        let (app, user) = (order.app, order.user);
        let rows = move |view: &ropewalk_store::View<'_>| Ok((view.app(app)?, view.user(user)?));
        let (app, user) = context.store.read(rows).await?;
        let order = Order::of_archive(app, user, order);
        let mut site = Site::new(context, BuildId(Uuid::new_v4()));
        let id = site.id;
        let claim = claim(context, &order, &site)
            .map_err(|busy| Refused::Conflict(format!("{busy} Nothing was changed.")))?;
        rows::create(context, &order, &order.app.stack, id).await?;
        site.recorded = true;
        let mut log = BuildLog::unheard();
        log.keep(context.outputs.open(id.0));
        let cancel = context.shutdown.child_token();
        let work = carry_out(Arc::clone(context), order, claim, site, log, cancel);
        context.tasks.spawn(work);
        Ok(id)
    }
}

/// Builds and releases what was pushed. Tells everything to `to`; returns whether git may keep the push. Ends soon after `cancel`,
/// with everything it made removed, unless the release was made already.
pub(crate) async fn deploy(
    context: Arc<Context>,
    order: Order,
    to: mpsc::Sender<Bytes>,
    cancel: CancellationToken,
) -> bool {
    let mut log = BuildLog::new(to);
    let site = Site::new(&context, BuildId(Uuid::new_v4()));
    let claim = match claim(&context, &order, &site) {
        Ok(claim) => claim,
        Err(busy) => {
            say(&mut log, &Failure::Busy(busy), &order).await;
            return false;
        }
    };
    carry_out(context, order, claim, site, log, cancel).await
}

fn claim(context: &Context, order: &Order, site: &Site) -> Result<Claim, queue::Busy> {
    let (app, who) = (order.app.id, &order.user.email);
    context.queue.claim(app, who, site.id, &order.settled)
}

/// The straight line, and what follows its end.
async fn carry_out(
    context: Arc<Context>,
    order: Order,
    claim: Claim,
    mut site: Site,
    mut log: BuildLog,
    cancel: CancellationToken,
) -> bool {
    let mut phases = Phases::since(order.began);
    phases.end("receive");
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::Cancelled),
        () = claim.gone.cancelled() => Err(Failure::AppIsGone),
        () = stopped(&claim, &order) => Err(Failure::Stopped),
        outcome = straight_line(&context, &order, &mut log, &mut site, &mut phases) => outcome,
    };
    // Before anything waits for somebody to read it.
    match &outcome {
        Ok(()) => site.sandbox.clear_later(),
        Err(_) => site.sandbox.clear().await,
    }
    let keep = match outcome {
        Ok(()) => true,
        // The server stops while the release goes on: the ref must follow the release.
        Err(Failure::Cancelled) if order.is_settled() => {
            log.warning("Ropewalk is being restarted; the release goes on. See: ropewalk releases")
                .await;
            true
        }
        Err(failure) => {
            if matches!(failure, Failure::Cancelled) && context.shutdown.is_cancelled() {
                log.warning("Ropewalk is being restarted; nothing was changed. Try again.")
                    .await;
            }
            note_failure(&context, &order, &site, &failure).await;
            say(&mut log, &failure, &order).await;
            false
        }
    };
    // The rows of an app that is gone went with it.
    if site.recorded && !claim.gone.is_cancelled() {
        rows::keep_times(&context, order.app.id, site.id, &phases).await;
    }
    let image = site.sandbox.image().map(str::to_owned);
    let released = (keep && order.purpose == Purpose::Deploy).then_some(order.app.id);
    let cache = keep.then_some(order.cache);
    let task = make_ready(Arc::clone(&context), image, cache, released);
    context.tasks.spawn(task);
    site.clean_up().await;
    drop(claim);
    keep
}

/// Who pushed once often pushes again.
async fn make_ready(
    context: Arc<Context>,
    image: Option<String>,
    cache: Option<AppId>,
    released: Option<AppId>,
) {
    ready::rest(&context).await;
    if let Some(image) = image {
        ready::keep(&context, &image);
    }
    if let Some(cache) = cache {
        let task = ahead::make(Arc::clone(&context), cache);
        context.tasks.spawn(task);
    }
    if let Some(app) = released.filter(|_| !context.shutdown.is_cancelled()) {
        context.releases.expect(app);
    }
}

/// Ends when somebody wants the build to end, and it has not made its release.
async fn stopped(claim: &Claim, order: &Order) {
    claim.stop.cancelled().await;
    if order.is_settled() {
        std::future::pending::<()>().await;
    }
}

async fn straight_line(
    context: &Arc<Context>,
    order: &Order,
    log: &mut BuildLog,
    site: &mut Site,
    phases: &mut Phases,
) -> Result<(), Failure> {
    let place = wait_for_place(context, log).await?;
    phases.end("queue");
    make_room(context).await?;
    let recipe = Recipe::look_up(context, order).await?;
    site.sandbox.prepare(&recipe.image);
    if order.purpose == Purpose::Deploy {
        context.releases.expect(order.app.id);
    }
    begin(context, order, &recipe, log, site).await?;
    put_source_and_cache(context, order, log, site).await?;
    write_env(&recipe, site).await?;
    // Before anything is built, for a mistake in it ends the build. It is the source that counts.
    let jobs = read_jobs(context, &recipe, site).await?;
    let mut checks = read_checks(site).await?;
    phases.end("checkout");
    let results = run_buildpacks(context, order, &recipe, log, site, phases).await?;
    let types = discover(site, &results, log).await?;
    tell("Discovering jobs", jobs.lines(), &jobs.warnings, log).await;
    checks.warn_of_types(&types.commands);
    let title = "Discovering health checks";
    tell(title, checks.lines(), &checks.warnings, log).await;
    let packing = context.packing.read().await;
    let packed = pack::pack(context, site, Some(recipe.app.id), log).await?;
    phases.end("pack");
    launch(&types, log).await;
    let built = rows::Built {
        results: &results,
        types: &types,
        jobs: &jobs.jobs,
        checks: checks.kept(),
        packed,
    };
    let version = rows::release(context, order, &recipe, site.id, built).await?;
    drop(packing);
    log.detail(&format!("Released v{version}")).await;
    // What follows is the scheduler's work: the next build may begin.
    drop(place);
    keep_cache(context, order, site).await;
    point_head(context, order).await;
    let version = verify::follow(context, recipe.app.id, version, log, phases).await?;
    tell_success(context, order, version, log, phases).await;
    Ok(())
}

async fn wait_for_place(
    context: &Context,
    log: &mut BuildLog,
) -> Result<Option<OwnedSemaphorePermit>, Failure> {
    match context.queue.place() {
        Place::Free(permit) => Ok(Some(permit)),
        Place::Full => Err(Failure::LineFull),
        Place::Line(number, waiting) => {
            let limit = context.options.limits.builds;
            log.line(&format!(
                " !     {limit} builds are going on, as many as this host does at once. This one is number {number} in line."
            ))
            .await;
            Ok(waiting.turn().await)
        }
    }
}

/// There is enough free on the disk, if need be after what only saves time was thrown away.
async fn make_room(context: &Context) -> Result<(), Failure> {
    match disk::check(context).await {
        Err(Failure::OutOfDisk { .. } | Failure::OutOfInodes { .. }) => {
            base::purge_all(context).await?;
            disk::check(context).await
        }
        checked => checked,
    }
}

/// The build's row and folder; from here on its output is kept.
async fn begin(
    context: &Context,
    order: &Order,
    recipe: &Recipe,
    log: &mut BuildLog,
    site: &mut Site,
) -> Result<(), Failure> {
    if !site.recorded {
        rows::create(context, order, &recipe.stack.name, site.id).await?;
        site.recorded = true;
        let started = format!("Build started by user {}", order.user.email);
        context.outputs.say(order.app.id, &started);
        log.keep(context.outputs.open(site.id.0));
    }
    log.redaction = redact::Redaction::of(&recipe.config);
    if recipe.built_before {
        log.warning(&format!(
            "The same version of this code has already been built: {}",
            order.version().unwrap_or_default()
        ))
        .await;
        log.warning(
            "It is built once more. To deploy another branch: git push <remote> <branch>:main",
        )
        .await;
    }
    site.open(match &order.source {
        Source::Push { .. } => Ground::View,
        Source::Archive(_) => Ground::Files,
    })?;
    Ok(())
}

/// ENV_DIR, which the sandbox mounts.
async fn write_env(recipe: &Recipe, site: &Site) -> Result<(), Failure> {
    let (env, config) = (site.env(), recipe.config.clone());
    tokio::task::spawn_blocking(move || env_dir::write(&env, &config)).await??;
    Ok(())
}

/// The source's files and the clone of the cache, at the same time.
async fn put_source_and_cache(
    context: &Context,
    order: &Order,
    log: &mut BuildLog,
    site: &mut Site,
) -> Result<(), Failure> {
    let app = order.app.id;
    let lend = lend_cache(context, order.cache, site.ground.join("cache"));
    let (lines, lent) = match &order.source {
        Source::Push { deploy, quarantine } => {
            let objects = Objects::new(context.repos.path(app), quarantine.clone());
            let base = async {
                let commit = &deploy.commit;
                let (tree, next) = tokio::try_join!(
                    checkout::look(context, &objects, commit),
                    base::compare(context, &objects, app, commit),
                )?;
                let aside = site.folder.join("aside");
                base::bring(context, &objects, app, site.id, &tree, next, &aside).await
            };
            let (base, lent) = tokio::try_join!(base, lend)?;
            site.mount(&base).await?;
            let tree = site.app();
            let lines = tokio::task::spawn_blocking(move || checkout::ignore(&tree)).await??;
            log.line("Compressing source files... done.").await;
            (lines, lent)
        }
        Source::Archive(archive) => {
            tokio::try_join!(archive::put(context, archive, site, log), lend)?
        }
    };
    log.line("Building source:\n").await;
    for line in lines {
        log.detail(&line).await;
    }
    if lent == Lent::TooLarge {
        log.warning("The build cache grew beyond its limits and was thrown away.")
            .await;
    }
    Ok(())
}

/// What was cloned ahead is moved, and anything else cloned now.
async fn lend_cache(context: &Context, cache: AppId, to: PathBuf) -> Result<Lent, Failure> {
    if let Some(clone) = ahead::take(context, cache)
        && fs::rename(clone, &to).is_ok()
    {
        return Ok(Lent::Cloned);
    }
    let kept = cache::path(context, cache);
    let most = cache::Most::of(&context.options.limits);
    Ok(tokio::task::spawn_blocking(move || cache::lend(&kept, &to, most)).await??)
}

async fn run_buildpacks(
    context: &Context,
    order: &Order,
    recipe: &Recipe,
    log: &mut BuildLog,
    site: &mut Site,
    phases: &mut Phases,
) -> Result<Results, Failure> {
    let deadline = Instant::now() + context.options.limits.build;
    let mut work = sandbox::work(context, site, recipe, order.version());
    let chosen = buildpacks::chosen(
        &recipe.known,
        &order.buildpacks,
        &recipe.config,
        &recipe.buildpacks,
        &site.app(),
    )?;
    let chosen: Vec<Buildpack> = chosen.map_err(Failure::Buildpack)?;
    let addresses = chosen.iter().filter_map(Buildpack::address);
    log.redaction.also(addresses.flat_map(Address::secrets));
    let login = site.login();
    let folders =
        fetch::fetch_all(&mut site.sandbox, &work, &chosen, &login, deadline, log).await?;
    if !folders.fetched.is_empty() {
        phases.end("fetch");
    }
    work.driven = Some(site.tree());
    work.command = vec![format!("{}/lib/driver", buildpacks::MOUNT)];
    if order.purpose == Purpose::Test {
        work.command.push("--test".to_owned());
    }
    match chosen.is_empty() {
        true => work.command.push("auto".to_owned()),
        false => work.command.extend(folders.arguments),
    }
    let began = Instant::now();
    let exit = site.sandbox.run(work, deadline, log).await?;
    let tree = site.tree();
    let results = tokio::task::spawn_blocking(move || Results::read(&tree)).await??;
    // What of the container's time the driver did not count is the container's own.
    let counted = results.phases.iter().map(|(_, taken)| *taken).sum();
    for (name, taken) in &results.phases {
        // "release" is what happens to the release.
        phases.add(
            if name == "release" {
                "bin_release"
            } else {
                name
            },
            *taken,
        );
    }
    phases.restart("container", began.elapsed().saturating_sub(counted));
    rows::record(context, site.id, &results).await?;
    match exit.code {
        0 => Ok(results),
        80 => Err(Failure::NothingDetected),
        81 => Err(Failure::NotApplicable {
            buildpack: match &results.failed {
                Some((name, _)) => name.clone(),
                None => chosen
                    .first()
                    .map_or("the buildpack", Buildpack::name)
                    .to_owned(),
            },
        }),
        83 => Err(Failure::ReleaseScript {
            display: results.display(),
        }),
        137 => {
            log.warning("The build was killed from outside.").await;
            Err(Failure::Compile {
                display: results.display(),
            })
        }
        _ => Err(Failure::Compile {
            display: results.display(),
        }),
    }
}

async fn discover(
    site: &Site,
    results: &Results,
    log: &mut BuildLog,
) -> Result<ProcessTypes, Failure> {
    let (tree, release_yml) = (site.app(), results.release_yml.clone());
    let discovered =
        tokio::task::spawn_blocking(move || process_types::discover(&tree, &release_yml));
    let types = discovered.await??;
    log.header("Discovering process types").await;
    let declared = types.declared.as_ref().map(|names| names.join(", "));
    let declared = declared
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| "(none)".to_owned());
    log.detail(&format!("Procfile declares types     -> {declared}"))
        .await;
    if !types.defaults.is_empty() {
        log.detail(&format!(
            "Default types for buildpack -> {}",
            types.defaults.join(", ")
        ))
        .await;
    }
    for warning in &types.warnings {
        log.warning(warning).await;
    }
    if types.commands.is_empty() {
        log.warning(
            "There is no process type, so nothing will run. Add a Procfile, such as: web: ./server",
        )
        .await;
    }
    log.line("").await;
    Ok(types)
}

/// The jobs that app.json names. One whose name a person's job has is kept, and has to wait for that name.
async fn read_jobs(context: &Context, recipe: &Recipe, site: &Site) -> Result<FileJobs, Failure> {
    let tree = site.app();
    let sizes = context.store.read(|view| view.sizes()).await?;
    let read = tokio::task::spawn_blocking(move || FileJobs::read(&tree, &sizes));
    let mut jobs = read.await??;
    if !jobs.jobs.is_empty() {
        let app = recipe.app.id;
        let known = context.store.read(move |view| view.jobs(app)).await?;
        jobs.warn_of_names(&known);
    }
    Ok(jobs)
}

async fn read_checks(site: &Site) -> Result<FileChecks, Failure> {
    let tree = site.app();
    tokio::task::spawn_blocking(move || FileChecks::read(&tree)).await?
}

/// What a file of the app declares, a line for each thing, and what is wrong with it that ends nothing.
async fn tell(title: &str, lines: Vec<String>, warnings: &[String], log: &mut BuildLog) {
    if lines.is_empty() && warnings.is_empty() {
        return;
    }
    log.header(title).await;
    for line in lines {
        log.detail(&line).await;
    }
    for warning in warnings {
        log.warning(warning).await;
    }
    log.line("").await;
}

/// The next build begins with what this one cached. Failing at it costs time, not the deploy.
async fn keep_cache(context: &Context, order: &Order, site: &mut Site) {
    let app = order.app.id;
    let kept = cache::path(context, order.cache);
    let keep = async {
        // The cache leaves the view before it moves.
        site.unmount().await?;
        let from = site.ground.join("cache");
        ahead::forget(context, order.cache);
        let moved = tokio::task::spawn_blocking(move || cache::keep(&from, &kept));
        moved.await.map_err(Error::Task).flatten()
    };
    if let Err(error) = keep.await {
        tracing::warn!(%app, error = chain(&error), "Could not keep a build cache.");
    }
}

/// A clone without arguments gets the branch that was deployed. Failing at it is no reason to fail a deploy.
async fn point_head(context: &Context, order: &Order) {
    let Source::Push { deploy, .. } = &order.source else {
        return;
    };
    let (app, branch) = (order.app.id, deploy.branch);
    if let Err(error) = context.repos.point_head(&context.git, app, branch).await {
        tracing::warn!(%app, error = chain(&error), "Could not point a repository's HEAD at what was deployed.");
    }
}

async fn tell_success(
    context: &Context,
    order: &Order,
    version: u32,
    log: &mut BuildLog,
    phases: &Phases,
) {
    let name = &order.app.name;
    log.detail(&format!(
        "{} deployed to Ropewalk",
        context.options.urls.of(name)
    ))
    .await;
    log.line("\nVerifying deploy... done.").await;
    tracing::info!(app = %name, version, taken = verify::seconds(phases.total()), "Deployed.");
}

async fn launch(types: &ProcessTypes, log: &mut BuildLog) {
    log.header("Launching...").await;
    if types.commands.contains_key("release") {
        log.warning("Release command declared: this new release will not be available until the command succeeds.")
            .await;
    }
}

async fn say(log: &mut BuildLog, failure: &Failure, order: &Order) {
    for line in failure.lines(&order.app.name, order.is_push()) {
        log.line(&line).await;
    }
}

async fn note_failure(context: &Context, order: &Order, site: &Site, failure: &Failure) {
    let app = &order.app.name;
    match failure {
        Failure::Platform(error) => {
            tracing::error!(%app, build = %site.id, error = chain(error), "A build failed on the platform's side.");
        }
        failure => {
            tracing::info!(%app, build = %site.id, why = failure.why(), "A build failed.");
        }
    }
    if site.recorded && !matches!(failure, Failure::AppIsGone) {
        rows::fail(context, site.id, failure).await;
        // Whoever stopped it is told of already, and with its release the build was over.
        if !(order.is_settled() || matches!(failure, Failure::Stopped)) {
            context.outputs.say(order.app.id, "Build failed");
        }
    }
}
