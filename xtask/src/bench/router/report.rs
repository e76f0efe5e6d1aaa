//! The figures as Markdown, and whether the goals are met.

use super::super::figures::Spread;
use super::proxy::Kind;
use super::scenario::Scenario;
use super::{Measured, Turn};

/// Most a request may cost, as a part of what it costs a peer.
const CPU_GOALS: [(&str, Scenario, Kind, f64); 13] = [
    ("RP-1", Scenario::Keepalive64, Kind::Nginx, 0.90),
    ("RP-1", Scenario::Keepalive64, Kind::Haproxy, 0.90),
    ("RP-1", Scenario::Keepalive512, Kind::Nginx, 0.90),
    ("RP-1", Scenario::Keepalive512, Kind::Haproxy, 0.90),
    ("RP-2", Scenario::Tls, Kind::Nginx, 0.75),
    ("RP-2", Scenario::Tls, Kind::Haproxy, 0.75),
    ("RP-2", Scenario::Handshakes, Kind::Nginx, 0.65),
    ("RP-2", Scenario::Handshakes, Kind::Haproxy, 0.60),
    ("RP-3", Scenario::Downloads, Kind::Nginx, 0.30),
    ("RP-3", Scenario::Downloads, Kind::Haproxy, 0.45),
    ("RP-3", Scenario::Uploads, Kind::Nginx, 0.40),
    ("RP-3", Scenario::Uploads, Kind::Haproxy, 0.85),
    ("RP-4", Scenario::Connections, Kind::Nginx, 1.05),
];
/// Most of Caddy's cost, everywhere but in handshakes.
const CADDY: f64 = 1.0 / 3.5;
/// KiB after all the load.
const MEMORY: f64 = 20.0 * 1024.0;
/// KiB for each idle client.
const CLIENT: f64 = 12.0;
/// Cost with a dead upstream, as a part of the cost without.
const DEAD: f64 = 1.1;

pub(super) fn print(measured: &Measured, scenarios: &[Scenario], secs: u16) {
    println!(
        "Medians of {} rounds of {secs} s; `x NAME` is the median of each round's CPU time divided by that of NAME.",
        measured.rounds.len()
    );
    for scenario in scenarios {
        table(measured, *scenario);
    }
    memory(measured);
    println!("\nGoals:\n");
    for (goal, scenario, peer, most) in CPU_GOALS {
        if let Some(is) = measured.cpu(scenario, Kind::Ropewalk, scenario, peer) {
            say(
                goal,
                &format!("{}: CPU of {}'s", scenario.name(), peer.name()),
                is,
                most,
                "x",
            );
        }
    }
    latency(measured);
    caddy(measured, scenarios);
    if let Some(memory) = measured.memory.get(&Kind::Ropewalk) {
        say(
            "RP-6",
            "memory in MiB after all",
            memory.after / 1024.0,
            MEMORY / 1024.0,
            "",
        );
        say(
            "RP-6",
            "KiB for each idle client",
            memory.client,
            CLIENT,
            "",
        );
    }
    dead(measured);
}

fn table(measured: &Measured, scenario: Scenario) {
    println!("\n### {}\n", scenario.name());
    // Those that nobody asked for, and that are not measured unless somebody does, have no column.
    let mut peers = Kind::PEERS.to_vec();
    peers.extend(
        measured
            .kinds()
            .filter(|kind| kind.is_peer() && !Kind::PEERS.contains(kind)),
    );
    let titles: String = peers.iter().map(|peer| format!(" x {peer} |")).collect();
    println!(
        "| proxy | requests/s | CPU s / 10,000 |{titles} p50 us | p99 us | p99.9 us | errors |"
    );
    println!("|{}", "---|".repeat(7 + peers.len()));
    for kind in measured.kinds() {
        let of =
            |value: fn(&Turn) -> f64| Spread::of(measured.turns(scenario, kind).map(value)).median;
        let errors: f64 = measured
            .turns(scenario, kind)
            .map(|turn| turn.load.errors)
            .sum();
        let ratios: Vec<String> = peers
            .iter()
            .map(|peer| match measured.cpu(scenario, kind, scenario, *peer) {
                Some(ratio) => format!("{ratio:.2}"),
                None => "-".to_owned(),
            })
            .collect();
        println!(
            "| {} | {:.0} | {:.3} | {} | {:.0} | {:.0} | {:.0} | {errors:.0} |",
            kind.name(),
            of(|turn| turn.load.per_second),
            of(|turn| turn.cpu),
            ratios.join(" | "),
            of(|turn| turn.load.p50),
            of(|turn| turn.load.p99),
            of(|turn| turn.load.p999),
        );
    }
}

fn memory(measured: &Measured) {
    println!(
        "\n### Memory (PSS)\n\n| proxy | KiB for each idle client | MiB after all |\n|---|---|---|"
    );
    for (kind, memory) in &measured.memory {
        println!(
            "| {} | {:.1} | {:.1} |",
            kind.name(),
            memory.client,
            memory.after / 1024.0
        );
    }
}

fn latency(measured: &Measured) {
    let say_of = |name: &str, value: fn(&Turn) -> f64| {
        let at = (Scenario::Rate, Kind::Ropewalk);
        if let Some(is) = measured.ratio(at, (Scenario::Rate, Kind::Nginx), value) {
            say(
                "RP-5",
                &format!("open loop: {name} of nginx's"),
                is,
                1.0,
                "x",
            );
        }
    };
    say_of("p99", |turn| turn.load.p99);
    say_of("p99.9", |turn| turn.load.p999);
}

/// The scenario that is worst beside Caddy.
fn caddy(measured: &Measured, scenarios: &[Scenario]) {
    let worst = scenarios
        .iter()
        .filter(|scenario| **scenario != Scenario::Handshakes)
        .filter_map(|scenario| {
            let ratio = measured.cpu(*scenario, Kind::Ropewalk, *scenario, Kind::Caddy)?;
            Some((ratio, scenario.name()))
        })
        .max_by(|one, other| one.0.total_cmp(&other.0));
    if let Some((is, name)) = worst {
        say(
            "RP-5",
            &format!("CPU of caddy's, at worst ({name})"),
            is,
            CADDY,
            "x",
        );
    }
}

fn dead(measured: &Measured) {
    let kind = Kind::Ropewalk;
    let Some(is) = measured.cpu(Scenario::Dead, kind, Scenario::Keepalive64, kind) else {
        return;
    };
    let failed = measured
        .turns(Scenario::Dead, kind)
        .map(|turn| turn.load.errors)
        .sum();
    say(
        "RP-7",
        "failed requests with a dead upstream",
        failed,
        0.0,
        "",
    );
    say(
        "RP-7",
        "CPU with a dead upstream of that without",
        is,
        DEAD,
        "x",
    );
}

fn say(goal: &str, what: &str, is: f64, most: f64, unit: &str) {
    let verdict = if is <= most { "met" } else { "**missed**" };
    println!("- {goal} {verdict}: {what}: {is:.2}{unit}, at most {most:.2}{unit}");
}

impl Measured {
    fn turns(&self, scenario: Scenario, kind: Kind) -> impl Iterator<Item = &Turn> {
        self.rounds
            .iter()
            .filter_map(move |round| round.get(&(scenario, kind)))
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.memory.keys().copied()
    }

    /// CPU time of one by that of another.
    fn cpu(&self, scenario: Scenario, kind: Kind, other: Scenario, peer: Kind) -> Option<f64> {
        self.ratio((scenario, kind), (other, peer), |turn| turn.cpu)
    }

    /// The median of the rounds' ratios; `None` where one of both was not measured.
    fn ratio(
        &self,
        one: (Scenario, Kind),
        other: (Scenario, Kind),
        value: impl Fn(&Turn) -> f64,
    ) -> Option<f64> {
        let ratios: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|round| Some(value(round.get(&one)?) / value(round.get(&other)?)))
            .collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios).median)
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Load;
    use super::*;

    fn turn(cpu: f64) -> Turn {
        let load = Load {
            requests: 1.0,
            per_second: 1.0,
            p50: 1.0,
            p99: 1.0,
            p999: 1.0,
            errors: 0.0,
        };
        Turn { load, cpu }
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let at = (Scenario::Tls, Kind::Ropewalk);
        let peer = (Scenario::Tls, Kind::Nginx);
        let rounds = [(1.0, 2.0), (30.0, 10.0), (8.0, 10.0)]
            .map(|(ours, other)| [(at, turn(ours)), (peer, turn(other))].into());
        let measured = Measured {
            rounds: rounds.into(),
            ..Measured::default()
        };
        let ratio = measured.cpu(Scenario::Tls, Kind::Ropewalk, Scenario::Tls, Kind::Nginx);
        assert_eq!(ratio, Some(0.8));
        let caddy = measured.cpu(Scenario::Tls, Kind::Ropewalk, Scenario::Tls, Kind::Caddy);
        assert_eq!(caddy, None);
    }
}
