//! flyroom-organism
