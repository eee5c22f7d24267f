//! What the machines say of themselves while an update spreads.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::cast::Machine;
use crate::control;

/// One machine at one moment.
#[derive(Debug, Clone, Default)]
pub struct Glimpse {
    /// The state of its update, `?` if it does not answer.
    pub state: String,
    /// The version installed.
    pub version: Option<String>,
    /// Versions that failed there.
    pub bad: Vec<String>,
    /// Bytes that its last update took from the vendor's seeders.
    pub origin: u64,
    /// Bytes that it took from other machines.
    pub peers: u64,
    /// Bytes that were on its disk already.
    pub disk: u64,
    /// For each object under way: its length, and which blocks are here.
    pub objects: BTreeMap<String, Holding>,
}

/// How much of an object a machine holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holding {
    /// The object's length in bytes.
    pub len: u64,
    /// Which of its blocks are here.
    pub blocks: Vec<bool>,
}

impl Glimpse {
    /// Asks the machine itself, over its control socket.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        control::get(&machine.home, "/status").map_or_else(
            |_| Self { state: "?".to_owned(), ..Self::default() },
            |status| Self::read(&status, objects(&machine.home)),
        )
    }

    fn read(status: &Value, objects: BTreeMap<String, Holding>) -> Self {
        let number = |name: &str| status["bytes"][name].as_u64().unwrap_or(0);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let bad = status["bad"].as_array().into_iter().flatten();
        Self {
            state: text(&status["state"]).unwrap_or_else(|| "?".to_owned()),
            version: text(&status["installed"]["version"]),
            bad: bad.filter_map(|bad| text(&bad["release"]["version"])).collect(),
            origin: number("origin"),
            peers: number("peers"),
            disk: number("disk"),
            objects,
        }
    }

    /// The share of the blocks under way that are here, if any are.
    #[must_use]
    pub fn progress(&self) -> Option<f64> {
        let all: usize = self.objects.values().map(|holding| holding.blocks.len()).sum();
        let blocks = self.objects.values().flat_map(|holding| &holding.blocks);
        let here = blocks.filter(|block| **block).count();
        (all > 0).then(|| here as f64 / all as f64)
    }
}

fn objects(home: &Path) -> BTreeMap<String, Holding> {
    let transfer = control::get(home, "/transfer").unwrap_or_default();
    let objects = transfer["objects"].as_array().cloned().unwrap_or_default();
    let read = |object: &Value| {
        let blocks = object["blocks"].as_str()?.chars().map(|block| block == '1').collect();
        let len = object["len"].as_u64()?;
        Some((object["id"].as_str()?.to_owned(), Holding { len, blocks }))
    };
    objects.iter().filter_map(read).collect()
}

/// The states of a machine that holds every object and has not committed.
const BEYOND_TRANSFER: [&str; 4] = ["staging", "waiting", "switching", "probing"];

/// Whether every block of the update to `version` is held by some machine
/// while no machine has finished it: from here on the vendor is not needed.
#[must_use]
pub fn vendor_is_dispensable(glimpses: &[Glimpse], version: &str) -> bool {
    let finished = |glimpse: &Glimpse| {
        glimpse.version.as_deref() == Some(version) && !BEYOND_TRANSFER.contains(&&*glimpse.state)
    };
    if glimpses.iter().any(finished) {
        return false;
    }
    if glimpses.iter().any(|glimpse| BEYOND_TRANSFER.contains(&&*glimpse.state)) {
        return true;
    }
    // A machine that transfers knows every object that it needs.
    let wanted = glimpses.iter().find(|g| g.state == "transferring" && g.progress().is_some());
    wanted.is_some_and(|wanted| {
        wanted.objects.iter().all(|(id, holding)| {
            let everywhere = glimpses.iter().filter_map(|glimpse| glimpse.objects.get(id));
            let everywhere: Vec<&Holding> = everywhere.collect();
            let held = |block| everywhere.iter().any(|h| h.blocks.get(block) == Some(&true));
            (0..holding.blocks.len()).all(held)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glimpse(state: &str, version: &str, blocks: &str) -> Glimpse {
        let blocks: Vec<bool> = blocks.chars().map(|block| block == '1').collect();
        let objects = [("a".to_owned(), Holding { len: 1, blocks })].into();
        let version = Some(version.to_owned());
        Glimpse { state: state.to_owned(), version, objects, ..Glimpse::default() }
    }

    #[test]
    fn the_vendor_is_needed_until_the_machines_hold_every_block_together() {
        let both = |first, second| {
            let machines =
                [glimpse("transferring", "1.0", first), glimpse("transferring", "1.0", second)];
            vendor_is_dispensable(&machines, "2.0")
        };
        assert!(both("1100", "0011"));
        assert!(!both("1100", "0001"), "a block is nowhere");
        assert!(!both("", ""), "nobody knows yet what is needed");
    }

    #[test]
    fn a_machine_that_is_probing_holds_everything_and_has_not_finished() {
        let probing = [glimpse("probing", "2.0", ""), glimpse("idle", "1.0", "")];
        assert!(vendor_is_dispensable(&probing, "2.0"));
        let finished = [glimpse("idle", "2.0", ""), glimpse("transferring", "1.0", "1111")];
        assert!(!vendor_is_dispensable(&finished, "2.0"));
    }
}
