use std::slice;
use std::vec;

/// A list, and what it leaves out. Never cut in silence.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listing<T> {
    /// What was listed.
    pub results: Vec<T>,
    /// How many there are on the cluster, before any filter and limit, as far as Ray knows.
    pub total: usize,
    /// Whether there are more that match than `results` holds.
    pub truncated: bool,
    /// Ray's own warnings about this list, as of nodes that did not answer.
    pub warnings: Vec<String>,
}

impl<T> Listing<T> {
    /// A list that leaves out nothing.
    pub(crate) fn complete(results: Vec<T>) -> Self {
        Self { total: results.len(), results, truncated: false, warnings: Vec::new() }
    }

    /// The results by reference.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.results.iter()
    }
}

impl<T> IntoIterator for Listing<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.results.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Listing<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
