//! Certificates that the platform gets by itself: how far it is with a domain, and how a name is proven.

/// How far the platform is with a domain's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcmStatus {
    /// Nothing went wrong yet, and there is no certificate yet.
    Pending,
    /// The authority has seen that the name leads here; the certificate is on its way.
    Verified,
    /// It is served.
    Ok,
    /// The last try failed, and there will be another.
    Failing,
    /// No try is made any more until somebody asks for one.
    Failed,
}

impl AcmStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Verified,
            Self::Ok,
            Self::Failing,
            Self::Failed,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }
}

/// How an authority is shown that a name leads here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Challenge {
    /// It fetches a page over port 80.
    Http,
    /// It shakes hands on port 443.
    TlsAlpn,
    /// It asks for a TXT record.
    Dns,
}

impl Challenge {
    /// As RFC 8555 and RFC 8737 call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
            Self::Dns => "dns-01",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::TlsAlpn, Self::Dns]
            .into_iter()
            .find(|challenge| challenge.as_str() == text)
    }
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There is a certificate.
    Issued,
    /// The authority does not believe that the name leads here, or may not sign for it.
    Refused,
    /// The authority takes no more orders for a while, or does not come to an end.
    Limited,
    /// It did not get as far as that: the authority is out of reach, or something here is. Not the name's fault.
    Away,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Away => "away",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Issued, Self::Refused, Self::Limited, Self::Away]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}
