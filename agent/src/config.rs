//! What the owner wrote, and what follows from it.
//!
//! Three steps: [`Written`] is `config.toml`, everything optional; [`Config`]
//! is decided, complete and valid; the daemon builds from it. Flags win over
//! the file. An error names the file and the key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use manifest::name::{ChannelName, Platform};
use serde::de::DeserializeOwned;
use store::disk::{DiskError, read_bounded};
use swarm::allowance::{Allowance, Rates};
use toml::{Table, Value};

use crate::leave::{Rules, WrittenRules};
use crate::limits::{CONFIG_BYTES, SHORTEST_POLL, UPLOAD_BYTES_PER_SECOND};
use crate::mirror::Mirror;

/// What stands in `config.toml`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// `into`: the directory of the installation.
    pub into: Option<PathBuf>,
    /// `channel`.
    pub channel: Option<ChannelName>,
    /// `platform`.
    pub platform: Option<Platform>,
    /// `allow-example-keys`: whether keys that everyone has are welcome.
    pub allow_example_keys: Option<bool>,
    /// `[network]`.
    pub network: WrittenNetwork,
    /// `[update]`.
    pub update: WrittenUpdate,
}

/// What stands in `[network]`, or is said by flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenNetwork {
    /// `listen`: multiaddresses.
    pub listen: Option<Vec<String>>,
    /// `peers`: multiaddresses to dial beside those of the ticket.
    pub peers: Option<Vec<String>>,
    /// `mirrors`: base URLs to ask beside those of the ticket.
    pub mirrors: Option<Vec<String>>,
    /// `ca`: a file with certificates of authorities that mirrors may be
    /// vouched for by.
    pub ca: Option<PathBuf>,
    /// `dns-sd`: whether members are sought on the local network.
    pub dns_sd: Option<bool>,
    /// `relay`: whether others may be reached through this machine.
    pub relay: Option<bool>,
    /// `make-way`: whether updates yield to others on this machine's line.
    pub make_way: Option<bool>,
    /// `upload-limit`, in bytes a second, to beyond the local network.
    pub upload_limit: Option<u64>,
    /// `download-limit`, in bytes a second, from beyond the local network.
    pub download_limit: Option<u64>,
    /// `total-upload-limit`, in bytes a second, to everybody.
    pub total_upload_limit: Option<u64>,
    /// `total-download-limit`, in bytes a second, from everybody.
    pub total_download_limit: Option<u64>,
    /// Quiet hours and the like.
    pub rules: WrittenRules,
}

/// What stands in `[update]`, or is said by flags.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WrittenUpdate {
    /// `poll`: seconds between two looks for releases.
    pub poll: Option<f64>,
    /// `cache`: bytes of objects that are kept to serve.
    pub cache: Option<u64>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory of the installation.
    pub into: PathBuf,
    /// The line of releases to follow.
    pub channel: ChannelName,
    /// What releases must run on.
    pub platform: Platform,
    /// Whether keys that everyone has are welcome.
    pub allow_example_keys: bool,
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses to dial beside those of the ticket.
    pub peers: Vec<String>,
    /// Mirrors to ask beside those of the ticket.
    pub mirrors: Vec<String>,
    /// A file with certificates, as PEM, that mirrors may be vouched for by
    /// beside those that this machine trusts.
    pub authorities: Option<PathBuf>,
    /// Whether members are sought on the local network.
    pub dns_sd: bool,
    /// Whether others may be reached through this machine, if it can be itself.
    pub relay: bool,
    /// Whether updates yield to others on this machine's line.
    pub make_way: bool,
    /// Bytes to send and receive a second, at most.
    pub limits: Allowance,
    /// What may move when.
    pub rules: Rules,
    /// The time between two looks for releases.
    pub poll: Duration,
    /// Bytes of objects that are kept to serve.
    pub cache_bytes: u64,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is no TOML.
    #[error("{}: {why}", file.display())]
    NotToml {
        /// The file.
        file: PathBuf,
        /// What the parser said, with the line.
        why: String,
    },
    /// A key that means nothing.
    #[error("{}: there is no key {key}; expected one of {}", file.display(), known.join(", "))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key, with its table.
        key: String,
        /// The keys there are.
        known: Vec<&'static str>,
    },
    /// A value that the key cannot have.
    #[error("{}: {key} cannot be {found}: {why}", file.display())]
    Value {
        /// The file, or the flags.
        file: PathBuf,
        /// The key, with its table.
        key: String,
        /// What stands there.
        found: String,
        /// What was expected.
        why: String,
    },
    /// A key without which nothing can be done.
    #[error("{}: the key {key} is missing", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A table that is being read: what is left at the end is unknown.
struct Section<'a> {
    file: &'a Path,
    prefix: &'static str,
    table: Table,
    known: Vec<&'static str>,
}

impl Section<'_> {
    fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.known.push(key);
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let found = shown(&value);
        value.try_into().map(Some).map_err(|error: toml::de::Error| ConfigError::Value {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            found,
            why: error.message().to_owned(),
        })
    }

    fn section(&mut self, key: &'static str, prefix: &'static str) -> Result<Self, ConfigError> {
        let table = self.take::<Table>(key)?.unwrap_or_default();
        Ok(Self { file: self.file, prefix, table, known: Vec::new() })
    }

    fn finish(self) -> Result<(), ConfigError> {
        let Some(key) = self.table.keys().next() else { return Ok(()) };
        Err(ConfigError::UnknownKey {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            known: self.known,
        })
    }
}

impl Written {
    /// Reads the file at `path`; nothing is written if there is none.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_bounded(path, CONFIG_BYTES)?.unwrap_or_default();
        let not_toml = |why| ConfigError::NotToml { file: path.to_owned(), why };
        let text = String::from_utf8(bytes).map_err(|_| not_toml("it is not UTF-8".to_owned()))?;
        Self::parse(&text, path)
    }

    /// Reads the text of a file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::NotToml {
            file: path.to_owned(),
            why: error.to_string(),
        })?;
        let mut top = Section { file: path, prefix: "", table, known: Vec::new() };
        let mut network = top.section("network", "network.")?;
        let mut update = top.section("update", "update.")?;
        let written = Self {
            into: top.take("into")?,
            channel: top.take("channel")?,
            platform: top.take("platform")?,
            allow_example_keys: top.take("allow-example-keys")?,
            network: WrittenNetwork {
                listen: network.take("listen")?,
                peers: network.take("peers")?,
                mirrors: network.take("mirrors")?,
                ca: network.take("ca")?,
                dns_sd: network.take("dns-sd")?,
                relay: network.take("relay")?,
                make_way: network.take("make-way")?,
                upload_limit: network.take("upload-limit")?,
                download_limit: network.take("download-limit")?,
                total_upload_limit: network.take("total-upload-limit")?,
                total_download_limit: network.take("total-download-limit")?,
                rules: WrittenRules {
                    quiet_hours: network.take("quiet-hours")?,
                    in_quiet_hours: network.take("in-quiet-hours")?,
                    on_metered: network.take("on-metered")?,
                    on_battery: network.take("on-battery")?,
                    quiet_limit: network.take("quiet-limit")?,
                },
            },
            update: WrittenUpdate { poll: update.take("poll")?, cache: update.take("cache")? },
        };
        top.finish()?;
        network.finish()?;
        update.finish()?;
        Ok(written)
    }

    /// What is written here, and where it is silent what `below` says.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        Self {
            into: self.into.or(below.into),
            channel: self.channel.or(below.channel),
            platform: self.platform.or(below.platform),
            allow_example_keys: self.allow_example_keys.or(below.allow_example_keys),
            network: WrittenNetwork {
                listen: self.network.listen.or(below.network.listen),
                peers: self.network.peers.or(below.network.peers),
                mirrors: self.network.mirrors.or(below.network.mirrors),
                ca: self.network.ca.or(below.network.ca),
                dns_sd: self.network.dns_sd.or(below.network.dns_sd),
                relay: self.network.relay.or(below.network.relay),
                make_way: self.network.make_way.or(below.network.make_way),
                upload_limit: self.network.upload_limit.or(below.network.upload_limit),
                download_limit: self.network.download_limit.or(below.network.download_limit),
                total_upload_limit: self
                    .network
                    .total_upload_limit
                    .or(below.network.total_upload_limit),
                total_download_limit: self
                    .network
                    .total_download_limit
                    .or(below.network.total_download_limit),
                rules: self.network.rules.or(below.network.rules),
            },
            update: WrittenUpdate {
                poll: self.update.poll.or(below.update.poll),
                cache: self.update.cache.or(below.update.cache),
            },
        }
    }

    /// Decides: fills in what was not written, and checks what was.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key; `file` is where it most likely stands.
    pub fn decide(self, file: &Path) -> Result<Config, ConfigError> {
        let value = |key: &str, found: String, why: &str| ConfigError::Value {
            file: file.to_owned(),
            key: key.to_owned(),
            found,
            why: why.to_owned(),
        };
        let missing = |key| ConfigError::Missing { file: file.to_owned(), key };
        let into = self.into.ok_or_else(|| missing("into"))?;
        if !into.is_absolute() {
            return Err(value("into", format!("{into:?}"), "the path is not absolute"));
        }
        let poll = self.update.poll.unwrap_or(3600.0);
        let Ok(poll) = Duration::try_from_secs_f64(poll) else {
            return Err(value("update.poll", poll.to_string(), "seconds were expected"));
        };
        if poll < SHORTEST_POLL {
            let why = format!("the shortest is {} seconds", SHORTEST_POLL.as_secs_f64());
            return Err(value("update.poll", poll.as_secs_f64().to_string(), &why));
        }
        let limit = |key, limit| match limit {
            Some(0) => Err(value(key, "0".to_owned(), "nothing would ever move")),
            limit => Ok(limit),
        };
        let mirrors = self.network.mirrors.unwrap_or_default();
        if let Some(error) = mirrors.iter().find_map(|mirror| Mirror::new(mirror).err()) {
            return Err(value("network.mirrors", format!("{mirrors:?}"), &error.to_string()));
        }
        if let Some(ca) = self.network.ca.as_ref().filter(|ca| !ca.is_absolute()) {
            return Err(value("network.ca", format!("{ca:?}"), "the path is not absolute"));
        }
        let listen = || vec!["/ip4/0.0.0.0/udp/0/quic-v1".into(), "/ip4/0.0.0.0/tcp/0".into()];
        Ok(Config {
            into,
            channel: self.channel.unwrap_or_else(|| "stable".parse().expect("a plain name")),
            platform: self.platform.unwrap_or_else(this_platform),
            allow_example_keys: self.allow_example_keys.unwrap_or(false),
            listen: self.network.listen.unwrap_or_else(listen),
            peers: self.network.peers.unwrap_or_default(),
            mirrors,
            authorities: self.network.ca,
            dns_sd: self.network.dns_sd.unwrap_or(true),
            relay: self.network.relay.unwrap_or(true),
            make_way: self.network.make_way.unwrap_or(true),
            limits: Allowance {
                all: Rates {
                    up: limit("network.total-upload-limit", self.network.total_upload_limit)?,
                    down: limit("network.total-download-limit", self.network.total_download_limit)?,
                },
                far: Rates {
                    up: limit("network.upload-limit", self.network.upload_limit)?
                        .or(Some(UPLOAD_BYTES_PER_SECOND)),
                    down: limit("network.download-limit", self.network.download_limit)?,
                },
            },
            rules: WrittenRules {
                quiet_limit: limit("network.quiet-limit", self.network.rules.quiet_limit)?,
                ..self.network.rules
            }
            .decide(),
            poll,
            cache_bytes: self.update.cache.unwrap_or(256 << 20),
        })
    }
}

/// What releases must run on, on this machine.
#[must_use]
pub fn this_platform() -> Platform {
    let text = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    text.parse().expect("this machine's platform has a plain name")
}

/// The text of the file that `join` writes.
#[must_use]
pub fn first_config(
    into: &Path,
    channel: Option<&ChannelName>,
    platform: &Platform,
    allow_example_keys: bool,
) -> String {
    let text = |value: &str| Value::String(value.to_owned()).to_string();
    let channel = channel.map_or("stable", ChannelName::as_str);
    format!(
        "# The installation that this agent keeps; docs/agent.md has all keys.\n\
         into = {}\nchannel = {}\nplatform = {}\n{}",
        text(&into.to_string_lossy()),
        text(channel),
        text(platform.as_str()),
        if allow_example_keys { "allow-example-keys = true\n" } else { "" },
    )
}

/// A value for a message, at most its first 80 characters.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leave::Moves;

    fn refused(text: &str) -> String {
        let path = Path::new("/h/config.toml");
        let decided = Written::parse(text, path).and_then(|written| written.decide(path));
        decided.expect_err(text).to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_table() {
        let error = refused("into = \"/x\"\nchanel = \"beta\"");
        assert!(error.contains("/h/config.toml") && error.contains("chanel"), "{error}");
        assert!(error.contains("channel"), "what was meant is among the known keys: {error}");
        let error = refused("[network]\nupload = 3");
        assert!(error.contains("network.upload") && error.contains("upload-limit"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_with_what_was_expected() {
        for (text, key, found) in [
            ("into = 3", "into", "3"),
            ("channel = \"No Way\"", "channel", "No Way"),
            ("network = 3", "network", "3"),
            ("[network]\nupload-limit = \"fast\"", "network.upload-limit", "fast"),
            ("[network]\nupload-limit = -1", "network.upload-limit", "-1"),
            ("into = \"/x\"\n[network]\nupload-limit = 0", "network.upload-limit", "0"),
            ("into = \"/x\"\n[network]\nmirrors = [\"ftp://x\"]", "network.mirrors", "ftp://x"),
            ("into = \"/x\"\n[network]\nca = \"ca.pem\"", "network.ca", "ca.pem"),
            ("[network]\nquiet-hours = [\"Mo 8-9\"]", "network.quiet-hours", "Mo-Fr 08:00-18:00"),
            ("[network]\non-battery = \"some\"", "network.on-battery", "download"),
            ("into = \"/x\"\n[network]\nquiet-limit = 0", "network.quiet-limit", "0"),
            ("into = \"relative\"", "into", "relative"),
            ("into = \"/x\"\n[update]\npoll = -3", "update.poll", "-3"),
            ("into = \"/x\"\n[update]\npoll = 0.0001", "update.poll", "0.0001"),
            ("into = \"/x\"\n[update]\npoll = nan", "update.poll", "NaN"),
        ] {
            let error = refused(text);
            assert!(error.contains(key) && error.contains(found), "{text}: {error}");
        }
        assert!(refused("into").contains("line 1"));
        assert!(refused("").contains("the key into is missing"));
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let path = Path::new("/h/config.toml");
        let text = "into = \"/x\"\nchannel = \"beta\"\n[update]\npoll = 60";
        let file = Written::parse(text, path).unwrap();
        let flags = Written {
            channel: Some("nightly".parse().unwrap()),
            network: WrittenNetwork { dns_sd: Some(false), ..WrittenNetwork::default() },
            ..Written::default()
        };
        let config = flags.or(file).decide(path).unwrap();
        assert_eq!(config.channel.as_str(), "nightly");
        assert_eq!(config.poll, Duration::from_secs(60));
        assert!(!config.dns_sd);
        assert_eq!(config.into, Path::new("/x"));
    }

    #[test]
    fn limits_hold_beyond_the_local_network_unless_they_are_total() {
        let path = Path::new("/h/config.toml");
        let decide = |text: &str| Written::parse(text, path).unwrap().decide(path).unwrap();
        let config = decide("into = \"/x\"");
        let far = Rates { up: Some(UPLOAD_BYTES_PER_SECOND), down: None };
        assert_eq!(config.limits, Allowance { all: Rates::default(), far });
        let config = decide(
            "into = \"/x\"\n[network]\nupload-limit = 5\ndownload-limit = 6\n\
             total-upload-limit = 7\ntotal-download-limit = 8\n\
             quiet-hours = [\"Mo-Fr 08:00-18:00\", \"Sa 09:00-12:00\"]\nin-quiet-hours = \"security\"",
        );
        let far = Rates { up: Some(5), down: Some(6) };
        let all = Rates { up: Some(7), down: Some(8) };
        assert_eq!(config.limits, Allowance { all, far });
        assert_eq!(config.rules.in_quiet_hours, Moves::Security);
        assert!(!config.rules.quiet_hours.is_empty());
    }

    #[test]
    fn what_join_writes_is_read_back() {
        let platform: Platform = "linux-x86_64".parse().unwrap();
        let into = Path::new("/opt/it's \"here\"");
        let text = first_config(into, None, &platform, true);
        let path = Path::new("/h/config.toml");
        let config = Written::parse(&text, path).unwrap().decide(path).unwrap();
        assert_eq!((config.into.as_path(), config.channel.as_str()), (into, "stable"));
        assert!(config.allow_example_keys);
        let text = first_config(into, None, &platform, false);
        assert!(!Written::parse(&text, path).unwrap().decide(path).unwrap().allow_example_keys);
    }
}
