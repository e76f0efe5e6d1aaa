//! Slugs that are sent in rather than built: the archive is looked at as a stranger's, packed as a built tree is, and
//! only then becomes a slug in the ledger.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_model::{BuildId, SlugId};
use ropewalk_slug::tree::Limits;
use ropewalk_slug::unpack::{Form, Rules};
use ropewalk_store::{ExpectedSlug, StoreError};
use uuid::Uuid;

use crate::build::archive::extract;
use crate::build::log::BuildLog;
use crate::build::pack;
use crate::build::site::{Ground, Site};
use crate::context::{Builder, Context};
use crate::uploads::{Refused, Upload, parse_checksum, receive};
use crate::{Error, Result};

/// How long a slug may wait for its archive.
const WAITS: Duration = Duration::from_secs(24 * 3600);

impl Builder {
    /// Takes the archive of a slug that was announced, and answers once the slug can be released. Goes on to its end
    /// when nobody waits for it any more.
    pub async fn put_slug(&self, slug: SlugId, upload: Upload) -> Result<(), Refused> {
        let context = Arc::clone(&self.0);
        context.is_swept()?;
        let expected = context
            .store
            .read(move |view| view.expected_slug(slug))
            .await?
            .ok_or_else(gone)?;
        let slot = context.upload_slot()?;
        let work = async move {
            let _slot = slot;
            let mut site = Site::new(&context, BuildId(Uuid::new_v4()));
            let taken = take(&context, &expected, &mut site, upload).await;
            site.clean_up().await;
            taken
        };
        self.0.tasks.spawn(work).await?
    }
}

/// Gives up on slugs whose archive did not come. Returns how many.
pub(crate) async fn forget(context: &Context) -> Result<usize> {
    let before = Timestamp::now() - WAITS;
    Ok(context
        .store
        .write(move |tx| tx.forget_expected_slugs(before))
        .await?)
}

async fn take(
    context: &Arc<Context>,
    expected: &ExpectedSlug,
    site: &mut Site,
    upload: Upload,
) -> Result<(), Refused> {
    site.open(Ground::Files)?;
    let path = site.folder.join("archive");
    let received = receive(context, upload, &path).await?;
    let wanted = expected.checksum.as_deref().and_then(parse_checksum);
    if wanted.is_some_and(|wanted| wanted != received.digest) {
        return Err(Refused::Invalid(format!(
            "The archive's checksum is SHA256:{}, and not what the slug was announced with.",
            received.digest.hex()
        )));
    }
    // Unpacking and packing take a core each.
    let Ok(_turn) = context.unpack_slots.acquire().await else {
        return Err(Refused::Later("Ropewalk is stopping.".to_owned()));
    };
    let file = std::fs::File::open(&path).map_err(Error::io("open", &path))?;
    let rules = Rules {
        form: Form::Slug,
        limits: Limits::SLUG,
    };
    extract(context, file, &site.app(), rules)
        .await
        .map_err(Refused::of)?;
    let _packing = context.packing.read().await;
    let packed = pack::pack(context, site, None, &mut BuildLog::unheard())
        .await
        .map_err(Refused::of)?;
    let id = expected.id;
    let written = context
        .store
        .write(move |tx| {
            let (digest, images) = (packed.digest.to_string(), packed.texts());
            tx.fulfil_slug(id, &digest, &images, packed.size, Timestamp::now())
        })
        .await;
    match written {
        Ok(slug) => {
            tracing::info!(slug = %slug.id, app = %slug.app, bytes = received.size, "A slug was sent in.");
            Ok(())
        }
        Err(StoreError::NotFound(_)) => Err(gone()),
        Err(error) => Err(error.into()),
    }
}

fn gone() -> Refused {
    Refused::Conflict(
        "This slug has its archive already, or waited for it for more than 24 hours.".to_owned(),
    )
}
