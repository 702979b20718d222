//! Sockets, clients and the clock.

pub mod ask;
mod batch;
pub mod clock;
pub mod http;
pub mod http_client;
pub mod relay;
pub mod resolver;
pub mod rtpengine;
pub mod sockets;
pub mod streams;
pub mod tls;
pub mod udp;
pub mod websocket;
