//! A vendor's years: keys are rotated, added, encrypted, lost and replaced;
//! root is signed by several people. After each change clients that were there
//! from the beginning follow: an agent, python-tuf and sigstore-tuf.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use updraft_tests::scene::{Scene, Told, text};

use crate::files::Files;
use crate::oracle::{Oracle, oracle};
use crate::third::Third;
use crate::verdicts::sha256;

/// The target that every client asks for.
const TARGET: &str = "hello/stable/linux-x86_64/1.0.release";

struct Years {
    scene: Scene,
    oracle: &'static Oracle,
}

impl Years {
    fn begin() -> Option<Self> {
        let oracle = oracle()?;
        let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
        let tree = scene.path("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("hello.txt"), "hello\n").unwrap();
        let release = ["release", &text(&tree), "--version", "1.0", "--platform", "linux-x86_64"];
        scene.publisher(&release).well();
        let into = text(&scene.cast.machines[0].into);
        let join = ["join", &text(&scene.ticket()), "--into", &into, "--platform", "linux-x86_64"];
        scene.agent(&join).well();
        let years = Self { scene, oracle };
        let root = years.scene.cast.vendor.join("repository/metadata/1.root.json");
        fs::copy(root, years.scene.path("first.root.json")).unwrap();
        years.followed();
        Some(years)
    }

    fn vendor(&self, args: &[&str]) -> Told {
        self.scene.publisher(args)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.scene.cast.vendor.join("keys").join(name)
    }

    /// Who signs `role`, as the vendor's program tells it.
    fn signers(&self, role: &str) -> Value {
        let told = self.vendor(&["key", "list", "--json"]).well().text;
        let list: Vec<Value> = serde_json::from_str(&told).unwrap();
        list.into_iter().find(|signers| signers["role"] == role).unwrap()
    }

    /// Both clients accept what is public now; gives root's version.
    fn followed(&self) -> u64 {
        let repository = self.scene.cast.vendor.join("repository");
        let mirror = format!("file://{}", repository.display());
        self.scene.agent(&["run", "--once", "--no-dns-sd", "--mirror", &mirror]).well();
        let home = self.scene.path("python-client");
        let args = [repository.to_str().unwrap(), home.to_str().unwrap(), TARGET];
        let read = self.oracle.json("read_repository.py", &args);
        assert!(read["targets"][TARGET].is_string(), "{read}");
        let trusted = self.scene.cast.machines[0].home.join("trusted/root.json");
        let root: Value = serde_json::from_slice(&fs::read(trusted).unwrap()).unwrap();
        assert_eq!(root["signed"]["version"], read["versions"]["root"]);
        if let Some(mut third) = Third::start() {
            let (first, home) = (self.scene.path("first.root.json"), self.scene.path("third"));
            let answer = third.ask(&first, &home, &repository, &[&TARGET.to_owned()]);
            assert_eq!(answer["refresh"], Value::Null, "{answer}");
            let downloaded = fs::read(read["targets"][TARGET].as_str().unwrap()).unwrap();
            assert_eq!(answer["targets"][TARGET], sha256(&downloaded), "{answer}");
        }
        read["versions"]["root"].as_u64().unwrap()
    }
}

/// The public half of a key file, as `key show` tells it.
fn public(told: &Told) -> String {
    let line = told.text.lines().find_map(|line| line.trim().strip_prefix("public"));
    line.expect("the public half is shown").trim().to_owned()
}

#[test]
fn every_role_is_rotated_and_every_client_follows() {
    let Some(years) = Years::begin() else { return };
    for (count, role) in (2..).zip(["timestamp", "snapshot", "targets", "root"]) {
        let before = years.signers(role)["keys"][0]["id"].clone();
        years.vendor(&["key", "rotate", role]).well();
        let after = years.signers(role);
        assert_ne!(after["keys"][0]["id"], before, "{after}");
        assert!(after["keys"][0]["file"].is_string(), "{after}");
        assert_eq!(years.followed(), count, "each is a new root");
        assert_eq!(fs::read_dir(years.key("retired")).unwrap().count() as u64, count - 1);
    }
    // A channel's keys are named by targets: root stays.
    years.vendor(&["key", "rotate", "hello.stable"]).well();
    assert_eq!(years.followed(), 5);
    years.vendor(&["repo", "refresh"]).well();
    years.followed();
    years.vendor(&["renew", "--root"]).well();
    assert_eq!(years.followed(), 6);
    // Nobody knows of revocations before there are any; then one more role.
    let nobody = "00".repeat(32);
    years.vendor(&["revoke", "machine", &nobody, "--why", "stolen"]).well();
    assert_eq!(years.followed(), 6);
    years.vendor(&["key", "rotate", "workgroup"]).well();
    assert_eq!(years.followed(), 6);
    years.vendor(&["revoke", "machine", &nobody]).refused(&["already"]);
}

#[test]
fn a_refresh_with_nothing_new_asks_for_two_files() {
    let Some(years) = Years::begin() else { return };
    let mirror = Files::serve(&years.scene.cast.vendor.join("repository"));
    let refresh = || {
        let url = mirror.url();
        years.scene.agent(&["run", "--once", "--no-dns-sd", "--mirror", &url]).well();
        mirror.asked()
    };
    assert_eq!(refresh(), ["metadata/2.root.json", "metadata/timestamp.json"]);
    years.vendor(&["repo", "refresh"]).well();
    let newer = ["metadata/2.root.json", "metadata/timestamp.json"];
    assert_eq!(refresh()[..2], newer);
    assert_eq!(refresh(), newer);
}

#[test]
fn a_channel_is_signed_by_two_people() {
    let Some(years) = Years::begin() else { return };
    let second = years.key("hello.stable@bob.pem");
    let bob = public(&years.vendor(&["key", "generate", &text(&second)]).well());
    years.vendor(&["key", "threshold", "hello.stable", "2"]).refused(&["2 signatures", "1 keys"]);
    years.vendor(&["key", "add", "hello.stable", &bob]).well();
    years.vendor(&["key", "add", "hello.stable", &bob]).refused(&["already"]);
    years.vendor(&["key", "threshold", "hello.stable", "2"]).well();
    years.followed();

    // Without Bob nothing is released; what is public stays.
    let away = years.scene.path("bob.pem");
    fs::rename(&second, &away).unwrap();
    let tree = text(&years.scene.path("tree"));
    let release = ["release", &tree, "--version", "2.0", "--platform", "linux-x86_64"];
    years.vendor(&release).refused(&["hello.stable takes 2 signatures", "1 of its keys"]);
    years.followed();
    fs::rename(&away, &second).unwrap();
    years.vendor(&release).well();
    let told = years.vendor(&["key", "revoke", "hello.stable", &bob[..10]]);
    told.refused(&["2 signatures", "1 keys"]);
}

#[test]
fn three_people_sign_root_with_files_on_a_stick() {
    let Some(years) = Years::begin() else { return };
    let at = |name: &str| years.scene.path(name);
    let (stick, secret) = (text(&at("root.proposal")), text(&at("secret.txt")));
    fs::write(at("secret.txt"), "correct horse battery staple\n").unwrap();
    let person = |name: &str| {
        let file = text(&at(&format!("{name}.pem")));
        let told =
            years.vendor(&["key", "generate", &file, "--encrypt", "--passphrase-file", &secret]);
        (file, public(&told.well()))
    };
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(person);
    let add = [&alice, &bob, &carol].map(|(_, public)| format!("root={public}"));
    let present = years.signers("root")["keys"][0]["id"].as_str().unwrap().to_owned();
    let propose = |more: &[&str]| {
        let args = ["root", "propose", "--out", &stick, "--add", &add[0], "--add", &add[1]];
        years.vendor(&[&args[..], &["--add", &add[2]], more].concat())
    };
    propose(&["--threshold", "root=9"]).refused(&["9 signatures", "4 keys"]);
    propose(&["--threshold", "hello.stable=1"]).refused(&["targets does"]);
    let leave = format!("root={present}");
    let told = propose(&["--threshold", "root=2", "--remove", &leave]).well().text;
    assert!(told.contains("root takes 2 signatures instead of 1"), "{told}");
    propose(&["--threshold", "root=2"]).refused(&["exists"]);

    // Two people sign copies at home, without the vendor's home or network.
    let sign = |copy: &Path, (file, _): &(String, String)| {
        fs::copy(&stick, copy).unwrap();
        let args = ["root", "sign", &text(copy), "--key", file, "--passphrase-file", &secret];
        let (home, program) = (at("nowhere"), updraft_tests::programs::Program::Publisher);
        years.scene.run(program, &home, &args)
    };
    let (first, second) = (at("first.proposal"), at("second.proposal"));
    sign(&first, &alice).well();
    sign(&second, &carol).well();
    let stranger = text(&at("stranger.pem"));
    years.vendor(&["key", "generate", &stranger]).well();
    let told = years.vendor(&["root", "sign", &stick, "--key", &stranger]);
    told.refused(&["neither root"]);
    let told = years.vendor(&["root", "sign", &text(&first), "--key", &bob.0]);
    told.refused(&["is encrypted"]);

    let told = years.vendor(&["root", "merge", &stick, &text(&first), &text(&second)]).well().text;
    assert!(told.contains("0 of the 1") && told.contains("2 of the 2"), "{told}");
    let told = years.vendor(&["root", "publish", &stick]);
    told.refused(&["the present root takes 1 signatures and has 0"]);
    assert_eq!(years.followed(), 1, "nothing is public yet");
    years.vendor(&["root", "sign", &stick, "--key", &text(&years.key("root.pem"))]).well();
    let shown = years.vendor(&["root", "show", &stick, "--json"]).well().text;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["ready"], true, "{shown}");
    years.vendor(&["root", "publish", &stick]).well();
    assert_eq!(years.followed(), 2);
    years.vendor(&["root", "publish", &stick]).refused(&["version 1", "version 2 is public"]);

    // The old key signs nothing any more: from now on the home alone cannot
    // change root, and proposes.
    assert!(!years.key("root.pem").exists() && years.key("retired/root.pem").exists());
    let told = years.vendor(&["key", "rotate", "timestamp"]).well().text;
    assert!(told.contains("root-3.proposal"), "{told}");
    assert_eq!(years.followed(), 2);
    fs::copy("root-3.proposal", at("root-3.proposal")).unwrap();
    fs::remove_file("root-3.proposal").unwrap();
    let third = text(&at("root-3.proposal"));
    for (file, _) in [&bob, &carol] {
        let args = ["root", "sign", &third, "--key", file, "--passphrase-file", &secret];
        years.vendor(&args).well();
    }
    years.vendor(&["root", "publish", &third]).well();
    assert_eq!(years.followed(), 3);
    let told = years.signers("timestamp");
    assert!(told["keys"][0]["file"].as_str().unwrap().contains('@'), "{told}");
}

#[test]
fn an_encrypted_key_signs_once_its_passphrase_is_given() {
    let Some(years) = Years::begin() else { return };
    let secret = years.scene.path("secret.txt");
    fs::write(&secret, "correct horse\n").unwrap();
    let (secret, key) = (text(&secret), text(&years.key("timestamp.pem")));
    years.vendor(&["key", "encrypt", &key, "--passphrase-file", &secret]).well();
    years.vendor(&["repo", "refresh"]).refused(&["timestamp.pem is encrypted"]);
    years.vendor(&["repo", "refresh", "--passphrase-file", &secret]).well();
    years.followed();
    let wrong = years.scene.path("wrong.txt");
    fs::write(&wrong, "battery staple\n").unwrap();
    let told = years.vendor(&["repo", "refresh", "--passphrase-file", &text(&wrong)]);
    told.refused(&["cannot be decrypted"]);
    assert_eq!(years.signers("timestamp")["others"][0]["what"], "encrypted");
    years.vendor(&["key", "decrypt", &key, "--passphrase-file", &secret]).well();
    years.vendor(&["repo", "refresh"]).well();
    years.followed();
}
