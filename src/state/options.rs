//! Options of a list: its limit, filters, detail and timeout.

use std::fmt;
use std::time::Duration;

use crate::transport::Request;
use crate::{ClientError, validate};

/// Maximum number of rows in one response of Ray (`RAY_MAX_LIMIT_FROM_API_SERVER`).
const MAX_LIMIT: usize = 10_000;

/// How a [`ListOptions::filter`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The column equals the value.
    Eq,
    /// The column does not equal the value.
    Ne,
}

impl Filter {
    fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
        }
    }
}

/// Options of a list: its limit, filters, detail and timeout.
///
/// ```no_run
/// use ray_client::{Filter, ListOptions, RayClient};
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let options = ListOptions::default()
///     .filter("state", Filter::Eq, "FAILED")
///     .filter("attempt_number", Filter::Ne, 0)
///     .detail(true);
/// for task in client.list_tasks_with(&options)? {
///     println!("{}: {}", task.task_id, task.error_message.unwrap_or_default());
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub struct ListOptions {
    limit: usize,
    filters: Vec<(String, Filter, String)>,
    detail: bool,
    exclude_driver: bool,
    timeout: Option<Duration>,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            limit: MAX_LIMIT,
            filters: Vec::new(),
            detail: false,
            exclude_driver: true,
            timeout: None,
        }
    }
}

impl ListOptions {
    /// Sets the maximum number of rows to return, from 1 to 10,000. Defaults to 10,000, Ray's
    /// maximum; Ray's own default is 100. [`Listing::truncated`](crate::Listing::truncated) reports
    /// whether there are more.
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = rows;
        self
    }

    /// Lists only rows whose column equals, or does not equal, `value`. Rows must match all
    /// filters. Defaults to no filter.
    ///
    /// Ray compares text without regard to case. Most columns with plain values are valid. They
    /// depend on the resource and the version of Ray, and Ray's error for any other column names
    /// them. If the resource has no rows, Ray does not check the column, and the list is empty
    /// (measured on Ray 2.60.0).
    pub fn filter(
        mut self,
        column: impl Into<String>,
        filter: Filter,
        value: impl fmt::Display,
    ) -> Self {
        self.filters.push((column.into(), filter, value.to_string()));
        self
    }

    /// Sets whether to return the fields documented as "with detail". Defaults to false.
    pub fn detail(mut self, yes: bool) -> Self {
        self.detail = yes;
        self
    }

    /// Sets whether to omit the tasks that represent drivers. Defaults to true, as in Ray. Only
    /// affects tasks.
    pub fn exclude_driver(mut self, yes: bool) -> Self {
        self.exclude_driver = yes;
        self
    }

    /// Sets how long Ray may take, up to a day, rounded up to whole seconds. After four fifths of
    /// this time Ray gives up on a data source that does not respond, and reports it in a warning
    /// or an error (500). Defaults to the client's read timeout. A longer timeout also extends the
    /// wait for the start of the response; the body must then arrive within the read timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(super) fn without_filters(mut self) -> Self {
        self.filters.clear();
        self
    }

    pub(super) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return Err(ClientError::invalid(format_args!(
                "limit: must be from 1 to {MAX_LIMIT}, is {}",
                self.limit
            )));
        }
        if self.filters.iter().any(|(column, ..)| column.is_empty()) {
            return Err(ClientError::invalid("filter: the column must not be empty"));
        }
        if let Some(timeout) = self.timeout {
            validate::timeout("timeout", timeout)?;
        }
        Ok(())
    }

    /// Rejects options that Ray ignores for summaries.
    pub(super) fn check_for_summary(&self) -> Result<(), ClientError> {
        let Self { limit, filters: _, detail, exclude_driver, timeout: _ } = self;
        if *limit != MAX_LIMIT || *detail || !exclude_driver {
            return Err(ClientError::invalid(
                "limit, detail and exclude_driver: have no meaning for a summary",
            ));
        }
        Ok(())
    }

    /// Returns `true` if all filters use these columns. Ray ignores the case of columns.
    pub(crate) fn filters_only_by(&self, columns: &[&str]) -> bool {
        self.filters
            .iter()
            .all(|(column, ..)| columns.iter().any(|known| known.eq_ignore_ascii_case(column)))
    }

    pub(super) fn write_to(&self, request: Request, read_timeout: Duration) -> Request {
        let seconds = match self.timeout {
            Some(timeout) => timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0),
            None => read_timeout.as_secs().max(1),
        };
        let mut request = request
            .extra_time(Duration::from_secs(seconds).saturating_sub(read_timeout))
            .query("limit", self.limit)
            .query("timeout", seconds)
            .query("detail", self.detail)
            .query("exclude_driver", self.exclude_driver);
        for (column, filter, value) in &self.filters {
            request = request
                .query("filter_keys", column)
                .query("filter_predicates", filter.as_str())
                .query("filter_values", value);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_options_are_400() {
        for bad in [
            ListOptions::default().limit(0),
            ListOptions::default().limit(10_001),
            ListOptions::default().filter("", Filter::Eq, "x"),
            ListOptions::default().timeout(Duration::ZERO),
            ListOptions::default().timeout(Duration::from_secs(24 * 60 * 60 + 1)),
        ] {
            assert_eq!(bad.check().unwrap_err().status(), 400, "{bad:?}");
        }
        let longest = ListOptions::default().limit(1).timeout(Duration::from_secs(24 * 60 * 60));
        assert!(longest.check().is_ok());
    }

    #[test]
    fn a_timeout_is_rounded_up_to_whole_seconds() {
        for (timeout, seconds) in [(1, 1), (999, 1), (1000, 1), (1500, 2), (2001, 3)] {
            let options = ListOptions::default().timeout(Duration::from_millis(timeout));
            let request =
                options.write_to(Request::get("x", "/p".to_owned()), Duration::from_secs(9));
            let query = request.path_and_query();
            assert!(query.contains(&format!("&timeout={seconds}&")), "{timeout}: {query}");
        }
    }

    #[test]
    fn a_summary_accepts_only_filters_and_a_timeout() {
        let good = ListOptions::default().filter("name", Filter::Eq, "x");
        assert!(good.clone().timeout(Duration::from_secs(5)).check_for_summary().is_ok());
        for bad in [good.clone().limit(5), good.clone().detail(true), good.exclude_driver(false)] {
            assert_eq!(bad.check_for_summary().unwrap_err().status(), 400, "{bad:?}");
        }
    }

    #[test]
    fn options_become_query_parameters() {
        let options = ListOptions::default()
            .limit(7)
            .detail(true)
            .exclude_driver(false)
            .filter("name", Filter::Ne, "a&b")
            .filter("pid", Filter::Eq, 5);
        let request = Request::get("x", "/p".to_owned());
        assert_eq!(
            options.write_to(request, Duration::from_millis(2500)).path_and_query(),
            "/p?limit=7&timeout=2&detail=true&exclude_driver=false\
             &filter_keys=name&filter_predicates=%21%3D&filter_values=a%26b\
             &filter_keys=pid&filter_predicates=%3D&filter_values=5"
        );
    }
}
