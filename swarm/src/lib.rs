//! Updraft on the network: an authenticated swarm that moves objects.
