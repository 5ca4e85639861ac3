//! HTTP and WebSocket exchanges. No other code names `ureq`, `tungstenite` or a socket.
//!
//! Files import each other only in this direction: websocket, retries → http → `response_check` →
//! body → connections, exchange → dial → error, connect, tls → settings → request, proxy, token.

mod body;
mod connect;
mod connections;
mod dial;
mod error;
mod exchange;
mod http;
mod proxy;
mod request;
mod response_check;
mod retries;
mod settings;
#[cfg(feature = "tls")]
mod tls;
mod token;
mod websocket;

pub(crate) use body::{ContentRange, Response, Stream};
pub(crate) use connect::{Connection, Register};
pub(crate) use http::Http;
pub(crate) use proxy::Proxies;
pub(crate) use request::{ByteRange, Request, path};
pub(crate) use settings::Settings;
#[cfg(feature = "tls")]
pub(crate) use tls::certificates;
pub(crate) use token::Token;
pub(crate) use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri};
pub(crate) use websocket::{Event, WebSocket};

/// Must not look like a browser's: Ray would refuse writes and mask values.
const USER_AGENT: &str = concat!("ray-client/", env!("CARGO_PKG_VERSION"));
