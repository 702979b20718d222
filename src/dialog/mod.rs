//! Dialogs (RFC 3261 §12): what two user agents share about one call, seen from our side.
//!
//! A call has two, one on each leg. A dialog knows its texts (Call-ID, both ends with their tags, the
//! remote target, the route set), its sequence numbers, and the flow that leads to the peer.

pub mod reliable;
pub mod route_set;
pub mod session_timer;

use std::net::{IpAddr, SocketAddr};

use crate::dialog::route_set::RouteSet;
use crate::sip::build::{Writer, unfold_into};
use crate::sip::flow::{Flow, PeerId, Transport};
use crate::sip::locate::{Target, Wanted};
use crate::sip::message::{Essentials, Head, Method, ResponseEssentials};
use crate::sip::uri::{Uri, is_secure};

/// One dialog, early or confirmed.
#[derive(Debug)]
pub struct Dialog {
    /// Call-ID, local end, remote end, one after the other: one allocation for what never changes.
    text: Box<[u8]>,
    call_id: u16,
    local: u16,
    /// Where the remote tag lies in the remote end; empty for a peer without one (RFC 2543).
    remote_tag: (u16, u16),
    target: Box<[u8]>,
    routes: RouteSet,
    /// The address that the next hop's URI names outright, and its port; `None`: it names none.
    written: Option<(IpAddr, Option<u16>)>,
    /// The flow on which the peer was last heard.
    heard: Flow,
    /// CSeq of our last request.
    local_cseq: u32,
    /// CSeq of the peer's last request; `None` before the first.
    remote_cseq: Option<u32>,
    /// Where the next hop's name was found.
    located: Option<Box<SocketAddr>>,
    /// The next hop may be a name that nobody was asked for.
    is_name_new: bool,
    /// How often one was.
    names: u8,
}

/// How we appear in a Via.
#[derive(Debug, Clone, Copy)]
pub struct SentBy<'a> {
    /// `host:port`, as advertised.
    pub text: &'a str,
}

impl Dialog {
    /// The dialog that our 2xx to `request` makes: we are the UAS (§12.1.1). `tag` is our To-tag.
    #[must_use]
    pub fn as_uas(request: &Essentials<'_>, head: &Head<'_>, tag: &[u8], heard: Flow) -> Self {
        let target = request
            .contact
            .as_ref()
            .map_or(request.from.uri, |contact| contact.uri);
        Self::new(
            request.call_id,
            &[request.to.text, b";tag=", tag],
            request.from.text,
            request.from.tag(),
            target,
            RouteSet::from_request(head),
            heard,
            0,
            Some(request.cseq),
        )
    }

    /// The dialog that a 2xx to our INVITE makes: we are the UAC (§12.1.2). `fallback` is the target
    /// if the response names no Contact.
    #[must_use]
    pub fn as_uac(
        response: &ResponseEssentials<'_>,
        head: &Head<'_>,
        fallback: &[u8],
        heard: Flow,
    ) -> Self {
        let target = response
            .contact
            .as_ref()
            .map_or(fallback, |contact| contact.uri);
        Self::new(
            response.call_id,
            &[response.from.text],
            response.to.text,
            response.to.tag(),
            target,
            RouteSet::from_response(head),
            heard,
            response.cseq,
            None,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the two ends of RFC 3261 §12.1, side by side"
    )]
    fn new(
        call_id: &[u8],
        local: &[&[u8]],
        remote: &[u8],
        remote_tag: Option<&[u8]>,
        target: &[u8],
        routes: RouteSet,
        heard: Flow,
        local_cseq: u32,
        remote_cseq: Option<u32>,
    ) -> Self {
        let length =
            call_id.len() + remote.len() + local.iter().map(|part| part.len()).sum::<usize>();
        let mut text = Vec::with_capacity(length);
        text.extend_from_slice(call_id);
        let call_id = short(text.len());
        for part in local {
            unfold_into(&mut text, part);
        }
        let local = short(text.len());
        let start = text.len();
        unfold_into(&mut text, remote);
        let remote = text.get(start..).unwrap_or_default();
        let remote_tag = remote_tag
            .and_then(|tag| find_last(remote, tag))
            .unwrap_or((0, 0));
        Self {
            text: text.into_boxed_slice(),
            call_id,
            local,
            remote_tag,
            written: written(routes.next_hop(target)),
            target: Box::from(target),
            routes,
            heard,
            local_cseq,
            remote_cseq,
            located: None,
            is_name_new: true,
            names: 0,
        }
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        self.text
            .get(..usize::from(self.call_id))
            .unwrap_or_default()
    }

    fn local(&self) -> &[u8] {
        self.text
            .get(usize::from(self.call_id)..usize::from(self.local))
            .unwrap_or_default()
    }

    fn remote(&self) -> &[u8] {
        self.text.get(usize::from(self.local)..).unwrap_or_default()
    }

    /// The peer's tag; empty if it has none.
    #[must_use]
    pub fn remote_tag(&self) -> &[u8] {
        let (start, end) = self.remote_tag;
        self.remote()
            .get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }

    /// Whether a message with this Call-ID and peer's tag belongs here; our own tag found us already.
    #[must_use]
    pub fn is_of(&self, call_id: &[u8], remote_tag: Option<&[u8]>) -> bool {
        self.call_id() == call_id && self.remote_tag() == remote_tag.unwrap_or_default()
    }

    /// Takes note of a request of the peer; `false` if its CSeq goes back (§12.2.2: answer 500).
    pub fn advance(&mut self, cseq: u32, heard: Flow) -> bool {
        if self.remote_cseq.is_some_and(|last| cseq <= last) {
            return false;
        }
        self.remote_cseq = Some(cseq);
        self.heard = heard;
        true
    }

    /// Passes over CSeqs that may have been used in the early dialog that this one was.
    pub fn skip_cseqs(&mut self, count: u8) {
        self.local_cseq = self.local_cseq.saturating_add(count.into());
    }

    /// How many requests of ours came after the one with `cseq`; 255 stands for more, too.
    #[must_use]
    pub fn cseqs_since(&self, cseq: u32) -> u8 {
        u8::try_from(self.local_cseq.saturating_sub(cseq)).unwrap_or(u8::MAX)
    }

    /// CSeq for our next request.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.local_cseq
    }

    /// Goes on with the sequence numbers of the early dialog that this one was (RFC 3262 §4: PRACKs take theirs
    /// from the same row).
    pub fn continue_from(&mut self, early: &Self) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.max(early.remote_cseq);
    }

    /// Takes the peer's new Contact (target refresh, §12.2).
    pub fn refresh_target(&mut self, target: &[u8]) {
        if *self.target != *target {
            self.written = written(self.routes.next_hop(target));
            self.target = Box::from(target);
            self.located = None;
            self.is_name_new = true;
        }
    }

    /// Whether the peer is called by a `sips:` URI.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        is_secure(&self.target)
    }

    /// Begins a request within the dialog: request line, Via, Route, Max-Forwards, From, To, Call-ID, CSeq.
    /// The caller adds what the method needs, and ends it.
    pub fn write_request<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        method: Method<'_>,
        cseq: u32,
        sent_by: &str,
        branch: &[u8],
        max_forwards: u8,
    ) -> Writer<'b> {
        let mut writer = Writer::request(buffer, method, self.routes.request_uri(&self.target));
        writer.via(self.heard.transport, sent_by, branch);
        self.routes.write(&mut writer, &self.target);
        writer
            .number("Max-Forwards", u32::from(max_forwards))
            .field("From", self.local())
            .field("To", self.remote())
            .field("Call-ID", self.call_id())
            .cseq(cseq, method);
        writer
    }

    /// The name of the next hop that is yet to be looked up, by the transport of the dialog; once for each that the
    /// peer gives, and not for ever.
    pub fn name_to_locate(&mut self) -> Option<Wanted> {
        let is_new = std::mem::take(&mut self.is_name_new);
        if !is_new || self.names >= MOST_NAMES || self.is_unproved() {
            return None;
        }
        let wanted = self.wanted()?;
        self.names += 1;
        Some(wanted)
    }

    /// Takes in where that name is; `ways` in the order in which they are to be tried. The one where the peer was heard
    /// goes first.
    pub fn note_located<'t>(&mut self, wanted: &Wanted, ways: impl Iterator<Item = &'t Target>) {
        if self.wanted().as_ref() != Some(wanted) {
            return;
        }
        let heard = self.heard;
        let usable = ways.filter(|way| {
            way.transport == heard.transport && is_reachable(way.address.ip(), heard.remote.ip())
        });
        let best = usable.min_by_key(|way| way.address.ip() != heard.remote.ip());
        self.located = best.map(|way| Box::new(way.address));
    }

    /// What is to be looked up for the next hop; `None`: nothing, it is an address.
    fn wanted(&self) -> Option<Wanted> {
        if self.written.is_some() {
            return None;
        }
        let Ok(Uri::Sip(uri)) = Uri::parse(self.routes.next_hop(&self.target)) else {
            return None;
        };
        let transport = self.heard.transport;
        Wanted::new(&uri, Some(transport), [transport].into()).filter(Wanted::is_sendable)
    }

    /// The flow on which a request within the dialog goes out: to the address that the next hop's URI
    /// names, or that its name was found at. Where that is not known, or an address that a peer behind NAT made up, the flow on which the
    /// peer was heard stands in for it; and so does the connection on which it was heard, as long as
    /// it leads to the same host and is not lost.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let heard = self.heard.remote.ip();
        if self.is_unproved() {
            return self.heard;
        }
        match self.named() {
            Some(named) if self.has_connection() && named.ip() == heard => self.heard,
            Some(named) if is_reachable(named.ip(), heard) => Flow {
                remote: named,
                ..self.heard
            },
            _ => self.heard,
        }
    }

    /// Notes that the connection on which the peer was heard is lost: the next request goes to the address
    /// that the next hop's URI names. `false`: there is no other way.
    pub fn lose_connection(&mut self) -> bool {
        // What DNS said did not help.
        if self.located.take().is_some() {
            return true;
        }
        let heard = self.heard.remote;
        match self.named() {
            Some(named) if self.has_connection() && !self.is_unproved() && named != heard => {
                let is_other = is_reachable(named.ip(), heard.ip());
                if is_other {
                    self.heard.remote = named;
                }
                is_other
            }
            _ => false,
        }
    }

    fn has_connection(&self) -> bool {
        self.heard.transport.is_reliable()
    }

    /// A peer that called by TLS without proving a name: another connection could prove none either.
    fn is_unproved(&self) -> bool {
        self.heard.transport == Transport::Tls && self.heard.peer == PeerId::NOBODY
    }

    /// The address that the next hop's URI names.
    fn named(&self) -> Option<SocketAddr> {
        let Some((ip, port)) = self.written else {
            return self.located.as_deref().copied();
        };
        let port = port.unwrap_or(self.heard.transport.default_port());
        Some(SocketAddr::new(ip, port))
    }
}

/// Names of one peer that are looked up.
const MOST_NAMES: u8 = 8;

/// The address that a `sip:` URI names outright, and its port.
fn written(uri: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    match Uri::parse(uri) {
        Ok(Uri::Sip(uri)) => Some((uri.host.ip()?, uri.port)),
        Ok(Uri::Tel(_) | Uri::Other { .. }) | Err(_) => None,
    }
}

/// Whether `named` can be meant, seen from where we heard the peer: same family, and not a private
/// address of a peer that came from a public one.
fn is_reachable(named: IpAddr, heard: IpAddr) -> bool {
    named.is_ipv4() == heard.is_ipv4()
        && !named.is_unspecified()
        && !named.is_multicast()
        && (is_private(heard) || !is_private(named))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Where the tag stands in a From or To value: it is a parameter, so it is looked for from the end.
fn find_last(value: &[u8], tag: &[u8]) -> Option<(u16, u16)> {
    let start = memchr::memmem::rfind(value, tag)?;
    Some((short(start), short(start + tag.len())))
}

/// A length within a message, which is at most 64 KiB long.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
