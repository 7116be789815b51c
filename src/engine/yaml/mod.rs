//! YAML as the rules and the settings are read: a tree with positions, and a reader that finds
//! every mistake in one go.
//!
//! [`Node::parse`] makes the tree, [`Field`] and [`Fields`] walk it, [`Log`] gathers what they find
//! wrong as [`Problem`]s. Nothing here opens a file.
//!
//! ```text
//! text -> Node -> Field::mapping(|fields| fields.require("weight")?.number()) -> value
//!                        \------------ each mistake -> Log -> Vec<Problem>
//! ```

mod node;
mod problem;
mod read;

pub use node::{Content, Entry, Node, Scalar};
pub use problem::{Log, Position, Problem, Severity, nearest};
pub use read::{Field, Fields};

#[cfg(test)]
mod tests;
