//! What dynos and builds may reach: the internet and nothing of the host, of its metadata service, or of one another.
//!
//! One nft table an instance, replaced as a whole, so that a failed change leaves the old rules in force. Its hooks run
//! before those of Docker Engine, whose own rules stay untouched and still decide what this lets pass. Bound for the
//! host is caught where the host would take it in, so it does not matter by which address or redirection it comes.

use std::fmt::Write;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use ropewalk_model::InstanceId;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{EngineError, Result};

const NFT: &str = "nft";

/// How long one change may take; the kernel needs milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// Link-local addresses: where clouds tell a machine its secrets.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// The metadata service of clouds that have it on a unique local IPv6 address.
const METADATA_6: &str = "fd00:ec2::254/128";

/// Bridges of containers that are none of ours, or of another instance: nft's own patterns.
const OTHER_BRIDGES: [&str; 4] = ["docker*", "br-*", "rw-*", "rwb-*"];

/// The packet filter of one instance.
#[derive(Debug, Clone)]
pub struct Firewall {
    pub instance: InstanceId,
}

impl Firewall {
    /// Puts the rules in force, in place of those of an earlier call.
    ///
    /// Containers on `bridges` may start connections to anything outside the host but link-local addresses, other
    /// bridges of containers, and `extra_blocked` (addresses or CIDR ranges, IPv4 or IPv6). `resolvers` are the name
    /// servers that may be asked on port 53 even where the rest of their address is closed, the host's own included.
    ///
    /// # Errors
    /// [`EngineError::Program`] when nft is missing or refuses; [`EngineError::Refused`] for a bridge or range that
    /// is none. The rules in force before stay then.
    pub async fn apply(
        &self,
        bridges: &[String],
        resolvers: &[IpAddr],
        extra_blocked: &[String],
    ) -> Result<()> {
        run(&self.script(bridges, resolvers, extra_blocked)?).await
    }

    /// Takes the rules away; that there are none is success.
    ///
    /// # Errors
    /// [`EngineError::Program`] when nft is missing or refuses.
    pub async fn remove(&self) -> Result<()> {
        run(&self.fresh_table(false)).await
    }

    /// Name of the table, in the family `inet`.
    pub fn table(&self) -> String {
        format!("ropewalk_{}", self.instance)
    }

    /// nft deletes only what is there, so the table is made first.
    fn fresh_table(&self, again: bool) -> String {
        let table = self.table();
        let mut script = format!("add table inet {table}\ndelete table inet {table}\n");
        if again {
            script.push_str(&format!("add table inet {table}\n"));
        }
        script
    }

    fn script(
        &self,
        bridges: &[String],
        resolvers: &[IpAddr],
        extra_blocked: &[String],
    ) -> Result<String> {
        let mut devices = Vec::new();
        for bridge in bridges {
            devices.push(format!("\"{}\"", device(bridge)?));
        }
        let mut blocked = Vec::new();
        for range in LINK_LOCAL
            .into_iter()
            .chain([METADATA_6])
            .chain(extra_blocked.iter().map(String::as_str))
        {
            blocked.push(Range::parse(range)?);
        }
        let (blocked_6, blocked_4): (Vec<_>, Vec<_>) = blocked.iter().partition(|r| r.ip.is_ipv6());
        let (resolvers_6, resolvers_4): (Vec<IpAddr>, Vec<IpAddr>) =
            resolvers.iter().copied().partition(|ip| ip.is_ipv6());

        let table = self.table();
        let mut script = self.fresh_table(true);
        let mut set = |name: &str, kind: &str, elements: String| {
            let _ = writeln!(script, "add set inet {table} {name} {{ type {kind}; }}");
            if !elements.is_empty() {
                let _ = writeln!(script, "add element inet {table} {name} {{ {elements} }}");
            }
        };
        set("bridges", "ifname", devices.join(", "));
        set("resolvers_4", "ipv4_addr", list(&resolvers_4));
        set("resolvers_6", "ipv6_addr", list(&resolvers_6));
        let ranges = "; flags interval; auto-merge";
        set("blocked_4", &format!("ipv4_addr{ranges}"), list(&blocked_4));
        set("blocked_6", &format!("ipv6_addr{ranges}"), list(&blocked_6));

        let dns_4 = "ip daddr @resolvers_4 meta l4proto { tcp, udp } th dport 53 accept";
        let dns_6 = "ip6 daddr @resolvers_6 meta l4proto { tcp, udp } th dport 53 accept";
        let hook = |name: &str| {
            format!("add chain inet {table} {name} {{ type filter hook {name} priority -10; }}\n")
        };
        script.push_str(&hook("input"));
        script.push_str(&hook("forward"));
        let mut rule = |chain: &str, rule: &str| {
            let _ = writeln!(script, "add rule inet {table} {chain} {rule}");
        };
        for chain in ["input", "forward"] {
            rule(chain, "iifname != @bridges accept");
            rule(chain, "ct state established,related accept");
        }
        rule("input", dns_4);
        rule("input", dns_6);
        rule("input", "counter drop");
        // Neighbours first: not even a name server is asked there.
        rule("forward", "oifname @bridges counter drop");
        for pattern in OTHER_BRIDGES {
            rule("forward", &format!("oifname \"{pattern}\" counter drop"));
        }
        rule("forward", dns_4);
        rule("forward", dns_6);
        rule("forward", "ip daddr @blocked_4 counter drop");
        rule("forward", "ip6 daddr @blocked_6 counter drop");
        Ok(script)
    }
}

/// An address or CIDR range that was read, so that nothing else gets into the script.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    ip: IpAddr,
    prefix: u8,
}

impl Range {
    fn parse(text: &str) -> Result<Self> {
        let read = || {
            let (ip, prefix) = match text.split_once('/') {
                Some((ip, prefix)) => (ip, Some(prefix)),
                None => (text, None),
            };
            let ip: IpAddr = ip.parse().ok()?;
            let longest = if ip.is_ipv6() { 128 } else { 32 };
            let prefix = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
            (prefix <= longest).then_some(Self { ip, prefix })
        };
        read().ok_or_else(|| refused("block", text, "it is no address range"))
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

fn device(name: &str) -> Result<&str> {
    let fits = !name.is_empty()
        && name.len() <= 15
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        return Ok(name);
    }
    Err(refused("guard", name, "it is no name of a bridge"))
}

fn list(elements: &[impl ToString]) -> String {
    let elements: Vec<_> = elements.iter().map(ToString::to_string).collect();
    elements.join(", ")
}

fn refused(verb: &'static str, name: &str, message: &str) -> EngineError {
    EngineError::Refused {
        verb,
        name: name.to_owned(),
        message: message.to_owned(),
    }
}

/// Hands the script to nft, which does all of it or nothing.
async fn run(script: &str) -> Result<()> {
    let failed = |message: String| EngineError::Program {
        program: NFT,
        message,
    };
    let change = async {
        let mut nft = Command::new(NFT)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => {
                    failed("it is not installed (package nftables)".to_owned())
                }
                _ => failed(error.to_string()),
            })?;
        if let Some(mut input) = nft.stdin.take() {
            // That nft closed its input early is told better by what it says.
            let _ = input.write_all(script.as_bytes()).await;
        }
        let output = nft
            .wait_with_output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    };
    match tokio::time::timeout(DEADLINE, change).await {
        Ok(result) => result,
        Err(_) => Err(failed(format!("no end within {} s", DEADLINE.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall() -> Firewall {
        Firewall {
            instance: InstanceId::parse("0123abcd").expect("hex"),
        }
    }

    #[test]
    fn the_script_replaces_the_table_and_names_what_was_given() {
        let script = firewall()
            .script(
                &["rw-0123abcd".to_owned()],
                &[
                    "10.0.0.53".parse().expect("ip"),
                    "fd00::53".parse().expect("ip"),
                ],
                &["10.1.0.0/16".to_owned(), "fd00:1::/32".to_owned()],
            )
            .expect("a script");
        assert!(script.starts_with(
            "add table inet ropewalk_0123abcd\ndelete table inet ropewalk_0123abcd\n"
        ));
        for line in [
            "bridges { \"rw-0123abcd\" }",
            "resolvers_4 { 10.0.0.53 }",
            "resolvers_6 { fd00::53 }",
            "blocked_4 { 169.254.0.0/16, 10.1.0.0/16 }",
            "blocked_6 { fe80::/10, fd00:ec2::254/128, fd00:1::/32 }",
        ] {
            assert!(script.contains(line), "{line:?} in:\n{script}");
        }
    }

    /// Clouds have their name server beside their metadata service.
    #[test]
    fn a_name_server_is_asked_even_where_the_rest_of_its_address_is_blocked() {
        let server = "169.254.169.254".parse().expect("ip");
        let script = firewall()
            .script(&["rw-0123abcd".to_owned()], &[server], &[])
            .expect("a script");
        assert!(script.contains("resolvers_4 { 169.254.169.254 }"));
        let place = |rule: &str| script.find(rule).expect(rule);
        for (accept, drop) in [
            (
                "forward ip daddr @resolvers_4",
                "forward ip daddr @blocked_4",
            ),
            (
                "forward ip6 daddr @resolvers_6",
                "forward ip6 daddr @blocked_6",
            ),
        ] {
            assert!(place(accept) < place(drop), "{script}");
        }
    }

    #[test]
    fn nothing_but_names_and_ranges_gets_into_the_script() {
        for bridge in ["", "a\" }; flush ruleset; #", "a-name-that-is-too-long"] {
            assert!(firewall().script(&[bridge.to_owned()], &[], &[]).is_err());
        }
        for range in [
            "",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.0/8 }; #",
            "a/8",
            "1.2.3.4/-1",
        ] {
            assert!(firewall().script(&[], &[], &[range.to_owned()]).is_err());
        }
        assert_eq!(
            Range::parse("10.0.0.7").expect("range").to_string(),
            "10.0.0.7/32"
        );
    }
}
