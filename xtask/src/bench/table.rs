//! The figures as Markdown, and whether the goals are met.

use super::apps::Kind;
use super::figures::{Case, Row, Spread};

/// Phases shorter than this, in seconds, are left out of the table.
const SHOWN: f64 = 0.005;

/// Seconds that everything besides the buildpack may take.
fn most_besides(kind: Kind) -> f64 {
    match kind {
        Kind::Large => 3.0,
        Kind::Nodejs | Kind::Python => 1.5,
    }
}

/// How much of Docker's time a changed line may take.
fn most_of_docker(kind: Kind) -> f64 {
    match kind {
        Kind::Large => 0.2,
        Kind::Nodejs | Kind::Python => 1.0,
    }
}

pub(super) fn print(rows: &[Row], runs: u16) {
    println!("Seconds: median (min-max) of {runs} runs.\n");
    println!(
        "| app | case | push to answer | phases | besides the buildpack | push returns | docker build + run | of it build | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.2} |",
            row.kind.name(),
            row.case.name(),
            spread(row.total, runs),
            phases(row),
            spread(row.besides, runs),
            spread(row.returned, runs),
            spread(row.docker, runs),
            spread(row.docker_build, runs),
            row.ratio(),
        );
    }
    println!("\nGoals:\n");
    for row in rows {
        goals(row);
    }
}

fn goals(row: &Row) {
    let (app, case) = (row.kind.name(), row.case.name());
    let most = most_besides(row.kind);
    let is = row.besides.median;
    println!(
        "- {}: {app}, {case}: everything besides the buildpack under {most} s: {is:.2} s",
        verdict(is < most)
    );
    if let Some(by_hand) = row.by_hand {
        println!(
            "- {app}, {case}: git and mksquashfs by hand take {by_hand}; Ropewalk {:.2} times that",
            is / by_hand.sum()
        );
    }
    if row.case == Case::Line {
        let (most, is) = (most_of_docker(row.kind), row.ratio());
        println!(
            "- {}: {app}, {case}: at most {most} times docker build + run: {is:.2}",
            verdict(is <= most)
        );
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn spread(spread: Spread, runs: u16) -> String {
    match runs {
        1 => format!("{:.2}", spread.median),
        _ => format!("{:.2} ({:.2}-{:.2})", spread.median, spread.min, spread.max),
    }
}

fn phases(row: &Row) -> String {
    row.phases
        .iter()
        .filter(|(_, seconds)| seconds.abs() >= SHOWN)
        .map(|(name, seconds)| format!("{name} {seconds:.2}"))
        .collect::<Vec<_>>()
        .join(", ")
}
