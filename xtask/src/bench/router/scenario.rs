//! What is asked of the proxies, one after the other.

use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(in super::super) enum Scenario {
    #[value(name = "keepalive-64")]
    Keepalive64,
    #[value(name = "keepalive-512")]
    Keepalive512,
    #[value(name = "tls")]
    Tls,
    #[value(name = "handshakes")]
    Handshakes,
    #[value(name = "downloads")]
    Downloads,
    #[value(name = "uploads")]
    Uploads,
    #[value(name = "connections")]
    Connections,
    #[value(name = "rate")]
    Rate,
    #[value(name = "dead")]
    Dead,
}

impl Scenario {
    pub(super) const ALL: [Self; 9] = [
        Self::Keepalive64,
        Self::Keepalive512,
        Self::Tls,
        Self::Handshakes,
        Self::Downloads,
        Self::Uploads,
        Self::Connections,
        Self::Rate,
        Self::Dead,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keepalive64 => "keep-alive, 64 connections",
            Self::Keepalive512 => "keep-alive, 512 connections",
            Self::Tls => "keep-alive over TLS, 64 connections",
            Self::Handshakes => "a TLS handshake for each request, 32 clients",
            Self::Downloads => "bodies of 1 MiB, 16 connections",
            Self::Uploads => "uploads of 64 KiB, 32 connections",
            Self::Connections => "a connection for each request, 64 clients",
            Self::Rate => "2,000 requests a second, open loop",
            Self::Dead => "a fifth upstream that refuses, 64 connections",
        }
    }

    pub(super) fn connections(self) -> u16 {
        match self {
            Self::Keepalive64 | Self::Tls | Self::Connections | Self::Dead => 64,
            Self::Keepalive512 => 512,
            Self::Handshakes | Self::Uploads => 32,
            Self::Downloads => 16,
            Self::Rate => 50,
        }
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Handshakes)
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Downloads => "/large",
            Self::Uploads => "/upload",
            _ => "/",
        }
    }
}
