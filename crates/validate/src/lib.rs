//! flyroom-validate
