//! The vendor's program: keys, releases, seeding.
