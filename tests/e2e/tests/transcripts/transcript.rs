//! A transcript's file: read, compared with what was played, and written again.

use std::path::PathBuf;

use e2e::workspace;

const FOLDER: &str = "tests/e2e/tests/transcripts";

pub(crate) struct Transcript {
    /// The file's name without its ending.
    pub(crate) topic: String,
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Lines that begin with `#`, and blank ones between them.
    Remark(String),
    Step(Step),
}

/// A line that was typed and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) line: String,
    pub(crate) printed: Vec<String>,
    pub(crate) code: i32,
}

impl Transcript {
    /// Every transcript there is, by name.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(workspace().join(FOLDER))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
            .collect();
        paths.sort();
        paths
            .iter()
            .map(|path| Self {
                topic: path.file_stem().unwrap().to_string_lossy().into_owned(),
                parts: parse(&std::fs::read_to_string(path).unwrap()),
            })
            .collect()
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().filter_map(|part| match part {
            Part::Step(step) => Some(step),
            Part::Remark(_) => None,
        })
    }

    /// What is not as it was, a text for each step; none once the file was written anew.
    pub(crate) fn compare_or_update(&self, played: &[Step]) -> Vec<String> {
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            self.write(played);
            return Vec::new();
        }
        let differs = self
            .steps()
            .zip(played)
            .filter(|(wanted, seen)| wanted != seen);
        differs
            .map(|(wanted, seen)| {
                format!(
                    "--- {}.txt\n{}+++ now\n{}",
                    self.topic,
                    text(wanted),
                    text(seen)
                )
            })
            .collect()
    }

    fn write(&self, played: &[Step]) {
        let mut played = played.iter();
        let parts = self.parts.iter().map(|part| match part {
            Part::Remark(remark) => remark.clone(),
            Part::Step(_) => text(played.next().unwrap()),
        });
        let whole = parts.collect::<Vec<_>>().join("\n");
        let path = workspace().join(FOLDER).join(format!("{}.txt", self.topic));
        std::fs::write(path, whole).unwrap();
    }
}

fn parse(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut below = Vec::new();
        while let Some(next) = lines.next_if(|next| !(starts_step(next) || starts_remark(next))) {
            below.push(next.to_owned());
        }
        // One blank line sets parts apart; whatever else is blank was printed.
        if lines.peek().is_some() && below.last().is_some_and(String::is_empty) {
            below.pop();
        }
        match line.strip_prefix("$ ") {
            Some(typed) => {
                let code = below.last().and_then(|last| exit_code(last));
                if code.is_some() {
                    below.pop();
                }
                parts.push(Part::Step(Step {
                    line: typed.to_owned(),
                    printed: below,
                    code: code.unwrap_or(0),
                }));
            }
            None => {
                assert!(
                    starts_remark(line) && below.is_empty(),
                    "neither typed nor a remark: {line}"
                );
                match parts.last_mut() {
                    // Lines that follow one another are one remark.
                    Some(Part::Remark(remark)) => remark.push_str(&format!("{line}\n")),
                    _ => parts.push(Part::Remark(format!("{line}\n"))),
                }
            }
        }
    }
    parts
}

fn starts_step(line: &str) -> bool {
    line.starts_with("$ ")
}

fn starts_remark(line: &str) -> bool {
    line.starts_with("# ")
}

fn exit_code(line: &str) -> Option<i32> {
    line.strip_prefix("[exit ")?.strip_suffix(']')?.parse().ok()
}

fn text(step: &Step) -> String {
    let mut text = format!("$ {}\n", step.line);
    for line in &step.printed {
        assert!(
            !(starts_step(line) || starts_remark(line) || exit_code(line).is_some()),
            "a transcript cannot hold this line as printed: {line}"
        );
        text.push_str(&format!("{line}\n"));
    }
    if step.code != 0 {
        text.push_str(&format!("[exit {}]\n", step.code));
    }
    text
}

#[test]
fn what_is_written_is_read_back() {
    let step = |line: &str, printed: &[&str], code| {
        Part::Step(Step {
            line: line.to_owned(),
            printed: printed.iter().map(|&line| line.to_owned()).collect(),
            code,
        })
    };
    let parts = parse(concat!(
        "# About.\n# More.\n\n$ one\na\n\nb\n\n\n$ two\n\n",
        "# Then.\n\n$ three\nno\n[exit 2]\n"
    ));
    assert_eq!(
        parts,
        [
            Part::Remark("# About.\n# More.\n".to_owned()),
            step("one", &["a", "", "b", ""], 0),
            step("two", &[], 0),
            Part::Remark("# Then.\n".to_owned()),
            step("three", &["no"], 2),
        ]
    );
}
