//! What an app asks of the router before a request reaches it: its edge policy.
//!
//! Each part has a name by which people set it (`hsts=1y`), a text, and limits. Who keeps a policy keeps these texts.

mod basic_auth;
mod canary;
mod hsts;
mod max_body;
mod rate_limit;
mod trusted_ips;

pub use basic_auth::{BasicAuth, Salt};
pub use canary::{CookieName, Weight};
pub use hsts::Hsts;
pub use max_body::MaxBody;
pub use rate_limit::RateLimit;
pub use trusted_ips::TrustedIps;

use thiserror::Error;

use crate::AppId;

/// Longest text of one setting.
pub const MAX_TEXT: usize = 8 << 10;

/// Everything that is asked for; the default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Requests wait instead of reaching a dyno.
    pub pause: bool,
    /// Requests over plain HTTP are sent to HTTPS.
    pub https_redirect: bool,
    /// Browsers that came over HTTPS once stay with it.
    pub hsts: Option<Hsts>,
    /// Nobody else reaches the app.
    pub trusted_ips: Option<TrustedIps>,
    /// Who comes in, by a password.
    pub basic_auth: Option<BasicAuth>,
    /// How many requests one client address may make.
    pub rate_limit: Option<RateLimit>,
    /// How large a request may be.
    pub max_body: Option<MaxBody>,
    /// Another app whose dynos answer some of the requests.
    pub canary: Option<AppId>,
    /// How many of them.
    pub canary_weight: Option<Weight>,
    /// The cookie by which a client asks for the one or the other app.
    pub canary_cookie: Option<CookieName>,
}

/// A part of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Pause,
    HttpsRedirect,
    Hsts,
    TrustedIps,
    BasicAuth,
    RateLimit,
    MaxBody,
    Canary,
    CanaryWeight,
    CanaryCookie,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EdgeError {
    #[error("There is no edge setting {0}. There are: {names}.", names = Name::all())]
    Unknown(String),
    #[error("{name} must be {must}, not {text:?}. For example: {name}={example}.", name = .0.as_str(), must = .0.must(), example = .0.example(), text = .1)]
    Text(Name, String),
    #[error(
        "The password of basic-auth must have {0} to {1} characters, all of which can be typed."
    )]
    Password(usize, usize),
    #[error("basic-auth needs a password beside the user.")]
    NoPassword,
    #[error("{name} needs a canary, whose dynos answer. For example: canary={app} {name}={example}.", name = .0.as_str(), app = Name::Canary.example(), example = .0.example())]
    NoCanary(Name),
    #[error(
        "canary needs canary-weight or canary-cookie beside it, which say whom it answers. For example: canary={app} \
         canary-weight={weight}.",
        app = Name::Canary.example(),
        weight = Name::CanaryWeight.example()
    )]
    CanaryForNobody,
}

impl Name {
    pub const ALL: [Name; 10] = [
        Name::Pause,
        Name::HttpsRedirect,
        Name::Hsts,
        Name::TrustedIps,
        Name::BasicAuth,
        Name::RateLimit,
        Name::MaxBody,
        Name::Canary,
        Name::CanaryWeight,
        Name::CanaryCookie,
    ];

    /// `https-redirect`
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Pause => "pause",
            Name::HttpsRedirect => "https-redirect",
            Name::Hsts => "hsts",
            Name::TrustedIps => "trusted-ips",
            Name::BasicAuth => "basic-auth",
            Name::RateLimit => "rate-limit",
            Name::MaxBody => "max-body",
            Name::Canary => "canary",
            Name::CanaryWeight => "canary-weight",
            Name::CanaryCookie => "canary-cookie",
        }
    }

    pub fn parse(text: &str) -> Result<Name, EdgeError> {
        Name::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| EdgeError::Unknown(clip(text)))
    }

    /// A text that may be its value.
    pub fn example(self) -> &'static str {
        match self {
            Name::Pause | Name::HttpsRedirect => "on",
            Name::Hsts => "1y",
            Name::TrustedIps => "192.0.2.0/24,2001:db8::/32",
            Name::BasicAuth => "dev",
            Name::RateLimit => "10/s,burst=50",
            Name::MaxBody => "10MB",
            Name::Canary => "shop-next",
            Name::CanaryWeight => "5%",
            Name::CanaryCookie => "beta",
        }
    }

    /// What its value has to be, for error texts.
    fn must(self) -> &'static str {
        match self {
            Name::Pause | Name::HttpsRedirect => "on or off",
            Name::Hsts => "a time of at most 10 years",
            Name::TrustedIps => "1 to 100 addresses or ranges of them with commas between",
            Name::BasicAuth => "a user's name without a colon, of at most 64 characters",
            Name::RateLimit => {
                "1 to 10000 requests a second (/s), minute (/m) or hour (/h), and a burst of at most 100000"
            }
            Name::MaxBody => "a size of at most 1000GB, such as 10MB or 512KiB",
            Name::Canary => "another app of the same owner",
            Name::CanaryWeight => "0% to 100%, with at most two decimals",
            Name::CanaryCookie => {
                "a cookie's name of at most 64 letters, digits, - and _, and none that the router uses itself"
            }
        }
    }

    fn all() -> String {
        Name::ALL.map(Name::as_str).join(", ")
    }

    /// The refusal of a text.
    fn refuse(self, text: &str) -> EdgeError {
        EdgeError::Text(self, clip(text))
    }
}

impl Policy {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Policy::default()
    }

    /// Whether its parts go together.
    ///
    /// # Errors
    /// One that means nothing without another.
    pub fn check(&self) -> Result<(), EdgeError> {
        match (self.canary, self.canary_weight, &self.canary_cookie) {
            (Some(_), None, None) => Err(EdgeError::CanaryForNobody),
            (None, Some(_), _) => Err(EdgeError::NoCanary(Name::CanaryWeight)),
            (None, None, Some(_)) => Err(EdgeError::NoCanary(Name::CanaryCookie)),
            _ => Ok(()),
        }
    }

    /// What a part is set to, for people; `None` when it is not set. A canary is told by its id, for its name may change.
    pub fn text(&self, name: Name) -> Option<String> {
        match name {
            Name::Pause => self.pause.then(|| "on".to_owned()),
            Name::HttpsRedirect => self.https_redirect.then(|| "on".to_owned()),
            Name::Hsts => self.hsts.map(|hsts| hsts.to_string()),
            Name::TrustedIps => self.trusted_ips.as_ref().map(TrustedIps::to_string),
            Name::BasicAuth => self.basic_auth.as_ref().map(|auth| auth.user().to_owned()),
            Name::RateLimit => self.rate_limit.map(|limit| limit.to_string()),
            Name::MaxBody => self.max_body.map(|size| size.to_string()),
            Name::Canary => self.canary.map(|app| app.to_string()),
            Name::CanaryWeight => self.canary_weight.map(|weight| weight.to_string()),
            Name::CanaryCookie => self.canary_cookie.as_ref().map(CookieName::to_string),
        }
    }

    /// Sets a part as people type it, but for a canary, which is given by its id.
    ///
    /// # Errors
    /// A text that says no such thing; the error says what would. None says who comes in by which password: that is set
    /// by [`BasicAuth::new`].
    pub fn set(&mut self, name: Name, text: &str) -> Result<(), EdgeError> {
        if text.len() > MAX_TEXT {
            return Err(name.refuse(text));
        }
        match name {
            Name::Pause => self.pause = switch(text).ok_or_else(|| name.refuse(text))?,
            Name::HttpsRedirect => {
                self.https_redirect = switch(text).ok_or_else(|| name.refuse(text))?;
            }
            Name::Hsts => self.hsts = Some(text.parse()?),
            Name::TrustedIps => self.trusted_ips = Some(text.parse()?),
            Name::BasicAuth => return Err(EdgeError::NoPassword),
            Name::RateLimit => self.rate_limit = Some(text.parse()?),
            Name::MaxBody => self.max_body = Some(text.parse()?),
            Name::Canary => {
                self.canary = Some(text.parse().map_err(|_| name.refuse(text))?);
            }
            Name::CanaryWeight => self.canary_weight = Some(text.parse()?),
            Name::CanaryCookie => self.canary_cookie = Some(text.parse()?),
        }
        Ok(())
    }

    /// What is kept of a part, to be given to [`Policy::restore`]; `None` when it is not set.
    pub fn kept(&self, name: Name) -> Option<String> {
        match name {
            Name::BasicAuth => self.basic_auth.as_ref().map(BasicAuth::kept),
            _ => self.text(name),
        }
    }

    /// Sets a part to what was kept of it.
    ///
    /// # Errors
    /// A text that was never given by [`Policy::kept`].
    pub fn restore(&mut self, name: Name, text: &str) -> Result<(), EdgeError> {
        match name {
            Name::BasicAuth => {
                let auth = BasicAuth::restore(text).ok_or(EdgeError::NoPassword)?;
                self.basic_auth = Some(auth);
                Ok(())
            }
            _ => self.set(name, text),
        }
    }

    /// Asks for a part no more. What a canary answers ends with it.
    pub fn unset(&mut self, name: Name) {
        match name {
            Name::Pause => self.pause = false,
            Name::HttpsRedirect => self.https_redirect = false,
            Name::Hsts => self.hsts = None,
            Name::TrustedIps => self.trusted_ips = None,
            Name::BasicAuth => self.basic_auth = None,
            Name::RateLimit => self.rate_limit = None,
            Name::MaxBody => self.max_body = None,
            Name::Canary => {
                (self.canary, self.canary_weight, self.canary_cookie) = (None, None, None);
            }
            Name::CanaryWeight => self.canary_weight = None,
            Name::CanaryCookie => self.canary_cookie = None,
        }
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

/// Enough of a text to know it by.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_set_told_and_unset_by_its_name() {
        for name in Name::ALL
            .into_iter()
            .filter(|name| !matches!(name, Name::BasicAuth | Name::Canary))
        {
            assert_eq!(Name::parse(name.as_str()), Ok(name));
            let mut policy = Policy::default();
            assert_eq!(policy.text(name), None);
            policy.set(name, name.example()).unwrap();
            assert!(!policy.is_empty());
            let text = policy.text(name).unwrap();
            let mut again = Policy::default();
            again.set(name, &text).unwrap();
            assert_eq!(again, policy, "{text}");
            policy.unset(name);
            assert!(policy.is_empty());
            let error = policy.set(name, "?").unwrap_err().to_string();
            let example = format!("{}={}", name.as_str(), name.example());
            assert!(error.contains(&example), "{error}");
            assert!(policy.set(name, &"1".repeat(MAX_TEXT + 1)).is_err());
        }
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_those_that_are() {
        let error = Name::parse("https_redirect").unwrap_err().to_string();
        assert!(error.starts_with(
            "There is no edge setting https_redirect. There are: pause, https-redirect, hsts"
        ));
    }

    #[test]
    fn a_user_is_told_and_a_password_kept_as_a_digest() {
        let name = Name::BasicAuth;
        let mut policy = Policy::default();
        assert_eq!(
            policy.set(name, "dev:hunter2hunter2"),
            Err(EdgeError::NoPassword)
        );
        policy.basic_auth = Some(BasicAuth::new("dev", "hunter2hunter2", [1; 16]).unwrap());
        assert_eq!(policy.text(name).as_deref(), Some("dev"));
        let kept = policy.kept(name).unwrap();
        assert!(!kept.contains("hunter2"));
        let mut again = Policy::default();
        again.restore(name, &kept).unwrap();
        assert_eq!(again, policy);
        assert!(again.restore(name, "dev").is_err());
        policy.unset(name);
        assert!(policy.is_empty());
    }

    #[test]
    fn a_canary_is_kept_by_its_id_and_says_whom_it_answers() {
        let id = "6bc1814c-5705-4b6e-af99-104b91962282";
        let mut policy = Policy::default();
        policy.set(Name::CanaryWeight, "5%").unwrap();
        let error = policy.check().unwrap_err().to_string();
        assert!(
            error.ends_with("For example: canary=shop-next canary-weight=5%."),
            "{error}"
        );
        policy.set(Name::Canary, id).unwrap();
        policy.set(Name::CanaryCookie, "beta").unwrap();
        assert_eq!(policy.check(), Ok(()));
        assert_eq!(policy.kept(Name::Canary).as_deref(), Some(id));
        policy.unset(Name::CanaryWeight);
        assert_eq!(policy.check(), Ok(()));
        policy.unset(Name::CanaryCookie);
        assert_eq!(policy.check(), Err(EdgeError::CanaryForNobody));
        policy.set(Name::CanaryCookie, "beta").unwrap();
        policy.unset(Name::Canary);
        assert!(policy.is_empty());
        assert!(policy.set(Name::Canary, "shop-next").is_err());
        policy.set(Name::CanaryCookie, "beta").unwrap();
        assert_eq!(policy.check(), Err(EdgeError::NoCanary(Name::CanaryCookie)));
    }

    #[test]
    fn off_is_not_set() {
        let mut policy = Policy::default();
        policy.set(Name::HttpsRedirect, "On").unwrap();
        assert!(policy.https_redirect);
        policy.set(Name::HttpsRedirect, "off").unwrap();
        assert!(policy.is_empty());
    }
}
