use std::env;
use std::fmt;
use std::sync::Arc;

use crate::ClientError;
use crate::config::ClientBuilder;
use crate::logs::{StreamLimits, Tails};
use crate::transport::{Http, Request, path};
use crate::turn::Turn;

/// A blocking client of one Ray cluster's dashboard.
///
/// A clone is cheap and shares connections, the workers of live logs, and the register of open
/// tails. Dropping the last clone closes every tail that is still open.
#[derive(Clone)]
pub struct RayClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    limits: StreamLimits,
    tails: Tails,
    serve_turn: Turn,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tails.close_all();
    }
}

impl RayClient {
    /// A client of the dashboard at this `http://` or `https://` address, with default settings.
    /// Sends nothing.
    ///
    /// # Errors
    /// 400 where the address is not valid.
    pub fn new(address: impl Into<String>) -> Result<Self, ClientError> {
        Self::builder(address).build()
    }

    /// Settings for a client of the dashboard at this address.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// A client as the environment says: the address of `RAY_API_SERVER_ADDRESS`, else of
    /// `RAY_ADDRESS`, else `http://127.0.0.1:8265`; the headers of the JSON object
    /// `RAY_JOB_HEADERS`; and where `RAY_AUTH_MODE` is `token`, the token of `RAY_AUTH_TOKEN`, of the
    /// file `RAY_AUTH_TOKEN_PATH`, with `RAY_ENABLE_K8S_TOKEN_AUTH` of the pod
    /// (`/var/run/secrets/ray.io/serviceaccount/token`), or of `~/.ray/auth_token`, unless the headers
    /// have an `Authorization`. So does Ray's own client (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// 400 where a variable is not valid, as an address that is not `http://` or `https://`.
    pub fn from_env() -> Result<Self, ClientError> {
        ClientBuilder::from_vars(|name| env::var(name).ok())?.build()
    }

    pub(crate) fn from_parts(http: Http, limits: StreamLimits) -> Self {
        let inner = Inner { http, limits, tails: Tails::default(), serve_turn: Turn::default() };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    pub(crate) fn tails(&self) -> &Tails {
        &self.inner.tails
    }

    /// The turn to change the state of Serve, which is read and written as a whole. Clones share it.
    pub(crate) fn serve_turn(&self) -> &Turn {
        &self.inner.serve_turn
    }

    pub(crate) fn stream_limits(&self) -> &StreamLimits {
        &self.inner.limits
    }

    pub(crate) fn get<T: serde::de::DeserializeOwned>(
        &self,
        what: impl fmt::Display,
        segments: &[&str],
    ) -> Result<T, ClientError> {
        self.http().send(&Request::get(what, path(segments)))?.json()
    }
}

impl fmt::Debug for RayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RayClient").field("address", &self.http().address()).finish_non_exhaustive()
    }
}
