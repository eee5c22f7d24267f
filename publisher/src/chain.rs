//! Patches that stay offered though a newer release has come: ways for
//! machines that are further behind than there are direct patches.
//!
//! Such a patch leads to a release that is no longer offered itself but has a
//! patch to the newest, perhaps by way of another. The channel says how to
//! come by that release's manifest.

use std::collections::{BTreeMap, HashSet};

use manifest::content::ContentId;
use manifest::trust::custom::{PatchTarget, ReleaseTarget, Waypoint};
use manifest::trust::targets::Target;

use crate::limits::CHAINED;

/// Of the `targets` that a channel offered so far for a platform, the patches
/// to go on offering beside direct ones from the manifests `direct`.
#[must_use]
pub fn chained(
    targets: &BTreeMap<String, Target>,
    place: &str,
    direct: &HashSet<ContentId>,
) -> Vec<(String, Target)> {
    let here = || targets.iter().filter(|(path, _)| path.starts_with(place));
    let releases: Vec<(u64, ReleaseTarget)> = here()
        .filter(|(path, _)| path.ends_with(".release"))
        .filter_map(|(_, target)| Some((target.length, target.custom_as().ok()?)))
        .collect();
    let mut candidates: Vec<(u64, String, Target, PatchTarget)> = here()
        .filter(|(path, _)| path.ends_with(".patch"))
        .filter_map(|(path, target)| {
            let mut patch: PatchTarget = target.custom_as().ok()?;
            if direct.contains(&patch.base) {
                return None;
            }
            if patch.waypoint.is_none() {
                patch.waypoint = Some(waypoint(&patch, &releases)?);
            }
            let custom = serde_json::to_value(&patch).expect("custom parts are plain structs");
            let target = Target { custom: Some(custom), ..target.clone() };
            Some((base_number(path)?, path.clone(), target, patch))
        })
        .collect();
    // Those who are least behind are most.
    candidates.sort_by_key(|(base, ..)| std::cmp::Reverse(*base));
    let mut leads_on = direct.clone();
    let mut kept = Vec::new();
    for (_, path, target, patch) in candidates {
        let fresh = leads_on.contains(&patch.release) && !leads_on.contains(&patch.base);
        if fresh && kept.len() < CHAINED {
            leads_on.insert(patch.base);
            kept.push((path, target));
        }
    }
    kept
}

/// How to come by the manifest that a patch leads to, while it is offered.
fn waypoint(patch: &PatchTarget, releases: &[(u64, ReleaseTarget)]) -> Option<Waypoint> {
    let (length, release) = releases.iter().find(|(_, r)| r.blake3 == patch.release)?;
    let delta = release.manifest_deltas.iter().find(|delta| delta.base == patch.base)?;
    Some(Waypoint { length: *length, delta: delta.object, delta_length: delta.length })
}

/// The first number in `…/BASE..NUMBER.patch`.
fn base_number(path: &str) -> Option<u64> {
    path.rsplit('/').next()?.split_once("..")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use manifest::name::ReleaseNumber;
    use manifest::trust::custom::{ManifestDelta, ReleaseKind};
    use serde_json::json;

    use super::*;

    const PLACE: &str = "hello/stable/any/";

    fn id(number: u64) -> ContentId {
        ContentId::of(&number.to_le_bytes())
    }

    fn target(length: u64, custom: &impl serde::Serialize) -> Target {
        let custom = serde_json::to_value(custom).unwrap();
        let target =
            json!({"length": length, "hashes": {"sha256": "00".repeat(32)}, "custom": custom});
        serde_json::from_value(target).unwrap()
    }

    /// What release `number` offers with patches from `bases` before it, and
    /// what is `kept`.
    fn offered(number: u64, bases: u64, kept: Vec<(String, Target)>) -> BTreeMap<String, Target> {
        let mut targets: BTreeMap<String, Target> = kept.into_iter().collect();
        let from = number.saturating_sub(bases).max(1)..number;
        let delta =
            |base: u64| ManifestDelta { base: id(base), object: id(base + 1000), length: 7 };
        let release = ReleaseTarget {
            blake3: id(number),
            version: format!("{number}.0").parse().unwrap(),
            number: ReleaseNumber(number),
            kind: ReleaseKind::Feature,
            withdrawn: false,
            manifest_deltas: from.clone().map(delta).collect(),
        };
        targets.insert(format!("{PLACE}{number}.0.release"), target(500, &release));
        for base in from {
            let patch = PatchTarget {
                blake3: id(base + 2000),
                base: id(base),
                release: id(number),
                waypoint: None,
            };
            targets.insert(format!("{PLACE}{base}..{number}.patch"), target(50, &patch));
        }
        targets
    }

    fn names(kept: &[(String, Target)]) -> Vec<&str> {
        kept.iter().map(|(path, _)| path.strip_prefix(PLACE).unwrap()).collect()
    }

    #[test]
    fn whoever_is_further_behind_has_a_way_of_two_or_more() {
        let mut targets = offered(1, 2, Vec::new());
        let mut seen = Vec::new();
        for number in 2..=9_u64 {
            let direct = (number.saturating_sub(2).max(1)..number).map(id).collect();
            let kept = chained(&targets, PLACE, &direct);
            seen.push(names(&kept).join(" "));
            targets = offered(number, 2, kept);
        }
        assert_eq!(seen[..4], ["", "", "1..3.patch", "2..4.patch 1..3.patch"]);
        assert_eq!(seen[7], "6..8.patch 5..7.patch 4..6.patch 3..5.patch", "no more than four");
        let patch: PatchTarget = targets[&format!("{PLACE}6..8.patch")].custom_as().unwrap();
        let waypoint = Waypoint { length: 500, delta: id(1006), delta_length: 7 };
        assert_eq!(patch.waypoint, Some(waypoint));
    }

    #[test]
    fn a_patch_that_leads_nowhere_is_not_kept() {
        let targets = offered(5, 3, Vec::new());
        assert_eq!(chained(&targets, PLACE, &HashSet::from([id(77)])), []);
        let one = chained(&targets, PLACE, &HashSet::from([id(5)]));
        assert_eq!(names(&one), ["4..5.patch", "3..5.patch", "2..5.patch"]);
        assert_eq!(chained(&targets, "other/stable/any/", &HashSet::from([id(5)])), []);
    }
}
