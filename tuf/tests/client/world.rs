//! A repository on a server, and a client with its directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use manifest::time::UnixTime;
use manifest::trust::quote::unquoted;
use manifest::trust::testing::Files;
use manifest::trust::testing::simulator::Simulator;
use tempfile::TempDir;

use crate::server::{Answer, Server};

/// What is served beneath `targets/`, by decoded name.
pub(crate) type Targets = BTreeMap<String, Vec<u8>>;

pub(crate) struct World {
    pub(crate) repo: Simulator,
    pub(crate) targets: Targets,
    pub(crate) server: Server,
    served: Arc<Mutex<(Files, Targets)>>,
    home: TempDir,
}

/// The time on this machine; the program has no other clock.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_seconds(since.as_secs())
}

pub(crate) fn in_days(days: u64) -> UnixTime {
    now().after(Duration::from_secs(days * 86_400))
}

/// Answers as a server of plain files does.
pub(crate) fn plainly(files: &Files, targets: &Targets, path: &str) -> Answer {
    let found = match path.split_once('/') {
        // Metadata is stored under encoded names, as we and others write it.
        Some(("metadata", name)) => files.get(name).cloned(),
        Some(("targets", name)) => targets.get(&unquoted(name).unwrap_or_default()).cloned(),
        _ => None,
    };
    found.map_or(Answer::Status(404), Answer::File)
}

impl World {
    /// A repository of one version, and a client that trusts its root.
    pub(crate) fn new() -> Self {
        let world = Self::without_client();
        let root = world.home.path().join("1.root.json");
        fs::write(&root, &world.repo.files["1.root.json"]).unwrap();
        let init = world.run(&["init", root.to_str().unwrap()]);
        assert!(init.status.success(), "{init:?}");
        world
    }

    pub(crate) fn without_client() -> Self {
        let repo = Simulator::until(in_days(30));
        let served = Arc::new(Mutex::new((repo.files.clone(), Targets::new())));
        let home = TempDir::new().unwrap();
        let server = Server::new(|_| Answer::Status(404));
        let mut world = Self { repo, targets: Targets::new(), server, served, home };
        world.serve();
        world
    }

    /// Serves what the repository has now, honestly.
    pub(crate) fn serve(&mut self) {
        *self.served.lock().unwrap() = (self.repo.files.clone(), self.targets.clone());
        let served = Arc::clone(&self.served);
        self.server.set(move |path| {
            let served = served.lock().unwrap();
            plainly(&served.0, &served.1, path)
        });
    }

    /// As [`World::serve`], but for those paths to which `lie` has an answer.
    pub(crate) fn serve_but(
        &mut self,
        lie: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
    ) {
        let (files, targets) = (self.repo.files.clone(), self.targets.clone());
        self.server.set(move |path| lie(path).unwrap_or_else(|| plainly(&files, &targets, path)));
    }

    /// Puts a target into a role and beneath `targets/`, unpublished.
    pub(crate) fn add(&mut self, role: &str, path: &str, content: &[u8]) {
        self.repo.add_target(role, path, content);
        let hash = self.repo.signed[role]["targets"][path]["hashes"]["sha256"].clone();
        let hash = hash.as_str().unwrap();
        let (dir, name) = path.rfind('/').map_or(("", path), |at| path.split_at(at + 1));
        self.targets.insert(format!("{dir}{hash}.{name}"), content.to_vec());
        self.targets.insert(path.to_owned(), content.to_vec());
    }

    /// Publishes the next version of these roles and all above them.
    pub(crate) fn publish(&mut self, roles: &[&str]) {
        self.repo.publish(roles);
        self.repo.publish(&["targets", "snapshot", "timestamp"]);
        self.serve();
    }

    pub(crate) fn metadata_dir(&self) -> PathBuf {
        self.home.path().join("metadata")
    }

    pub(crate) fn target_dir(&self) -> PathBuf {
        self.home.path().join("targets")
    }

    /// The program on the metadata directory, not yet run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_updraft-tuf"));
        command.arg("--metadata-dir").arg(self.metadata_dir()).args(args);
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        // 0 or 1, whatever happens: never a panic (101), never a signal.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), said.is_empty(), "{said}");
        output
    }

    /// Refreshes; gives what was said of a failure.
    pub(crate) fn refresh(&self) -> Result<(), String> {
        told(&self.run(&["--metadata-url", &self.server.url("metadata"), "refresh"]))
    }

    /// Downloads these targets in one run.
    pub(crate) fn download(&self, paths: &[&str]) -> Result<(), String> {
        let (metadata, targets) = (self.server.url("metadata/"), self.server.url("targets"));
        let dir = self.target_dir();
        let mut args = vec!["--metadata-url", &metadata, "--target-base-url", &targets];
        args.extend(["--target-dir", dir.to_str().unwrap()]);
        for path in paths {
            args.extend(["--target-name", path]);
        }
        args.push("download");
        told(&self.run(&args))
    }

    /// The trusted files, by name.
    pub(crate) fn trusted(&self) -> Files {
        files_in(&self.metadata_dir()).into_iter().filter(|(n, _)| n.ends_with(".json")).collect()
    }

    /// The version of a trusted file.
    pub(crate) fn version(&self, role: &str) -> Option<u64> {
        let bytes = self.trusted().remove(&format!("{role}.json"))?;
        let file: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        file["signed"]["version"].as_u64()
    }

    /// The downloaded files, by name.
    pub(crate) fn downloaded(&self) -> Files {
        files_in(&self.target_dir())
    }
}

fn told(output: &Output) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn files_in(dir: &PathBuf) -> Files {
    let Ok(entries) = fs::read_dir(dir) else { return Files::new() };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}
