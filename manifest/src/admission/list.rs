//! The lists in the member `x-updraft` of the role `workgroup`'s file.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::trust::root::EXTENSION;

/// Why what was signed is no such list.
pub(super) enum Unreadable {
    /// It has another shape.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// It has too many entries.
    TooLong,
}

/// The entries of the list `name`, of which there may be `most`; none where
/// there is no such list.
pub(super) fn read<T: DeserializeOwned>(
    extra: &Map<String, Value>,
    name: &str,
    most: usize,
) -> Result<Vec<T>, Unreadable> {
    let Some(list) = extra.get(EXTENSION).and_then(|extension| extension.get(name)) else {
        return Ok(Vec::new());
    };
    // Its length is bounded by the file's; the count is looked at first.
    if list.as_array().is_some_and(|list| list.len() > most) {
        return Err(Unreadable::TooLong);
    }
    serde_json::from_value(list.clone())
        .map_err(|error| Unreadable::Malformed { why: error.to_string() })
}

/// Those of the first `most` entries that can be read.
pub(super) fn known<T: DeserializeOwned>(
    extra: &Map<String, Value>,
    name: &str,
    most: usize,
) -> Vec<T> {
    let list = extra.get(EXTENSION).and_then(|extension| extension.get(name));
    let entries = list.and_then(Value::as_array).into_iter().flatten().take(most);
    entries.filter_map(|entry| serde_json::from_value(entry.clone()).ok()).collect()
}

/// Sets the list `name`, and leaves the others alone.
pub(super) fn set(extra: &mut Map<String, Value>, name: &str, list: &impl serde::Serialize) {
    let list = serde_json::to_value(list).expect("plain fields always serialise");
    let extension = extra.entry(EXTENSION).or_insert_with(|| Map::new().into());
    if !extension.is_object() {
        *extension = Map::new().into();
    }
    extension[name] = list;
}
