//! What readers may see: committed state only, and how the workers are doing.
//!
//! Written by the workers after a commit, read by HTTP at any time. Nothing on the way to a score
//! ever reads it, but for the question whether a report says anything new.

use std::sync::Mutex;

use compact_str::CompactString;
use dashmap::DashMap;

use crate::engine::report::Snapshot;

/// Committed accounts and the workers' condition.
#[derive(Debug)]
pub struct View {
    accounts: DashMap<CompactString, Seen>,
    workers: Mutex<Vec<Condition>>,
}

#[derive(Debug)]
struct Seen {
    partition: i32,
    snapshot: Snapshot,
}

/// How one worker is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has not joined its group yet.
    Joining,
    /// It has; spare members with nothing assigned are ready too.
    Ready,
    /// It waits for something outside, which it goes on trying.
    Waiting(String),
    /// It has ended.
    Stopped,
}

impl View {
    /// Nothing seen yet, all workers about to join.
    pub fn new(workers: usize) -> View {
        View { accounts: DashMap::new(), workers: Mutex::new(vec![Condition::Joining; workers]) }
    }

    /// Shows an account of a partition as it has been committed.
    pub fn show(&self, partition: i32, snapshot: Snapshot) {
        self.accounts.insert(snapshot.account_id.clone(), Seen { partition, snapshot });
    }

    /// Shows nothing of a partition any more: it is somebody else's. Returns what was shown.
    pub fn hide(&self, partition: i32) -> Vec<Snapshot> {
        let mut hidden = Vec::new();
        self.accounts.retain(|_, seen| {
            let stays = seen.partition != partition;
            if !stays {
                hidden.push(seen.snapshot.clone());
            }
            stays
        });
        hidden
    }

    /// Shows nothing of an account any more: it was forgotten.
    pub fn forget(&self, account_id: &str) {
        self.accounts.remove(account_id);
    }

    /// What is shown of an account.
    pub fn snapshot(&self, account_id: &str) -> Option<Snapshot> {
        self.accounts.get(account_id).map(|seen| seen.snapshot.clone())
    }

    /// Whether what is shown of an account says the same as `snapshot`.
    pub fn shows(&self, snapshot: &Snapshot) -> bool {
        let seen = self.accounts.get(&snapshot.account_id);
        seen.is_some_and(|seen| seen.snapshot.says_the_same_as(snapshot))
    }

    /// An account's report as JSON.
    pub fn report_json(&self, account_id: &str) -> Option<Vec<u8>> {
        let seen = self.accounts.get(account_id)?;
        let report = seen.snapshot.report();
        Some(serde_json::to_vec(&report).expect("strings and numbers always become JSON"))
    }

    /// Notes how a worker is doing.
    pub fn set_condition(&self, worker: usize, condition: Condition) {
        self.workers.lock().expect("nothing panics while it holds the lock")[worker] = condition;
    }

    /// How the workers are doing.
    pub fn conditions(&self) -> Vec<Condition> {
        self.workers.lock().expect("nothing panics while it holds the lock").clone()
    }
}
