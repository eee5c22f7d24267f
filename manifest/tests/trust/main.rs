//! The rules of TUF, one test each, and what breaks them.

mod attacks;
mod author;
mod mutations;
mod naive;
mod offers;
mod random;
mod roots;
mod rules;
mod search;
