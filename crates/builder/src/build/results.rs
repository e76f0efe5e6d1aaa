//! What the driver wrote beside its output. Buildpacks can write there too, so it is read as a stranger's.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::beneath;
use super::flat_yaml::FlatMap;
use crate::Result;

/// Largest result file, in bytes.
const MAX: usize = 256 << 10;
/// Buildpacks looked at.
const MAX_BUILDPACKS: usize = 32;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    /// Name and display name of each buildpack, in order.
    pub(crate) detected: Vec<(String, String)>,
    /// The one that failed.
    pub(crate) failed: Option<(String, String)>,
    pub(crate) phases: Vec<(String, Duration)>,
    pub(crate) release_yml: Vec<u8>,
    pub(crate) reports: Vec<Value>,
    /// Some buildpack knows how to test the app.
    pub(crate) tests: bool,
}

impl Results {
    /// Whether the driver came to its end, which it notes last. Blocking.
    pub(crate) fn all_went_well(tree: &Path) -> Result<bool> {
        let phase = beneath::read(tree, "result/phase", MAX)?;
        Ok(phase.is_some_and(|phase| phase == b"done\n"))
    }

    /// Reads `result/` below the build's tree. Blocking.
    pub(crate) fn read(tree: &Path) -> Result<Self> {
        let file = |name: &str| {
            beneath::read(tree, &format!("result/{name}"), MAX).map(Option::unwrap_or_default)
        };
        let pairs = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .lines()
                .take(MAX_BUILDPACKS)
                .filter_map(|line| line.split_once('\t'))
                .map(|(name, rest)| (clean(name), clean(rest)))
                .collect::<Vec<_>>()
        };
        let phases = pairs(&file("phases")?)
            .into_iter()
            .filter_map(|(name, millis)| Some((name, Duration::from_millis(millis.parse().ok()?))))
            .collect();
        let detected = pairs(&file("detected")?);
        let mut reports = Vec::new();
        for number in 1..=detected.len() {
            reports.push(report(&file(&format!("report.{number}"))?));
        }
        Ok(Self {
            failed: pairs(&file("failed")?).into_iter().next(),
            release_yml: file("release.yml")?,
            tests: !file("tests")?.is_empty(),
            detected,
            phases,
            reports,
        })
    }

    /// Display name of the buildpack that failed, else of the last.
    pub(crate) fn display(&self) -> String {
        let found = self.failed.as_ref().or(self.detected.last());
        found.map_or_else(|| "the".to_owned(), |(_, display)| display.clone())
    }

    pub(crate) fn buildpacks_json(&self) -> Value {
        let list = self
            .detected
            .iter()
            .map(|(name, _)| json!({"name": name, "url": name}));
        Value::Array(list.collect())
    }
}

/// A flat map in JSON or YAML; anything else is no report.
fn report(bytes: &[u8]) -> Value {
    serde_yaml::from_slice::<FlatMap>(bytes).map_or(Value::Null, |map| Value::Object(map.0))
}

/// Names go to terminals and rows: no control characters, no novels.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_as_the_driver_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join("result").join(name), text).unwrap()
        };
        std::fs::create_dir(dir.path().join("result")).unwrap();
        write(
            "detected",
            "heroku/nodejs\tNode.js\nbad line\nx\ty\u{1b}[31m\nz\tZ\n",
        );
        write("phases", "detect\t40\ncompile\t1200\nodd\tx\n");
        write("report.1", "node: 22\nnpm: '10'\n");
        write("report.2", "just words");
        // What stands for gigabytes, and how much of it there may be.
        let bomb = format!(
            "a: &a [{}1]\nb: [{}*a]\n",
            "1,".repeat(60_000),
            "*a,".repeat(40_000)
        );
        assert!(bomb.len() <= MAX);
        write("report.3", &bomb);
        let results = Results::read(dir.path()).unwrap();
        assert_eq!(
            results.detected[0],
            ("heroku/nodejs".into(), "Node.js".into())
        );
        assert_eq!(results.detected[1].1, "y[31m");
        assert_eq!(
            results.phases[1],
            ("compile".into(), Duration::from_millis(1200))
        );
        assert_eq!(
            results.reports,
            [json!({"node": 22, "npm": "10"}), Value::Null, Value::Null]
        );
        assert_eq!(results.display(), "Z");
        assert_eq!(
            Results::read(&dir.path().join("none")).unwrap(),
            Results::default()
        );
    }
}
