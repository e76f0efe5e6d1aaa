//! The registry's catalogue: every release of every app as an OCI image, `registry.DOMAIN/APP:v7`.
//!
//! An image is the stack's layers and one more, the slug in the form that travels.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use ropewalk_model::rights::{Relation, Resource, Verb, authorise};
use ropewalk_registry::{BlobStore, Catalog, Credentials, Form, Layer, Manifest, Refusal, image};
use ropewalk_slug::Digest;
use ropewalk_stack::Stack;
use ropewalk_store::{Release, Slug, Store, StoreError, View};

use super::travel::{Travels, as_layer};

pub(super) struct Releases {
    pub(super) store: Store,
    pub(super) blobs: Arc<BlobStore>,
    pub(super) travels: Arc<Travels>,
}

impl Catalog for Releases {
    fn authorise<'a>(
        &'a self,
        repository: &'a str,
        credentials: Option<Credentials>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let repository = repository.to_owned();
        async move {
            let (_, token) = credentials.ok_or(Refusal::Unauthenticated)?;
            let found = self
                .store
                .read(move |view| {
                    let Some((user, token)) = view.authenticate(&token, Timestamp::now())? else {
                        return Ok(None);
                    };
                    let actor = token.actor(&user);
                    let may_read =
                        |relation| authorise(&actor, Verb::Read, Resource::App(relation)).is_ok();
                    if repository.is_empty() {
                        // Good for apps at all, that is, for one's own.
                        return Ok(Some(may_read(Relation::Owner)));
                    }
                    match view.find_app(&repository) {
                        Ok(app) => {
                            let relation = view.relation(user.id, &app)?;
                            Ok(Some(may_read(relation)))
                        }
                        Err(StoreError::NotFound(_)) => Ok(Some(false)),
                        Err(error) => Err(error),
                    }
                })
                .await
                .map_err(failed)?;
            match found {
                Some(true) => Ok(()),
                // Somebody else's app and no app at all look the same.
                Some(false) => Err(Refusal::Denied(
                    "there is no such app, it is not yours, or this token may not read apps"
                        .to_owned(),
                )),
                None => Err(Refusal::Unauthenticated),
            }
        }
        .boxed()
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a str,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<Manifest>, Refusal>> {
        async move {
            if let Ok(digest) = reference.parse::<Digest>() {
                let images = self.images(repository).await.map_err(failed)?;
                return Ok(images
                    .into_iter()
                    .map(|image| image.manifest)
                    .find(|it| it.digest == digest));
            }
            let Some(found) = self.find(repository, reference).await.map_err(failed)? else {
                return Ok(None);
            };
            let layer = self.travels.layer(&found.slug).await.map_err(failed)?;
            let image = image(&found.stack, &found.slug, layer).map_err(failed)?;
            self.blobs.put_bytes(&image.config).map_err(failed)?;
            Ok(Some(image.manifest))
        }
        .boxed()
    }

    fn has_blob<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, Refusal>> {
        async move {
            let images = self.images(repository).await.map_err(failed)?;
            Ok(images.iter().any(|image| {
                Digest::of(&image.config) == *digest
                    || image.layers.iter().any(|layer| layer.digest == *digest)
            }))
        }
        .boxed()
    }

    fn tags<'a>(
        &'a self,
        repository: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<String>>, Refusal>> {
        let repository = repository.to_owned();
        async move {
            let tags = self.store.read(move |view| {
                let app = view.find_app(&repository)?;
                let releases = view.releases(app.id, RELEASES)?;
                let mut tags: Vec<String> = releases
                    .iter()
                    .filter(|release| release.slug.is_some())
                    .map(|release| format!("v{}", release.version))
                    .collect();
                if view.current_release(&app)?.slug.is_some() {
                    tags.push("latest".to_owned());
                }
                tags.sort();
                Ok(tags)
            });
            match tags.await {
                Ok(tags) => Ok(Some(tags)),
                Err(StoreError::NotFound(_)) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        }
        .boxed()
    }
}

impl Releases {
    async fn find(&self, repository: &str, reference: &str) -> anyhow::Result<Option<Found>> {
        let version = match reference {
            "latest" => None,
            tag => match tag.strip_prefix('v').and_then(|number| number.parse().ok()) {
                Some(version) => Some(version),
                None => return Ok(None),
            },
        };
        let repository = repository.to_owned();
        let found = self
            .store
            .read(move |view| {
                let app = view.find_app(&repository)?;
                found(
                    view,
                    &view.release(app.id, version.unwrap_or(app.current_version))?,
                )
            })
            .await;
        match found {
            Ok(found) => found.map(Found::parse).transpose(),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The images of a repository whose slug layer was made, that is, those that can have been asked for.
    async fn images(&self, repository: &str) -> anyhow::Result<Vec<Image>> {
        let repository = repository.to_owned();
        let rows = self
            .store
            .read(move |view| {
                let app = view.find_app(&repository)?;
                let mut rows = Vec::new();
                for release in view.releases(app.id, RELEASES)? {
                    rows.extend(found(view, &release)?.filter(|(slug, _)| slug.tgz.is_some()));
                }
                Ok(rows)
            })
            .await?;
        let mut images = Vec::new();
        for row in rows {
            let found = Found::parse(row)?;
            if let Some(tgz) = &found.slug.tgz {
                images.push(image(&found.stack, &found.slug, as_layer(tgz)?)?);
            }
        }
        Ok(images)
    }
}

/// Releases of an app that the registry shows, newest first.
const RELEASES: u32 = 1_000;

struct Image {
    manifest: Manifest,
    config: Vec<u8>,
    layers: Vec<Layer>,
}

/// Part of every stack: runs a command line as a dyno would.
const LAUNCHER: &str = "/usr/lib/ropewalk/launch";

/// Runs anywhere as its dynos do: `docker run IMAGE` is the web process, `docker run IMAGE COMMAND` a one-off.
fn image(stack: &Stack, slug: &Slug, layer: Layer) -> anyhow::Result<Image> {
    let mut layers = stack.run.layers.clone();
    layers.push(layer);
    let mut settings = stack.settings.clone();
    settings.entrypoint = vec![LAUNCHER.to_owned()];
    settings.command = slug.process_types.get("web").cloned().into_iter().collect();
    let config = image::config(&settings, &layers)?;
    let manifest = image::manifest(Form::Docker, &config, &layers)?;
    Ok(Image {
        manifest,
        config,
        layers,
    })
}

type Row = (Slug, serde_json::Value);

fn found(view: &View<'_>, release: &Release) -> Result<Option<Row>, StoreError> {
    let (Some(slug), Some(version)) = (release.slug, &release.stack_version) else {
        return Ok(None);
    };
    let Some(stack) = view.stack_version(version)? else {
        return Ok(None);
    };
    Ok(Some((view.slug(slug)?, stack.images)))
}

struct Found {
    slug: Slug,
    stack: Stack,
}

impl Found {
    fn parse((slug, images): Row) -> anyhow::Result<Self> {
        Ok(Self {
            slug,
            stack: serde_json::from_value(images)?,
        })
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Failed(error.into())
}

#[cfg(test)]
mod tests {
    use ropewalk_model::{AppId, AppName, ReleaseId, TokenId, UserId};
    use ropewalk_slug::Mounts;
    use ropewalk_store::{Key, NewApp, NewToken};
    use uuid::Uuid;

    use super::super::travel::Turns;
    use super::*;

    const SCOPES: [&str; 4] = ["global", "read", "identity", "identity read-protected"];

    /// A catalogue with one app, and a token of its owner for each scope.
    async fn catalog(folder: &std::path::Path) -> anyhow::Result<Releases> {
        let store = Store::open(&folder.join("ledger.db"), Key::open(&folder.join("key"))?)?;
        store
            .write(|tx| {
                let now = Timestamp::now();
                let owner = UserId(Uuid::from_u128(1));
                tx.create_user(owner, "owner@example.com", false, now)?;
                for scope in SCOPES {
                    let token = NewToken {
                        id: TokenId(Uuid::new_v4()),
                        user: owner,
                        text: format!("token-0123456789-{scope}"),
                        description: String::new(),
                        scope: scope.to_owned(),
                        session: false,
                        expires_at: None,
                    };
                    tx.create_token(&token, now)?;
                }
                tx.put_stack("debian-13", "sha256:stack", &serde_json::json!({}), now)?;
                let name = AppName::parse("demo").map_err(|_| StoreError::NotFound("name"))?;
                tx.create_app(
                    &NewApp {
                        id: AppId(Uuid::from_u128(2)),
                        name,
                        owner,
                        stack: "debian-13".to_owned(),
                        release: ReleaseId(Uuid::from_u128(3)),
                    },
                    now,
                )
            })
            .await?;
        let blobs = Arc::new(BlobStore::open(&folder.join("blobs"))?);
        Ok(Releases {
            travels: Arc::new(Travels {
                store: store.clone(),
                blobs: blobs.clone(),
                mounts: Mounts::open(&folder.join("mnt"))?,
                slugs: folder.join("slugs"),
                tmp: folder.join("tmp"),
                turns: Turns::default(),
            }),
            store,
            blobs,
        })
    }

    #[tokio::test]
    async fn a_token_that_may_not_read_apps_pulls_none() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let catalog = catalog(folder.path()).await?;
        for repository in ["demo", ""] {
            for (scope, may) in SCOPES.into_iter().zip([true, true, false, true]) {
                let credentials = Some(("x".to_owned(), format!("token-0123456789-{scope}")));
                let answer = catalog.authorise(repository, credentials).await;
                assert_eq!(answer.is_ok(), may, "{repository:?} {scope}");
            }
        }
        let unknown = Some(("x".to_owned(), "token-0123456789-none".to_owned()));
        let answer = catalog.authorise("demo", unknown).await;
        assert!(matches!(answer, Err(Refusal::Unauthenticated)));
        Ok(())
    }
}
