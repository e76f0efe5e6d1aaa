//! `/pipelines`, `/pipeline-couplings`, `/pipeline-promotions`

use std::collections::BTreeMap;

use http::Method;
use ropewalk_api_types::app::{AppFilter, AppFilterIn};
use ropewalk_api_types::pipeline::{
    Pipeline, PipelineCoupling, PipelineCouplingCreate, PipelineCouplingUpdate, PipelineCreate,
    PipelinePromotion, PipelinePromotionCreate, PipelinePromotionTarget, PipelineUpdate, Stage,
};
use ropewalk_api_types::{App, ConfigVars};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// All that one may see.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>> {
        self.list(&["pipelines"]).await
    }

    /// By name or id.
    pub async fn pipeline(&self, pipeline: &str) -> Result<Pipeline> {
        self.get(&["pipelines", pipeline]).await
    }

    pub async fn create_pipeline(&self, name: &str) -> Result<Pipeline> {
        let create = PipelineCreate {
            name: name.to_owned(),
            owner: None,
        };
        self.send(Method::POST, &["pipelines"], &create).await
    }

    pub async fn rename_pipeline(&self, pipeline: &str, name: &str) -> Result<Pipeline> {
        let update = PipelineUpdate {
            name: Some(name.to_owned()),
        };
        self.send(Method::PATCH, &["pipelines", pipeline], &update)
            .await
    }

    pub async fn delete_pipeline(&self, pipeline: &str) -> Result<Pipeline> {
        self.delete(&["pipelines", pipeline]).await
    }

    pub async fn pipeline_couplings(&self, pipeline: &str) -> Result<Vec<PipelineCoupling>> {
        self.list(&["pipelines", pipeline, "pipeline-couplings"])
            .await
    }

    /// An app's; not found when it is in no pipeline.
    pub async fn coupling_of_app(&self, app: &str) -> Result<PipelineCoupling> {
        self.get(&["apps", app, "pipeline-couplings"]).await
    }

    pub async fn couple(
        &self,
        app: &str,
        pipeline: &str,
        stage: Stage,
    ) -> Result<PipelineCoupling> {
        let create = PipelineCouplingCreate {
            app: app.to_owned(),
            pipeline: pipeline.to_owned(),
            stage: stage.to_string(),
        };
        self.send(Method::POST, &["pipeline-couplings"], &create)
            .await
    }

    /// Moves an app to another stage.
    pub async fn update_coupling(&self, coupling: &str, stage: Stage) -> Result<PipelineCoupling> {
        let update = PipelineCouplingUpdate {
            stage: Some(stage.to_string()),
        };
        self.send(Method::PATCH, &["pipeline-couplings", coupling], &update)
            .await
    }

    pub async fn uncouple(&self, coupling: &str) -> Result<PipelineCoupling> {
        self.delete(&["pipeline-couplings", coupling]).await
    }

    /// Those of these apps that one may see, by their ids.
    pub async fn apps_by_id(&self, ids: Vec<String>) -> Result<Vec<App>> {
        let filter = AppFilter {
            within: AppFilterIn { id: Some(ids) },
        };
        let request = self
            .request(Method::POST, &["filters", "apps"])?
            .header(http::header::RANGE, "id ..; max=1000;")
            .json(&filter);
        self.json(request).await
    }

    pub async fn promote(&self, promotion: &PipelinePromotionCreate) -> Result<PipelinePromotion> {
        self.send(Method::POST, &["pipeline-promotions"], promotion)
            .await
    }

    pub async fn promotion_targets(&self, promotion: &str) -> Result<Vec<PipelinePromotionTarget>> {
        self.list(&["pipeline-promotions", promotion, "promotion-targets"])
            .await
    }

    /// Config vars of a stage.
    pub async fn stage_config(&self, pipeline: &str, stage: Stage) -> Result<ConfigVars> {
        let path = [
            "pipelines",
            pipeline,
            "stage",
            stage.as_str(),
            "config-vars",
        ];
        self.get(&path).await
    }

    /// Sets what is `Some`, removes what is `None`.
    pub async fn update_stage_config(
        &self,
        pipeline: &str,
        stage: Stage,
        patch: &BTreeMap<String, Option<String>>,
    ) -> Result<ConfigVars> {
        let path = [
            "pipelines",
            pipeline,
            "stage",
            stage.as_str(),
            "config-vars",
        ];
        self.send(Method::PATCH, &path, patch).await
    }
}
