//! Metadata as a hostile mirror, and as a thief of every key, would send it.
//!
//! Lines of the input are the `signed` parts of successive files. Each is
//! offered as it is, and signed with all keys of a sample vendor, so that what
//! lies behind the signatures is reached, too.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use manifest::canonical;
use manifest::trust::candidates::Candidates;
use manifest::trust::key::id_of;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::search::Search;
use manifest::trust::testing::{NOW, Vendor, key, linux, product, role, stable};
use manifest::trust::trusted::TrustedSet;
use serde_json::json;

static VENDOR: LazyLock<Vendor> = LazyLock::new(Vendor::new);

fn signed_by_all(signed: &serde_json::Value) -> Option<Vec<u8>> {
    let message = canonical::to_vec(signed).ok()?;
    let signatures: Vec<_> = (1..=6)
        .map(|seed| {
            let key = key(seed);
            let sig = key.sign_raw(&message).to_string();
            json!({ "keyid": id_of(&key.public()).as_str(), "sig": sig })
        })
        .collect();
    canonical::to_file(&json!({ "signatures": signatures, "signed": signed })).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let vendor = &*VENDOR;
    let _ = TrustedSet::from_root(bytes);
    let Ok(trusted) = TrustedSet::from_root(&vendor.files["1.root.json"]) else { return };
    let mut refresh = Refresh::new(trusted, NOW, vec![role()]);
    let mut offered = bytes.split(|byte| *byte == b'\n');
    let mut disk = vendor.files.clone();
    while let Some(output) = refresh.poll() {
        match output {
            Output::Want { name, .. } => {
                let honest = vendor.files.get(&name).cloned().map_or(Input::NotFound, Input::File);
                let Some(line) = offered.next() else {
                    if refresh.handle(honest).is_err() {
                        break;
                    }
                    continue;
                };
                let signed = canonical::parse(line, 1 << 16).ok().as_ref().and_then(signed_by_all);
                let stolen = signed.is_some_and(|file| refresh.handle(Input::File(file)).is_ok());
                if !stolen && refresh.poll().is_some() {
                    let _ = refresh.handle(Input::File(line.to_vec()));
                }
            }
            Output::Persist { name, bytes } => drop(disk.insert(name, bytes)),
            Output::Forget { name } => drop(disk.remove(&name)),
            Output::Done => {}
        }
    }
    let trusted = refresh.finish();
    let _ = Candidates::of(&trusted, &product(), &stable(), &linux(), NOW);
    let _ = trusted.public_keys();
    // What is left of the input are the files of whatever roles were delegated to.
    if let Ok(mut search) = Search::new(trusted, NOW, "hello/stable/linux-x86_64/1".to_owned()) {
        while let Some(output) = search.poll() {
            let (Output::Want { .. }, Some(line)) = (output, offered.next()) else { continue };
            let signed = canonical::parse(line, 1 << 16).ok().as_ref().and_then(signed_by_all);
            if search.handle(signed.map_or(Input::NotFound, Input::File)).is_err() {
                break;
            }
        }
    }
    let _ = TrustedSet::load(&disk);
});
