//! `Listing`: the results of a list call, and whether they are complete. `state/mod.rs` decides that for
//! the state API; other lists are incomplete only if rows are unreadable.

use std::slice;
use std::vec;

use serde::{Deserialize, Serialize};

use crate::json::Rows;

/// A list, and whether it is complete.
///
/// Iterate over a `Listing` as over a `Vec`:
///
/// ```no_run
/// use ray_client::RayClient;
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let nodes = client.list_nodes()?;
/// for warning in &nodes.warnings {
///     eprintln!("warning: {warning}");
/// }
/// println!("{} of {} nodes", nodes.len(), nodes.total);
/// for node in nodes {
///     println!("{}", node.node_id);
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listing<T> {
    /// The listed items.
    pub results: Vec<T>,
    /// How many items Ray counted before the limit. Whether items that a filter excludes are among them
    /// depends on the resource; [the guide](crate::guide::cluster) says how.
    pub total: usize,
    /// Whether items that match are missing from `results`, or may be.
    pub truncated: bool,
    /// Ray's warnings, for example about nodes that did not respond, and warnings about skipped rows, which
    /// were unreadable. At most ten skipped rows are named; one more warning counts the others.
    pub warnings: Vec<String>,
}

impl<T> Listing<T> {
    /// Creates a complete list.
    pub(crate) fn complete(results: Vec<T>) -> Self {
        Self { total: results.len(), results, truncated: false, warnings: Vec::new() }
    }

    /// Creates a list of the readable rows, with warnings about the skipped ones.
    pub(crate) fn of_rows(mut rows: Rows<T>) -> Self {
        let total = rows.read.len() + rows.unreadable;
        let truncated = rows.unreadable > 0;
        let warnings = rows.warnings();
        Self { results: rows.read, total, truncated, warnings }
    }

    /// Returns the number of results.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Returns `true` if there are no results.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Iterates over the results.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.results.iter()
    }

    /// Iterates over the results and allows changing them.
    pub fn iter_mut(&mut self) -> slice::IterMut<'_, T> {
        self.results.iter_mut()
    }
}

/// Creates an empty, complete list.
impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self::complete(Vec::new())
    }
}

/// Returns the results and drops the warnings.
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
    fn a_listing_is_used_like_a_vector() {
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
    fn skipped_rows_are_in_the_warnings() {
        let rows = Rows {
            read: vec![1],
            unreadable: 1,
            reasons: vec!["row 1 is skipped: odd".to_owned()],
        };
        let listing = Listing::of_rows(rows);
        assert_eq!((listing.len(), listing.total, listing.truncated), (1, 2, true));
        assert_eq!(listing.warnings, ["row 1 is skipped: odd"]);
    }
}
