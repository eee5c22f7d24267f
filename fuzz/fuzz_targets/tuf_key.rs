//! Public keys and signatures as any repository may write them: the first line
//! is the signature in hex digits, the rest the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::trust::key::{Key, KeyMaterial};
use manifest::trust::testing::foreign;

const TYPES: [(&str, &str); 4] = [
    ("ed25519", "ed25519"),
    ("ecdsa", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("rsa", "rsassa-pss-sha256"),
];

fn material(keytype: &str, scheme: &str, public: &str) -> Option<KeyMaterial> {
    let key = serde_json::json!({
        "keytype": keytype, "scheme": scheme, "keyval": { "public": public } });
    serde_json::from_value::<Key>(key).ok()?.material()
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (signature, public) = text.split_once('\n').unwrap_or_default();
    let signature = hex::decode(signature).unwrap_or_default();
    for (keytype, scheme) in TYPES {
        if let Some(found) = material(keytype, scheme, public) {
            let _ = found.verifies(foreign::MESSAGE, &signature);
            let _ = found.identity();
        }
    }
    for (index, known) in [(1, foreign::ECDSA), (3, foreign::RSA)] {
        let (keytype, scheme) = TYPES[index];
        let found = material(keytype, scheme, known.public).expect("it is a key");
        // Nobody has these keys any more, and chance finds no other signature.
        if found.verifies(foreign::MESSAGE, &signature) {
            assert_eq!(hex::encode(&signature), known.signature);
        }
    }
});
