//! What the process says of itself: metrics and logs.

pub mod logging;
pub mod metrics;
