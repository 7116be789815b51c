//! The rules in force for the whole process, and their change while it runs.
//!
//! Workers ask for the version every turn, which costs nothing, and take the rules over between two
//! commits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::rules::Rules;

/// The rules that all tasks are to follow.
#[derive(Debug)]
pub struct InForce {
    version: AtomicU64,
    rules: Mutex<Arc<Rules>>,
}

impl InForce {
    /// The rules the process starts with.
    pub fn new(rules: Rules) -> InForce {
        InForce { version: AtomicU64::new(0), rules: Mutex::new(Arc::new(rules)) }
    }

    /// How often they have been replaced.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The rules.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().expect("nothing panics while it holds the lock"))
    }

    /// Puts others in force.
    pub fn replace(&self, rules: Rules) {
        *self.rules.lock().expect("nothing panics while it holds the lock") = Arc::new(rules);
        self.version.fetch_add(1, Ordering::Release);
    }
}
