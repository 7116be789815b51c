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

mod field;
mod fields;
mod node;
mod problem;

pub use field::Field;
pub use fields::Fields;
pub use node::{Content, Entry, Node, Scalar};
pub use problem::{Log, Position, Problem, Severity, nearest};

#[cfg(test)]
mod tests;
