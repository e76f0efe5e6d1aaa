//! The jobs of app.json: its `cron`, as Dokku has it, with a name and a time zone for those who want them.
//!
//! A mistake ends the build, for a job that silently does not run is found too late; what is unknown is said.

use std::path::Path;

use ropewalk_model::job::{self, JobName, MOST_JOBS, Missed, Overlap, Source, TIME_LIMIT};
use ropewalk_model::{Cron, Sizes, time_zone};
use ropewalk_store::{FileJob, Job, JobSettings};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::app_json;
use super::failure::Failure;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FileJobs {
    pub(crate) jobs: Vec<FileJob>,
    /// For whoever reads the build's output.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct AppJson {
    #[serde(default)]
    cron: Option<Vec<Map<String, Value>>>,
}

impl FileJobs {
    /// A line for each, for the build's output.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |job: &FileJob| format!("{}: {} {}", job.name, job.schedule, job.time_zone);
        self.jobs.iter().map(line).collect()
    }

    /// Reads app.json at the root of a tree; none names no job. Blocking.
    pub(crate) fn read(tree: &Path, sizes: &Sizes) -> Result<Self, Failure> {
        match app_json::text(tree)? {
            Some(text) => Self::parse(&text, sizes),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str, sizes: &Sizes) -> Result<Self, Failure> {
        let json: AppJson = app_json::parsed(text)?;
        let entries = json.cron.unwrap_or_default();
        if entries.len() > MOST_JOBS {
            return Err(wrong(&format!("`cron` has more than {MOST_JOBS} entries.")));
        }
        let mut read = Self::default();
        let mut taken = Vec::new();
        for entry in &entries {
            if let Some(name) = text_of(entry, "name", "A job")? {
                let name = JobName::parse(name).map_err(|error| wrong(&error.to_string()))?;
                if taken.contains(&name) {
                    return Err(wrong(&format!("Two jobs are called {name}.")));
                }
                taken.push(name);
            }
        }
        for (number, entry) in (1..).zip(&entries) {
            read.entry(number, entry, sizes, &mut taken)?;
        }
        Ok(read)
    }

    fn entry(
        &mut self,
        number: usize,
        entry: &Map<String, Value>,
        sizes: &Sizes,
        taken: &mut Vec<JobName>,
    ) -> Result<(), Failure> {
        let who = match entry.get("name").and_then(Value::as_str) {
            Some(name) => format!("Job {name}"),
            None => format!("Job {number}"),
        };
        let fail = |error: &dyn std::fmt::Display| wrong(&format!("{who}: {error}"));
        let text = |key: &str| text_of(entry, key, &who);
        let command = text("command")?.unwrap_or_default();
        job::check_command(command).map_err(|error| fail(&error))?;
        let schedule: Cron = text("schedule")?
            .unwrap_or_default()
            .parse()
            .map_err(|error| fail(&error))?;
        let zone = text("time_zone")?.unwrap_or("UTC");
        let time_zone = time_zone::find(zone).map_err(|error| fail(&error))?.0;
        let size = match text("size")? {
            Some(name) => {
                let size = sizes.find(name);
                Some(size.ok_or_else(|| {
                    fail(&format!(
                        "there is no dyno size {name:?}; there are {}.",
                        sizes.names()
                    ))
                })?)
            }
            None => None,
        };
        let time_limit = match entry.get("time_limit") {
            None | Some(Value::Null) => TIME_LIMIT,
            Some(value) => value
                .as_u64()
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(0),
        };
        job::check_time_limit(time_limit).map_err(|error| fail(&error))?;
        let overlap = match (text("overlap")?, text("concurrency_policy")?) {
            (Some(word), _) => Overlap::parse(word)
                .ok_or_else(|| fail(&"`overlap` must be skip, allow or replace."))?,
            // Dokku's words.
            (None, Some("forbid")) => Overlap::Skip,
            (None, Some(word @ ("allow" | "replace"))) => Overlap::parse(word).unwrap_or_default(),
            (None, Some(_)) => {
                return Err(fail(
                    &"`concurrency_policy` must be allow, forbid or replace.",
                ));
            }
            (None, None) => Overlap::default(),
        };
        let missed = match text("missed")? {
            Some(word) => {
                Missed::parse(word).ok_or_else(|| fail(&"`missed` must be skip or once."))?
            }
            None => Missed::default(),
        };
        let is_off = match entry.get("maintenance") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(fail(&"`maintenance` must be true or false.")),
        };
        for key in entry.keys() {
            if !KEYS.contains(&key.as_str()) {
                self.warn(format!(
                    "app.json: {who}: {key:?} is not known and was left alone."
                ));
            }
        }
        if is_off {
            self.warn(format!(
                "app.json: {who} is in maintenance and was left out."
            ));
            return Ok(());
        }
        let name = match text("name")? {
            Some(name) => JobName::parse(name).map_err(|error| fail(&error))?,
            None => {
                let name = JobName::of_command(command, |name| taken.contains(name));
                taken.push(name.clone());
                name
            }
        };
        self.jobs.push(FileJob::of(&JobSettings {
            name,
            schedule,
            time_zone,
            command: command.to_owned(),
            size,
            time_limit,
            overlap,
            missed,
            is_active: true,
        }));
        Ok(())
    }

    /// Says which of them have to wait for their names.
    pub(crate) fn warn_of_names(&mut self, known: &[Job]) {
        let by_hand = known.iter().filter(|job| job.source == Source::Cli);
        let names: Vec<&str> = by_hand.map(|job| job.settings.name.as_str()).collect();
        let taken = self
            .jobs
            .iter()
            .filter(|job| names.contains(&job.name.as_str()));
        let warnings: Vec<String> = taken
            .map(|job| {
                format!(
                    "A job called {0} was added by hand, so that of app.json does not run. To let it: ropewalk \
                     jobs:remove {0}",
                    job.name
                )
            })
            .collect();
        self.warnings.extend(warnings);
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

const KEYS: [&str; 10] = [
    "name",
    "command",
    "schedule",
    "time_zone",
    "size",
    "time_limit",
    "overlap",
    "concurrency_policy",
    "missed",
    "maintenance",
];

fn text_of<'a>(
    entry: &'a Map<String, Value>,
    key: &str,
    who: &str,
) -> Result<Option<&'a str>, Failure> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&format!("{who}: `{key}` must be a text."))),
    }
}

fn wrong(text: &str) -> Failure {
    Failure::App(format!("app.json: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> FileJobs {
        FileJobs::parse(text, &Sizes::default()).unwrap()
    }

    #[test]
    fn jobs_are_those_of_dokku_and_more() {
        let read = parse(
            r#"{
                "name": "demo", // of the app
                "cron": [
                    {"command": "npm run send-email", "schedule": "@daily"},
                    {"command": "npm run send-email", "schedule": "0 4 * * *", "concurrency_policy": "replace"},
                    {"name": "nightly", "command": "rake nightly", "schedule": "0 4 * * MON-FRI",
                     "time_zone": "europe/vienna", "size": "standard-2x", "time_limit": 600, "overlap": "allow",
                     "missed": "once", "colour": "red"},
                    {"command": "true", "schedule": "@hourly", "maintenance": true},
                ],
            }"#,
        );
        let names: Vec<&str> = read.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(
            names,
            ["npm-run-send-email", "npm-run-send-email-2", "nightly"]
        );
        let (first, last) = (&read.jobs[0], &read.jobs[2]);
        assert_eq!(
            (first.schedule.as_str(), first.time_zone.as_str()),
            ("@daily", "UTC")
        );
        assert_eq!(
            (first.overlap.as_str(), first.missed.as_str()),
            ("skip", "skip")
        );
        assert_eq!((first.time_limit, &first.size), (86_400, &None));
        assert_eq!(read.jobs[1].overlap, "replace");
        assert_eq!(last.time_zone, "Europe/Vienna");
        assert_eq!(last.size.as_deref(), Some("Standard-2X"));
        assert_eq!(
            (last.overlap.as_str(), last.missed.as_str()),
            ("allow", "once")
        );
        assert_eq!(
            read.warnings,
            [
                "app.json: Job nightly: \"colour\" is not known and was left alone.",
                "app.json: Job 4 is in maintenance and was left out."
            ]
        );
    }

    #[test]
    fn an_app_json_without_jobs_names_none() {
        for text in [
            "{}",
            r#"{"cron": []}"#,
            r#"{"cron": null, "env": {"A": "1"}}"#,
        ] {
            assert_eq!(parse(text), FileJobs::default());
        }
        let none = tempfile::tempdir().unwrap();
        assert_eq!(
            FileJobs::read(none.path(), &Sizes::default()).unwrap(),
            FileJobs::default()
        );
    }

    #[test]
    fn mistakes_are_said_with_the_job_they_are_in() {
        for (text, says) in [
            ("{", "app.json cannot be read"),
            (r#"{"cron": {}}"#, "app.json cannot be read"),
            (r#"{"cron": ["x"]}"#, "app.json cannot be read"),
            (
                r#"{"cron": [{"schedule": "@daily"}]}"#,
                "app.json: Job 1: A command of 1 to",
            ),
            (
                r#"{"cron": [{"command": "a"}]}"#,
                "Job 1: A schedule is needed",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "60 * * * *"}]}"#,
                "is no minute",
            ),
            (
                r#"{"cron": [{"command": 1, "schedule": "@daily"}]}"#,
                "`command` must be a text",
            ),
            (
                r#"{"cron": [{"name": "A b", "command": "a", "schedule": "@daily"}]}"#,
                "can be no job's name",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "time_zone": "Vienna"}]}"#,
                "no time zone",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "size": "huge"}]}"#,
                "no dyno size",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "time_limit": "1h"}]}"#,
                "time limit",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "overlap": "both"}]}"#,
                "`overlap`",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "concurrency_policy": "x"}]}"#,
                "forbid",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "missed": "all"}]}"#,
                "`missed`",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily", "maintenance": 1}]}"#,
                "`maintenance`",
            ),
            (
                r#"{"cron": [{"name": "a", "command": "a", "schedule": "@daily"},
                             {"name": "a", "command": "b", "schedule": "@daily"}]}"#,
                "Two jobs are called a.",
            ),
        ] {
            let why = FileJobs::parse(text, &Sizes::default()).unwrap_err().why();
            assert!(why.contains(says), "{text}: {why}");
        }
        let entry = r#"{"command": "a", "schedule": "@daily"},"#;
        let many = format!(r#"{{"cron": [{}]}}"#, entry.repeat(MOST_JOBS + 1));
        assert!(
            FileJobs::parse(&many, &Sizes::default())
                .unwrap_err()
                .why()
                .contains("more than 100")
        );
    }
}
