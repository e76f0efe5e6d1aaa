//! `cargo xtask bench NAME`.

use anyhow::Result;
use clap::{Args, ValueEnum};

#[derive(Args)]
pub struct Bench {
    name: Name,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// From `git push` to serving, by phase, beside `docker build` and `docker run`
    Deploy,
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        match self.name {
            Name::Deploy => anyhow::bail!("todo"),
        }
    }
}
