//! flyroom-explanation
