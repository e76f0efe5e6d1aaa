//! `/apps/:app/collaborators`

use http::Method;
use ropewalk_api_types::Collaborator;
use ropewalk_api_types::collaborator::CollaboratorCreate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// The owner among them.
    pub async fn collaborators(&self, app: &str) -> Result<Vec<Collaborator>> {
        self.list(&["apps", app, "collaborators"]).await
    }

    pub async fn add_collaborator(
        &self,
        app: &str,
        collaborator: &CollaboratorCreate,
    ) -> Result<Collaborator> {
        self.send(Method::POST, &["apps", app, "collaborators"], collaborator)
            .await
    }

    /// By email or id.
    pub async fn remove_collaborator(&self, app: &str, user: &str) -> Result<Collaborator> {
        self.delete(&["apps", app, "collaborators", user]).await
    }
}
