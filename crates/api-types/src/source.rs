//! `/sources`: a place to put a source tarball before a build.

use serde::{Deserialize, Serialize};

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub source_blob: SourceUrls,
}

/// Both addresses carry their own secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceUrls {
    pub get_url: String,
    /// PUT the `tar.gz` here; the answer has an empty body.
    pub put_url: String,
}
