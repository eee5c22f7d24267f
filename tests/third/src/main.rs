//! A third client, the crate `sigstore-tuf`: written by other people, with
//! signatures checked by another library. Reads a question a line and answers
//! with a line:
//!
//! `{"root": FILE, "home": DIR, "repository": DIR, "targets": [PATH, ...]}`
//! `{"refresh": null | "why not", "targets": {PATH: SHA256 | null | "why"}}`

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, FileStore, Repository, Updater};

/// What the tests want to know.
#[derive(Debug, Deserialize)]
struct Question {
    /// What the client is shipped with.
    root: PathBuf,
    /// What the client keeps from one question to the next.
    home: PathBuf,
    /// Holds `metadata` and `targets`.
    repository: PathBuf,
    targets: Vec<String>,
}

/// What the client made of it.
#[derive(Debug, Serialize)]
struct Answer {
    refresh: Option<String>,
    targets: BTreeMap<String, Option<String>>,
}

/// A repository's two directories on this machine.
struct Directories {
    metadata: PathBuf,
    targets: PathBuf,
}

fn read(path: &Path, max_length: u64) -> sigstore_tuf::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) if bytes.len() as u64 > max_length => Err(Error::transport("too long")),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::transport(error.to_string())),
    }
}

impl Repository for Directories {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(read(&self.metadata.join(name), max_length)))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(read(&self.targets.join(path), max_length)))
    }
}

impl Question {
    async fn updater(&self) -> sigstore_tuf::Result<Updater> {
        let (metadata, targets) =
            (self.repository.join("metadata"), self.repository.join("targets"));
        let root = fs::read(&self.root).map_err(|error| Error::transport(error.to_string()))?;
        let mut updater = Updater::new(Directories { metadata, targets }, &root)?
            .with_store(FileStore::new(&self.home));
        updater.refresh(Timestamp::now()).await?;
        Ok(updater)
    }

    async fn answer(&self) -> Answer {
        let mut answer = Answer { refresh: None, targets: BTreeMap::new() };
        if let Err(error) = self.updater().await {
            answer.refresh = Some(told(&error));
        }
        for path in &self.targets {
            let verdict = match self.updater().await {
                Ok(mut updater) => updater.get_target(path, Timestamp::now()).await,
                Err(error) => Err(error),
            };
            let verdict = match verdict {
                Ok(bytes) => Some(hex::encode(Sha256::digest(bytes))),
                Err(Error::TargetNotFound(_)) => None,
                Err(error) => Some(told(&error)),
            };
            answer.targets.insert(path.clone(), verdict);
        }
        answer
    }
}

fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|source| format!(": {}", told(source))).unwrap_or_default();
    format!("Error: {error}{cause}")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for line in std::io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line?)?;
        let answer = serde_json::to_string(&runtime.block_on(question.answer()))?;
        writeln!(std::io::stdout().lock(), "{answer}")?;
    }
    Ok(())
}
