//! What is to be done about what the channel offers.
//!
//! Values in, a decision out. Withdrawn and bad releases are never chosen by
//! themselves, and nothing below the floor is.

use manifest::audit::event::{MetadataVersions, ReleaseRef, key_ids};
use manifest::audit::text::Text;
use manifest::name::{ChannelName, Platform, ProductName};
use manifest::time::UnixTime;
use manifest::trust::candidates::{Candidate, Candidates};
use manifest::trust::custom::{ReleaseKind, ReleaseTarget};
use manifest::trust::floor::Floors;
use manifest::trust::key::KeyId;
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;
use serde::{Deserialize, Serialize};

use crate::update::state::{Errand, Purpose, Remembered};

/// What an installation is an installation of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The product.
    pub product: ProductName,
    /// The line of releases it follows.
    pub channel: ChannelName,
    /// What its releases must run on.
    pub platform: Platform,
}

/// What follows from trusted metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A release is to be installed.
    Install(Offer),
    /// What is installed is the newest.
    UpToDate,
    /// The channel offers no release for this platform.
    NothingOffered,
    /// A newer release is known and not installed.
    Withheld {
        /// Which.
        release: ReleaseRef,
        /// Why not.
        reason: String,
    },
}

/// A release that the channel offers, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub release: ReleaseRef,
    /// The metadata it stands in.
    pub metadata: MetadataVersions,
    /// The keys that signed the channel's role.
    pub key_ids: Vec<Text>,
    /// When the first of that metadata ends.
    pub expires: Option<UnixTime>,
    /// Whether the release closes a hole.
    pub urgent: bool,
}

impl Offer {
    /// What is done with it.
    #[must_use]
    pub fn errand(self, purpose: Purpose) -> Errand {
        let Self { release, metadata, key_ids, expires, urgent } = self;
        Errand { release, purpose, metadata, key_ids, expires, urgent }
    }
}

impl Subject {
    /// The role that signs the channel.
    #[must_use]
    pub fn role(&self) -> RoleName {
        RoleName::of_channel(&self.product, &self.channel)
    }

    /// The versions of the metadata that vouches for the channel.
    #[must_use]
    pub fn versions(&self, trusted: &TrustedSet) -> MetadataVersions {
        let channel = trusted.targets(&self.role());
        MetadataVersions {
            root: trusted.root().version.get(),
            timestamp: trusted.timestamp().map_or(0, |file| file.version.get()),
            snapshot: trusted.snapshot().map_or(0, |file| file.version.get()),
            targets: trusted.targets(&RoleName::TARGETS).map_or(0, |file| file.version.get()),
            channel: channel.map_or(0, |file| file.version.get()),
        }
    }

    /// When the first of the files that vouch for the channel ends.
    #[must_use]
    pub fn expires(&self, trusted: &TrustedSet) -> Option<UnixTime> {
        let targets = [RoleName::TARGETS, self.role()];
        let targets = targets.iter().filter_map(|role| trusted.targets(role));
        targets
            .map(|file| file.expires)
            .chain(trusted.timestamp().map(|file| file.expires))
            .chain(trusted.snapshot().map(|file| file.expires))
            .chain([trusted.root().expires])
            .min()
    }

    /// The keys that signed the channel's role, as entries name them.
    #[must_use]
    pub fn signers(&self, trusted: &TrustedSet) -> Vec<Text> {
        let channel = trusted.targets(&self.role());
        key_ids(channel.iter().flat_map(|file| file.signers()).map(KeyId::as_str))
    }
}

/// The release that a target stands for.
#[must_use]
pub fn release_of(candidate: &Candidate<ReleaseTarget>) -> ReleaseRef {
    let ReleaseTarget { version, number, blake3: manifest, .. } = candidate.custom.clone();
    ReleaseRef { version, number, manifest }
}

/// Decides what is to be done about `candidates`, which stand in `trusted`;
/// gives the floors as they are now, to be kept.
#[must_use]
pub fn decide(
    subject: &Subject,
    trusted: &TrustedSet,
    candidates: &Candidates,
    kept: &Remembered,
) -> (Decision, Floors) {
    let mut floors = kept.floors.clone();
    let installed = kept.installed_number();
    let offered = candidates.releases.iter().map(|release| release.custom.number);
    let Subject { product, channel, .. } = subject;
    let (floor, _) = floors.raise(product, channel, &candidates.keys, installed, offered);
    (choose(subject, trusted, candidates, kept, floor), floors)
}

fn choose(
    subject: &Subject,
    trusted: &TrustedSet,
    candidates: &Candidates,
    kept: &Remembered,
    floor: manifest::name::ReleaseNumber,
) -> Decision {
    let Some(newest) = candidates.releases.first() else { return Decision::NothingOffered };
    let release = release_of(newest);
    if let Some(installed) = &kept.installed
        && (installed.manifest == release.manifest || installed.number > release.number)
    {
        return Decision::UpToDate;
    }
    if release.number < floor {
        let reason = format!("release number {floor} was offered before, and none below it is");
        return Decision::Withheld { release, reason };
    }
    if release.number == kept.installed_number() {
        let reason = "it has the number of the installed release and other content".to_owned();
        return Decision::Withheld { release, reason };
    }
    if let Some(bad) = kept.bad(release.manifest) {
        let reason = format!("it failed here before: {}", bad.reason);
        return Decision::Withheld { release, reason };
    }
    let (metadata, key_ids) = (subject.versions(trusted), subject.signers(trusted));
    let expires = subject.expires(trusted);
    let urgent = newest.custom.kind == ReleaseKind::Security;
    Decision::Install(Offer { release, metadata, key_ids, expires, urgent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Vendor;
    use crate::update::state::InSlot;

    /// What a machine that remembers `kept` decides about `vendor`'s channel.
    fn decided(vendor: &Vendor, kept: &Remembered) -> (Decision, Floors) {
        let subject = Vendor::subject();
        let trusted = vendor.trusted();
        let Subject { product, channel, platform } = &subject;
        let candidates =
            Candidates::of(&trusted, product, channel, platform, crate::clock::wall()).unwrap();
        decide(&subject, &trusted, &candidates, kept)
    }

    fn running(release: ReleaseRef) -> Remembered {
        let slot = "1.0".parse().unwrap();
        Remembered { installed: Some(InSlot::new(&release, slot)), ..Remembered::default() }
    }

    #[test]
    fn the_newest_release_is_installed_and_then_all_is_well() {
        let mut vendor = Vendor::new();
        assert_eq!(decided(&vendor, &Remembered::default()).0, Decision::NothingOffered);
        let one = vendor.release(1);
        let two = vendor.release(2);
        for kept in [Remembered::default(), running(one.clone())] {
            let Decision::Install(offer) = decided(&vendor, &kept).0 else { panic!("no offer") };
            assert_eq!(offer.release, two);
            assert!(offer.metadata.channel > 0 && !offer.key_ids.is_empty());
            assert_eq!(offer.expires, vendor.trusted().timestamp().map(|file| file.expires));
        }
        assert_eq!(decided(&vendor, &running(two)).0, Decision::UpToDate);
    }

    #[test]
    fn a_bad_release_is_withheld_and_no_older_one_takes_its_place() {
        let mut vendor = Vendor::new();
        let one = vendor.release(1);
        vendor.release(2);
        let three = vendor.release(3);
        let mut kept = running(one);
        kept.condemn(three.clone(), "the probe failed".to_owned(), UnixTime::from_seconds(0));
        let (decision, _) = decided(&vendor, &kept);
        assert!(matches!(
            decision,
            Decision::Withheld { release, reason } if release == three && reason.contains("probe")
        ));
    }

    #[test]
    fn what_was_offered_once_is_a_floor() {
        let mut vendor = Vendor::new();
        let one = vendor.release(1);
        vendor.release(2);
        let three = vendor.release(3);
        let mut kept = running(one);
        kept.floors = decided(&vendor, &kept).1;
        vendor.withdraw(&three);
        let (decision, _) = decided(&vendor, &kept);
        assert!(matches!(decision, Decision::Withheld { reason, .. } if reason.contains('3')));
    }

    #[test]
    fn a_machine_that_is_ahead_stays() {
        let mut vendor = Vendor::new();
        vendor.release(1);
        let ahead = ReleaseRef {
            version: "9.0".parse().unwrap(),
            number: manifest::name::ReleaseNumber(9),
            manifest: manifest::content::ContentId::of(b"9"),
        };
        assert_eq!(decided(&vendor, &running(ahead)).0, Decision::UpToDate);
    }
}
