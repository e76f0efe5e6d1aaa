//! `/apps/:app/buildpack-installations`: which buildpacks the next build uses, in order.

use serde::{Deserialize, Serialize};

/// One place in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInstallation {
    /// From 0.
    pub ordinal: u32,
    pub buildpack: InstalledBuildpack,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledBuildpack {
    /// `urn:buildpack:heroku/nodejs` or an address; clients strip the `urn:buildpack:`.
    pub url: String,
    /// `heroku/nodejs`, or the address again.
    pub name: String,
}

/// `PUT /apps/:app/buildpack-installations`: the whole new list; an empty one goes back to detection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInstallationsUpdate {
    pub updates: Vec<BuildpackUpdate>,
}

/// One place in the new list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackUpdate {
    /// An http(s) address, `urn:buildpack:ns/name` or `ns/name`.
    pub buildpack: String,
}
