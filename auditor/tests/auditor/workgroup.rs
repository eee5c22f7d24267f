//! A workgroup with a real root, and tickets into it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use manifest::admission::chain::CredentialChain;
use manifest::admission::credential::Role;
use manifest::admission::issuer::{IssuerStatement, SignedIssuer};
use manifest::admission::limits::{CREDENTIAL_LIFE, ISSUER_LIFE};
use manifest::admission::ticket::Ticket;
use manifest::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use manifest::key::{PublicKey, SigningKey};
use manifest::testing::{TestWorkgroup, key};
use manifest::time::UnixTime;
use manifest::trust::author::keyring::Keyring;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::repository::{Repository, TopLevelKeys};
use manifest::trust::author::role_keys::RoleKeys;
use manifest::trust::bundle::Bundle;

/// A workgroup whose first root is signed, with all keys grown from `seed`.
pub(crate) struct Workgroup {
    pub(crate) root: Vec<u8>,
    repository: Repository,
    keyring: Keyring,
    pub(crate) trust: WorkgroupTrust,
    seed: u64,
    now: UnixTime,
}

impl Workgroup {
    pub(crate) fn new(seed: u64) -> Self {
        let now = updraft_auditor::clock::now();
        let secret = |number: u64| key(seed * 100 + number);
        let one = |number| RoleKeys::one(secret(number).public());
        let keys = TopLevelKeys {
            root: one(1),
            targets: one(2),
            snapshot: one(3),
            timestamp: one(4),
            workgroup: vec![secret(5).public()],
        };
        let keyring = Keyring::new((1..5).map(secret));
        let mut repository = Repository::create(&keys);
        let files = repository.publish(now, &keyring, &Lifetimes::default());
        let root =
            files.unwrap().into_iter().find(|file| file.name == "1.root.json").unwrap().bytes;
        let id = WorkgroupId::of_first_root(&root);
        let trust = WorkgroupTrust::new(id, vec![secret(5).public()]).unwrap();
        Self { root, repository, keyring, trust, seed, now }
    }

    /// Replaces the workgroup key: the answer of a peer that knows root 2.
    pub(crate) fn rotate(&mut self, to: PublicKey) -> Bundle {
        self.repository.edit_root(|root| root.set_workgroup_keys(&[to]));
        let files = self.repository.publish(self.now, &self.keyring, &Lifetimes::default());
        let mut bundle = Bundle::new();
        for file in files.unwrap() {
            bundle.put(file.name, file.bytes).unwrap();
        }
        bundle
    }

    /// A ticket that admits to `role`, with these addresses.
    pub(crate) fn ticket(&self, role: Role, addresses: Vec<String>) -> Ticket {
        let issuer_key = key(self.seed * 100 + 10 + role as u64);
        let statement = IssuerStatement {
            workgroup: self.trust.id(),
            issuer: issuer_key.public(),
            organisation: "Test Organisation".to_owned(),
            products: vec!["hello".parse().unwrap()],
            roles: vec![role],
            credential_seconds: CREDENTIAL_LIFE.as_secs(),
            expires: self.now.after(ISSUER_LIFE),
        };
        Ticket {
            root: self.root.clone(),
            product: "hello".parse().unwrap(),
            addresses,
            mirrors: Vec::new(),
            issuer: SignedIssuer::sign(&statement, &key(self.seed * 100 + 5)).unwrap(),
            issuer_key,
        }
    }

    /// A credential of installation number `who`, and its peer key.
    pub(crate) fn member(&self, who: u64) -> (CredentialChain, SigningKey) {
        let (log_key, peer_key) = (TestWorkgroup::log_key(who), TestWorkgroup::peer_key(who));
        let ticket = self.ticket(Role::Member, Vec::new());
        let chain = ticket.admit(&self.trust, Role::Member, &log_key, &peer_key, self.now);
        (chain.unwrap(), peer_key)
    }
}

/// Writes a ticket to a file beneath `dir`.
pub(crate) fn write_ticket(dir: &Path, ticket: &Ticket) -> PathBuf {
    let path = dir.join("auditor.ticket");
    std::fs::write(&path, ticket.encode().unwrap()).unwrap();
    path
}

/// Runs the program with these words.
pub(crate) fn auditor(home: &Path, words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_updraft-auditor");
    Command::new(program).arg("--home").arg(home).args(words).output().unwrap()
}

/// Its exit code, and everything it printed.
pub(crate) fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}
