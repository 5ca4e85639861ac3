//! A list, and what it leaves out.

use std::slice;
use std::vec;

use serde::{Deserialize, Serialize};

use crate::json::Rows;

/// A list, and what it leaves out. Never cut in silence.
///
/// ```
/// # fn main() -> Result<(), serde_json::Error> {
/// # let json = r#"{"results": [1, 2], "total": 5, "truncated": true, "warnings": []}"#;
/// let listing: ray_client::Listing<u32> = serde_json::from_str(json)?;
/// assert_eq!((listing.len(), listing.total), (2, 5));
/// let numbers: Vec<u32> = listing.into();
/// assert_eq!(numbers, [1, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listing<T> {
    /// What was listed.
    pub results: Vec<T>,
    /// How many there are on the cluster, before any filter and limit, as far as Ray knows.
    pub total: usize,
    /// Whether there are more that match than `results` holds.
    pub truncated: bool,
    /// Ray's own warnings about this list, for example of nodes that did not answer, and which rows are
    /// left out because they cannot be read.
    pub warnings: Vec<String>,
}

impl<T> Listing<T> {
    /// A list that leaves out nothing.
    pub(crate) fn complete(results: Vec<T>) -> Self {
        Self { total: results.len(), results, truncated: false, warnings: Vec::new() }
    }

    /// All that the rows hold; those that could not be read are in the warnings.
    pub(crate) fn of_rows(mut rows: Rows<T>) -> Self {
        let total = rows.read.len() + rows.unreadable;
        let truncated = rows.unreadable > 0;
        let warnings = rows.warnings();
        Self { results: rows.read, total, truncated, warnings }
    }

    /// The number of results.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether there are no results.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// The results by reference.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.results.iter()
    }

    /// The results, to change them in place.
    pub fn iter_mut(&mut self) -> slice::IterMut<'_, T> {
        self.results.iter_mut()
    }
}

/// An empty list that leaves out nothing.
impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self::complete(Vec::new())
    }
}

/// The results alone: what the list leaves out is no longer told.
impl<T> From<Listing<T>> for Vec<T> {
    fn from(listing: Listing<T>) -> Self {
        listing.results
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

impl<'a, T> IntoIterator for &'a mut Listing<T> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_used_as_a_vector_is() {
        let mut listing = Listing::complete(vec![1, 2, 3]);
        for number in &mut listing {
            *number *= 2;
        }
        assert_eq!((listing.len(), listing.is_empty()), (3, false));
        assert_eq!(listing.iter().sum::<i32>(), 12);
        let copy: Listing<i32> =
            serde_json::from_value(serde_json::to_value(&listing).unwrap()).unwrap();
        assert_eq!(copy, listing);
        assert_eq!(Vec::from(listing), [2, 4, 6]);
        assert!(Listing::<i32>::default().is_empty());
    }

    #[test]
    fn a_row_that_cannot_be_read_is_told() {
        let rows = Rows {
            read: vec![1],
            unreadable: 1,
            reasons: vec!["row 1 is left out: odd".to_owned()],
        };
        let listing = Listing::of_rows(rows);
        assert_eq!((listing.len(), listing.total, listing.truncated), (1, 2, true));
        assert_eq!(listing.warnings, ["row 1 is left out: odd"]);
    }
}
