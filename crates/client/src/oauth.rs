//! `/oauth/authorizations`: signing in and out.

use http::Method;
use ropewalk_api_types::Authorization;
use ropewalk_api_types::oauth::AuthorizationCreate;

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

    /// By id. The token is refused from then on.
    pub async fn revoke(&self, authorization: &str) -> Result<()> {
        self.command(Method::DELETE, &["oauth", "authorizations", authorization])
            .await
    }
}
