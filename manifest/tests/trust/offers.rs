//! What a channel offers, and the floor beneath it.

use updraft_manifest::content::ContentId;
use updraft_manifest::name::{ChannelName, ReleaseNumber};
use updraft_manifest::trust::author::repository::FileFacts;
use updraft_manifest::trust::author::role_keys::RoleKeys;
use updraft_manifest::trust::candidates::Candidates;
use updraft_manifest::trust::custom::{PatchTarget, Waypoint};
use updraft_manifest::trust::floor::Floors;
use updraft_manifest::trust::rules::TrustError;
use updraft_manifest::trust::testing::{
    Client, NOW, Vendor, day, key, linux, product, role, stable,
};

fn offer(vendor: &Vendor) -> Candidates {
    let mut client = Client::new(&vendor.files);
    client.refresh(&vendor.files, NOW, &[role()]).unwrap();
    Candidates::of(&client.trusted, &product(), &stable(), &linux(), NOW).unwrap()
}

#[test]
fn releases_come_newest_first_by_number_not_by_name() {
    let mut vendor = Vendor::new();
    for number in [9, 10, 2] {
        vendor.release(number);
    }
    vendor.publish(NOW);
    let offer = offer(&vendor);
    let numbers: Vec<u64> = offer.releases.iter().map(|r| r.custom.number.0).collect();
    assert_eq!(numbers, [10, 9, 2]);
    assert_eq!((offer.role.as_str(), offer.role_version.get()), ("hello.stable", 2));
    assert_eq!(offer.signers, [updraft_manifest::trust::key::id_of(&key(5).public())]);
    let newest = offer.newest(ReleaseNumber(10)).unwrap();
    let hash: String = newest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(newest.path, "hello/stable/linux-x86_64/1.10.release");
    assert_eq!(newest.file, format!("hello/stable/linux-x86_64/{hash}.1.10.release"));
    assert_eq!(offer.newest(ReleaseNumber(11)), None);
}

#[test]
fn withdrawn_releases_are_not_offered() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let path = vendor.release(2);
    let mut target = vendor.repository.targets(&role()).unwrap().targets[&path].clone();
    target.custom.as_mut().unwrap()["withdrawn"] = true.into();
    vendor.repository.set_target(&role(), path, target).unwrap();
    vendor.publish(NOW);
    let offer = offer(&vendor);
    assert_eq!(offer.releases.len(), 1);
    assert_eq!(offer.left_out, []);
}

#[test]
fn a_patch_is_found_by_the_manifests_it_leads_between() {
    let mut vendor = Vendor::new();
    let [base, release, other] = [b"base", b"next", b"more"].map(|bytes| ContentId::of(bytes));
    let patch = PatchTarget { blake3: other, base, release, waypoint: None };
    let facts = FileFacts::of(b"patch");
    let numbers = (ReleaseNumber(1), ReleaseNumber(2));
    let path = vendor
        .repository
        .set_patch(&product(), &stable(), &linux(), numbers, &patch, facts)
        .unwrap();
    assert_eq!(path, "hello/stable/linux-x86_64/1..2.patch");
    vendor.publish(NOW);
    let offer = offer(&vendor);
    assert_eq!(offer.patch(base, release).unwrap().custom, patch);
    assert!(offer.patch(base, release).unwrap().is(b"patch"));
    assert_eq!(offer.patch(release, base), None);
}

#[test]
fn a_way_of_several_patches_is_found_and_is_the_shortest() {
    let mut vendor = Vendor::new();
    let id = |number: u64| ContentId::of(&number.to_le_bytes());
    let waypoint = Some(Waypoint { length: 9, delta: id(100), delta_length: 8 });
    let mut put = |base: u64, to: u64, waypoint| {
        let patch = PatchTarget { blake3: id(200), base: id(base), release: id(to), waypoint };
        let numbers = (ReleaseNumber(base), ReleaseNumber(to));
        let facts = FileFacts::of(b"patch");
        let (product, channel, platform) = (product(), stable(), linux());
        vendor.repository.set_patch(&product, &channel, &platform, numbers, &patch, facts).unwrap();
    };
    put(1, 3, waypoint);
    put(1, 2, waypoint);
    put(2, 3, waypoint);
    put(2, 4, None);
    put(3, 5, waypoint);
    put(4, 6, None);
    put(5, 6, None);
    put(5, 1, waypoint);
    vendor.publish(NOW);
    let offer = offer(&vendor);
    let way = |from: u64, to: u64, most| {
        let way = offer.way(id(from), id(to), most)?;
        Some(way.iter().map(|patch| patch.path.rsplit('/').next().unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(way(5, 6, 8), Some(vec!["5..6.patch"]));
    assert_eq!(way(1, 6, 8), Some(vec!["1..3.patch", "3..5.patch", "5..6.patch"]));
    assert_eq!(way(1, 6, 2), None, "no longer than asked for");
    // What leads to 4 names no manifest of it.
    assert_eq!(way(2, 6, 8), Some(vec!["2..3.patch", "3..5.patch", "5..6.patch"]));
    assert_eq!(way(6, 1, 8), None);
}

#[test]
fn what_is_not_understood_is_left_out_and_said() {
    let mut vendor = Vendor::new();
    let path = vendor.release(1);
    let good = vendor.repository.targets(&role()).unwrap().targets[&path].clone();
    let mut put = |name: &str, edit: &dyn Fn(&mut serde_json::Value)| {
        let mut target = good.clone();
        edit(target.custom.as_mut().unwrap());
        let path = format!("hello/stable/linux-x86_64/{name}");
        vendor.repository.set_target(&role(), path, target).unwrap();
    };
    put("1.2.release", &|custom| {
        custom["version"] = "1.2".into();
        custom["kind"] = "urgent".into();
    });
    put("1.3.release", &|custom| custom["version"] = "1..3".into());
    put("1.4.release", &|custom| custom["version"] = "1.5".into());
    put("1.6.release", &|custom| *custom = 6.into());
    put("labels", &|_| ());
    put("1..2.patch", &|_| ());
    let patch = serde_json::json!({ "blake3": "00".repeat(32), "base": "00".repeat(32),
        "release": "00".repeat(32) });
    put("01..2.patch", &|custom| *custom = patch.clone());
    put("1..2..3.patch", &|custom| *custom = patch.clone());
    // A member that this version does not know does no harm.
    put("1.7.release", &|custom| {
        custom["version"] = "1.7".into();
        custom["advisory"] = "CVE-2026-1".into();
    });
    vendor.publish(NOW);
    let offer = offer(&vendor);
    assert_eq!(offer.releases.len(), 2);
    assert_eq!(offer.patches, []);
    assert_eq!(offer.left_out.len(), 8, "{:?}", offer.left_out);
}

#[test]
fn nothing_is_offered_once_any_file_above_has_expired() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    vendor.publish(NOW);
    let mut client = Client::new(&vendor.files);
    client.refresh(&vendor.files, NOW, &[role()]).unwrap();
    let at = |days| Candidates::of(&client.trusted, &product(), &stable(), &linux(), day(days));
    assert!(at(6).is_ok());
    for days in [7, 30, 90, 365] {
        assert!(matches!(at(days), Err(TrustError::Expired { .. })), "{days}");
    }
    let beta: ChannelName = "beta".parse().unwrap();
    let other = Candidates::of(&client.trusted, &product(), &beta, &linux(), NOW);
    assert!(matches!(other, Err(TrustError::Absent { .. })), "{other:?}");
}

#[test]
fn a_channel_whose_own_role_has_expired_offers_nothing() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    vendor.publish(NOW);
    // Timestamp and snapshot are signed on; the channel is forgotten.
    vendor.publish(day(85));
    let mut client = Client::new(&vendor.files);
    client.refresh(&vendor.files, day(86), &[role()]).unwrap();
    let offer = Candidates::of(&client.trusted, &product(), &stable(), &linux(), day(90));
    let Err(TrustError::Expired { role: who, .. }) = offer else { panic!("{offer:?}") };
    assert_eq!(who, role());
}

#[test]
fn the_floor_rises_with_offers_and_never_sinks() {
    let mut vendor = Vendor::new();
    let keys = offer(&vendor).keys;
    let mut floors = Floors::default();
    let number = ReleaseNumber;
    let (product, stable) = (product(), stable());
    let mut raise = |offered: &[u64]| {
        let offered = offered.iter().map(|n| ReleaseNumber(*n));
        floors.raise(&product, &stable, &keys, number(3), offered)
    };
    assert_eq!(raise(&[]), (number(3), true));
    assert_eq!(raise(&[5, 7, 4]), (number(7), true));
    assert_eq!(raise(&[6]), (number(7), false));
    // Persisted and read again.
    let text = serde_json::to_string(&floors).unwrap();
    let floors: Floors = serde_json::from_str(&text).unwrap();
    assert_eq!(floors.floor(&product, &stable, &keys, number(3)), number(7));
    let beta: ChannelName = "beta".parse().unwrap();
    assert_eq!(floors.floor(&product, &beta, &keys, number(3)), number(3));
    vendor.publish(NOW);
}

#[test]
fn the_floor_starts_again_when_targets_replaces_the_channels_keys() {
    let mut vendor = Vendor::new();
    let stolen = offer(&vendor).keys;
    let mut floors = Floors::default();
    let installed = ReleaseNumber(3);
    let offered = [ReleaseNumber(u64::MAX)];
    floors.raise(&product(), &stable(), &stolen, installed, offered);
    vendor.repository.delegate(&product(), &stable(), &RoleKeys::one(key(50).public())).unwrap();
    vendor.publish(day(1));
    let keys = offer(&vendor).keys;
    assert_ne!(keys, stolen);
    assert_eq!(floors.floor(&product(), &stable(), &keys, installed), installed);
}

#[test]
fn the_threshold_and_the_ids_of_keys_play_no_part_in_the_floor() {
    let mut vendor = Vendor::new();
    let two =
        |threshold| RoleKeys::new(vec![key(50).public(), key(51).public()], threshold).unwrap();
    vendor.repository.delegate(&product(), &stable(), &two(1)).unwrap();
    vendor.publish(day(1));
    let before = offer(&vendor).keys;
    vendor.repository.delegate(&product(), &stable(), &two(2)).unwrap();
    vendor.publish(day(2));
    assert_eq!(offer(&vendor).keys, before);
}
