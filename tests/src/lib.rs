//! Updraft's journeys and demo: everything together.
