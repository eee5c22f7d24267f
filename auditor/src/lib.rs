//! The admin's program: collects and verifies installations' logs.
