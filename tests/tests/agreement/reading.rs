//! Our client reads what python-tuf writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use manifest::time::UnixTime;
use manifest::trust::refresh::{Input, Output, Refresh, RefreshError};
use manifest::trust::role::RoleName;
use manifest::trust::search::{Found, Search};
use manifest::trust::trusted::TrustedSet;
use tempfile::TempDir;

use crate::oracle::oracle;

/// A client with its trusted directory, reading from a directory.
struct Client<'a> {
    repository: &'a Path,
    disk: BTreeMap<String, Vec<u8>>,
    now: UnixTime,
}

impl Client<'_> {
    /// Does what a machine asks; gives the answer to the next `handle`.
    fn act(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Want { name, max_len } => {
                let Ok(bytes) = fs::read(self.repository.join("metadata").join(name)) else {
                    return Some(Input::NotFound);
                };
                assert!(bytes.len() as u64 <= max_len);
                return Some(Input::File(bytes));
            }
            Output::Persist { name, bytes } => drop(self.disk.insert(name, bytes)),
            Output::Forget { name } => drop(self.disk.remove(&name)),
            Output::Done => {}
        }
        None
    }

    /// Begins from disk, refreshes, and searches for `path`.
    fn find(&mut self, path: &str) -> Result<Option<Found>, RefreshError> {
        let trusted = TrustedSet::load(&self.disk)?;
        let mut refresh = Refresh::new(trusted, self.now, Vec::new());
        while let Some(output) = refresh.poll() {
            if let Some(input) = self.act(output) {
                refresh.handle(input)?;
            }
        }
        let mut search = Search::new(refresh.finish(), self.now, path.to_owned())?;
        while let Some(output) = search.poll() {
            if let Some(input) = self.act(output) {
                search.handle(input)?;
            }
        }
        Ok(search.finish().1)
    }
}

#[test]
fn our_client_finds_every_target_that_python_tuf_delegates() {
    let Some(oracle) = oracle() else { return };
    for kind in ["consistent", "plain"] {
        let dir = TempDir::new().unwrap();
        let repository = dir.path().join("repository");
        let expected = oracle.json("write_repository.py", &[repository.to_str().unwrap(), kind]);
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
        let mut client = Client {
            repository: &repository,
            disk: BTreeMap::from([(RoleName::ROOT.file_name(), root)]),
            now: UnixTime::from_seconds(seconds),
        };
        let expected = expected.as_object().unwrap();
        assert_eq!(expected.len(), 7);
        for (path, target) in expected {
            let found = client.find(path).unwrap().expect("the target is delegated");
            assert_eq!(target["role"], found.role.as_str(), "{path}");
            let content = target["content"].as_str().unwrap();
            found.target.check(content.as_bytes()).unwrap();
            assert!(found.target.check(b"other").is_err());
        }
        assert!(client.find("odd/none").unwrap().is_none());
        // Whatever is kept is exactly what was served.
        for (name, bytes) in &client.disk {
            let served = match (name.as_str(), kind) {
                ("timestamp.json", _) | (_, "plain") if name != "root.json" => name.clone(),
                ("root.json", _) => "2.root.json".to_owned(),
                _ => format!("1.{name}"),
            };
            assert_eq!(*bytes, fs::read(repository.join("metadata").join(served)).unwrap());
        }
        // A later clock refuses all of it.
        client.now = UnixTime::from_seconds(seconds + 2 * 86_400);
        assert!(client.find("top.txt").is_err());
    }
}
