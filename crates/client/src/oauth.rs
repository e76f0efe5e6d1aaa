//! `/oauth/authorizations`, `/oauth/sessions`: signing in and out, and tokens.

use http::Method;
use ropewalk_api_types::Authorization;
use ropewalk_api_types::oauth::{AuthorizationCreate, AuthorizationUpdate, Session};

use crate::client::Client;
use crate::error::Result;

/// What a person signs in with. Lives only as long as the request.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub email: &'a str,
    pub password: &'a str,
    /// After the server answered `two_factor`.
    pub second_factor: Option<&'a str>,
}

impl Client {
    /// A token for an email and a password.
    pub async fn sign_in(
        &self,
        credentials: Credentials<'_>,
        authorization: &AuthorizationCreate,
    ) -> Result<Authorization> {
        let nobody = Self {
            token: None,
            ..self.clone()
        };
        let mut request = nobody
            .request(Method::POST, &["oauth", "authorizations"])?
            .basic_auth(credentials.email, Some(credentials.password))
            .json(authorization);
        if let Some(code) = credentials.second_factor {
            request = request.header("Heroku-Two-Factor-Code", code);
        }
        self.json(request).await
    }

    /// All tokens of the account, redacted.
    pub async fn authorizations(&self) -> Result<Vec<Authorization>> {
        self.list(&["oauth", "authorizations"]).await
    }

    /// By id, or `~` for the token in use; redacted.
    pub async fn authorization(&self, authorization: &str) -> Result<Authorization> {
        self.get(&["oauth", "authorizations", authorization]).await
    }

    /// Another token; whole in this answer only.
    pub async fn authorize(&self, authorization: &AuthorizationCreate) -> Result<Authorization> {
        self.send(Method::POST, &["oauth", "authorizations"], authorization)
            .await
    }

    pub async fn update_authorization(
        &self,
        authorization: &str,
        change: &AuthorizationUpdate,
    ) -> Result<Authorization> {
        let path = ["oauth", "authorizations", authorization];
        self.send(Method::PATCH, &path, change).await
    }

    /// A new text for the same token; whole in this answer only. The old one is refused from then on.
    pub async fn rotate(&self, authorization: &str) -> Result<Authorization> {
        let path = [
            "oauth",
            "authorizations",
            authorization,
            "actions",
            "regenerate-tokens",
        ];
        self.json(self.request(Method::POST, &path)?).await
    }

    /// By id. The token is refused from then on.
    pub async fn revoke(&self, authorization: &str) -> Result<Authorization> {
        let path = ["oauth", "authorizations", authorization];
        self.json(self.request(Method::DELETE, &path)?).await
    }

    /// The tokens that were made by logging in.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        self.list(&["oauth", "sessions"]).await
    }

    /// By id, or `~` for the one in use.
    pub async fn end_session(&self, session: &str) -> Result<Session> {
        self.delete(&["oauth", "sessions", session]).await
    }
}
