//! Keys that everyone has: for demonstrations, never for trust.
//!
//! `keys-example/` holds them as files. They grow from a fixed text, so that
//! whoever doubts them can make them again; and every program refuses their
//! public halves wherever a key may stand, unless it is told that they are
//! welcome. Refused is the key material, whatever a file calls it.

use crate::key::{PublicKey, SigningKey};

/// The text from which the example keys grow.
const CONTEXT: &str = "updraft example keys: public by nature, never to be trusted";

/// The example keys: the stem of each file in `keys-example/`, and the public half.
const KEYS: [(&str, &str); 13] = [
    ("hello.stable", "f239edf6887b434bf16940906b66ef2f72da73e58a9f7b74761c8349466e57ab"),
    ("installation-log", "a65dffed4710dfa9387795fef3698e6d27e6111c60d984a5eaaf387d104482b2"),
    ("installation-peer", "78ee824b44f33d950210df9f5ddce14fa858b4b6b92b3faae03ddba7089819ef"),
    ("issuer-auditor", "f04944ebeba23daaea4eb652d5839a86a0ea976de58c64813226b11d18afee04"),
    ("issuer-member", "7d1528376cd085ede95ce7ec3867316801c442bbcb905596d8d0c68211520500"),
    ("issuer-seeder", "59a36586d6300ecea7fa497caaab3e42523e71454844cd86d98e6670caf29f40"),
    ("origin-log", "5bf16b9e38c3e06116bd024f26cd366ba1434da5163bd05cb8183036ef238540"),
    ("origin-peer", "037394b75d0ee7ec8e9c0b66475f3e863f5c5f68821a2cca5b49577ff5c85b49"),
    ("root", "186c7266cc2a8bac0ca0f2e29f331a14d3abee3a2b092a3ddc5a32dc5d24d042"),
    ("snapshot", "0fcb72bc3d504ebb960beafb221da39bd4eafdeb4644f909a7013e8afa21eae0"),
    ("targets", "e35f0be27819cf5df87ddfeb1f42bc9fbc9fcd9dc8e79421c8f35a42ccc2aa2d"),
    ("timestamp", "18e4fdd60f573aca3b41ecb4fdbd07c78827fedafb90648062f082a4ec46af3c"),
    ("workgroup", "1963bf739204408a2aa67f71eae104f6a3d92d9047eff3368330c79aaabc3de5"),
];

/// A key that everyone has, where a secret one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key} is the example key {name:?}, which everyone has")]
pub struct ExampleKey {
    /// The key that was found.
    pub key: PublicKey,
    /// What it is called in `keys-example/`.
    pub name: &'static str,
}

/// The example keys by name, in alphabetical order.
pub fn all() -> impl Iterator<Item = (&'static str, SigningKey)> {
    KEYS.iter().map(|(name, _)| {
        (*name, SigningKey::from_seed(&blake3::derive_key(CONTEXT, name.as_bytes())))
    })
}

/// Lets every key pass but the example ones.
///
/// # Errors
/// [`ExampleKey`] if this is one of them.
pub fn refuse(key: &PublicKey) -> Result<(), ExampleKey> {
    let found = key.to_string();
    match KEYS.iter().find(|(_, public)| *public == found) {
        Some((name, _)) => Err(ExampleKey { key: *key, name }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_fixed_text_makes() {
        let made: Vec<_> = all().map(|(name, key)| (name, key.public().to_string())).collect();
        let table: Vec<_> = KEYS.iter().map(|(name, key)| (*name, (*key).to_owned())).collect();
        assert_eq!(made, table);
    }

    #[test]
    fn an_example_key_is_refused_by_its_material() {
        for (name, key) in all() {
            assert_eq!(refuse(&key.public()).unwrap_err().name, name);
        }
        assert!(refuse(&SigningKey::from_seed(&[7; 32]).public()).is_ok());
    }
}
