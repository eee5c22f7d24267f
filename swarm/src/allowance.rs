//! How many bytes a second may move, by direction and place.

/// Bytes a second in each direction; `None` is without limit, zero is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Sent.
    pub up: Option<u64>,
    /// Received.
    pub down: Option<u64>,
}

impl Rates {
    /// Nothing may move.
    pub const NOTHING: Self = Self { up: Some(0), down: Some(0) };

    /// The stricter of both, in each direction.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self { up: least(self.up, other.up), down: least(self.down, other.down) }
    }
}

/// What may move, and what of it over the link to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    /// With everybody.
    pub all: Rates,
    /// With those beyond the local network.
    pub far: Rates,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_limit_holds_in_each_direction() {
        let one = Rates { up: Some(3), down: None };
        let other = Rates { up: Some(5), down: Some(7) };
        assert_eq!(one.and(other), Rates { up: Some(3), down: Some(7) });
        assert_eq!(other.and(Rates::NOTHING), Rates::NOTHING);
        assert_eq!(Rates::default().and(Rates::default()), Rates::default());
    }
}
