//! Whether others can reach us, and how those are reached that cannot be.
//!
//! `shelter` learns from other members whether we can be dialled, and finds
//! members that relay circuits to us if not; `relay` is what we grant to those
//! who want circuits through us; `punch` turns a circuit into a direct
//! connection where both networks allow; `examiner` limits what we dial for
//! others. They speak in the words of `message`, on the topic `reach`.

pub mod examiner;
pub mod message;
pub mod punch;
pub mod relay;
pub mod shelter;
