//! What every message must say (RFC 3261 §8.1.1, §8.2.6.2), read and checked once.

use crate::sip::chars::{TOKEN, number, part, skip_lws};
use crate::sip::error::ParseError;
use crate::sip::header::{NameAddr, Via};
use crate::sip::message::{Method, Request, Response};
use crate::sip::name::Name;
use crate::sip::scan::Head;
use crate::sip::uri::Uri;

/// What every request says, checked.
#[derive(Debug, Clone, Copy)]
pub struct Essentials<'a> {
    /// Request-URI.
    pub uri: Uri<'a>,
    /// Topmost Via value.
    pub via: Via<'a>,
    /// From. Its tag may be missing (RFC 2543).
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// Number in CSeq, below 2^31.
    pub cseq: u32,
    /// Max-Forwards; `None` where the peer sent none (RFC 2543).
    pub max_forwards: Option<u8>,
    /// First Contact value.
    pub contact: Option<NameAddr<'a>>,
}

/// What names a request among all others (RFC 3261 §17.2.3), whatever it asks.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// Topmost Via value.
    pub via: Via<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// The tag in From, if there is one.
    pub from_tag: Option<&'a [u8]>,
    /// Number in CSeq.
    pub cseq: u32,
}

impl<'a> Essentials<'a> {
    /// What names the request.
    #[must_use]
    pub fn naming(&self) -> Naming<'a> {
        Naming {
            via: self.via,
            call_id: self.call_id,
            from_tag: self.from.tag(),
            cseq: self.cseq,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads what every request must say (RFC 3261 §8.1.1): each thing present once, well formed and
    /// in its range, and CSeq for this method.
    pub fn essentials(&self) -> Result<Essentials<'a>, ParseError> {
        let head = &self.head;
        let uri = Uri::parse(self.uri)?;
        if let Uri::Sip(sip) = &uri
            && sip.headers.is_some()
        {
            return Err(ParseError::Uri);
        }
        let common = common(head, |uri| Uri::parse(uri).map(drop))?;
        if common.method != self.method.as_bytes() {
            return Err(ParseError::CSeqMethod);
        }
        let max_forwards = match head.first(Name::MaxForwards) {
            None => None,
            Some(value) => {
                let hops = number(value, 255).and_then(|hops| u8::try_from(hops).ok());
                Some(hops.ok_or(ParseError::Invalid(Name::MaxForwards))?)
            }
        };
        Ok(Essentials {
            uri,
            via: common.via,
            from: common.from,
            to: common.to,
            call_id: common.call_id,
            cseq: common.cseq,
            max_forwards,
            contact: common.contact,
        })
    }
}

/// What every response says, checked.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEssentials<'a> {
    /// Topmost Via value.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// Number in CSeq, below 2^31.
    pub cseq: u32,
    /// Method in CSeq.
    pub method: Method<'a>,
    /// First Contact value.
    pub contact: Option<NameAddr<'a>>,
}

impl<'a> Response<'a> {
    /// Reads what every response must say (RFC 3261 §8.2.6.2).
    /// From and To are ours to know: their URIs are passed on to nobody, and are not read.
    pub fn essentials(&self) -> Result<ResponseEssentials<'a>, ParseError> {
        let common = common(&self.head, |_| Ok(()))?;
        Ok(ResponseEssentials {
            via: common.via,
            from: common.from,
            to: common.to,
            call_id: common.call_id,
            cseq: common.cseq,
            method: Method::from_bytes(common.method),
            contact: common.contact,
        })
    }
}

struct Common<'a> {
    via: Via<'a>,
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a [u8],
    cseq: u32,
    method: &'a [u8],
    contact: Option<NameAddr<'a>>,
}

/// `check` says whether a URI of From or To will do.
#[inline]
fn common<'a>(
    head: &Head<'a>,
    check: impl Fn(&[u8]) -> Result<(), ParseError>,
) -> Result<Common<'a>, ParseError> {
    let value = |name| head.first(name).ok_or(ParseError::Missing(name));
    let via = Via::parse(value(Name::Via)?)?;
    let from = address(value(Name::From)?, Name::From, &check)?;
    let to = address(value(Name::To)?, Name::To, &check)?;
    let call_id = value(Name::CallId)?;
    if call_id.is_empty() || call_id.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(ParseError::Invalid(Name::CallId));
    }
    let (cseq, method) = cseq(value(Name::CSeq)?).ok_or(ParseError::Invalid(Name::CSeq))?;
    let contact = match head.first(Name::Contact) {
        None => None,
        Some(value) => Some(contact(value)?),
    };
    Ok(Common {
        via,
        from,
        to,
        call_id,
        cseq,
        method,
        contact,
    })
}

#[inline]
fn address(
    value: &[u8],
    name: Name,
    check: impl Fn(&[u8]) -> Result<(), ParseError>,
) -> Result<NameAddr<'_>, ParseError> {
    let fault = ParseError::Invalid(name);
    let address = NameAddr::parse(value).map_err(|_| fault)?;
    check(address.uri).map_err(|_| fault)?;
    Ok(address)
}

#[inline]
fn contact(value: &[u8]) -> Result<NameAddr<'_>, ParseError> {
    let fault = ParseError::Invalid(Name::Contact);
    let address = NameAddr::parse_first(value).map_err(|_| fault)?;
    if address.uri != b"*" {
        Uri::parse(address.uri).map_err(|_| fault)?;
    }
    Ok(address)
}

/// Number and method of a CSeq value (RFC 3261 §20.16).
#[inline]
pub(super) fn cseq(value: &[u8]) -> Option<(u32, &[u8])> {
    let mut end = 0;
    while value.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let sequence = number(part(value, 0, end), (1 << 31) - 1)?;
    let start = skip_lws(value, end);
    let method = value.get(start..)?;
    (start > end && TOKEN.fills(method)).then_some((sequence, method))
}
