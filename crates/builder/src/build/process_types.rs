//! Process types of a slug: what the last buildpack offers, overridden by the Procfile.

use std::collections::BTreeMap;
use std::path::Path;

use ropewalk_model::ProcessType;
use ropewalk_model::procfile::{self, Procfile};
use serde::Deserialize;
use serde_json::Value;

use super::beneath;
use super::failure::Failure;
use super::flat_yaml::{FlatMap, Presence};

/// Largest output of bin/release, in bytes.
const MAX_RELEASE: usize = 64 << 10;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessTypes {
    pub(crate) commands: BTreeMap<String, String>,
    /// `None` without a Procfile.
    pub(crate) declared: Option<Vec<String>>,
    /// Offered by the buildpack and not overridden.
    pub(crate) defaults: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Both sources together. The tree is as the last compile left it. Blocking.
pub(crate) fn discover(tree: &Path, release_yml: &[u8]) -> Result<ProcessTypes, Failure> {
    let (defaults, mut warnings) = offered(release_yml)?;
    let procfile = match beneath::read(tree, "Procfile", procfile::MAX_BYTES)? {
        Some(bytes) => {
            Some(Procfile::parse(&bytes).map_err(|error| Failure::App(error.to_string()))?)
        }
        None => None,
    };
    let mut types = ProcessTypes {
        defaults: defaults.keys().cloned().collect(),
        commands: defaults,
        ..ProcessTypes::default()
    };
    if let Some(procfile) = procfile {
        warnings.extend(procfile.warnings);
        let declared: Vec<String> = procfile.commands.keys().map(ToString::to_string).collect();
        types.defaults.retain(|name| !declared.contains(name));
        types.declared = Some(declared);
        let commands = procfile.commands.into_iter();
        types
            .commands
            .extend(commands.map(|(name, command)| (name.to_string(), command)));
    }
    types.warnings = warnings;
    Ok(types)
}

#[derive(Debug, Default, Deserialize)]
struct ReleaseYaml {
    #[serde(default)]
    default_process_types: Option<FlatMap>,
    #[serde(default)]
    addons: Presence,
    #[serde(default)]
    config_vars: Presence,
}

/// Default process types of `bin/release`, and warnings. Nothing, `---` and `--- {}` offer nothing.
fn offered(yaml: &[u8]) -> Result<(BTreeMap<String, String>, Vec<String>), Failure> {
    let wrong =
        |what: &str| Failure::App(format!("What bin/release of the buildpack printed {what}."));
    if yaml.len() > MAX_RELEASE {
        return Err(wrong("is longer than 64 KiB"));
    }
    let parsed: Option<ReleaseYaml> = serde_yaml::from_slice(yaml)
        .map_err(|error| wrong(&format!("is not the YAML that is expected: {error}")))?;
    let parsed = parsed.unwrap_or_default();
    let mut types = BTreeMap::new();
    let mut warnings = Vec::new();
    for (name, command) in parsed.default_process_types.unwrap_or_default().0 {
        match (ProcessType::parse(&name), command) {
            (Ok(name), Value::String(command))
                if !command.trim().is_empty() && !command.contains('\0') =>
            {
                types.insert(name.to_string(), command.trim().to_owned());
            }
            _ => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(63).collect();
                warnings.push(format!(
                    "The buildpack's default process type {name} has no usable command."
                ));
            }
        }
    }
    if types.len() > procfile::MAX_TYPES {
        return Err(wrong("has more than 100 process types"));
    }
    for (what, asked) in [
        ("add-ons", &parsed.addons),
        ("config vars", &parsed.config_vars),
    ] {
        if asked.0 {
            warnings.push(format!(
                "The buildpack asks for {what}; set them yourself if the app needs them."
            ));
        }
    }
    Ok((types, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(procfile: Option<&str>, yaml: &str) -> Result<ProcessTypes, Failure> {
        let tree = tempfile::tempdir().unwrap();
        if let Some(text) = procfile {
            std::fs::write(tree.path().join("Procfile"), text).unwrap();
        }
        discover(tree.path(), yaml.as_bytes())
    }

    #[test]
    fn the_procfile_overrides_the_buildpack() {
        let yaml = "---\naddons: []\ndefault_process_types:\n  web: npm start\n  console: node\n";
        let found = types(Some("web: node web.js\nrelease: ./migrate\n"), yaml).unwrap();
        assert_eq!(found.commands["web"], "node web.js");
        assert_eq!(found.commands["console"], "node");
        assert_eq!(found.declared.unwrap(), ["release", "web"]);
        assert_eq!(found.defaults, ["console"]);
        assert!(found.warnings.is_empty());
        assert_eq!(types(None, yaml).unwrap().defaults, ["console", "web"]);
    }

    #[test]
    fn empty_release_files_offer_nothing() {
        for yaml in [
            "",
            "---",
            "--- {}",
            "---\n",
            "addons:\n  []\n",
            "default_process_types:\n",
            "# x\n",
        ] {
            let found = types(None, yaml).unwrap_or_else(|failure| panic!("{yaml:?}: {failure:?}"));
            assert_eq!(found, ProcessTypes::default(), "{yaml:?}");
        }
    }

    #[test]
    fn broken_ones_say_why() {
        assert!(types(None, "default_process_types: [1, 2").is_err());
        assert!(types(None, "just words").is_err());
        assert!(types(None, &"x".repeat(MAX_RELEASE + 1)).is_err());
        assert!(types(Some("<<<<<<< HEAD\n"), "").is_err());
        let odd = types(
            None,
            "default_process_types:\n  'a b': x\n  web: 3\nconfig_vars:\n  A: b\n",
        )
        .unwrap();
        assert_eq!(odd.warnings.len(), 3);
        let list = format!("a: &a [{}1]\n", "1,".repeat(12_000));
        let wide = format!(
            "{list}addons: [{}*a]\ndefault_process_types: {{web: x}}\n",
            "*a,".repeat(8_000)
        );
        let found = types(None, &wide).unwrap();
        assert_eq!(
            (found.commands["web"].as_str(), found.warnings.len()),
            ("x", 1)
        );
        assert!(types(None, &format!("{list}default_process_types: {{web: *a}}\n")).is_err());
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (this, last) in ('b'..='k').zip('a'..='j') {
            bomb.push_str(&format!("{this}: &{this} [*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last}]\n"));
        }
        bomb.push_str("default_process_types: {web: *k}\n");
        let began = std::time::Instant::now();
        let _ = types(None, &bomb);
        assert!(began.elapsed().as_secs() < 5, "an alias bomb ends soon");
    }
}
