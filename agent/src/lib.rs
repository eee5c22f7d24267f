//! The machine owner's program: keeps one installation up to date.
