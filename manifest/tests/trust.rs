//! The rules of TUF, one test each, and what breaks them.

#[path = "trust/attacks.rs"]
mod attacks;
#[path = "trust/author.rs"]
mod author;
#[path = "trust/mutations.rs"]
mod mutations;
#[path = "trust/offers.rs"]
mod offers;
#[path = "trust/roots.rs"]
mod roots;
#[path = "trust/rules.rs"]
mod rules;
#[path = "trust/search.rs"]
mod search;
#[path = "trust/simulator.rs"]
mod simulator;
