//! What Updraft says of its targets in their `custom` part, and their paths.
//!
//! Releases stand at `PRODUCT/CHANNEL/PLATFORM/VERSION.release`, patches at
//! `PRODUCT/CHANNEL/PLATFORM/BASE..NUMBER.patch` with release numbers.

use serde::{Deserialize, Serialize};

use crate::content::ContentId;
use crate::name::{ChannelName, Platform, ProductName, ReleaseNumber, ReleaseVersion};

/// Why a release exists, which decides how long it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseKind {
    /// Whatever is no security matter.
    Feature,
    /// Closes a hole: goes first and waits least.
    Security,
}

/// The custom part of a release's target, whose file is its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseTarget {
    /// The manifest's own id.
    pub blake3: ContentId,
    /// The release's name to people; the path repeats it.
    pub version: ReleaseVersion,
    /// Its place in the product's line of releases.
    pub number: ReleaseNumber,
    /// Why it exists.
    pub kind: ReleaseKind,
    /// Whether it is no longer to be installed.
    #[serde(default)]
    pub withdrawn: bool,
    /// Shorter ways to the manifest from an older one.
    #[serde(default)]
    pub manifest_deltas: Vec<ManifestDelta>,
}

/// A delta that makes a manifest from an older release's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestDelta {
    /// The older manifest.
    pub base: ContentId,
    /// The delta object.
    pub object: ContentId,
    /// The delta object's length in bytes.
    pub length: u64,
}

/// The custom part of a patch's target, whose file is its patch manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchTarget {
    /// The patch manifest's own id.
    pub blake3: ContentId,
    /// The manifest of the release it leads from.
    pub base: ContentId,
    /// The manifest of the release it leads to.
    pub release: ContentId,
    /// How to come by that manifest, where its release is no longer offered
    /// and is only passed on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waypoint: Option<Waypoint>,
}

/// A manifest that is passed on the way, made from the patch's base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waypoint {
    /// The manifest's length in bytes.
    pub length: u64,
    /// The delta object that makes it from the base's manifest.
    pub delta: ContentId,
    /// The delta object's length in bytes.
    pub delta_length: u64,
}

/// The path pattern that a channel's role is delegated.
#[must_use]
pub fn channel_pattern(product: &ProductName, channel: &ChannelName) -> String {
    format!("{product}/{channel}/*/*")
}

/// Where a release's manifest stands among the targets.
#[must_use]
pub fn release_path(
    product: &ProductName,
    channel: &ChannelName,
    platform: &Platform,
    version: &ReleaseVersion,
) -> String {
    format!("{product}/{channel}/{platform}/{version}.release")
}

/// Where a patch's manifest stands among the targets.
#[must_use]
pub fn patch_path(
    product: &ProductName,
    channel: &ChannelName,
    platform: &Platform,
    base: ReleaseNumber,
    number: ReleaseNumber,
) -> String {
    format!("{product}/{channel}/{platform}/{base}..{number}.patch")
}
