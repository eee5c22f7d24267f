//! Which lists of hashes a patch leaves open, and which hashes it leaves out.
//!
//! A hash is left out where the file that it is of is in the release, has
//! that hash, and is not itself a list that is left open. What was left out
//! is put back once, to see that it comes back.

use std::collections::{BTreeMap, HashMap, HashSet};

use container::list::{Facts, entries, filled, masked, resolved};
use rayon::prelude::*;

use crate::build::tree::{SourceError, SourceTree};

/// A list whose hashes are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenList {
    /// What stands in the list's stead.
    pub view: Vec<u8>,
    /// How many directories above its own its paths begin.
    pub above: u64,
}

/// The lists among the files in `rows`.
///
/// # Errors
/// [`SourceError`].
pub fn open_lists(
    rows: &[u32],
    source: &SourceTree,
) -> Result<BTreeMap<u32, OpenList>, SourceError> {
    let entries_of = source.tree().entries();
    let at = |path: &str| -> Option<u32> {
        let at = entries_of.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        let row = u32::try_from(at).ok()?;
        (entries_of[at].file().is_some() && rows.binary_search(&row).is_err()).then_some(row)
    };
    let mut lists = Vec::new();
    let mut wanted = HashSet::new();
    for &row in rows {
        let file = source.bytes(row)?;
        let path = entries_of[row as usize].path.as_str();
        let depth = path.matches('/').count() as u64;
        let found = |above: u64| -> Vec<u32> {
            let paths = entries(&file).filter_map(|listed| resolved(path, above, listed.path));
            paths.filter_map(|path| at(&path)).collect()
        };
        // The nearest directory from which most are found.
        let nearest = (0..=depth.min(container::limits::LIST_ABOVE)).rev();
        let best = nearest.map(|above| (found(above), above)).max_by_key(|(rows, _)| rows.len());
        if let Some((rows, above)) = best {
            wanted.extend(rows);
            lists.push((row, above, file));
        }
    }
    let facts = wanted.into_par_iter().map(|row| Ok((row, source.facts(row)?)));
    let facts = facts.collect::<Result<HashMap<u32, Facts>, SourceError>>()?;
    let mut open = BTreeMap::new();
    for (row, above, file) in lists {
        let path = entries_of[row as usize].path.as_str();
        let of = |listed: &str| facts.get(&at(&resolved(path, above, listed)?)?).copied();
        let view = masked(&file, &|listed| {
            of(listed.path).is_some_and(|facts| {
                facts.sha256 == listed.sha256 && listed.len.is_none_or(|len| len == facts.len)
            })
        });
        if let Some(view) = view
            && filled(&view, file.len() as u64, &mut |path| of(path)).as_ref() == Ok(&file)
        {
            open.insert(row, OpenList { view, above });
        }
    }
    Ok(open)
}
