//! `/apps/:app/domains`

use http::Method;
use ropewalk_api_types::Domain;
use ropewalk_api_types::domain::{DomainCreate, DomainUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn domains(&self, app: &str) -> Result<Vec<Domain>> {
        self.list(&["apps", app, "domains"]).await
    }

    /// By host name or id.
    pub async fn domain(&self, app: &str, domain: &str) -> Result<Domain> {
        self.get(&["apps", app, "domains", domain]).await
    }

    pub async fn add_domain(&self, app: &str, domain: &DomainCreate) -> Result<Domain> {
        self.send(Method::POST, &["apps", app, "domains"], domain)
            .await
    }

    /// Serves it with another certificate, or with none of its own.
    pub async fn update_domain(
        &self,
        app: &str,
        domain: &str,
        update: &DomainUpdate,
    ) -> Result<Domain> {
        self.send(Method::PATCH, &["apps", app, "domains", domain], update)
            .await
    }

    pub async fn remove_domain(&self, app: &str, domain: &str) -> Result<Domain> {
        self.delete(&["apps", app, "domains", domain]).await
    }
}
