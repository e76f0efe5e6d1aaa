//! `version`

use std::env::consts::{ARCH, OS};
use std::process::ExitCode;

use serde::Serialize;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::json;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

pub(crate) fn run(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        json::print(
            &cx.out,
            &Version {
                name: "ropewalk",
                version: VERSION,
                os: OS,
                arch: ARCH,
            },
        )?;
    } else {
        cx.out.line(&format!("ropewalk/{VERSION} {OS}-{ARCH}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
