//! What each part of a target costs to tell.

use std::ops::Range;

/// The costs of a target's bytes, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    /// Bytes that something was told about, in order.
    places: Vec<usize>,
    /// What was told about those up to each of them, in 256ths of a bit.
    sums: Vec<u64>,
}

impl Costs {
    /// Of bytes, in any order, and what was told about each.
    pub(crate) fn of(told: impl Iterator<Item = (usize, u64)>) -> Self {
        let mut told: Vec<(usize, u64)> = told.collect();
        told.sort_unstable();
        let mut sum = 0;
        let sums = told.iter().map(|(_, cost)| {
            sum += cost;
            sum
        });
        let sums = sums.collect();
        Self { places: told.into_iter().map(|(place, _)| place).collect(), sums }
    }

    /// What the bytes of a run cost.
    pub(crate) fn of_run(&self, run: Range<usize>) -> u64 {
        let before = |place: usize| {
            let count = self.places.partition_point(|known| *known < place);
            count.checked_sub(1).map_or(0, |last| self.sums[last])
        };
        before(run.end) - before(run.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_runs_add_up() {
        let costs = Costs::of([(7, 1), (0, 10), (7, 100), (9, 1000)].into_iter());
        let runs = [0..7, 7..8, 8..9, 9..10, 1..9, 0..10, 5..5];
        assert_eq!(runs.map(|run| costs.of_run(run)), [10, 101, 0, 1000, 101, 1111, 0]);
        assert_eq!(Costs::default().of_run(0..5), 0);
    }
}
