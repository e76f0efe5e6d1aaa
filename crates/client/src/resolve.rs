//! Names that end in `.localhost` are this machine, whatever the system's resolver thinks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Loopback for `.localhost`, the system's resolver for the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            if is_local_name(name.as_str()) {
                let loopback = [
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(Ipv6Addr::LOCALHOST),
                ];
                return Ok(
                    Box::new(loopback.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs,
                );
            }
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether `host` (a name or an address) can only be this machine.
pub(crate) fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_local() {
        for local in [
            "localhost",
            "api.localhost",
            "API.Localhost.",
            "127.0.0.1",
            "[::1]",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for foreign in ["notlocalhost", "localhost.example.com", "10.0.0.1"] {
            assert!(!is_local_name(foreign), "{foreign}");
        }
    }
}
