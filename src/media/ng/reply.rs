//! What rtpengine's replies mean.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::media::bencode::Value;
use crate::media::figures::{Figures, Heard};
use crate::media::ng::{Fault, Names, Reply, Request, Scope, Words};
use crate::media::plan::Party;

pub(super) fn read(request: &Request, body: &[u8]) -> Result<Reply, Fault> {
    let value = Value::read(body)?;
    let result = text(&value, "result").ok_or(Fault::Missing("result"))?;
    match result {
        b"ok" | b"pong" => {}
        b"load limit" => {
            let words = text(&value, "message").unwrap_or(result);
            return Err(Fault::Full(Words::new(words)));
        }
        other => {
            let words = text(&value, "error-reason").unwrap_or(other);
            // Its words when no port is left are the only sign of it.
            let is_full = words.starts_with(b"Ran out of");
            let words = Words::new(words);
            return Err(if is_full {
                Fault::Full(words)
            } else {
                Fault::Refused(words)
            });
        }
    }
    match request {
        Request::Ping => Ok(Reply::Pong),
        Request::Offer(_) | Request::Answer(_) => {
            let sdp = text(&value, "sdp").filter(|sdp| !sdp.is_empty());
            let sdp = sdp.ok_or(Fault::Missing("sdp"))?;
            Ok(Reply::Sdp(Bytes::copy_from_slice(sdp)))
        }
        Request::Delete(names, Scope::Call) => Ok(Reply::Deleted(figures(&value, names))),
        Request::Delete(_, Scope::Attempt) => Ok(Reply::Deleted(None)),
        Request::Query(names) => figures(&value, names)
            .map(Reply::Figures)
            .ok_or(Fault::Missing("tags")),
    }
}

/// What came from whom, by the tags of both; `None`: it knew neither.
fn figures(value: &Value<'_>, names: &Names) -> Option<Box<Figures>> {
    let tags = value.at("tags")?;
    let sources = value.at("SSRC");
    let [caller, buyer] = Party::BOTH.map(|party| {
        let tag = tags.at(names.tag(party));
        tag.map(|tag| heard(tag, sources))
    });
    if caller.is_none() && buyer.is_none() {
        return None;
    }
    Some(Box::new(Figures {
        parties: [caller, buyer].map(Option::unwrap_or_default),
    }))
}

/// What came from one party, over all its media lines. It does not say how many packets were lost, nor the largest
/// jitter; jitter and the score are what the other party reported by RTCP.
fn heard(tag: &Value<'_>, sources: Option<&Value<'_>>) -> Heard {
    let mut heard = Heard::default();
    let medias = tag.at("medias").map(Value::items).unwrap_or_default();
    let streams = medias
        .iter()
        .filter_map(|media| media.at("streams"))
        .flat_map(Value::items);
    for stream in streams {
        let stats = stream.at("stats");
        let count = |key| stats.and_then(|stats| stats.at(key)?.count()).unwrap_or(0);
        // All that came; those with errors were not passed on.
        let (came, errors) = (count("packets"), count("errors"));
        let packets = came.saturating_sub(errors);
        heard.dropped = heard.dropped.saturating_add(errors);
        let flags = stream.at("flags").map(Value::items).unwrap_or_default();
        let is_rtp = flags.iter().any(|flag| flag.text() == Some(b"RTP"));
        if !is_rtp {
            heard.rtcp = heard.rtcp.saturating_add(packets);
            continue;
        }
        heard.packets = heard.packets.saturating_add(packets);
        let payload = payload(count("bytes"), came, packets);
        heard.bytes = heard.bytes.saturating_add(payload);
        if packets > 0 {
            heard.source = stream.at("endpoint").and_then(endpoint).or(heard.source);
            read_quality(&mut heard, stream, sources);
        }
    }
    heard
}

/// Payload bytes of the packets that were passed on, if they were as long as the others: rtpengine counts the bytes of
/// all that came, headers and all.
fn payload(bytes: u64, came: u64, passed: u64) -> u64 {
    let all = bytes.saturating_sub(came.saturating_mul(RTP_HEADER));
    let passed = u128::from(all) * u128::from(passed.min(came)) / u128::from(came.max(1));
    u64::try_from(passed).unwrap_or(u64::MAX)
}

/// Length of the header of RTP without CSRCs, in bytes.
const RTP_HEADER: u64 = 12;

/// What RTCP told of the stream's SSRC.
fn read_quality(heard: &mut Heard, stream: &Value<'_>, sources: Option<&Value<'_>>) {
    let average = || {
        let ssrc = stream.at("SSRC")?.count()?.to_string();
        sources?.at(&ssrc)?.at("average MOS")
    };
    let Some(average) = average() else {
        return;
    };
    let count = |key| average.at(key).and_then(Value::count);
    // Tenths; ours are hundredths, from 1 to 4.5.
    heard.mos = count("MOS")
        .filter(|mos| (10..=50).contains(mos))
        .and_then(|mos| u16::try_from(mos * 10).ok())
        .map(|mos| mos.min(450))
        .or(heard.mos);
    if let Some(jitter) = count("jitter") {
        heard.jitter = Duration::from_millis(jitter);
        heard.jitter_max = heard.jitter_max.max(heard.jitter);
    }
}

fn endpoint(value: &Value<'_>) -> Option<SocketAddr> {
    let address = std::str::from_utf8(text(value, "address")?).ok()?;
    let address: IpAddr = address.parse().ok()?;
    let port = u16::try_from(value.at("port")?.count()?).ok()?;
    Some(SocketAddr::new(address, port)).filter(|address| address.port() != 0)
}

fn text<'a>(value: &Value<'a>, key: &str) -> Option<&'a [u8]> {
    value.at(key)?.text()
}
