//! Which role may speak of which target paths (TUF 4.5, "delegations").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::trust::authority::{Authority, at_least_one, distinct};
use crate::trust::key::{Key, KeyId};
use crate::trust::pattern;
use crate::trust::role::RoleName;

/// The delegations of a targets file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Delegations {
    /// All keys that the delegated roles name.
    pub keys: BTreeMap<KeyId, Key>,
    /// To whom.
    #[serde(flatten)]
    pub to: Delegates,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One of the two ways to delegate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Delegates {
    /// A list in order of trust; each name stands once.
    #[serde(rename = "roles")]
    Roles(Vec<DelegatedRole>),
    /// A number of bins among which paths are spread by their hash (TAP 15).
    #[serde(rename = "succinct_roles")]
    Succinct(SuccinctRoles),
}

/// The delegations as a file has them, before they are known to make sense.
#[derive(Deserialize)]
struct Written {
    keys: BTreeMap<KeyId, Key>,
    roles: Option<Vec<DelegatedRole>>,
    succinct_roles: Option<SuccinctRoles>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// One delegated role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name, which is also the name of its file.
    pub name: RoleName,
    /// The keys that may sign, each at most once.
    #[serde(deserialize_with = "distinct")]
    pub keyids: Vec<KeyId>,
    /// How many of them must; at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub threshold: u64,
    /// Whether later delegations are left out for the paths of this one.
    // The example of TUF 4.5 leaves the member out.
    #[serde(default)]
    pub terminating: bool,
    /// The paths it may speak of.
    #[serde(flatten)]
    pub paths: Paths,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The paths that a delegated role may speak of; exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenPaths", into = "WrittenPaths")]
pub enum Paths {
    /// Shell patterns whose wildcards do not cross `/`.
    Patterns(Vec<String>),
    /// Beginnings of the SHA-256 of the path, in hex digits.
    HashPrefixes(Vec<String>),
}

#[derive(Clone, Serialize, Deserialize)]
struct WrittenPaths {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_hash_prefixes: Option<Vec<String>>,
}

/// Bins named `PREFIX-HEX`, all signed by the same keys (TAP 15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccinctRoles {
    /// The keys that may sign, each at most once.
    #[serde(deserialize_with = "distinct")]
    pub keyids: Vec<KeyId>,
    /// How many of them must; at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub threshold: u64,
    /// How many leading bits of a path's SHA-256 choose the bin: 1 to 32.
    #[serde(deserialize_with = "bits")]
    pub bit_length: u32,
    /// What the names of the bins begin with.
    pub name_prefix: String,
    /// Members that TUF does not define.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        bits @ 1..=32 => Ok(bits),
        other => Err(serde::de::Error::custom(format_args!(
            "bit_length is between 1 and 32, found {other}"
        ))),
    }
}

impl TryFrom<WrittenPaths> for Paths {
    type Error = String;

    fn try_from(written: WrittenPaths) -> Result<Self, String> {
        match (written.paths, written.path_hash_prefixes) {
            (Some(patterns), None) => Ok(Self::Patterns(patterns)),
            (None, Some(prefixes)) => Ok(Self::HashPrefixes(prefixes)),
            _ => Err("a delegation has either paths or path_hash_prefixes".to_owned()),
        }
    }
}

impl From<Paths> for WrittenPaths {
    fn from(paths: Paths) -> Self {
        match paths {
            Paths::Patterns(patterns) => Self { paths: Some(patterns), path_hash_prefixes: None },
            Paths::HashPrefixes(prefixes) => {
                Self { paths: None, path_hash_prefixes: Some(prefixes) }
            }
        }
    }
}

impl TryFrom<Written> for Delegations {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let to = match (written.roles, written.succinct_roles) {
            (Some(roles), None) => Delegates::Roles(roles),
            (None, Some(bins)) => Delegates::Succinct(bins),
            _ => return Err("delegations have either roles or succinct_roles".to_owned()),
        };
        if let Delegates::Roles(roles) = &to {
            let mut names = BTreeSet::new();
            for role in roles {
                // TUF 4.5: a name is unique. A top-level name would let a
                // delegated role stand in for the file of its superior.
                if role.name.is_top_level() || !names.insert(&role.name) {
                    return Err(format!(
                        "the delegated role {:.80} bears a name that is taken",
                        role.name.as_str()
                    ));
                }
            }
        }
        Ok(Self { keys: written.keys, to, extra: written.extra })
    }
}

impl Delegations {
    /// No delegations yet.
    #[must_use]
    pub fn none() -> Self {
        Self { keys: BTreeMap::new(), to: Delegates::Roles(Vec::new()), extra: Map::new() }
    }

    /// The delegated role of this name, where roles are listed.
    #[must_use]
    pub fn role(&self, name: &RoleName) -> Option<&DelegatedRole> {
        match &self.to {
            Delegates::Roles(roles) => roles.iter().find(|role| role.name == *name),
            Delegates::Succinct(_) => None,
        }
    }

    /// The names of the listed roles, in order of trust.
    pub fn names(&self) -> impl Iterator<Item = &RoleName> {
        let roles: &[DelegatedRole] = match &self.to {
            Delegates::Roles(roles) => roles,
            Delegates::Succinct(_) => &[],
        };
        roles.iter().map(|role| &role.name)
    }

    /// Who signs the file of the role `name`, if it is delegated to.
    #[must_use]
    pub fn authority(&self, name: &RoleName) -> Option<Authority> {
        match &self.to {
            Delegates::Roles(_) => {
                let role = self.role(name)?;
                Some(Authority::new(&role.keyids, role.threshold, &self.keys))
            }
            Delegates::Succinct(bins) => {
                bins.has(name).then(|| Authority::new(&bins.keyids, bins.threshold, &self.keys))
            }
        }
    }

    /// The roles that may speak of `path`, in order of trust, each with
    /// whether it is the last to be asked.
    pub fn roles_for<'a>(
        &'a self,
        path: &'a str,
    ) -> impl Iterator<Item = (RoleName, bool)> + use<'a> {
        let (roles, bin): (&[DelegatedRole], _) = match &self.to {
            Delegates::Roles(roles) => (roles, None),
            // TAP 15: each bin is terminating.
            Delegates::Succinct(bins) => (&[], bins.bin_of(path).map(|bin| (bin, true))),
        };
        roles
            .iter()
            .filter(|role| role.paths.contain(path))
            .map(|role| (role.name.clone(), role.terminating))
            .chain(bin)
    }
}

impl Paths {
    /// Whether a role with these paths may speak of `path`.
    #[must_use]
    pub fn contain(&self, path: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                patterns.iter().any(|pattern| pattern::matches(pattern, path))
            }
            Self::HashPrefixes(prefixes) => {
                let hash = hex::encode(Sha256::digest(path));
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}

impl SuccinctRoles {
    /// How many hex digits a bin's name ends in.
    const fn digits(&self) -> usize {
        self.bit_length.div_ceil(4) as usize
    }

    /// The bin that speaks of `path`.
    ///
    /// `None` if the prefix is too long to make a role's name.
    #[must_use]
    pub fn bin_of(&self, path: &str) -> Option<RoleName> {
        let hash = Sha256::digest(path);
        let leading = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        let bin = leading >> (32 - self.bit_length);
        RoleName::new(format!("{}-{bin:0digits$x}", self.name_prefix, digits = self.digits())).ok()
    }

    /// Whether `name` is the name of one of the bins.
    #[must_use]
    pub fn has(&self, name: &RoleName) -> bool {
        let Some(bin) = name.as_str().strip_prefix(&self.name_prefix) else { return false };
        let Some(digits) = bin.strip_prefix('-') else { return false };
        let canonical = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits.len() == self.digits()
            && canonical
            && u64::from_str_radix(digits, 16).is_ok_and(|bin| bin < 1 << self.bit_length)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, more: Value) -> Value {
        let mut role = json!({ "name": name, "keyids": [], "threshold": 1, "terminating": true });
        role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        role
    }

    fn delegations(roles: Value) -> Result<Delegations, serde_json::Error> {
        serde_json::from_value(json!({ "keys": {}, "roles": roles }))
    }

    #[test]
    fn a_delegation_survives_reading_and_writing() {
        let value = json!({
            "keys": {},
            "roles": [
                role("a", json!({ "paths": ["a/*"], "x-note": 1 })),
                role("b", json!({ "path_hash_prefixes": ["0f"] })),
            ],
            "x-more": true,
        });
        let read: Delegations = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
        let bins = json!({ "keys": {}, "succinct_roles": {
            "keyids": [], "threshold": 1, "bit_length": 10, "name_prefix": "bin" } });
        let read: Delegations = serde_json::from_value(bins.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), bins);
    }

    #[test]
    fn a_role_has_either_paths_or_hash_prefixes() {
        assert!(delegations(json!([role("a", json!({}))])).is_err());
        let both = json!({ "paths": [], "path_hash_prefixes": [] });
        assert!(delegations(json!([role("a", both)])).is_err());
    }

    #[test]
    fn delegated_names_are_unique_and_never_top_level() {
        let named = |name: &str| role(name, json!({ "paths": ["*"] }));
        assert!(delegations(json!([named("a"), named("b")])).is_ok());
        assert!(delegations(json!([named("a"), named("a")])).is_err());
        for taken in ["root", "timestamp", "snapshot", "targets", ""] {
            assert!(delegations(json!([named(taken)])).is_err(), "{taken}");
        }
    }

    #[test]
    fn threshold_zero_and_repeated_keys_are_refused() {
        let mut zero = role("a", json!({ "paths": ["*"] }));
        zero["threshold"] = 0.into();
        assert!(delegations(json!([zero])).is_err());
        let mut twice = role("a", json!({ "paths": ["*"] }));
        twice["keyids"] = json!(["k", "k"]);
        assert!(delegations(json!([twice])).is_err());
    }

    #[test]
    fn roles_are_asked_in_order_and_only_for_their_paths() {
        let delegations = delegations(json!([
            role("first", json!({ "paths": ["x/*"] })),
            role("second", json!({ "path_hash_prefixes": [""] })),
            role("third", json!({ "paths": ["y"] })),
        ]))
        .unwrap();
        let names = |path| -> Vec<String> {
            delegations.roles_for(path).map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names("x/1"), ["first", "second"]);
        assert_eq!(names("y"), ["second", "third"]);
        assert_eq!(names("x/1/2"), ["second"]);
    }

    #[test]
    fn bins_are_named_by_the_leading_bits_of_the_path() {
        let bins: SuccinctRoles = serde_json::from_value(json!({
            "keyids": [], "threshold": 1, "bit_length": 10, "name_prefix": "bin" }))
        .unwrap();
        // SHA-256 of the empty path begins with e3b0: its first ten bits are 38e.
        assert_eq!(bins.bin_of("").unwrap().as_str(), "bin-38e");
        for (name, yes) in [
            ("bin-000", true),
            ("bin-3ff", true),
            ("bin-400", false),
            ("bin-3FF", false),
            ("bin-+01", false),
            ("bin-0000", false),
            ("bin000", false),
            ("other-000", false),
        ] {
            assert_eq!(bins.has(&RoleName::new(name).unwrap()), yes, "{name}");
        }
        let wide = SuccinctRoles { bit_length: 32, ..bins };
        assert!(wide.has(&wide.bin_of("x").unwrap()));
    }
}
