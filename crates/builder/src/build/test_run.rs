//! A test run from its source to its verdict: an app of its own, which nobody sees and which ends with it; a build as any
//! other, but with what tests need; a release; and a one-off dyno that runs the tests.
//!
//! Its row says how far it is, two outputs tell the rest: everything before the tests, and the tests. However it ends,
//! the app goes with all that belongs to it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use rand::RngExt;
use ropewalk_model::test_run::{TIME_LIMIT, TestStatus};
use ropewalk_model::{
    AppId, AppName, BuildId, ConfigVars, PipelineId, ReleaseId, TestNodeId, TestRunId, UserId,
};
use ropewalk_slug::{Digest, image};
use ropewalk_store::{NewApp, NewTestRun, Pipeline, TestCase, TestRun};
use uuid::Uuid;

use super::app_json::TestPlan;
use super::archive::Archive;
use super::failure::Failure;
use super::log::{BuildLog, Lines};
use super::order::{ArchiveOrder, Order, Purpose};
use super::pack::{self, Packed};
use super::phases::Phases;
use super::process_types::ProcessTypes;
use super::queue::Claim;
use super::recipe::Recipe;
use super::redact::Redaction;
use super::rows;
use super::site::Site;
use super::tap::Tap;
use super::{
    begin, keep_cache, make_room, put_source_and_cache, run_buildpacks, wait_for_place, write_env,
};
use crate::context::{Builder, Context};
use crate::error::chain;
use crate::{DynoError, DynoOutput, DynoRun, Error, NoOutputs, OutputSink, Refused, Result};

/// Runs setup and tests, with a line between them that tells where one output ends and the other begins. Without tests
/// of the app's own, those of its buildpacks, to which the config vars are files too.
const SCRIPT: &str = r#"setup=$ROPEWALK_TEST_SETUP tests=$ROPEWALK_TEST mark=$ROPEWALK_TEST_MARK
unset ROPEWALK_TEST_SETUP ROPEWALK_TEST ROPEWALK_TEST_MARK
cd /app || exit 1
if [[ -n $setup ]]; then bash -c "$setup" || exit; fi
printf '%s\n' "$mark"
if [[ -n $tests ]]; then exec bash -c "$tests"; fi
env_dir=$(mktemp -d) || exit 1
while read -r name; do
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && -v $name ]] && printf '%s' "${!name}" >"$env_dir/$name"
done <.heroku/tests/config-vars
for pack in .heroku/tests/[0-9]*; do
    [[ -x $pack/bin/test ]] || continue
    "$pack/bin/test" /app "$env_dir" || exit
done"#;

/// Shown for a build that ends without a reason of the app's.
const INTERRUPTED: &str = "Interrupted by a restart of the platform.";

/// A source archive whose tests are to be run.
#[derive(Debug, Clone)]
pub struct TestOrder {
    pub pipeline: PipelineId,
    pub user: UserId,
    /// Stack name.
    pub stack: String,
    pub archive: Archive,
    pub commit_branch: String,
    pub commit_message: String,
    pub commit_sha: String,
}

/// How a run ended.
#[derive(Debug)]
enum End {
    /// The tests' exit code.
    Tested(i64),
    /// Before there was a verdict; the text is for the user.
    Errored(String),
    Cancelled,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stopped | Failure::AppIsGone => Self::Cancelled,
            Failure::Cancelled => Self::Errored(INTERRUPTED.to_owned()),
            failure => Self::Errored(sentence(&failure.why())),
        }
    }
}

impl Builder {
    /// Begins a test run; it has its row when this returns, and tells the rest by that and by its outputs.
    pub async fn test(&self, order: TestOrder) -> Result<TestRunId, Refused> {
        let context = &self.0;
        context.is_swept()?;
        let new = NewTestRun {
            id: TestRunId(Uuid::new_v4()),
            pipeline: order.pipeline,
            user: order.user,
            commit_branch: order.commit_branch,
            commit_message: order.commit_message,
            commit_sha: order.commit_sha,
            source_url: order.archive.shown(),
            node: TestNodeId(Uuid::new_v4()),
        };
        let (run, pipeline, who) = context
            .store
            .write(move |tx| {
                let who = tx.user(new.user)?.email;
                let run = tx.create_test_run(&new, Timestamp::now())?;
                let pipeline = tx.pipeline(run.pipeline)?;
                Ok((run, pipeline, who))
            })
            .await?;
        let id = run.id;
        let site = Site::new(context, BuildId(id.0));
        let claim = context
            .queue
            .claim(AppId(id.0), &who, site.id, &Arc::default())
            .map_err(|busy| Refused::Conflict(busy.to_string()))?;
        let mut log = BuildLog::unheard();
        log.keep(context.outputs.open(id.0));
        let tests = context.outputs.open(run.node.0);
        let test = Test {
            context: Arc::clone(context),
            run,
            pipeline,
            stack: order.stack,
            log,
            tests,
            tests_began: false,
            packed: None,
        };
        context
            .tasks
            .spawn(test.carry_out(order.archive, claim, site));
        Ok(id)
    }

    /// Ends a test run whose row says already how it ended. One that is not under way is left alone.
    pub fn cancel_test(&self, run: TestRunId) {
        self.0.queue.cancel(AppId(run.0), BuildId(run.0));
    }
}

/// A run under way.
struct Test {
    context: Arc<Context>,
    run: TestRun,
    pipeline: Pipeline,
    stack: String,
    /// Everything before the tests.
    log: BuildLog,
    /// The tests.
    tests: Box<dyn OutputSink>,
    tests_began: bool,
    /// Of its slug, once there is one.
    packed: Option<Packed>,
}

impl Test {
    async fn carry_out(mut self, archive: Archive, claim: Claim, mut site: Site) {
        let cache = CacheTurn::take(&self.context, self.pipeline.id);
        let shutdown = self.context.shutdown.clone();
        let end = tokio::select! {
            biased;
            () = shutdown.cancelled() => End::Errored(INTERRUPTED.to_owned()),
            () = claim.stop.cancelled() => End::Cancelled,
            end = self.straight_line(archive, &cache, &mut site) => match end {
                Ok(code) => End::Tested(code),
                Err(end) => end,
            },
        };
        site.sandbox.clear().await;
        self.conclude(end).await;
        site.clean_up().await;
        self.clear_app().await;
        drop((cache, claim));
    }

    async fn straight_line(
        &mut self,
        archive: Archive,
        cache: &CacheTurn,
        site: &mut Site,
    ) -> Result<i64, End> {
        let context = Arc::clone(&self.context);
        let place = wait_for_place(&context, &mut self.log).await?;
        let work = async {
            make_room(&context).await?;
            let mut order = self.make_app(archive, cache).await?;
            let plan = self.build(&mut order, site).await?;
            drop(place);
            keep_cache(&context, &order, site).await;
            self.test(plan).await
        };
        match tokio::time::timeout(TIME_LIMIT, work).await {
            Ok(end) => end,
            Err(_) => Err(End::Errored(format!(
                "The run took longer than {} minutes and was ended.",
                TIME_LIMIT.as_secs() / 60
            ))),
        }
    }

    /// The app that everything of the run belongs to.
    async fn make_app(&mut self, archive: Archive, cache: &CacheTurn) -> Result<Order, End> {
        self.goes_on(TestStatus::Creating).await?;
        let short: String = self
            .run
            .id
            .0
            .simple()
            .to_string()
            .chars()
            .take(12)
            .collect();
        let name = AppName::parse(&format!("test-run-{short}"))
            .map_err(|error| End::Errored(error.to_string()))?;
        let new = NewApp {
            id: AppId(self.run.id.0),
            name,
            // Whoever may run the tests may not be anything else to the app: nobody is shown it.
            owner: self.pipeline.owner,
            stack: self.stack.clone(),
            release: ReleaseId(Uuid::new_v4()),
        };
        let user = self.run.user;
        let (app, user) = self
            .context
            .store
            .write(move |tx| {
                let app = tx.create_ephemeral_app(&new, Timestamp::now())?;
                Ok((app, tx.user(user)?))
            })
            .await
            .map_err(Failure::from)?;
        let order = ArchiveOrder {
            app: app.id,
            user: user.id,
            archive,
            buildpacks: Vec::new(),
        };
        let mut order = Order::of_archive(app, user, order);
        order.purpose = Purpose::Test;
        if cache.is_ours {
            order.cache = AppId(self.pipeline.id.0);
        }
        Ok(order)
    }

    /// From the source to a release that serves nothing.
    async fn build(&mut self, order: &mut Order, site: &mut Site) -> Result<TestPlan, End> {
        self.goes_on(TestStatus::Building).await?;
        let context = Arc::clone(&self.context);
        let built = async {
            let mut phases = Phases::since(order.began);
            let mut recipe = Recipe::look_up(&context, order).await?;
            site.sandbox.prepare(&recipe.image);
            rows::create(&context, order, &recipe.stack.name, site.id).await?;
            site.recorded = true;
            begin(&context, order, &recipe, &mut self.log, site).await?;
            put_source_and_cache(&context, order, &mut self.log, site).await?;
            let tree = site.app();
            let plan = tokio::task::spawn_blocking(move || TestPlan::read(&tree, secret)).await??;
            for note in &plan.notes {
                self.log.warning(note).await;
            }
            order.buildpacks.clone_from(&plan.buildpacks);
            let own = self.own_config().await?;
            let config = merged(&plan, &own)?;
            self.log.redaction = Redaction::of(&config);
            recipe.config = self.with_facts(config);
            write_env(&recipe, site).await?;
            phases.end("checkout");
            let results =
                run_buildpacks(&context, order, &recipe, &mut self.log, site, &mut phases).await?;
            if plan.test.is_none() && !results.tests {
                return Err(Failure::App(
                    "There are no tests: app.json names no environments.test.scripts.test, and no buildpack of the \
                     app has a bin/test."
                        .to_owned(),
                ));
            }
            let _packing = context.packing.read().await;
            let packed = pack::pack(&context, site, None, &mut self.log).await?;
            // No process types: nothing of it is to run by itself.
            let built = rows::Built {
                results: &results,
                types: &ProcessTypes::default(),
                jobs: &[],
                checks: Vec::new(),
                packed: packed.clone(),
            };
            rows::release_for_tests(&context, order, &recipe, site.id, built).await?;
            Ok((plan, packed))
        };
        match built.await {
            Ok((plan, packed)) => {
                self.packed = Some(packed);
                Ok(plan)
            }
            Err(failure) => {
                if let Failure::Platform(error) = &failure {
                    tracing::error!(run = %self.run.id, error = chain(error), "A test run failed on the platform's side.");
                }
                Err(failure.into())
            }
        }
    }

    /// Setup and tests, in one dyno.
    async fn test(&mut self, plan: TestPlan) -> Result<i64, End> {
        let mark = secret();
        let env = [
            (
                "ROPEWALK_TEST_SETUP",
                plan.setup.clone().unwrap_or_default(),
            ),
            ("ROPEWALK_TEST", plan.test.unwrap_or_default()),
            ("ROPEWALK_TEST_MARK", mark.clone()),
        ];
        let run = DynoRun {
            app: AppId(self.run.id.0),
            command: SCRIPT.to_owned(),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            time_to_live: TIME_LIMIT + Duration::from_secs(60),
        };
        if plan.setup.is_some() {
            self.log.header("Running test-setup").await;
        }
        let mut running = self.context.dynos.run(run).await.map_err(|error| {
            if let DynoError::Failed(text) = &error {
                tracing::error!(run = %self.run.id, error = text, "The dyno of a test run could not be started.");
            }
            match error {
                DynoError::Refused(text) => End::Errored(text),
                DynoError::Failed(_) => End::Errored("Ropewalk could not start a dyno for the tests.".to_owned()),
            }
        })?;
        let (id, dyno) = (self.run.id, running.dyno);
        self.goes_on(TestStatus::Running).await?;
        self.write(move |tx| tx.set_test_dyno(id, dyno, Timestamp::now()))
            .await?;
        let mut split = Split::new(&mark);
        let mut setup_errors = Lines::default();
        let mut tap = TapReader::default();
        let code = loop {
            match running.output.next().await {
                Some(DynoOutput::Stdout(bytes)) => {
                    let (setup, tests) = split.push(&bytes);
                    self.log.foreign(setup).await;
                    if split.is_over() && !self.tests_began {
                        // Who reads of the setup is told that it is over.
                        self.log.foreign(setup_errors.finish()).await;
                        self.log = BuildLog::unheard();
                        self.tests_began = true;
                    }
                    self.tests.write(&tests);
                    tap.push(&tests);
                }
                Some(DynoOutput::Stderr(bytes)) if split.is_over() => self.tests.write(&bytes),
                Some(DynoOutput::Stderr(bytes)) => {
                    self.log.foreign(setup_errors.push(&bytes)).await;
                }
                Some(DynoOutput::Exit(code)) if code >= 0 => break code,
                Some(DynoOutput::Exit(_)) | None => {
                    return Err(End::Errored("The dyno of the tests was lost.".to_owned()));
                }
            }
        };
        self.log.foreign(setup_errors.finish()).await;
        self.log.foreign(split.finish()).await;
        if !split.is_over() {
            return Err(End::Errored(match plan.setup {
                Some(_) => format!("test-setup ended with exit code {code}."),
                None => format!("The tests could not be started: exit code {code}."),
            }));
        }
        self.keep_cases(tap.finish()).await?;
        Ok(code)
    }

    /// What tests that speak TAP said.
    async fn keep_cases(&mut self, cases: Vec<super::tap::Case>) -> Result<(), End> {
        let (id, now) = (self.run.id, Timestamp::now());
        let cases: Vec<TestCase> = cases
            .into_iter()
            .map(|case| TestCase {
                id: Uuid::new_v4(),
                number: case.number,
                passed: case.passed,
                description: case.description,
                directive: case.directive,
                diagnostic: case.diagnostic,
                created_at: now,
            })
            .collect();
        match cases.is_empty() {
            true => Ok(()),
            false => self.write(move |tx| tx.add_test_cases(id, &cases)).await,
        }
    }

    /// The pipeline's config vars of the stage `test`.
    async fn own_config(&mut self) -> Result<ConfigVars, Failure> {
        let id = self.pipeline.id;
        let config = self
            .context
            .store
            .read(move |view| view.stage_config(id, ropewalk_model::pipeline::Stage::Test));
        Ok(config.await?)
    }

    /// What programs in a test run find of it, as on Heroku CI; nobody's settings take its place.
    fn with_facts(&self, mut config: ConfigVars) -> ConfigVars {
        for (name, value) in [
            ("CI", "true".to_owned()),
            ("CI_NODE_INDEX", "0".to_owned()),
            ("CI_NODE_TOTAL", "1".to_owned()),
            ("HEROKU_TEST_RUN_ID", self.run.id.to_string()),
            ("HEROKU_TEST_RUN_NUMBER", self.run.number.to_string()),
            ("HEROKU_TEST_RUN_BRANCH", self.run.commit_branch.clone()),
            (
                "HEROKU_TEST_RUN_COMMIT_VERSION",
                self.run.commit_sha.clone(),
            ),
        ] {
            config.0.insert(name.to_owned(), value);
        }
        config
    }

    /// # Errors
    /// When somebody has ended the run.
    async fn goes_on(&mut self, status: TestStatus) -> Result<(), End> {
        let id = self.run.id;
        let written = self
            .context
            .store
            .write(move |tx| tx.set_test_status(id, status, None, Timestamp::now()))
            .await
            .map_err(Failure::from)?;
        match written {
            true => Ok(()),
            false => Err(End::Cancelled),
        }
    }

    async fn write(
        &mut self,
        work: impl FnOnce(&ropewalk_store::Tx<'_>) -> ropewalk_store::Result<()> + Send + 'static,
    ) -> Result<(), End> {
        let written = self.context.store.write(work).await;
        Ok(written.map_err(Failure::from)?)
    }

    /// Says how the run ended, and writes it; a run that was cancelled stays so.
    async fn conclude(&mut self, end: End) {
        let (status, message, code) = match end {
            End::Tested(0) => (TestStatus::Succeeded, None, Some(0)),
            End::Tested(code) => (TestStatus::Failed, None, Some(code)),
            End::Errored(why) => (TestStatus::Errored, Some(why), None),
            End::Cancelled => (TestStatus::Cancelled, Some("Cancelled.".to_owned()), None),
        };
        if let Some(why) = &message {
            let line = format!("\n !     {why}\n");
            match self.tests_began {
                true => self.tests.write(format!("{line}\n").as_bytes()),
                false => self.log.line(&line).await,
            }
        }
        let id = self.run.id;
        let text = message.clone();
        let written = self
            .context
            .store
            .write(move |tx| {
                let now = Timestamp::now();
                if tx.set_test_status(id, status, text.as_deref(), now)?
                    && let Some(code) = code
                {
                    tx.set_test_exit_code(id, code, now)?;
                }
                Ok(())
            })
            .await;
        if let Err(error) = written {
            tracing::warn!(run = %id, error = chain(&error), "The end of a test run could not be written; the next start will.");
        }
        // Whoever reads them need not wait for what is cleared away.
        self.log = BuildLog::unheard();
        self.tests = Box::new(NoOutputs);
        tracing::info!(run = %id, status = status.as_str(), why = message, "A test run ended.");
    }

    /// The app with its rows, files and slug.
    async fn clear_app(self) {
        let Self {
            context,
            run,
            packed,
            ..
        } = self;
        let app = AppId(run.id.0);
        let removed = async {
            context.store.write(move |tx| tx.delete_app(app)).await?;
            context.outputs.forget(app);
            context.releases.changed();
            super::cache::purge(&context, app).await?;
            for image in packed.iter().flat_map(|packed| &packed.images) {
                forget_image(&context, image).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(run = %run.id, error = chain(&error), "What a test run left could not all be removed; the next start will.");
        }
    }
}

/// Removes an image that no slug names any more. What is mounted of it stays until it is unmounted.
async fn forget_image(context: &Context, digest: &Digest) -> Result<()> {
    let _alone = context.packing.write().await;
    let text = digest.to_string();
    let named = context
        .store
        .read(move |view| Ok(view.slug_images()?.contains(&text)))
        .await?;
    if named {
        return Ok(());
    }
    let path = context.options.data.join("slugs").join(image::file(digest));
    match tokio::fs::remove_file(&path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// The pipeline's cache, for one run at a time: another that runs beside it begins without one and leaves none.
struct CacheTurn {
    context: Arc<Context>,
    pipeline: PipelineId,
    is_ours: bool,
}

impl CacheTurn {
    fn take(context: &Arc<Context>, pipeline: PipelineId) -> Self {
        let mut lent = context
            .lent_caches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Self {
            is_ours: lent.insert(pipeline),
            context: Arc::clone(context),
            pipeline,
        }
    }
}

impl Drop for CacheTurn {
    fn drop(&mut self) {
        if self.is_ours {
            let lent = self.context.lent_caches.lock();
            lent.unwrap_or_else(PoisonError::into_inner)
                .remove(&self.pipeline);
        }
    }
}

/// app.json's variables, and the pipeline's over them.
fn merged(plan: &TestPlan, own: &ConfigVars) -> Result<ConfigVars, Failure> {
    let mut all: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (name, value) in plan.env.iter().chain(&own.0) {
        all.insert(name.clone(), Some(value.clone()));
    }
    let (config, _) = ConfigVars::default()
        .patched(&all)
        .map_err(|error| Failure::App(error.to_string()))?;
    Ok(config)
}

/// 128 bits of randomness as text.
fn secret() -> String {
    let bytes: [u8; 16] = rand::rng().random();
    hex::encode(bytes)
}

/// A clause as a sentence.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let mut text: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect();
    if !text.ends_with(['.', '!']) {
        text.push('.');
    }
    text
}

/// Takes the output of the setup and that of the tests apart.
#[derive(Debug)]
struct Split {
    mark: Vec<u8>,
    /// What may still turn out to be the mark's beginning.
    held: Vec<u8>,
    lines: Lines,
    over: bool,
}

impl Split {
    fn new(mark: &str) -> Self {
        Self {
            mark: format!("{mark}\n").into_bytes(),
            held: Vec::new(),
            lines: Lines::default(),
            over: false,
        }
    }

    /// The setup has ended.
    fn is_over(&self) -> bool {
        self.over
    }

    /// Whole lines of the setup, and bytes of the tests.
    fn push(&mut self, chunk: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        if self.over {
            return (Vec::new(), chunk.to_vec());
        }
        self.held.extend_from_slice(chunk);
        let found = self
            .held
            .windows(self.mark.len())
            .position(|window| window == self.mark);
        let Some(at) = found else {
            let known = self.held.len().saturating_sub(self.mark.len() - 1);
            let known: Vec<u8> = self.held.drain(..known).collect();
            return (self.lines.push(&known), Vec::new());
        };
        self.over = true;
        let tests = self.held.split_off(at + self.mark.len());
        self.held.truncate(at);
        let held = std::mem::take(&mut self.held);
        let mut lines = self.lines.push(&held);
        lines.extend(self.lines.finish());
        (lines, tests)
    }

    /// What is left of the setup when nothing more comes.
    fn finish(&mut self) -> Vec<Vec<u8>> {
        let held = std::mem::take(&mut self.held);
        let mut lines = self.lines.push(&held);
        lines.extend(self.lines.finish());
        lines
    }
}

/// TAP in chunks.
#[derive(Debug, Default)]
struct TapReader {
    tap: Tap,
    lines: Lines,
}

impl TapReader {
    fn push(&mut self, chunk: &[u8]) {
        for line in self.lines.push(chunk) {
            self.tap.line(&String::from_utf8_lossy(&line));
        }
    }

    fn finish(mut self) -> Vec<super::tap::Case> {
        for line in self.lines.finish() {
            self.tap.line(&String::from_utf8_lossy(&line));
        }
        self.tap.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: Vec<Vec<u8>>) -> String {
        let lines = lines.into_iter();
        lines
            .map(|line| String::from_utf8(line).unwrap() + "\n")
            .collect()
    }

    #[test]
    fn the_mark_parts_setup_and_tests_wherever_chunks_end() {
        let all = "one\ntwo without an endMARK\ndots..";
        for cut in 0..all.len() {
            let mut split = Split::new("MARK");
            let (mut setup, mut tests) = (String::new(), Vec::new());
            for chunk in [&all[..cut], &all[cut..]] {
                let (lines, bytes) = split.push(chunk.as_bytes());
                setup.push_str(&text(lines));
                tests.extend(bytes);
            }
            setup.push_str(&text(split.finish()));
            assert!(split.is_over());
            assert_eq!(setup, "one\ntwo without an end\n", "{cut}");
            assert_eq!(tests, b"dots..", "{cut}");
        }
        let mut split = Split::new("MARK");
        let (lines, tests) = split.push(b"setup failed\nMAR");
        assert_eq!(tests, b"");
        assert_eq!(text(lines) + &text(split.finish()), "setup failed\nMAR\n");
        assert!(!split.is_over());
    }

    #[test]
    fn the_pipelines_own_config_vars_win() {
        let plan = TestPlan {
            env: [("A", "json"), ("B", "json")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..TestPlan::default()
        };
        let own = ConfigVars([("B".to_owned(), "own".to_owned())].into());
        let config = merged(&plan, &own).unwrap();
        assert_eq!(config.0["A"], "json");
        assert_eq!(config.0["B"], "own");
    }

    #[test]
    fn clauses_become_sentences() {
        assert_eq!(
            sentence("the host's disk is full"),
            "The host's disk is full."
        );
        assert_eq!(sentence("Done."), "Done.");
    }
}
