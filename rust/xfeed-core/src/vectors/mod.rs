//! Exact search among vectors: the posts whose vectors fit a viewer's best.
