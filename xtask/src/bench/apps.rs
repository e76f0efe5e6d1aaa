//! The apps that are measured, each as a git repository that Ropewalk is pushed and as a context of `docker build`.
//!
//! Both work on the same folder. What only Docker needs (Dockerfile, .dockerignore) is not committed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::large;
use super::run::run;

/// For one command of git.
const GIT_LIMIT: Duration = Duration::from_secs(900);
/// What stands before the version in the source.
const MARK: &str = "bench=";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// examples/nodejs
    Nodejs,
    /// examples/python
    Python,
    /// A Node app of 400 MB and 45,000 files, its node_modules committed
    Large,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Nodejs, Self::Python, Self::Large];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nodejs => "nodejs",
            Self::Python => "python",
            Self::Large => "large",
        }
    }

    /// The file whose line is changed.
    fn source(self) -> &'static str {
        match self {
            Self::Nodejs | Self::Large => "server.js",
            Self::Python => "app.py",
        }
    }

    /// What a person would write below `FROM`.
    fn dockerfile(self) -> &'static str {
        match self {
            Self::Nodejs => {
                "WORKDIR /app\n\
                 COPY package*.json ./\n\
                 RUN npm ci\n\
                 COPY . .\n\
                 ENV NODE_ENV=production\n\
                 CMD [\"node\", \"server.js\"]\n"
            }
            // Debian's Python wants to be told that the image is its own environment.
            Self::Python => {
                "WORKDIR /app\n\
                 ENV PYTHONUNBUFFERED=1\n\
                 COPY requirements.txt ./\n\
                 RUN pip install --no-cache-dir --break-system-packages -r requirements.txt\n\
                 COPY . .\n\
                 CMD gunicorn --bind 0.0.0.0:$PORT --worker-class gthread --threads 8 app:app\n"
            }
            Self::Large => {
                "WORKDIR /app\n\
                 COPY . .\n\
                 ENV NODE_ENV=production\n\
                 CMD [\"node\", \"server.js\"]\n"
            }
        }
    }
}

pub(super) struct App {
    pub(super) kind: Kind,
    pub(super) folder: PathBuf,
    /// What its answer must name.
    pub(super) version: u32,
}

impl App {
    /// Makes the repository below `work`, packed as a clone's is.
    pub(super) fn make(kind: Kind, examples: &Path, work: &Path, from: &str) -> Result<Self> {
        let folder = work.join(kind.name());
        match kind {
            Kind::Large => large::write(&folder)?,
            Kind::Nodejs | Kind::Python => {
                let mut copy = Command::new("cp");
                copy.arg("-a").arg(examples.join(kind.name())).arg(&folder);
                run(&mut copy, GIT_LIMIT)?;
            }
        }
        let app = Self {
            kind,
            folder,
            version: 0,
        };
        if kind != Kind::Large {
            app.mark()?;
        }
        app.git(&["init", "--quiet", "--initial-branch=main"])?;
        std::fs::write(
            app.folder.join(".git/info/exclude"),
            "/Dockerfile\n/.dockerignore\n",
        )?;
        std::fs::write(app.folder.join(".dockerignore"), ".git\n")?;
        let dockerfile = format!("{from}\n{}", kind.dockerfile());
        std::fs::write(app.folder.join("Dockerfile"), dockerfile)?;
        app.commit("Begin")?;
        app.git(&["repack", "-a", "-d", "--quiet"])?;
        Ok(app)
    }

    /// The next version, by one line.
    pub(super) fn change_line(&mut self) -> Result<()> {
        let (old, new) = (self.version, self.version + 1);
        self.edit(&format!("{MARK}{old} "), &format!("{MARK}{new} "))?;
        self.version = new;
        self.commit("Change one line")
    }

    /// Another commit of the same code.
    pub(super) fn change_nothing(&self) -> Result<()> {
        self.commit("Change nothing")
    }

    /// Lets the example's answer name the version and when its process began.
    fn mark(&self) -> Result<()> {
        match self.kind {
            Kind::Nodejs => self.edit(
                "Hello from ${dyno}",
                &format!("{MARK}0 began=${{{}}}", large::BEGAN),
            ),
            Kind::Python => {
                self.edit("Hello from {DYNO}", &format!("{MARK}0 began={{BEGAN}}"))?;
                self.edit(
                    "LONGEST_MS = 60_000\n",
                    "LONGEST_MS = 60_000\nBEGAN = int(time.time() * 1000)\n",
                )
            }
            Kind::Large => Ok(()),
        }
    }

    /// Replaces the one place where `old` stands.
    fn edit(&self, old: &str, new: &str) -> Result<()> {
        let path = self.folder.join(self.kind.source());
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} could not be read", path.display()))?;
        if text.matches(old).count() != 1 {
            bail!("{} has not one {old:?}", path.display());
        }
        Ok(std::fs::write(&path, text.replace(old, new))?)
    }

    fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])
    }

    fn git(&self, args: &[&str]) -> Result<()> {
        git(&self.folder, args)
    }
}

/// Makes a folder a repository with all of it in its one commit.
pub(super) fn commit_all(folder: &Path) -> Result<()> {
    git(folder, &["init", "--quiet", "--initial-branch=main"])?;
    git(folder, &["add", "--all"])?;
    git(folder, &["commit", "--quiet", "--message", "Begin"])
}

fn git(folder: &Path, args: &[&str]) -> Result<()> {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Bench", "-c", "user.email=bench@localhost"])
        .args(["-c", "gc.auto=0", "-c", "core.looseCompression=1"])
        .args(args);
    run(&mut command, GIT_LIMIT).map(drop)
}
