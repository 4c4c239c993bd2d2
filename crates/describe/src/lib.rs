//! flyroom-describe
