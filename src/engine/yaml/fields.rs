//! A mapping, read by its keys: what it may hold is what it is asked for.

use std::cell::RefCell;

use super::field::{Field, one_of};
use super::node::{Entry, join};
use super::problem::nearest;

/// A mapping while it is read by its keys.
#[derive(Debug)]
pub struct Fields<'a> {
    of: Field<'a>,
    entries: &'a [Entry],
    /// The keys asked for, in the order of asking.
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(of: Field<'a>, entries: &'a [Entry]) -> Fields<'a> {
        Fields { of, entries, known: RefCell::default() }
    }

    /// The mapping itself, for problems that belong to no single key.
    pub fn whole(&self) -> &Field<'a> {
        &self.of
    }

    /// The value of `key`, if it is there.
    pub fn optional(&self, key: &'static str) -> Option<Field<'a>> {
        self.of.log.note_known_key(join(&self.of.path, key));
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        // Of duplicates, noted when the file was parsed, the first is read.
        self.entries.iter().find(|entry| entry.key == key).map(|entry| self.of.child(entry))
    }

    /// The value of `key`, which must be there.
    pub fn require(&self, key: &'static str) -> Option<Field<'a>> {
        let field = self.optional(key);
        if field.is_none() {
            let path = join(&self.of.path, key);
            self.of.log.error(self.of.position, &path, format!("{path} is missing"));
        }
        field
    }

    /// The value of `key` as `read` makes it, or `default` where the key is absent.
    pub fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<T> {
        self.optional(key).map_or(Some(default), |field| read(&field))
    }

    /// The value of `key` as `read` makes it, or nothing where the key is absent. The outer
    /// `Option` is `None` when what stands there is wrong.
    pub fn maybe<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.or(key, None, |field| read(field).map(Some))
    }

    /// Reads the mapping at `key`, in which every key has a default: it may be empty or absent.
    pub fn section<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.optional(key) {
            Some(field) => field.section(read),
            None => self.of.absent_section(key, read),
        }
    }

    /// The one key of `keys` that is there, and its value.
    pub fn exactly_one(&self, keys: &[&'static str]) -> Option<(&'static str, Field<'a>)> {
        let mut given: Vec<_> =
            keys.iter().filter_map(|key| Some((*key, self.optional(key)?))).collect();
        match given.len() {
            1 => given.pop(),
            0 => self.of.error(format!("needs {}", one_of(keys.iter().copied()))),
            _ => {
                let names: Vec<_> = given.iter().map(|(key, _)| format!("`{key}`")).collect();
                given[1].1.log.error(
                    given[1].1.position,
                    &self.of.path,
                    self.of.sentence(&format!("has {}, expected one of them", names.join(" and "))),
                );
                None
            }
        }
    }

    /// Notes an error where `key` is there although it has no place; `why` follows `is given, but`.
    pub fn refuse(&self, key: &'static str, why: impl AsRef<str>) {
        if let Some(field) = self.optional(key) {
            field.error::<()>(format!("is given, but {}", why.as_ref()));
        }
    }

    pub(super) fn report_unknown_keys(&self) {
        let known = self.known.borrow();
        for entry in self.entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            let path = join(&self.of.path, &entry.key);
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("{path} is not a known key; {hint}");
            self.of.log.error(entry.position, &path, message);
        }
    }
}
