//! The domain that apps get their names below: checked, or made of the server's address.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};

/// A host name of letters, digits, dashes and dots: it goes into unit files.
pub(super) fn checked(domain: &str) -> Result<String> {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() > 200 || !domain.split('.').all(label) {
        bail!("{domain:?} is not a domain name such as apps.example.com");
    }
    Ok(domain)
}

/// A name that resolves to this server by itself.
///
/// # Errors
/// When the server has no route, or no IPv4 address of its own.
pub(super) fn of_this_server() -> Result<String> {
    // The address that a packet to the outside would carry; nothing is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket
        .connect("192.0.2.1:9")
        .context("this server has no route; name a domain with --domain")?;
    of_address(socket.local_addr()?.ip())
        .context("this server has no IPv4 address of its own; name a domain with --domain")
}

/// `192-0-2-7.sslip.io`, which leads to 192.0.2.7 with every name below it.
fn of_address(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(
            format!("{}.sslip.io", address.to_string().replace('.', "-")),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_checked_before_they_reach_a_unit_file() {
        assert_eq!(checked("Apps.Example.com.").unwrap(), "apps.example.com");
        let long = format!("{}.com", "a".repeat(64));
        for bad in [
            "",
            "a b",
            "a\nExecStart=x",
            "-a.com",
            "a..b",
            "a_b.com",
            "a%n.com",
            &long,
        ] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_becomes_a_name_that_resolves_to_it() {
        let name = |address: &str| of_address(address.parse().unwrap());
        assert_eq!(name("192.0.2.7").as_deref(), Some("192-0-2-7.sslip.io"));
        assert_eq!(name("10.0.0.1").as_deref(), Some("10-0-0-1.sslip.io"));
        for none in ["127.0.0.1", "0.0.0.0", "2001:db8::7"] {
            assert_eq!(name(none), None, "{none}");
        }
        assert!(checked(&name("192.0.2.7").unwrap()).is_ok());
    }
}
