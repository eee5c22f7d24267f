//! Updraft on disk: repositories, slots, objects and logs.
