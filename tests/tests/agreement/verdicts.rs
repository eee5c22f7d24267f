//! Several hundred repositories, right and wrong: our client and python-tuf's
//! give the same verdict on each, step by step, and keep the same files; and a
//! third client has nothing to say against it.
//!
//! `TRUST_SEED=N` begins at another seed and `TRUST_WORLDS=N` plays more of
//! them; what differs is told with the world's seed, which plays it alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use manifest::time::UnixTime;
use manifest::trust::hashes::Hashes;
use serde_json::Value;
use store::steps::Steps;
use tuf::client::{self, Client};
use tuf::limits::PATIENCE;
use tuf::metadata::MetadataDir;
use tuf::target::TargetDir;
use web::source::{Options, Source};

use crate::files::Files;
use crate::oracle::oracle;
use crate::third::Third;

/// The seed of the first world, and how many are played.
const SEED: u64 = 1;
const WORLDS: u64 = 300;

/// Who says it.
enum Side {
    Python,
    Third,
}

/// Verdicts in which the third client differs by design. It also fetches
/// delegated roles anew each time, which no world of the usual seeds shows:
/// for others its differences are told, and the two others decide.
const KNOWN_OF_THIRD: [(Side, &str); 4] = [
    // It knows sha256 and sha512 alone.
    (Side::Third, "no supported hash algorithm"),
    // It keeps a timestamp before it has seen the snapshot, and from then on
    // no longer knows the snapshot before, nor what must not go back.
    (Side::Python, "BadVersionNumberError: Expected "),
    // It wants a time beside the day.
    (Side::Third, "failed to find time component"),
    // It reads what breaks a rule of form: times with offsets, version 0,
    // a key named twice in a role, a delegation to a top-level role.
    (Side::Python, "DeserializationError"),
];

/// What our client makes of one target.
type Verdict = Result<Option<Vec<u8>>, String>;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|source| format!(": {}", told(source))).unwrap_or_default();
    format!("{error}{cause}")
}

/// A client of one world.
struct Ours<'a> {
    home: &'a Path,
    now: UnixTime,
    runtime: &'a tokio::runtime::Runtime,
}

fn source(base: &str) -> Result<Source, String> {
    let authorities = Vec::new();
    let options = Options { user_agent: "updraft-tests", patience: PATIENCE, authorities };
    Source::new(base, &options).map_err(|error| told(&error))
}

impl Ours<'_> {
    async fn refreshed(&self, base: &str) -> Result<Client, String> {
        let dir = self.home.join("metadata");
        let dir = MetadataDir::open(&dir, Steps::free()).map_err(|error| told(&error))?;
        let metadata = source(&format!("{base}/metadata"))?;
        Client::refresh(dir, metadata, self.now).await.map_err(|error| told(&error))
    }

    fn refresh(&self, base: &str) -> Result<(), String> {
        self.runtime.block_on(self.refreshed(base)).map(drop)
    }

    fn download(&self, base: &str, path: &str) -> Verdict {
        self.runtime.block_on(async {
            let mut client = self.refreshed(base).await?;
            let found = client.find(path).await.map_err(|error| told(&error))?;
            let Some(found) = found else { return Ok(None) };
            let source = source(&format!("{base}/targets"))?;
            let targets = TargetDir::open(&self.home.join("targets")).map_err(|e| told(&e))?;
            let consistent = client.consistent_snapshot();
            let file = targets.download(&source, path, &found.target, consistent).await;
            let file = file.map_err(|error| told(&error))?;
            Ok(Some(fs::read(file).map_err(|error| told(&error))?))
        })
    }
}

/// Where our verdicts on a world differ from python-tuf's.
fn differences(url: &str, world: &Value, ours: &Ours<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (step, theirs) in world["steps"].as_array().unwrap().iter().enumerate() {
        let base = format!("{url}/{step}");
        let mut differs = |what: &str, theirs: &Value, ours: String| {
            let (seed, done) = (&world["seed"], &world["steps"][step]["done"]);
            found.push(format!(
                "seed {seed}, step {step} {done}: {what}: theirs {theirs}, ours {ours}"
            ));
        };
        let refresh = ours.refresh(&base);
        if refresh.is_ok() != theirs["refresh"].is_null() {
            differs("refresh", &theirs["refresh"], format!("{refresh:?}"));
        }
        for (path, theirs) in theirs["targets"].as_object().unwrap() {
            let ours = ours.download(&base, path);
            let same = match (&ours, theirs) {
                (Ok(None), Value::Null) => true,
                (Ok(Some(content)), Value::String(hash)) => sha256(content) == *hash,
                (Err(_), Value::String(why)) => why.contains("Error"),
                _ => false,
            };
            if !same {
                differs(path, theirs, format!("{ours:?}"));
            }
        }
        for role in ["root", "timestamp", "snapshot", "targets"] {
            let name = format!("{role}.json");
            let kept = fs::read(ours.home.join("metadata").join(&name)).ok();
            let kept = kept.map(|bytes| sha256(&bytes));
            if kept.as_deref() != theirs["kept"][role].as_str() {
                differs(&name, &theirs["kept"][role], format!("{kept:?}"));
            }
        }
    }
    found
}

/// Where the verdicts of the third client differ from python-tuf's, but for
/// what it does not claim to do.
fn differences_of_third(dir: &Path, world: &Value, third: &mut Third) -> Vec<String> {
    let mut found = Vec::new();
    for (step, theirs) in world["steps"].as_array().unwrap().iter().enumerate() {
        let repository = dir.join(step.to_string());
        if has_bins(&repository) {
            return found;
        }
        let targets = theirs["targets"].as_object().unwrap();
        let paths: Vec<&String> = targets.keys().collect();
        let (root, home) = (dir.join("root.json"), dir.join("third"));
        let answer = third.ask(&root, &home, &repository, &paths);
        let refreshed = (&theirs["refresh"], &answer["refresh"]);
        let targets = targets.iter().map(|(path, theirs)| (theirs, &answer["targets"][path]));
        for (theirs, third) in std::iter::once(refreshed).chain(targets) {
            let failed = |verdict: &Value| verdict.as_str().is_some_and(|s| s.contains("Error"));
            let is_known = KNOWN_OF_THIRD.iter().any(|(by, why)| match by {
                Side::Python => theirs.as_str().is_some_and(|text| text.contains(why)),
                Side::Third => third.as_str().is_some_and(|text| text.contains(why)),
            });
            let (seed, done) = (&world["seed"], &world["steps"][step]["done"].to_string());
            // What is served is wrong, so python-tuf has it from before.
            let is_kept = done.contains("other content") && !failed(theirs);
            let is_same = theirs == third || (failed(theirs) && failed(third));
            if !(is_same || is_known || is_kept) {
                found.push(format!(
                    "seed {seed}, step {step} {done}: theirs {theirs}, third {third}"
                ));
            }
        }
    }
    found
}

/// Whether a role delegates to bins, which the third client leaves out.
fn has_bins(repository: &Path) -> bool {
    let files = fs::read_dir(repository.join("metadata")).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(14).any(|part| part == b"succinct_roles"))
}

/// The hash of these bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hashes = Hashes::sha256_of(bytes);
    hashes.iter().map(|(_, hash)| hash.to_owned()).collect()
}

#[test]
fn both_clients_give_one_verdict_on_every_world() {
    let Some(oracle) = oracle() else { return };
    let (seed, count) = (from_env("TRUST_SEED", SEED), from_env("TRUST_WORLDS", WORLDS));
    println!("TRUST_SEED={seed} TRUST_WORLDS={count}");
    // In memory where there is such a place: each client syncs all it keeps.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = Arc::new(dir.unwrap());
    let server = Files::serve(dir.path());
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // Two of everything, for two cores.
    let halves = [(seed, count / 2), (seed + count / 2, count - count / 2)];
    let halves = halves.map(|(first, count)| {
        let (dir, url) = (Arc::clone(&dir), server.url());
        std::thread::spawn(move || {
            let path = dir.path().to_str().unwrap();
            let worlds = oracle.lines("worlds.py", &[path, &first.to_string(), &count.to_string()]);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            let mut third = Third::start();
            let (mut found, mut counted) = (Vec::new(), Counted::default());
            for world in worlds {
                let name = world["seed"].to_string();
                let dir = dir.path().join(&name);
                let home = dir.join("ours");
                let metadata = MetadataDir::create(&home.join("metadata"), Steps::free()).unwrap();
                client::init(&metadata, &fs::read(dir.join("root.json")).unwrap()).unwrap();
                drop(metadata);
                let now = UnixTime::from_seconds(seconds);
                let ours = Ours { home: &home, now, runtime: &runtime };
                found.extend(differences(&format!("{url}/{name}"), &world, &ours));
                if let Some(third) = &mut third {
                    let differences = differences_of_third(&dir, &world, third);
                    match seed == SEED {
                        true => found.extend(differences),
                        false => differences.iter().for_each(|difference| println!("{difference}")),
                    }
                }
                counted.add(&world);
                let _ = fs::remove_dir_all(&dir);
            }
            (found, counted)
        })
    });
    let mut all = Vec::new();
    let mut counted = Counted::default();
    for half in halves {
        let (found, of_half) = half.join().unwrap();
        all.extend(found);
        counted = counted.with(&of_half);
    }
    println!("{counted:?}");
    assert!(all.is_empty(), "{} differences:\n{}", all.len(), all.join("\n"));
    // Neither client says the same to everything.
    let least = count / 10;
    assert!(counted.refreshed > least && counted.refused > least, "{counted:?}");
    assert!(counted.found > least && counted.absent > least, "{counted:?}");
}

/// What the verdicts were.
#[derive(Debug, Default)]
struct Counted {
    refreshed: u64,
    refused: u64,
    found: u64,
    absent: u64,
}

impl Counted {
    fn add(&mut self, world: &Value) {
        for step in world["steps"].as_array().unwrap() {
            match step["refresh"].is_null() {
                true => self.refreshed += 1,
                false => self.refused += 1,
            }
            for verdict in step["targets"].as_object().unwrap().values() {
                match verdict.as_str() {
                    None => self.absent += 1,
                    Some(hash) if hash.len() == 64 => self.found += 1,
                    Some(_) => {}
                }
            }
        }
    }

    const fn with(&self, other: &Self) -> Self {
        Self {
            refreshed: self.refreshed + other.refreshed,
            refused: self.refused + other.refused,
            found: self.found + other.found,
            absent: self.absent + other.absent,
        }
    }
}
