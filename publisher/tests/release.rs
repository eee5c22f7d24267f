//! From `init` over two releases to a client that verifies them, and every
//! way to interrupt that.

mod support;

use container::Here;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use manifest::release::patch::PatchManifest;
use store::steps::Steps;
use support::{NOW, Vendor, copy, listing, options, read};
use updraft_publisher::history::Refused;
use updraft_publisher::home::Home;
use updraft_publisher::keys::{KeyName, Keys};
use updraft_publisher::progress::Progress;
use updraft_publisher::publish::Session;
use updraft_publisher::rebuild::{compare, rebuild};
use updraft_publisher::release::{ReleaseError, release};
use updraft_publisher::renew;

/// 600 KiB that do not repeat, and change by a few bytes with the version.
fn program(version: u8) -> Vec<u8> {
    let mut state = 0x1234_5678_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    };
    let mut bytes: Vec<u8> = (0..600 << 10).map(next).collect();
    for at in (1000..bytes.len()).step_by(100_000) {
        bytes[at] = version;
    }
    bytes
}

fn two_trees(vendor: &Vendor) -> (std::path::PathBuf, std::path::PathBuf) {
    let old = vendor.tree("old", &[("bin/hello", &program(1)), ("doc/a", b"one"), ("b", b"same")]);
    let new = vendor.tree("new", &[("bin/hello", &program(2)), ("doc/a", b"two"), ("b", b"same")]);
    (old, new)
}

#[test]
fn two_releases_reach_a_client_with_a_patch_between_them() {
    let vendor = Vendor::new();
    let repository = vendor.home().repository_dir();
    assert_eq!(read(&repository).version(), None);
    let (old, new) = two_trees(&vendor);
    let first = vendor.release(&old, "1.0").unwrap();
    let offer = read(&repository);
    assert_eq!(offer.version().as_deref(), Some("1.0"));
    assert_eq!(offer.candidates.patches.len(), 0);
    assert_eq!(first.record.number.0, 1);
    let (_, base) = offer.newest.unwrap();

    let second = vendor.release(&new, "1.1").unwrap();
    let offer = read(&repository);
    let (candidate, manifest) = offer.newest.as_ref().unwrap();
    assert_eq!(candidate.custom.number.0, 2);
    assert_eq!(candidate.custom.manifest_deltas.len(), 1);
    assert_eq!(candidate.custom.manifest_deltas[0].base, base.id());
    let made = second.made.unwrap();
    assert!(made.patches[0].delta_bytes * 100 < made.full_bytes, "{made:?}");

    let store = vendor.home().repository(Steps::free()).unwrap();
    let delta = store.object(candidate.custom.manifest_deltas[0].object).unwrap().unwrap();
    let mut rebuilt = Vec::new();
    delta::apply(&delta, &[&base.encode()], 1 << 20, &mut rebuilt).unwrap();
    assert_eq!(rebuilt, manifest.encode());

    let patch = offer.candidates.patch(base.id(), manifest.id()).unwrap();
    let patch =
        PatchManifest::decode(&store.object(patch.custom.blake3).unwrap().unwrap()).unwrap();
    let out = vendor.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let ends = ((base.id(), &base), (manifest.id(), manifest));
    rebuild(&old, ends, &patch, (&store, &Here), &out).unwrap();
    compare(&new, &out).unwrap();
}

#[test]
fn the_channel_offers_patches_from_the_last_releases_and_ways_to_them() {
    let vendor = Vendor::new();
    for version in 1..=4_u8 {
        let files: &[(&str, &[u8])] = &[("bin/hello", &program(version))];
        let tree = vendor.tree(&format!("t{version}"), files);
        let release =
            vendor.release_with(&tree, &format!("1.{version}"), |options| options.bases = 2);
        release.unwrap();
    }
    let offer = read(&vendor.home().repository_dir());
    assert_eq!(offer.candidates.releases.len(), 1);
    let paths: Vec<_> = offer.candidates.patches.iter().map(|p| p.path.as_str()).collect();
    let expected = ["1..3.patch", "2..4.patch", "3..4.patch"];
    assert_eq!(paths, expected.map(|name| format!("hello/stable/linux-x86_64/{name}")));
    let [first, ..] = &offer.candidates.patches[..] else { panic!("there are three") };
    assert!(first.custom.waypoint.is_some(), "it leads to a release that is passed");
}

#[test]
fn a_platform_does_not_displace_another() {
    let vendor = Vendor::new();
    let (old, new) = two_trees(&vendor);
    vendor.release(&old, "1.0").unwrap();
    let other = vendor
        .release_with(&new, "1.0", |options| options.platform = "macos-aarch64".parse().unwrap())
        .unwrap();
    assert_eq!(other.record.number.0, 1);
    assert_eq!(read(&vendor.home().repository_dir()).version().as_deref(), Some("1.0"));
}

#[test]
fn a_version_is_released_once() {
    let vendor = Vendor::new();
    let (old, new) = two_trees(&vendor);
    vendor.release(&old, "1.0").unwrap();
    let before = listing(&vendor.home().repository_dir());
    let error = vendor.release(&new, "1.0").unwrap_err();
    assert!(matches!(error, ReleaseError::Refused(Refused::Released { .. })), "{error}");
    assert_eq!(
        error.to_string(),
        "1.0 was released on stable for linux-x86_64 at 2026-01-01T00:00:00Z"
    );
    assert_eq!(listing(&vendor.home().repository_dir()), before);
}

#[test]
fn the_same_tree_makes_the_same_manifest() {
    let vendor = Vendor::new();
    let (old, _) = two_trees(&vendor);
    let one = vendor.release(&old, "1.0").unwrap();
    let other = Vendor::new();
    let again = other.release(&old, "1.0").unwrap();
    assert_eq!(one.record.manifest, again.record.manifest);
}

#[test]
fn what_a_release_cannot_carry_changes_nothing() {
    let vendor = Vendor::new();
    let before = listing(&vendor.home().repository_dir());
    let refused = |name: &str, spoil: &dyn Fn(&Path), what: &str| {
        let tree = vendor.tree(name, &[("a", b"text")]);
        spoil(&tree);
        let error = vendor.release(&tree, "1.0").unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        assert_eq!(listing(&vendor.home().repository_dir()), before, "{name}");
    };
    refused(
        "socket",
        &|tree| drop(std::os::unix::net::UnixListener::bind(tree.join("s")).unwrap()),
        "is a socket",
    );
    refused(
        "fifo",
        &|tree| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("p"), mode).unwrap();
        },
        "is a named pipe",
    );
    refused(
        "name",
        &|tree| {
            use std::os::unix::ffi::OsStrExt;
            fs::write(tree.join(std::ffi::OsStr::from_bytes(b"\xff")), "x").unwrap();
        },
        "not UTF-8",
    );
    refused(
        "setuid",
        &|tree| {
            fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o4755)).unwrap();
        },
        "setuid",
    );
}

#[test]
fn a_release_without_the_channels_key_names_it() {
    let vendor = Vendor::new();
    let (old, _) = two_trees(&vendor);
    fs::remove_file(vendor.home().keys_dir().join("hello.stable.pem")).unwrap();
    let error = vendor.release(&old, "1.0").unwrap_err().to_string();
    assert!(error.contains("hello.stable takes 1 signatures"), "{error}");
    assert_eq!(read(&vendor.home().repository_dir()).version(), None);
}

/// Steps of which the one with the index `cut`, and all after it, are not taken.
fn cut_at(cut: usize) -> (Steps, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let steps = Steps::watched(move |step| {
        if seen.fetch_add(1, Ordering::SeqCst) >= cut {
            return Err(io::Error::other(format!("killed at {step}")));
        }
        Ok(())
    });
    (steps, count)
}

#[test]
fn killed_at_any_step_the_repository_is_whole_and_the_next_run_completes() {
    let vendor = Vendor::new();
    let (old, new) = two_trees(&vendor);
    vendor.release(&old, "1.0").unwrap();
    let attempt = |home: &Home, steps: &Steps| {
        let keys = Keys::new(home.keys_dir(), false);
        let mut session = Session::open(home, &keys, steps)?;
        release(&mut session, &options(&new, "1.1"), &Here, &Progress::hidden(), NOW)
    };
    let mut versions = Vec::new();
    for cut in 0.. {
        let place = vendor.dir.path().join(format!("home-{cut}"));
        copy(&vendor.home, &place);
        let home = Home::open(&place).unwrap();
        let (steps, _) = cut_at(cut);
        let killed = attempt(&home, &steps).is_err();
        let version = read(&home.repository_dir()).version().unwrap();
        versions.push(version);
        let before: Vec<_> = listing(&home.repository_dir().join("metadata")).into_iter().collect();

        let done = attempt(&home, &Steps::free());
        if !killed {
            // Whoever asks again for what is done is told so.
            assert!(matches!(done, Err(ReleaseError::Refused(_))));
            break;
        }
        done.unwrap();
        assert_eq!(read(&home.repository_dir()).version().as_deref(), Some("1.1"), "cut {cut}");
        assert!(!home.pending_path().exists());
        // What was ever written under a version is still the same.
        let after = listing(&home.repository_dir().join("metadata"));
        for file in before.iter().filter(|(path, _)| !path.ends_with("timestamp.json")) {
            let unfinished = file.0.to_string_lossy().contains(store::atomic::UNFINISHED);
            assert!(unfinished || after.contains(file), "{file:?} changed after cut {cut}");
        }
        let history: Vec<_> =
            Session::open(&home, &Keys::new(home.keys_dir(), false), &Steps::free())
                .unwrap()
                .history()
                .records()
                .iter()
                .map(|record| record.version.to_string())
                .collect();
        assert_eq!(history, ["1.0", "1.1"], "cut {cut}");
        fs::remove_dir_all(place).unwrap();
    }
    println!("{} steps: {versions:?}", versions.len());
    assert!(versions.len() > 15 && versions.is_sorted(), "{versions:?}");
}

#[test]
fn what_expires_is_signed_anew_and_nothing_else() {
    let vendor = Vendor::new();
    let day = |days: u64| NOW.after(std::time::Duration::from_secs(days * 86_400));
    let renew = |now| renew::renew(&mut vendor.session(&Steps::free()), &[], now).unwrap();
    assert_eq!(renew(day(1)), []);
    assert_eq!(renew(day(5)), [KeyName::Timestamp]);
    assert_eq!(renew(day(6)), []);
    let later = renew(day(75));
    let names: Vec<_> = later.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["timestamp", "snapshot", "hello.beta", "hello.stable"]);
    let session = vendor.session(&Steps::free());
    let root = session.metadata().expiries().into_iter().find(|(role, _)| role.as_str() == "root");
    assert_eq!(root.unwrap().1, day(365));
}

#[test]
fn a_seeder_offers_what_was_published_since() {
    use manifest::trust::exchange::MetadataRequest;
    use manifest::trust::trusted::TrustedSet;
    use updraft_publisher::seed::credential::seeder_credential;
    use updraft_publisher::seed::offer::Offer;

    let vendor = Vendor::new();
    let home = vendor.home();
    let repository = home.repository(Steps::free()).unwrap();
    let root = repository.metadata("1.root.json").unwrap().unwrap();
    let mut offer = Offer::new(repository, home.channel_roles(), false).unwrap();
    assert!(offer.announcement().is_none());
    assert!(offer.refresh(NOW).unwrap());
    assert!(!offer.refresh(NOW).unwrap());
    let (old, _) = two_trees(&vendor);
    vendor.release(&old, "1.0").unwrap();
    assert!(offer.refresh(NOW).unwrap());
    assert!(offer.announcement().is_some());

    let newcomer = TrustedSet::from_root(&root).unwrap();
    let answer = offer.answer(&MetadataRequest::of(&newcomer).encode()).unwrap();
    assert!(answer.len() < 30_000);
    assert!(offer.answer(b"nonsense").is_err());

    // A repository that is spoilt under way is not offered, nor forgotten.
    let timestamp = home.repository_dir().join("metadata/timestamp.json");
    let good = fs::read_to_string(&timestamp).unwrap();
    fs::write(&timestamp, good.replace("\"version\":2", "\"version\":3")).unwrap();
    assert!(offer.refresh(NOW).is_err());
    assert_eq!(offer.timestamp_version().unwrap().get(), 2);
    fs::write(&timestamp, good).unwrap();

    let credential = seeder_credential(&home, &vendor.keys(), NOW).unwrap();
    let chain = manifest::admission::chain::CredentialChain::parse(&credential.chain).unwrap();
    let member = chain.verify(&offer.workgroup().unwrap(), &credential.peer_key.public(), NOW);
    assert!(member.unwrap().has(manifest::admission::credential::Role::Seeder));
}
