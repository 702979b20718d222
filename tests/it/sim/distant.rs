//! An rtpengine of the tests' own: it keeps to the order of questions that the real one wants, and writes its addresses,
//! ports and keys into what it is given.

use std::collections::{BTreeMap, BTreeSet};

use strowger::call::record::{MediaAt, Record};
use strowger::media::ng::ask::{Ask, Failure, Told};
use strowger::media::ng::{Exchange, Protocol, Reply, Request, Scope};
use strowger::media::plan::Party;

use super::policy::addr;

/// Where it is, as far as the engine knows.
pub(crate) const PLACE: &str = "203.0.113.9:2223";

/// Where media is heard at rtpengine.
pub(crate) const MEDIA: &str = "203.0.113.9";

/// All calls at one rtpengine.
#[derive(Default)]
pub(crate) struct Distant {
    calls: BTreeMap<String, Lodged>,
    ports: u16,
    /// Attempts that were there, by call and buyer: what was asked of them before may come after.
    over: BTreeSet<(String, String)>,
    /// What was asked that must not be.
    pub(crate) faults: Vec<String>,
}

/// One call.
#[derive(Default)]
struct Lodged {
    caller: Option<u16>,
    /// By the buyer's tag: the port, and who made the offer, about SRTP or not.
    buyers: BTreeMap<String, (u16, Option<(Party, bool)>)>,
}

impl Distant {
    /// What it answers.
    pub(crate) fn answer(&mut self, ask: &Ask) -> Told {
        let reply = match &ask.request {
            Request::Offer(exchange) => Ok(self.offer(exchange)),
            Request::Answer(exchange) => self.answer_to(exchange),
            Request::Delete(names, scope) => {
                self.delete(&names.call, &names.buyer, *scope);
                Ok(Reply::Deleted(None))
            }
            Request::Ping | Request::Query(_) => Ok(Reply::Pong),
        };
        Told {
            ticket: ask.ticket,
            place: Some(addr(PLACE)),
            names: ask.request.names().cloned(),
            result: reply,
        }
    }

    /// What the shell says when it does not answer.
    pub(crate) fn silence(ask: &Ask, failure: Failure) -> Told {
        Told {
            ticket: ask.ticket,
            place: (failure != Failure::Nowhere).then(|| addr(PLACE)),
            names: ask.request.names().cloned(),
            result: Err(failure),
        }
    }

    /// A record ends its call.
    pub(crate) fn end(&mut self, record: &Record) {
        if let Some(MediaAt::Rtpengine(lodging)) = &record.media {
            let names = &lodging.names;
            self.delete(&names.call, &names.buyer, Scope::Call);
        }
    }

    /// Calls that are there.
    pub(crate) fn left(&self) -> Vec<&str> {
        self.calls.keys().map(String::as_str).collect()
    }

    /// Attempts of a call that are there.
    pub(crate) fn attempts(&self, call: &str) -> Vec<&str> {
        let lodged = self.calls.get(call);
        lodged.map_or_else(Vec::new, |lodged| {
            lodged.buyers.keys().map(String::as_str).collect()
        })
    }

    fn port(&mut self) -> u16 {
        self.ports += 2;
        20_000 + self.ports % 20_000
    }

    fn offer(&mut self, exchange: &Exchange) -> Reply {
        let names = &exchange.names;
        let (fresh, other) = (self.port(), self.port());
        let lodged = self.calls.entry(names.call.to_string()).or_default();
        let caller = *lodged.caller.get_or_insert(fresh);
        let is_new = !lodged.buyers.contains_key(&*names.buyer);
        if is_new && !exchange.is_first {
            self.faults
                .push(format!("{} was never offered", names.buyer));
        }
        let buyer = lodged
            .buyers
            .entry(names.buyer.to_string())
            .or_insert((other, None));
        let sdp = String::from_utf8_lossy(&exchange.sdp).into_owned();
        buyer.1 = Some((exchange.offerer, sdp.contains("RTP/SAVP")));
        let port = match exchange.offerer {
            Party::Caller => buyer.0,
            Party::Buyer => caller,
        };
        Reply::Sdp(rewritten(&sdp, port, exchange.shape.protocol).into())
    }

    fn answer_to(&mut self, exchange: &Exchange) -> Result<Reply, Failure> {
        let names = &exchange.names;
        let Some(lodged) = self.calls.get(&*names.call) else {
            // It was ended there meanwhile.
            return Err(Failure::Silent);
        };
        let found = lodged.buyers.get(&*names.buyer);
        let attempt = (names.call.to_string(), names.buyer.to_string());
        let Some((buyer, Some((offerer, is_secure)))) = found else {
            if self.over.contains(&attempt) {
                return Err(Failure::Silent);
            }
            self.faults
                .push(format!("{} was never offered", names.buyer));
            return Err(Failure::Silent);
        };
        if *offerer != exchange.offerer {
            self.faults.push("the wrong one answers".to_owned());
        }
        let port = match exchange.offerer {
            Party::Caller => lodged.caller.unwrap_or_default(),
            Party::Buyer => *buyer,
        };
        let sdp = String::from_utf8_lossy(&exchange.sdp).into_owned();
        let protocol = match is_secure {
            true => Protocol::Srtp,
            false => Protocol::Rtp,
        };
        Ok(Reply::Sdp(rewritten(&sdp, port, Some(protocol)).into()))
    }

    fn delete(&mut self, call: &str, buyer: &str, scope: Scope) {
        match scope {
            Scope::Call => {
                self.calls.remove(call);
            }
            Scope::Attempt => {
                // The whole of it may be over by now.
                let Some(lodged) = self.calls.get_mut(call) else {
                    return;
                };
                self.over.insert((call.to_owned(), buyer.to_owned()));
                if lodged.buyers.remove(buyer).is_none() {
                    self.faults
                        .push(format!("{buyer} is deleted, but not there"));
                }
            }
        }
    }
}

/// `sdp` with its addresses and keys.
fn rewritten(sdp: &str, port: u16, protocol: Option<Protocol>) -> String {
    let mut out = String::new();
    for line in sdp.lines() {
        let is_key = line.starts_with("a=crypto:");
        if line.starts_with("c=") {
            out += &format!("c=IN IP4 {MEDIA}");
        } else if let Some(rest) = line.strip_prefix("m=") {
            let words: Vec<_> = rest.split(' ').collect();
            let proto = match protocol {
                Some(Protocol::Srtp) => "RTP/SAVP",
                Some(Protocol::Rtp) => "RTP/AVP",
                None => words[2],
            };
            out += &format!("m={} {port} {proto} {}", words[0], words[3..].join(" "));
        } else if is_key && protocol == Some(Protocol::Rtp) {
            continue;
        } else {
            out += line;
        }
        out += "\r\n";
    }
    if protocol == Some(Protocol::Srtp) && !out.contains("a=crypto:") {
        out += &format!("{KEY}\r\n");
    }
    out
}

/// A key, for whoever needs one.
pub(crate) const KEY: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
