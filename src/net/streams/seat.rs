//! The place of one connection: how the connection gets there, and what becomes of the place when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time;

use crate::net::sockets;
use crate::net::streams::connection::{Mailbox, Outgoing, Wire, mailbox};
use crate::net::streams::end::{End, Happened};
use crate::net::streams::quota::Serial;
use crate::net::streams::table::Line;
use crate::net::streams::{Bring, Lines, Terms, lock};
use crate::net::tls::Untrusted;
use crate::sip::flow::{Flow, Transport};

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// The place of one connection in the table; it is given back however the connection ends.
pub(super) struct Seat<B: Bring> {
    pub(super) lines: Arc<Lines<B>>,
    pub(super) serial: Serial,
    pub(super) flow: Flow,
    /// Whether others can send along it, so that its loss is news.
    pub(super) is_line: bool,
    pub(super) is_ours: bool,
    /// How it ended; until that is known, as those end that are aborted.
    pub(super) end: Option<End>,
}

impl<B: Bring> Drop for Seat<B> {
    fn drop(&mut self) {
        let mut table = lock(&self.lines.table);
        table.quota.remove(self.serial);
        table.tasks.remove(&self.serial);
        self.lines.bring.holds(table.quota.len());
        if self.is_line {
            let is_own = |line: &Line| line.serial == self.serial;
            // Another may lead there by now.
            let is_lost = table.by_flow.get(&self.flow).is_none_or(is_own);
            if is_lost {
                table.by_flow.remove(&self.flow);
            }
            drop(table);
            if is_lost {
                self.lines.bring.lost(self.flow);
            }
        } else {
            drop(table);
        }
        if let Some(end) = self.end.take() {
            self.lines.bring.happened(Happened::Ended {
                flow: self.flow,
                is_ours: self.is_ours,
                end,
            });
        }
    }
}

impl<B: Bring> Seat<B> {
    /// Gives the place back.
    pub(super) fn finish(mut self, end: End) {
        self.end = Some(end);
    }

    /// Makes the connection one that others can send along, and serves it until it ends.
    async fn serve<S>(
        &mut self,
        socket: S,
        terms: &Terms,
        is_kept: Arc<AtomicBool>,
        (mailbox, outgoing): (Mailbox, Outgoing),
    ) -> End
    where
        S: AsyncRead + AsyncWrite,
    {
        if !self.is_line {
            let line = Line {
                serial: self.serial,
                mailbox: mailbox.clone(),
                is_kept: Arc::clone(&is_kept),
            };
            lock(&self.lines.table).by_flow.insert(self.flow, line);
            self.is_line = true;
        }
        self.lines.bring.happened(Happened::Opened {
            flow: self.flow,
            is_ours: self.is_ours,
        });
        let wire = Wire {
            flow: self.flow,
            lines: &self.lines,
            serial: self.serial,
            mailbox,
            idle: terms.connections.idle,
            idle_kept: terms.connections.idle_known,
            is_kept,
        };
        wire.run(socket, outgoing).await
    }
}

/// Opens a connection and serves it.
pub(super) async fn dial<B: Bring>(
    seat: &mut Seat<B>,
    terms: &Terms,
    (bind, is_kept): (SocketAddr, Arc<AtomicBool>),
    post: (Mailbox, Outgoing),
) -> End {
    let until = time::Instant::now() + terms.connections.connect;
    let connect = sockets::connect_tcp(bind.ip(), seat.flow.remote);
    let stream = match time::timeout_at(until, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return End::Unconnected(error),
        Err(_) => return End::Unanswered,
    };
    match (seat.flow.transport, &terms.tls) {
        (Transport::Tls, Some(tls)) => {
            let agree = tls.connect(stream, seat.flow.peer);
            match time::timeout(HANDSHAKE_TIME, agree).await {
                Ok(Ok(stream)) => seat.serve(stream, terms, is_kept, post).await,
                Ok(Err(why)) => End::Untrusted(why),
                Err(_) => End::Unanswered,
            }
        }
        (Transport::Tls, None) => End::Untrusted(Untrusted::NoCertificate),
        (Transport::Tcp | Transport::Udp, _) => seat.serve(stream, terms, is_kept, post).await,
    }
}

/// Serves a connection that a peer has opened.
pub(super) async fn greet<B: Bring>(
    seat: &mut Seat<B>,
    terms: &Terms,
    is_known: bool,
    stream: TcpStream,
) -> End {
    sockets::settle_tcp(&stream);
    let is_kept = Arc::new(AtomicBool::new(is_known));
    match (seat.flow.transport, &terms.tls) {
        (Transport::Tls, Some(tls)) => {
            match time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                Ok(Ok((stream, peer))) => {
                    seat.flow.peer = peer;
                    seat.serve(stream, terms, is_kept, mailbox()).await
                }
                Ok(Err(why)) => End::Untrusted(why),
                Err(_) => End::Unanswered,
            }
        }
        (Transport::Tls, None) => End::Untrusted(Untrusted::NoCertificate),
        (Transport::Tcp | Transport::Udp, _) => seat.serve(stream, terms, is_kept, mailbox()).await,
    }
}
