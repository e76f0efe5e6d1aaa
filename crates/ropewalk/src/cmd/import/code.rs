//! Buildpacks, and the code itself: the slug of the current release, fetched there, sent here and released.

use ropewalk_client::Client;
use ropewalk_client::types::Release;
use ropewalk_client::types::release::{ReleaseCreate, ReleaseStatus};
use ropewalk_client::types::slug::SlugCreate;
use tokio_util::io::ReaderStream;

use super::Import;
use super::origin::Origin;
use crate::cmd::slugs;

/// Releases here that are looked through for the one that an earlier run made.
const RELEASES: u32 = 50;
/// Sent at once, in bytes.
const CHUNK: usize = 256 << 10;

impl Import<'_> {
    pub(super) async fn buildpacks(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(wanted) = self.report.read("buildpacks", &origin.buildpacks) else {
            return Ok(());
        };
        let wanted: Vec<String> = wanted.iter().map(|one| short(&one.buildpack)).collect();
        let own: Vec<String> = match there {
            true => {
                let own = self.client.buildpacks(&self.name).await?;
                own.into_iter().map(|one| one.buildpack.name).collect()
            }
            false => Vec::new(),
        };
        if own == wanted || wanted.is_empty() {
            return Ok(());
        }
        let what = format!("Setting buildpacks to {}", wanted.join(", "));
        let set = self.client.set_buildpacks(&self.name, &wanted);
        if let Err(error) = self.step(&what, set).await {
            self.report.left(
                &format!("buildpacks {}", wanted.join(", ")),
                &error.to_string(),
            );
        }
        Ok(())
    }

    /// Releases the code of the current release there. Returns the release, if one was made.
    pub(super) async fn code(
        &mut self,
        from: &Client,
        origin: &Origin,
        there: bool,
    ) -> anyhow::Result<Option<Release>> {
        let Some(Some(release)) = self.report.read("code", &origin.release) else {
            return Ok(None);
        };
        let Some(id) = release.slug.as_ref().map(|slug| &slug.id) else {
            self.report
                .left("code", "the current release has no slug: nothing was deployed, or it is a container's image");
            return Ok(None);
        };
        let short: String = id.chars().take(8).collect();
        let description = format!("Import {} v{} {short}", origin.app.name, release.version);
        if there && self.has(&description).await? {
            return Ok(None);
        }
        if self.dry_run {
            self.cx.out.note(&format!(
                "Would: Copying and releasing the slug of v{}",
                release.version
            ))?;
            return Ok(None);
        }
        match self.copy(from, origin, id, &description).await {
            Ok(release) => Ok(Some(release)),
            Err(error) => {
                self.report.left("code", &error.to_string());
                self.report.incomplete = true;
                self.report
                    .note("Without its slug the app runs nothing here yet: push its code.");
                Ok(None)
            }
        }
    }

    /// Whether an earlier run has released it already.
    async fn has(&self, description: &str) -> anyhow::Result<bool> {
        let releases = self.client.releases(&self.name, RELEASES).await?;
        let fits = |release: &Release| {
            release.description == description && release.status != ReleaseStatus::Failed
        };
        Ok(releases.iter().any(fits))
    }

    async fn copy(
        &self,
        from: &Client,
        origin: &Origin,
        id: &str,
        description: &str,
    ) -> anyhow::Result<Release> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("slug.tgz");
        let action = self.cx.out.action("Fetching the slug");
        let slug = from.slug(&origin.app.name, id).await?;
        let length = slugs::fetch(from, &slug, &file).await?;
        let size = format!("{:.1} MB", length as f64 / 1e6);
        action.done_with(&size)?;
        let stacks = self.client.stacks().await?;
        let stack = stacks.iter().find(|stack| stack.name == slug.stack.name);
        let wanted = SlugCreate {
            process_types: Some(slug.process_types),
            buildpack_provided_description: slug.buildpack_provided_description,
            checksum: slug.checksum,
            commit: slug.commit,
            commit_description: slug.commit_description,
            stack: stack.map(|stack| stack.name.clone()),
        };
        let action = self.cx.out.action("Sending the slug");
        let made = self.client.create_slug(&self.name, &wanted).await?;
        let archive = ReaderStream::with_capacity(tokio::fs::File::open(&file).await?, CHUNK);
        self.client
            .put_archive(&made.blob.url, length, archive)
            .await?;
        action.done()?;
        let action = self.cx.out.action("Releasing it");
        let wanted = ReleaseCreate {
            slug: Some(made.id.to_string()),
            description: Some(description.to_owned()),
            ..ReleaseCreate::default()
        };
        let release = self.client.create_release(&self.name, &wanted).await?;
        action.done_with(&format!("v{}", release.version))?;
        Ok(release)
    }
}

/// `heroku/nodejs` for a name in any form, else the address.
fn short(buildpack: &super::origin::Buildpack) -> String {
    let urn = buildpack.url.strip_prefix("urn:buildpack:");
    match (urn, &buildpack.name) {
        (Some(name), _) => name.to_owned(),
        (None, Some(name)) if !name.contains("://") && name.contains('/') => name.clone(),
        _ => buildpack.url.clone(),
    }
}
