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
    pub from_peers: u64,
    /// Bytes that were on its disk already.
    pub disk: u64,
    /// Members that it is connected to.
    pub peers: u64,
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
            from_peers: number("peers"),
            disk: number("disk"),
            peers: status["peers"].as_u64().unwrap_or(0),
            objects,
        }
    }

    /// The share of the blocks of the update under way that are here, if one
    /// is under way and its blocks are known.
    #[must_use]
    pub fn progress(&self) -> Option<f64> {
        if self.state != "transferring" && !self.is_beyond_transfer() {
            return None;
        }
        let all: usize = self.objects.values().map(|holding| holding.blocks.len()).sum();
        let blocks = self.objects.values().flat_map(|holding| &holding.blocks);
        let here = blocks.filter(|block| **block).count();
        (all > 0).then(|| here as f64 / all as f64)
    }

    fn is_beyond_transfer(&self) -> bool {
        BEYOND_TRANSFER.contains(&&*self.state)
    }

    fn has_finished(&self, version: &str) -> bool {
        self.version.as_deref() == Some(version) && !self.is_beyond_transfer()
    }
}

fn objects(home: &Path) -> BTreeMap<String, Holding> {
    read_objects(&control::get(home, "/transfer").unwrap_or_default())
}

fn read_objects(transfer: &Value) -> BTreeMap<String, Holding> {
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

/// Who holds the update when the vendor is no longer needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy {
    /// Machines that have some blocks each, and all of them together.
    Together,
    /// One machine, which is past its transfer and has not finished.
    One,
}

/// Whether every block of the update to `version` is held by some machine
/// while no machine has finished it: from here on the vendor is not needed.
#[must_use]
pub fn vendor_is_dispensable(glimpses: &[Glimpse], version: &str) -> Option<HeldBy> {
    if glimpses.iter().any(|glimpse| glimpse.has_finished(version)) {
        return None;
    }
    if glimpses.iter().any(Glimpse::is_beyond_transfer) {
        return Some(HeldBy::One);
    }
    // A machine that transfers knows every object that it needs.
    let wanted = glimpses.iter().find(|glimpse| glimpse.progress().is_some())?;
    let transferring = || glimpses.iter().filter(|glimpse| glimpse.progress().is_some());
    let held = |id, block| {
        let mut holdings = transferring().filter_map(|glimpse| glimpse.objects.get(id));
        holdings.any(|holding| holding.blocks.get(block) == Some(&true))
    };
    let mut objects = wanted.objects.iter();
    objects
        .all(|(id, holding)| (0..holding.blocks.len()).all(|block| held(id, block)))
        .then_some(HeldBy::Together)
}

#[cfg(test)]
mod tests {
    use agent::control::api::TransferView;
    use agent::network::peers::Partial;
    use agent::network::progress::Summary;
    use manifest::content::ContentId;

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
        assert_eq!(both("1100", "0011"), Some(HeldBy::Together));
        assert_eq!(both("1100", "0001"), None, "a block is nowhere");
        assert_eq!(both("", ""), None, "nobody knows yet what is needed");
    }

    #[test]
    fn a_machine_that_is_probing_holds_everything_and_has_not_finished() {
        let probing = [glimpse("probing", "2.0", ""), glimpse("idle", "1.0", "")];
        assert_eq!(vendor_is_dispensable(&probing, "2.0"), Some(HeldBy::One));
        let finished = [glimpse("idle", "2.0", ""), glimpse("transferring", "1.0", "1111")];
        assert_eq!(vendor_is_dispensable(&finished, "2.0"), None);
    }

    #[test]
    fn what_a_machine_at_rest_fetched_last_is_not_this_update() {
        let resting = [glimpse("idle", "1.0", "1111"), glimpse("planning", "1.0", "1111")];
        assert_eq!(vendor_is_dispensable(&resting, "2.0"), None);
        assert_eq!(resting[0].progress(), None);
    }

    /// What the demo reads is what an agent writes.
    #[test]
    fn the_agents_own_words_are_understood() {
        let object = |byte: u8, blocks: &str| Partial {
            id: ContentId::of(&[byte]),
            len: 40_000,
            blocks: blocks.to_owned(),
        };
        let view = TransferView {
            progress: Summary::default(),
            objects: vec![object(1, "11"), object(2, "01")],
        };
        let read = read_objects(&serde_json::to_value(&view).unwrap());
        let blocks = |byte: u8| read[&ContentId::of(&[byte]).to_string()].blocks.clone();
        assert_eq!((blocks(1), blocks(2)), (vec![true, true], vec![false, true]));
    }
}
