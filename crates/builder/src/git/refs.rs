//! What a push means: which of its refs deploys, which is only kept, which is refused. Pure.

use serde::{Deserialize, Serialize};

/// One line of the hook's input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefUpdate {
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// The branch and commit to build.
    pub(crate) deploy: Option<Deploy>,
    /// Told before anything else.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deploy {
    /// `refs/heads/main` or `refs/heads/master`.
    pub(crate) branch: &'static str,
    /// Hexadecimal object id.
    pub(crate) commit: String,
}

const DEPLOY_BRANCHES: [&str; 2] = ["refs/heads/main", "refs/heads/master"];

impl RefUpdate {
    /// Reads `old SP new SP ref`; `None` for anything else.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let (old, new, name) = (words.next()?, words.next()?, words.next()?);
        let update = Self {
            old: old.to_owned(),
            new: new.to_owned(),
            name: name.to_owned(),
        };
        update.is_sound().then_some(update)
    }

    /// Whether both ids are some.
    pub(crate) fn is_sound(&self) -> bool {
        is_object_id(&self.old) && is_object_id(&self.new)
    }

    fn deletes(&self) -> bool {
        self.new.bytes().all(|b| b == b'0')
    }
}

/// 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal characters.
pub(crate) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Decides about all refs of a push together; the error is told to whoever pushed, and nothing of the push is kept.
pub(crate) fn plan(updates: &[RefUpdate], most: usize) -> Result<Plan, Vec<String>> {
    if updates.len() > most {
        return Err(vec![format!(
            "A push may change at most {most} refs; this one changes {}.",
            updates.len()
        )]);
    }
    let mut plan = Plan::default();
    for update in updates {
        if let Some(branch) = DEPLOY_BRANCHES.into_iter().find(|b| *b == update.name) {
            if update.deletes() {
                return Err(vec![
                    format!(
                        "The branch {} cannot be deleted: it is what deploys.",
                        short(branch)
                    ),
                    "To remove the app itself: ropewalk apps:destroy".to_owned(),
                ]);
            }
            if plan.deploy.is_some() {
                return Err(vec![
                    "Both main and master were pushed; only one of them can be deployed."
                        .to_owned(),
                    "Push one of them: git push <remote> main".to_owned(),
                ]);
            }
            plan.deploy = Some(Deploy {
                branch,
                commit: update.new.clone(),
            });
        } else if !update.deletes() && !update.name.starts_with("refs/tags/") {
            plan.notes.push(format!(
                "Pushed to {}; only main or master deploys.",
                match update.name.strip_prefix("refs/heads/") {
                    Some(branch) => format!("branch {branch}"),
                    None => update.name.clone(),
                }
            ));
        }
    }
    if plan.deploy.is_none() && !plan.notes.is_empty() {
        plan.notes.push(
            "Nothing was built. To deploy a branch: git push <remote> <branch>:main".to_owned(),
        );
    }
    // A mirror of a large repository would say it thousands of times.
    if plan.notes.len() > 6 {
        let more = plan.notes.len() - 5;
        plan.notes.drain(4..plan.notes.len() - 1);
        plan.notes.insert(4, format!("… and {more} more."));
    }
    Ok(plan)
}

fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, new: char) -> RefUpdate {
        let line = format!("{} {} {name}", "0".repeat(40), new.to_string().repeat(40));
        RefUpdate::parse(&line).unwrap()
    }

    #[test]
    fn main_and_master_deploy_and_nothing_else() {
        for branch in DEPLOY_BRANCHES {
            let plan = plan(&[update(branch, 'a')], 10).unwrap();
            assert_eq!(plan.deploy.unwrap().branch, branch);
            assert!(plan.notes.is_empty());
        }
        for other in [
            "refs/heads/feature",
            "refs/heads/main2",
            "refs/heads/Main",
            "refs/main",
        ] {
            let plan = plan(&[update(other, 'a')], 10).unwrap();
            assert_eq!(plan.deploy, None, "{other}");
            assert!(plan.notes[0].contains("only main or master deploys"));
        }
        let tags = plan(&[update("refs/tags/v1", 'a')], 10).unwrap();
        assert_eq!(tags, Plan::default());
    }

    #[test]
    fn deploy_branches_are_not_deleted_and_not_pushed_together() {
        assert!(plan(&[update("refs/heads/main", '0')], 10).is_err());
        assert!(plan(&[update("refs/heads/master", '0')], 10).is_err());
        let gone = plan(&[update("refs/heads/feature", '0')], 10).unwrap();
        assert_eq!(gone, Plan::default());
        let both = [
            update("refs/heads/main", 'a'),
            update("refs/heads/master", 'b'),
        ];
        assert!(plan(&both, 10).is_err());
        assert!(plan(&both, 1).unwrap_err()[0].contains("at most 1"));
    }

    #[test]
    fn hostile_names_are_only_text() {
        for name in [
            "refs/heads/--upload-pack=x",
            "refs/heads/$(id)",
            "refs/heads/;id",
            "refs/heads/-x",
        ] {
            let plan = plan(&[update(name, 'a')], 10).unwrap();
            assert_eq!(plan.deploy, None);
        }
        for line in [
            "",
            "a b c",
            "-x -y refs/heads/main",
            "0000 0000 refs/heads/main",
        ] {
            assert_eq!(RefUpdate::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_mirror_is_told_once() {
        let many: Vec<_> = (0..500)
            .map(|n| update(&format!("refs/heads/b{n}"), 'a'))
            .collect();
        let notes = plan(&many, 1000).unwrap().notes;
        assert_eq!(notes.len(), 6, "{notes:?}");
        assert!(notes[5].contains("Nothing was built"));
    }
}
