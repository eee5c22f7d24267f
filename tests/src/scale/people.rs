//! Who the members are: their lines, how far they are, who lets anybody in.

use std::time::Duration;

use swarm::dice::Dice;

/// Where a member is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Bytes a second that it can send.
    pub(crate) up: u64,
    /// Bytes a second that it can receive.
    pub(crate) down: u64,
    /// To the middle of the network, one way.
    pub(crate) away: Duration,
    /// Whether it can be dialled.
    pub(crate) open: bool,
}

/// In a hundred, and their Mbit/s up and down: offices, cable, DSL, mobile.
const LINES: [(u64, u64, u64); 4] = [(30, 50, 100), (35, 20, 100), (25, 5, 25), (10, 2, 10)];

/// How many in a hundred can be dialled.
const OPEN_PERCENT: u64 = 35;

/// A member like others.
#[must_use]
pub(crate) fn anybody(dice: &mut Dice) -> Place {
    let mut draw = dice.below(100);
    let line = LINES.iter().find(|(percent, ..)| {
        let here = draw < *percent;
        draw = draw.saturating_sub(*percent);
        here
    });
    let (_, up, down) = *line.unwrap_or(&LINES[3]);
    let away = Duration::from_millis(2 + dice.below(58));
    Place { up: bytes(up), down: bytes(down), away, open: dice.percent(OPEN_PERCENT) }
}

/// The vendor's seeder: a small rented server.
#[must_use]
pub(crate) const fn vendor() -> Place {
    Place { up: bytes(100), down: bytes(100), away: Duration::from_millis(5), open: true }
}

const fn bytes(mbit: u64) -> u64 {
    mbit * 1_000_000 / 8
}
