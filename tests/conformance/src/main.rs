//! `conformance`: prints the table of resources and verbs, and fails when one does not fit.
//!
//! ```text
//! CONFORMANCE_TOKEN=... conformance http://api.localhost:8080 [DEPLOYED-APP]
//! ```
//!
//! The token comes by the environment, because arguments are for every user of the machine to see.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a tool for terminals

use std::process::ExitCode;

use anyhow::{Context, Result};
use conformance::{Subject, walk};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let subject = Subject {
        base: arguments.next().context(
            "say the API's base address: conformance http://api.localhost:8080 [DEPLOYED-APP]",
        )?,
        token: std::env::var("CONFORMANCE_TOKEN")
            .context("give the API token in CONFORMANCE_TOKEN")?,
        deployed: arguments.next(),
    };
    let report = walk(&subject).await?;
    println!("{report}");
    Ok(report.failures() == 0)
}
