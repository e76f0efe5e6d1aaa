//! The units that systemd runs the platform by. Text only: nothing is written or started here.

use ropewalk_model::egress::Cidr;

use super::BINARY;
use crate::ops::{DEFAULT_DATA, proxy_protocol_from};

/// By what HTTPS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// It is not.
    Off,
    /// The files in `/etc/ropewalk`.
    Files,
    /// What the server gets from an authority.
    Acme,
}

/// Every unit's file name and text. `domain` must have been checked. `ssh`: the port on which git speaks SSH. `proxies`:
/// who says to the router on whose behalf it connects. `options`: more of the server's, each
/// with a blank in front. `http3`: on
/// UDP port 443 too, where HTTPS is spoken.
pub(super) fn units(
    domain: &str,
    tls: Tls,
    http3: bool,
    ssh: Option<u16>,
    options: &str,
    proxies: &[Cidr],
) -> Vec<(&'static str, String)> {
    let https = match tls {
        Tls::Off => "",
        Tls::Files => " --https --port 443 --cert /etc/ropewalk/cert.pem",
        Tls::Acme => " --https --port 443 --acme-platform",
    };
    let ssh = ssh.map_or_else(String::new, |port| format!(" --ssh [::]:{port}"));
    let proxies = proxy_protocol_from(proxies).map_or_else(String::new, |text| format!(" {text}"));
    let cert = match tls {
        Tls::Files => " --cert /etc/ropewalk/cert.pem --key /etc/ropewalk/key.pem",
        Tls::Off | Tls::Acme => "",
    };
    let http3 = http3 && tls != Tls::Off;
    let sockets = match (tls, http3) {
        (Tls::Off, _) => "ropewalk-http.socket",
        (_, false) => "ropewalk-http.socket ropewalk-https.socket",
        (_, true) => "ropewalk-http.socket ropewalk-https.socket ropewalk-quic.socket",
    };
    let mut units = vec![
        (
            "ropewalk-server.service",
            format!(
                "[Unit]\n\
                 Description=Ropewalk server (control plane)\n\
                 After=docker.service network-online.target\n\
                 Wants=docker.service network-online.target\n\
                 StartLimitIntervalSec=0\n\n\
                 [Service]\n\
                 Type=notify\n\
                 ExecStart={BINARY} server --data {DEFAULT_DATA} --domain {domain}{https}{ssh}{options}\n\
                 Environment=MALLOC_ARENA_MAX=2\n\
                 Restart=always\n\
                 RestartSec=1\n\
                 WatchdogSec=60\n\
                 # Git's and mksquashfs' processes go with the server, dynos do not: they are Docker's.\n\
                 KillMode=mixed\n\
                 # A git that the kernel ends for want of memory is one push's end, not the server's.\n\
                 OOMPolicy=continue\n\
                 TimeoutStopSec=60\n\
                 LimitNOFILE=65536\n\
                 # No private mounts: what is mounted for dynos must be seen by Docker Engine.\n\n\
                 [Install]\n\
                 WantedBy=multi-user.target\n"
            ),
        ),
        (
            "ropewalk-router.service",
            format!(
                "[Unit]\n\
                 Description=Ropewalk router (data plane)\n\
                 Requires={sockets}\n\
                 After={sockets}\n\
                 # However often it ends: giving up would close the sockets too.\n\
                 StartLimitIntervalSec=0\n\n\
                 [Service]\n\
                 Type=notify\n\
                 ExecStart={BINARY} router --data {DEFAULT_DATA}{cert}{proxies}\n\
                 # Another router takes the sockets over, and this one finishes what it has.\n\
                 ExecReload={BINARY} router:upgrade --data {DEFAULT_DATA}\n\
                 Environment=MALLOC_ARENA_MAX=2\n\
                 Sockets={sockets}\n\
                 Restart=always\n\
                 RestartSec=100ms\n\
                 WatchdogSec=30\n\
                 TimeoutStopSec=60\n\
                 LimitNOFILE=1048576\n\n\
                 [Install]\n\
                 WantedBy=multi-user.target\n"
            ),
        ),
        ("ropewalk-http.socket", socket_unit("http", 80)),
    ];
    if tls != Tls::Off {
        units.push(("ropewalk-https.socket", socket_unit("https", 443)));
    }
    if http3 {
        units.push(("ropewalk-quic.socket", quic_unit(443)));
    }
    units
}

/// The router knows by the name what is spoken.
fn quic_unit(port: u16) -> String {
    format!(
        "[Unit]\n\
         Description=Ropewalk router, HTTP/3\n\n\
         [Socket]\n\
         ListenDatagram={port}\n\
         FileDescriptorName=quic\n\
         Service=ropewalk-router.service\n\
         # However many packets find no router.\n\
         TriggerLimitIntervalSec=0\n\n\
         [Install]\n\
         WantedBy=sockets.target\n"
    )
}

fn socket_unit(name: &str, port: u16) -> String {
    format!(
        "[Unit]\n\
         Description=Ropewalk router, {name}\n\n\
         [Socket]\n\
         ListenStream={port}\n\
         FileDescriptorName={name}\n\
         Service=ropewalk-router.service\n\
         Backlog=4096\n\
         # However many connections find no router.\n\
         TriggerLimitIntervalSec=0\n\n\
         [Install]\n\
         WantedBy=sockets.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(units: &[(&'static str, String)], name: &str) -> String {
        let unit = units.iter().find(|(unit, _)| *unit == name);
        unit.map(|(_, text)| text.clone()).unwrap_or_default()
    }

    #[test]
    fn sockets_are_held_by_systemd_and_the_router_restarts_at_once() {
        let proxies = ["10.0.0.0/8", "fd00::1"].map(|text| text.parse().unwrap());
        let acme = " --acme-email ops@example.com";
        let units = units("example.com", Tls::Files, false, Some(2222), acme, &proxies);
        let router = text(&units, "ropewalk-router.service");
        assert!(router.contains("Sockets=ropewalk-http.socket ropewalk-https.socket\n"));
        assert!(router.contains("RestartSec=100ms\n"));
        assert!(router.contains(
            "ExecReload=/usr/local/bin/ropewalk router:upgrade --data /var/lib/ropewalk\n"
        ));
        assert!(router.contains(
            " --cert /etc/ropewalk/cert.pem --key /etc/ropewalk/key.pem \
             --proxy-protocol-from=10.0.0.0/8,fd00::1\n"
        ));
        let https = text(&units, "ropewalk-https.socket");
        assert!(https.contains("ListenStream=443\nFileDescriptorName=https\n"));
        let server = text(&units, "ropewalk-server.service");
        for service in [&router, &server] {
            assert!(service.contains("StartLimitIntervalSec=0\n\n[Service]"));
        }
        assert!(https.contains("TriggerLimitIntervalSec=0\n"));
        assert!(server.contains(
            "ExecStart=/usr/local/bin/ropewalk server --data /var/lib/ropewalk \
             --domain example.com --https --port 443 --cert /etc/ropewalk/cert.pem --ssh [::]:2222 --acme-email ops@example.com\n"
        ));
        assert!(server.contains("\nOOMPolicy=continue\n"));
    }

    #[test]
    fn with_an_authority_https_is_spoken_without_a_certificate_in_files() {
        let acme = " --acme-email ops@example.com";
        let units = units("example.com", Tls::Acme, false, None, acme, &[]);
        let router = text(&units, "ropewalk-router.service");
        assert!(router.contains("Sockets=ropewalk-http.socket ropewalk-https.socket\n"));
        assert!(
            router
                .contains("\nExecStart=/usr/local/bin/ropewalk router --data /var/lib/ropewalk\n")
        );
        let https = text(&units, "ropewalk-https.socket");
        assert!(https.contains("ListenStream=443\nFileDescriptorName=https\n"));
        let server = text(&units, "ropewalk-server.service");
        assert!(server.contains(
            "--domain example.com --https --port 443 --acme-platform --acme-email ops@example.com\n"
        ));
    }

    #[test]
    fn http3_is_a_socket_more_and_only_where_it_is_wanted() {
        let wanted = units("example.com", Tls::Acme, true, None, "", &[]);
        let quic = text(&wanted, "ropewalk-quic.socket");
        assert!(quic.contains("ListenDatagram=443\nFileDescriptorName=quic\n"));
        assert!(
            text(&wanted, "ropewalk-router.service").contains(
                "Sockets=ropewalk-http.socket ropewalk-https.socket ropewalk-quic.socket\n"
            )
        );
        let unwanted = units("example.com", Tls::Acme, false, None, "", &[]);
        assert!(unwanted.iter().all(|(_, text)| !text.contains("quic")));
    }

    #[test]
    fn without_a_certificate_only_port_80_is_served() {
        let units = units("example.com", Tls::Off, true, None, "", &[]);
        assert_eq!(text(&units, "ropewalk-https.socket"), "");
        assert_eq!(text(&units, "ropewalk-quic.socket"), "");
        assert!(text(&units, "ropewalk-http.socket").contains("ListenStream=80\n"));
        assert!(units.iter().all(|(_, text)| {
            !["https", "443", "--ssh", "--proxy"]
                .iter()
                .any(|word| text.contains(word))
        }));
    }

    #[test]
    fn every_line_is_a_section_a_setting_or_a_comment() {
        for (name, text) in units("example.com", Tls::Acme, true, Some(22), "", &[]) {
            for line in text.lines().filter(|line| !line.is_empty()) {
                let section = line.starts_with('[') && line.ends_with(']');
                let setting = line
                    .split_once('=')
                    .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric()));
                assert!(
                    section || setting || line.starts_with("# "),
                    "{name}: {line:?}"
                );
            }
        }
    }
}
