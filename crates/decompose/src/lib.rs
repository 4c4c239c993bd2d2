//! flyroom-decompose
