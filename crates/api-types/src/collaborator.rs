//! `/apps/:app/collaborators`: who else may work on an app.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One person's access to one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collaborator {
    pub id: Uuid,
    pub app: Named,
    pub permissions: Vec<Permission>,
    /// `owner`, `admin`, `member`, `collaborator` or `null`.
    pub role: Option<String>,
    pub user: CollaboratorUser,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `view`, `deploy`, `operate`, `manage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub name: String,
    pub description: String,
}

/// The person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollaboratorUser {
    pub id: Uuid,
    pub email: String,
    pub federated: bool,
}

/// `POST /apps/:app/collaborators`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollaboratorCreate {
    /// Email or id.
    pub user: String,
    /// Send no mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
}
