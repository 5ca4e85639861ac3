//! The only code that names `ureq`, `tungstenite` or a socket.

mod connect;
mod http;
mod proxy;
mod websocket;

pub(crate) use http::{
    Answer, ByteRange, ContentRange, Http, Request, Settings, StreamError, path,
};
pub(crate) use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri};
pub(crate) use ureq::unversioned::transport::ShutdownHandle;
pub(crate) use websocket::{Event, Register, WebSocket};

#[cfg(feature = "tls")]
pub(crate) use http::certificates;
pub(crate) use proxy::from_vars as proxy_from_vars;
