//! What app.json says of test runs: variables, buildpacks and scripts of its `environments.test`, over its general ones.
//! What it says of jobs is read in `file_jobs`.
//!
//! It is read as people write it, with comments and commas too many; what is unknown is left alone.

use std::collections::BTreeMap;
use std::path::Path;

use ropewalk_model::ConfigVarName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::beneath;
use super::failure::Failure;

/// Largest app.json, in bytes.
const MAX: usize = 256 << 10;
/// Longest script, in bytes: it travels in a variable.
const MAX_SCRIPT: usize = 16 << 10;
/// Most variables and buildpacks.
const MAX_ENTRIES: usize = 500;

/// How the tests of a source are run.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct TestPlan {
    /// Not yet the pipeline's own, which win.
    pub(crate) env: BTreeMap<String, String>,
    /// Names and addresses; empty means detection.
    pub(crate) buildpacks: Vec<String>,
    /// Before the tests, in the same dyno.
    pub(crate) setup: Option<String>,
    /// In place of the buildpacks' own.
    pub(crate) test: Option<String>,
    /// What it asks for and does not get, in lines for whoever reads the output.
    pub(crate) notes: Vec<String>,
}

impl std::fmt::Debug for TestPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values are secrets.
        f.debug_struct("TestPlan")
            .field("env", &self.env.keys())
            .field("buildpacks", &self.buildpacks)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AppJson {
    #[serde(flatten)]
    general: Part,
    environments: Environments,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Environments {
    test: Part,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    env: BTreeMap<String, Value>,
    buildpacks: Option<Vec<Value>>,
    scripts: BTreeMap<String, Value>,
    addons: Option<Value>,
    formation: Option<Value>,
    stack: Option<Value>,
}

impl TestPlan {
    /// Reads app.json at the root of a tree; none is a plan with nothing in it. `secret` gives a new secret text for
    /// each variable that wants one. Blocking.
    pub(crate) fn read(tree: &Path, secret: impl FnMut() -> String) -> Result<Self, Failure> {
        match text(tree)? {
            Some(text) => Self::parse(&text, secret),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str, mut secret: impl FnMut() -> String) -> Result<Self, Failure> {
        let json: AppJson = parsed(text)?;
        let (general, test) = (json.general, json.environments.test);
        let mut plan = Self::default();
        let mut wanted = general.env;
        wanted.extend(test.env);
        for (name, value) in wanted.into_iter().take(MAX_ENTRIES) {
            plan.variable(name, &value, &mut secret);
        }
        let buildpacks = test.buildpacks.or(general.buildpacks).unwrap_or_default();
        for value in buildpacks.iter().take(MAX_ENTRIES) {
            let named = value.get("url").unwrap_or(value).as_str();
            let named = named.ok_or_else(|| {
                Failure::App("app.json: a buildpack is {\"url\": \"...\"}.".to_owned())
            })?;
            plan.buildpacks.push(named.to_owned());
        }
        plan.setup = script(&test.scripts, "test-setup")?;
        plan.test = script(&test.scripts, "test")?;
        if test
            .addons
            .or(general.addons)
            .is_some_and(|addons| !is_empty(&addons))
        {
            plan.note("app.json asks for add-ons, which are not available here. Give the tests the address of a service:");
            plan.note("ropewalk ci:config:set DATABASE_URL=...");
        }
        if test
            .formation
            .is_some_and(|formation| !is_empty(&formation))
        {
            plan.note("app.json asks for a formation of test dynos. The tests run in one dyno of the default size.");
        }
        if test.stack.is_some() {
            plan.note("app.json asks for a stack. The tests run on that of the pipeline's apps.");
        }
        Ok(plan)
    }

    fn variable(&mut self, name: String, value: &Value, secret: &mut impl FnMut() -> String) {
        if ConfigVarName::parse(&name).is_err() {
            self.note(&format!(
                "app.json: {name:?} can be no config var and was left out."
            ));
            return;
        }
        let generated = value.get("generator").and_then(Value::as_str) == Some("secret");
        let given = value.get("value").unwrap_or(value);
        let text = match given {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ if generated => Some(secret()),
            _ => None,
        };
        if let Some(text) = text {
            self.env.insert(name, text);
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

/// app.json at the root of a tree, within its limit. Blocking.
pub(super) fn text(tree: &Path) -> Result<Option<String>, Failure> {
    let Some(bytes) = beneath::read(tree, "app.json", MAX)? else {
        return Ok(None);
    };
    if bytes.len() > MAX {
        let text = format!("app.json is larger than {} KiB.", MAX >> 10);
        return Err(Failure::App(text));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(&plain(text))
        .map_err(|error| Failure::App(format!("app.json cannot be read: {error}.")))
}

fn script(scripts: &BTreeMap<String, Value>, name: &str) -> Result<Option<String>, Failure> {
    let text = match scripts.get(name) {
        None | Some(Value::Null) => return Ok(None),
        // `{"command": …}` is how newer ones are written.
        Some(value) => value.get("command").unwrap_or(value).as_str(),
    };
    let text =
        text.ok_or_else(|| Failure::App(format!("app.json: the script {name} is no text.")))?;
    if text.len() > MAX_SCRIPT || text.contains('\0') {
        return Err(Failure::App(format!(
            "app.json: the script {name} is longer than {} KiB; put it into a file.",
            MAX_SCRIPT >> 10
        )));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.trim().is_empty()))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The same JSON without comments, and without commas in front of what ends a list.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' if quoted => {
                out.push(c);
                out.extend(rest.next());
                continue;
            }
            '"' => quoted = !quoted,
            '/' if !quoted && rest.peek() == Some(&'/') => {
                while rest.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            '/' if !quoted && rest.peek() == Some(&'*') => {
                let mut before = ' ';
                for c in rest.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
                continue;
            }
            ']' | '}' if !quoted => {
                let kept = out.trim_end().len();
                if out[..kept].ends_with(',') {
                    out.truncate(kept - 1);
                }
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> TestPlan {
        TestPlan::parse(text, || "made up".to_owned()).unwrap()
    }

    #[test]
    fn what_is_said_of_tests_wins() {
        let plan = parse(
            r#"{
                // of everything
                "name": "x", /* and */ "env": {"A": "1", "B": {"value": "general"}, "C": {"required": true}},
                "buildpacks": [{"url": "heroku/python"}],
                "scripts": {"test": "not this one"},
                "environments": {"test": {
                    "env": {"B": "of tests", "S": {"generator": "secret"}, "N": 3, "no name": "x"},
                    "buildpacks": [{"url": "https://git.example/p.git#v1"}, "heroku/nodejs"],
                    "scripts": {"test-setup": "bin/setup // here", "test": "npm test"},
                    "addons": ["heroku-postgresql"],
                }},
            }"#,
        );
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let env = [("A", "1"), ("B", "of tests"), ("N", "3"), ("S", "made up")].map(pair);
        assert_eq!(plan.env, BTreeMap::from(env));
        assert_eq!(
            plan.buildpacks,
            ["https://git.example/p.git#v1", "heroku/nodejs"]
        );
        assert_eq!(plan.setup.as_deref(), Some("bin/setup // here"));
        assert_eq!(plan.test.as_deref(), Some("npm test"));
        assert!(plan.notes[0].contains("no name") && plan.notes[1].contains("add-ons"));
        assert!(!format!("{plan:?}").contains("of tests"));
    }

    #[test]
    fn an_app_json_without_tests_still_has_its_env() {
        let plan = parse(r#"{"env": {"A": "1"}, "buildpacks": [{"url": "heroku/nodejs"}]}"#);
        assert_eq!(plan.env.len(), 1);
        assert_eq!(plan.buildpacks, ["heroku/nodejs"]);
        assert_eq!((plan.setup, plan.test), (None, None));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for text in [
            "{",
            "[]",
            r#"{"env": []}"#,
            r#"{"buildpacks": [1]}"#,
            r#"{"environments": {"test": {"scripts": {"test": ["a"]}}}}"#,
        ] {
            let failure = TestPlan::parse(text, String::new).unwrap_err();
            assert!(failure.why().contains("app.json"), "{text}");
        }
        let long = format!(
            r#"{{"environments": {{"test": {{"scripts": {{"test": "{}"}}}}}}}}"#,
            "x".repeat(MAX_SCRIPT + 1)
        );
        assert!(TestPlan::parse(&long, String::new).is_err());
    }
}
