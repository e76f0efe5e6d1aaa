//! The health checks that an app's own files declare: `checks` of app.json, or of ropewalk.toml.
//!
//! A mistake ends the build, for a check that silently is not made is found too late; what is unknown is said.

use std::collections::BTreeMap;
use std::path::Path;

use ropewalk_model::check::{Check, MOST_CHECKS, Number, Probe};
use ropewalk_model::{ProcessType, check::CheckError};
use ropewalk_store::FileCheck;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::{app_json, beneath};

const TOML: &str = "ropewalk.toml";
/// Largest ropewalk.toml, in bytes.
const MAX_TOML: usize = 256 << 10;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FileChecks {
    checks: BTreeMap<ProcessType, Check>,
    /// For whoever reads the build's output.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    checks: Option<Map<String, Value>>,
}

impl FileChecks {
    /// Reads both files at the root of a tree; none declares nothing. Blocking.
    pub(crate) fn read(tree: &Path) -> Result<Self, Failure> {
        let mut read = Self::default();
        if let Some(text) = app_json::text(tree)? {
            read.take("app.json", app_json::parsed(&text)?)?;
        }
        if let Some(bytes) = beneath::read(tree, TOML, MAX_TOML)? {
            if bytes.len() > MAX_TOML {
                let text = format!("{TOML} is larger than {} KiB.", MAX_TOML >> 10);
                return Err(Failure::App(text));
            }
            read.toml(&bytes)?;
        }
        Ok(read)
    }

    fn toml(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let unreadable =
            |error: &str| Failure::App(format!("{TOML} cannot be read: {}.", error.trim_end()));
        let text = std::str::from_utf8(bytes).map_err(|error| unreadable(&error.to_string()))?;
        let table: Map<String, Value> =
            toml::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
        for key in table.keys().filter(|key| *key != "checks") {
            self.warnings
                .push(format!("{TOML}: {key:?} is not known and was left alone."));
        }
        let file = serde_json::from_value(Value::Object(table))
            .map_err(|error| unreadable(&error.to_string()))?;
        self.take(TOML, file)
    }

    fn take(&mut self, name: &str, file: File) -> Result<(), Failure> {
        let fail = |text: String| Failure::App(format!("{name}: {text}"));
        for (process_type, declared) in file.checks.unwrap_or_default() {
            let of = ProcessType::parse(&process_type)
                .map_err(|error| fail(format!("`checks`: {error}")))?;
            let wrong = |text: &str| fail(format!("The check of {of}: {text}"));
            if of.is_one_off() {
                return Err(wrong("dynos of this type run once, and are not checked."));
            }
            let Value::Object(declared) = declared else {
                return Err(wrong("it must be an object, such as {\"http\": \"/up\"}."));
            };
            let check = parse(&declared).map_err(|text| wrong(&text))?;
            for key in declared.keys().filter(|key| !is_known(key)) {
                self.warnings.push(format!(
                    "{name}: The check of {of}: {key:?} is not known and was left alone."
                ));
            }
            if self.checks.insert(of.clone(), check).is_some() {
                return Err(wrong("app.json declares one too. Keep one of them."));
            }
            if self.checks.len() > MOST_CHECKS {
                return Err(fail(format!("there are more than {MOST_CHECKS} checks.")));
            }
        }
        Ok(())
    }

    /// Says which of them are of types that the app has not.
    pub(crate) fn warn_of_types(&mut self, commands: &BTreeMap<String, String>) {
        let idle = self.checks.keys();
        let idle = idle.filter(|of| !commands.contains_key(of.as_str()));
        let warnings: Vec<String> = idle
            .map(|of| format!("There is no process type {of}, so its check is not made."))
            .collect();
        self.warnings.extend(warnings);
    }

    /// As they are kept with the slug.
    pub(crate) fn kept(&self) -> Vec<FileCheck> {
        let checks = self.checks.iter();
        checks.map(|(of, check)| FileCheck::of(of, check)).collect()
    }

    /// A line for each, for the build's output.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(of, check): (&ProcessType, &Check)| {
            let every = check.interval.as_secs();
            match check.liveness {
                true => format!("{of}: {}, then every {every} seconds", check.probe),
                false => format!("{of}: {}, until it passes", check.probe),
            }
        };
        self.checks.iter().map(line).collect()
    }
}

fn is_known(key: &str) -> bool {
    ["http", "tcp", "command", "port", "liveness"].contains(&key)
        || Number::ALL.iter().any(|number| number.as_str() == key)
}

fn parse(declared: &Map<String, Value>) -> Result<Check, String> {
    let said = |error: CheckError| error.to_string();
    let given = |key: &str| declared.get(key).filter(|value| !value.is_null());
    let port = match given("port") {
        Some(value) => Some(value.as_u64().ok_or_else(|| said(CheckError::Port))?),
        None => None,
    };
    let probe = match (given("http"), given("tcp"), given("command")) {
        (Some(path), None, None) => Probe::http(path.as_str().unwrap_or_default(), port),
        (None, Some(Value::Bool(true)), None) => Probe::tcp(port),
        (None, Some(_), None) => return Err("`tcp` must be true.".to_owned()),
        (None, None, Some(_)) if port.is_some() => Err(CheckError::PortOfCommand),
        (None, None, Some(text)) => Probe::command(text.as_str().unwrap_or_default()),
        _ => Err(CheckError::Probe),
    };
    let mut check = Check::new(probe.map_err(said)?);
    for number in Number::ALL {
        if let Some(value) = given(number.as_str()) {
            // What is no such number is beyond the limits, which the error says.
            check
                .set(number, value.as_u64().unwrap_or(0))
                .map_err(said)?;
        }
    }
    match given("liveness") {
        None => {}
        Some(Value::Bool(liveness)) => check.liveness = *liveness,
        Some(_) => return Err("`liveness` must be true or false.".to_owned()),
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<FileChecks, String> {
        let tree = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(tree.path().join(name), text).unwrap();
        }
        FileChecks::read(tree.path()).map_err(|failure| failure.why())
    }

    #[test]
    fn checks_are_read_from_both_files() {
        let mut read = read(&[
            (
                "app.json",
                r#"{"checks": {"web": {"http": "/up", "interval": 5, "grace": 120, "colour": "red"}, // first
                    "clock": {"command": "bin/alive", "liveness": false}}}"#,
            ),
            (
                "ropewalk.toml",
                "extra = 1\n[checks.broker]\ntcp = true\nport = 1883\nthreshold = 2\ntimeout = 1\n",
            ),
        ])
        .unwrap();
        assert_eq!(
            read.lines(),
            [
                "broker: port 1883, then every 10 seconds",
                "clock: `bin/alive`, until it passes",
                "web: GET /up, then every 5 seconds",
            ]
        );
        let web = &read.kept()[2];
        assert_eq!((web.grace, web.timeout, web.threshold), (Some(120), 5, 3));
        let types = ["web", "broker"].map(|of| (of.to_owned(), String::new()));
        read.warn_of_types(&BTreeMap::from(types));
        assert_eq!(
            read.warnings,
            [
                "app.json: The check of web: \"colour\" is not known and was left alone.",
                "ropewalk.toml: \"extra\" is not known and was left alone.",
                "There is no process type clock, so its check is not made.",
            ]
        );
    }

    #[test]
    fn files_without_checks_declare_none() {
        for files in [
            &[][..],
            &[("app.json", "{}"), ("ropewalk.toml", "")][..],
            &[("app.json", r#"{"checks": null}"#)][..],
        ] {
            assert_eq!(read(files), Ok(FileChecks::default()));
        }
    }

    #[test]
    fn mistakes_are_said_with_the_file_and_the_type_they_are_in() {
        for (declared, says) in [
            ("{}", "one of `http`, `tcp` and `command`"),
            (r#"{"http": "/a", "tcp": true}"#, "only one"),
            (r#"{"http": "up"}"#, "begins with a slash"),
            (r#"{"http": 1}"#, "begins with a slash"),
            (r#"{"tcp": 80}"#, "`tcp` must be true"),
            (r#"{"tcp": true, "port": 0}"#, "1 to 65535"),
            (r#"{"tcp": true, "port": "80"}"#, "1 to 65535"),
            (r#"{"command": " "}"#, "`command` must be"),
            (
                r#"{"command": "a", "port": 80}"#,
                "says nothing of a command",
            ),
            (
                r#"{"http": "/", "interval": "10s"}"#,
                "`interval` must be 1 to 3600",
            ),
            (
                r#"{"http": "/", "threshold": 0}"#,
                "`threshold` must be 1 to 100.",
            ),
            (r#"{"http": "/", "liveness": 1}"#, "`liveness`"),
            (r#""/up""#, "must be an object"),
        ] {
            let text = format!(r#"{{"checks": {{"web": {declared}}}}}"#);
            let why = read(&[("app.json", &text)]).unwrap_err();
            assert!(why.contains("app.json: The check of web: "), "{why}");
            assert!(why.contains(says), "{text}: {why}");
        }
        for (name, text, says) in [
            ("app.json", r#"{"checks": []}"#, "app.json cannot be read"),
            (
                "ropewalk.toml",
                "checks = 1",
                "ropewalk.toml cannot be read",
            ),
            ("ropewalk.toml", "[checks", "ropewalk.toml cannot be read"),
            (
                "ropewalk.toml",
                "[checks.\"a b\"]\ntcp = true",
                "ropewalk.toml: `checks`",
            ),
            ("ropewalk.toml", "[checks.release]\ntcp = true", "run once"),
        ] {
            let why = read(&[(name, text)]).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
        let both = [
            ("app.json", r#"{"checks": {"web": {"http": "/up"}}}"#),
            ("ropewalk.toml", "[checks.web]\nhttp = \"/up\"\n"),
        ];
        assert!(read(&both).unwrap_err().contains("Keep one of them."));
        let long = " ".repeat(MAX_TOML + 1);
        assert!(
            read(&[("ropewalk.toml", &long)])
                .unwrap_err()
                .contains("larger than")
        );
    }
}
