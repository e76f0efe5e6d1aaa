//! `/pipelines`, `/pipeline-couplings`, `/pipeline-promotions`: apps that carry the same code, and its way through them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::{ById, Named};

/// One pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub id: Uuid,
    pub name: String,
    pub owner: Option<PipelineOwner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Named>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineOwner {
    pub id: Uuid,
    /// `user` or `team`.
    #[serde(rename = "type")]
    pub owner_type: String,
}

/// `POST /pipelines`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCreate {
    #[serde(default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PipelineOwner>,
}

/// `PATCH /pipelines/:id`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An app's place in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCoupling {
    pub id: Uuid,
    pub app: ById,
    pub pipeline: PipelineRef,
    pub stage: Stage,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// A pipeline as others name it; Heroku's answers do not always have the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRef {
    pub id: Uuid,
    #[serde(default)]
    pub name: String,
}

/// In the order in which code moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Test,
    Review,
    Development,
    Staging,
    Production,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `POST /pipeline-couplings`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineCouplingCreate {
    /// Name or id.
    pub app: String,
    /// Name or id.
    pub pipeline: String,
    pub stage: String,
}

/// `PATCH /pipeline-couplings/:id`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCouplingUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// One app's code on its way to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePromotion {
    pub id: Uuid,
    pub pipeline: ById,
    pub source: PromotionSource,
    pub status: PromotionStatus,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionSource {
    pub app: ById,
    pub release: ById,
}

/// How far a promotion is as a whole; what became of it says each target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionStatus {
    Pending,
    Completed,
}

/// `POST /pipeline-promotions`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelinePromotionCreate {
    pub pipeline: Identified,
    pub source: PromotionSourceCreate,
    pub targets: Vec<PromotionTargetCreate>,
}

/// `{"id": ...}`, where a name does as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identified {
    pub id: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromotionSourceCreate {
    pub app: Identified,
    /// Its current release unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Identified>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromotionTargetCreate {
    pub app: Identified,
}

/// One app that was promoted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePromotionTarget {
    pub id: Uuid,
    pub app: ById,
    pub pipeline_promotion: ById,
    pub release: Option<ById>,
    pub status: PromotionTargetStatus,
    pub error_message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionTargetStatus {
    Pending,
    Succeeded,
    Failed,
}

/// `GET /pipelines/:id/pipeline-stack`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStack {
    pub stack: Option<Named>,
}

/// `POST /pipeline-transfers`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineTransferCreate {
    #[serde(default)]
    pub pipeline: Identified,
    #[serde(default)]
    pub new_owner: Option<PipelineOwner>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineTransfer {
    pub pipeline: ById,
    pub previous_owner: PipelineOwner,
    pub new_owner: PipelineOwner,
}
