//! What the applier believes, keeps and refuses.

use std::sync::Arc;
use std::time::Duration;

use manifest::audit::entry::Actor;
use manifest::audit::event::{Event, ReleaseRef};
use manifest::trust::bundle::Bundle;
use manifest::trust::role::MetadataVersion;
use store::slots::SlotName;
use store::steps::Steps;

use crate::applier::metadata::Taken;
use crate::applier::{Applier, ApplyError};
use crate::clock::wall;
use crate::testing::{Machine, Vendor};
use crate::update::decision::Decision;
use crate::update::state::{InSlot, Remembered};

/// Stages the vendor's last release from memory.
fn stage(applier: &mut Applier, vendor: &Vendor) -> Result<(SlotName, InSlot), ApplyError> {
    let release = vendor.last.as_ref().unwrap();
    let manifest = applier.take_manifest(&vendor.manifest().encode(), wall())?;
    let (slot, staging) = applier.stage(Arc::clone(&manifest))?;
    for (piece, bytes) in release.manifest.pieces().iter().zip(&release.pieces) {
        staging.write_shape(&piece.shape, bytes)?;
    }
    staging.finish()?;
    let about = manifest.about();
    let manifest = manifest.id();
    let release = ReleaseRef { version: about.version.clone(), number: about.number, manifest };
    Ok((slot.clone(), InSlot::new(&release, slot)))
}

fn switching(to: &InSlot) -> Event {
    Event::Switching {
        from: None,
        to: to.release(),
        metadata: Default::default(),
        key_ids: Vec::new(),
        reason: "offered by the channel".into(),
    }
}

/// The vendor's bundle with one file changed.
fn tampered(vendor: &Vendor, name: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Bundle {
    let mut bundle = Bundle::new();
    for (known, bytes) in vendor.bundle().files() {
        let bytes = if known == name { change(bytes.to_vec()) } else { bytes.to_vec() };
        bundle.put(known, bytes).unwrap();
    }
    bundle
}

#[test]
fn verified_metadata_is_believed_durable_and_told_once() {
    let mut vendor = Vendor::new();
    let release = vendor.release(1);
    let machine = Machine::new(&vendor);
    let mut applier = machine.open();
    assert_eq!(applier.take_metadata(&vendor.bundle(), wall()).unwrap(), Taken::Newer);
    assert_eq!(applier.take_metadata(&vendor.bundle(), wall()).unwrap(), Taken::Nothing);
    drop(applier);
    let (applier, kept) = machine.open_with(Steps::free()).unwrap();
    let (decision, _) = applier.decide(&kept, wall()).unwrap();
    assert!(matches!(decision, Decision::Install(offer) if offer.release == release));
    assert_eq!(machine.told(), ["joined", "refreshed"]);
}

#[test]
fn tampered_metadata_is_refused_and_blamed_and_changes_nothing() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let mut applier = machine.open();
    let flip = |mut bytes: Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        bytes
    };
    for name in ["timestamp.json", "2.snapshot.json", "2.hello.stable.json"] {
        let error = applier.take_metadata(&tampered(&vendor, name, flip), wall()).unwrap_err();
        assert!(error.is_forged(), "{name}: {error}");
        assert!(applier.candidates(wall()).is_err(), "{name}");
    }
    assert_eq!(applier.take_metadata(&vendor.bundle(), wall()).unwrap(), Taken::Newer);
}

#[test]
fn a_strangers_metadata_is_refused() {
    let machine = Machine::new(&Vendor::new());
    let mut stranger = Vendor::with_seed(5);
    stranger.release(1);
    let error = machine.open().take_metadata(&stranger.bundle(), wall()).unwrap_err();
    assert!(error.is_forged(), "{error}");
}

#[test]
fn older_metadata_is_refused_without_blame() {
    let mut vendor = Vendor::new();
    let old = vendor.bundle();
    let machine = Machine::new(&vendor);
    let mut applier = machine.open();
    vendor.release(1);
    applier.take_metadata(&vendor.bundle(), wall()).unwrap();
    let error = applier.take_metadata(&old, wall()).unwrap_err();
    assert!(!error.is_forged(), "a mirror may be behind: {error}");
    assert!(applier.candidates(wall()).is_ok());
}

#[test]
fn after_expiry_nothing_new_is_decided() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let mut applier = machine.open();
    applier.take_metadata(&vendor.bundle(), wall()).unwrap();
    let later = wall().after(Duration::from_secs(8 * 86_400));
    let refused = applier.decide(&Remembered::default(), later).unwrap_err().to_string();
    assert!(refused.contains("timestamp expired"), "{refused}");
}

#[test]
fn metadata_that_ends_halfway_is_carried_on_by_the_next_source() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let mut applier = machine.open();
    let mut half = Bundle::new();
    for name in ["timestamp.json", "2.snapshot.json"] {
        half.put(name, vendor.bundle().get(name).unwrap().to_vec()).unwrap();
    }
    assert!(applier.take_metadata(&half, wall()).is_err());
    drop(applier);
    let mut applier = machine.open();
    assert_eq!(applier.take_metadata(&vendor.bundle(), wall()).unwrap(), Taken::Newer);
    assert!(applier.root(MetadataVersion::FIRST).is_some());
}

#[test]
fn only_the_signed_manifest_of_an_offered_release_is_taken() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let machine = Machine::new(&vendor);
    let mut applier = machine.open();
    let good = vendor.manifest().encode();
    assert!(
        matches!(applier.take_manifest(&good, wall()), Err(ApplyError::Trust(_))),
        "not offered yet"
    );
    applier.take_metadata(&vendor.bundle(), wall()).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    assert!(matches!(applier.take_manifest(&bad, wall()), Err(ApplyError::NotOffered { .. })));
    let manifest = applier.take_manifest(&good, wall()).unwrap();
    drop(applier);
    assert_eq!(*machine.open().manifest(manifest.id()).unwrap(), *manifest);
}

#[test]
fn the_log_tells_of_a_switch_before_it_happens_wherever_it_is_cut() {
    let mut vendor = Vendor::new();
    vendor.release(1);
    let cuts = store::log::STEPS.into_iter().chain(store::atomic::STEPS);
    for cut in cuts.chain(store::slots::SWITCH_STEPS) {
        let machine = Machine::new(&vendor);
        let mut applier = machine.open();
        applier.take_metadata(&vendor.bundle(), wall()).unwrap();
        let (slot, to) = stage(&mut applier, &vendor).unwrap();
        drop(applier);
        let (mut doomed, _) = machine.open_with(Steps::until(cut)).unwrap();
        assert!(doomed.switch(Actor::Agent, switching(&to), Some(&slot)).is_err(), "{cut}");
        drop(doomed);
        let applier = machine.open();
        let told = machine.told().last().is_some_and(|kind| kind == "switching");
        match applier.current().unwrap() {
            None => {}
            Some(current) => assert!(told && current == slot, "{cut}: a switch was hidden"),
        }
    }
}

#[test]
fn pruning_keeps_what_runs_and_what_is_named() {
    let mut vendor = Vendor::new();
    let machine = Machine::new(&vendor);
    let mut slots = Vec::new();
    for number in 1..=3 {
        vendor.release(number);
        let mut applier = machine.open();
        applier.take_metadata(&vendor.bundle(), wall()).unwrap();
        let (slot, to) = stage(&mut applier, &vendor).unwrap();
        applier.switch(Actor::Agent, switching(&to), Some(&slot)).unwrap();
        slots.push(to);
    }
    let mut applier = machine.open();
    let kept = Remembered {
        installed: Some(slots[2].clone()),
        previous: Some(slots[1].clone()),
        ..Remembered::default()
    };
    applier.prune(&[slots[1].slot.clone()], &kept).unwrap();
    assert_eq!(applier.slots().list().unwrap().len(), 2, "the running one stays though unnamed");
    assert!(applier.manifest(slots[0].manifest).is_err());
    assert!(applier.installed(&slots[1]).unwrap().inspect().is_intact());
}

#[test]
fn a_tampered_state_file_is_named() {
    let machine = Machine::new(&Vendor::new());
    std::fs::write(machine.home.state(), "{\"format\": \"other\"}").unwrap();
    let refused = machine.open_with(Steps::free()).err().unwrap().to_string();
    assert!(refused.contains("state.json"), "{refused}");
}
