//! Sockets, clients and the clock.

pub mod ask;
mod batch;
pub mod clock;
pub mod http;
pub mod http_client;
mod icmp;
pub mod offload;
pub mod relay;
pub mod resolver;
pub mod rtpengine;
pub mod sockets;
pub mod streams;
pub mod tls;
mod trains;
pub mod udp;
pub mod websocket;
