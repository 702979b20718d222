//! Header names known once (RFC 3261 §20, RFC 3261 §7.3.3 for the compact forms).

macro_rules! names {
    ($($variant:ident $text:literal $(or $compact:literal)?),+ $(,)?) => {
        /// Name of a header.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)+
            /// One that we give no meaning to.
            Other,
        }

        impl Name {
            /// How many there are, [`Other`](Self::Other) not counted.
            pub const COUNT: usize = [$($text),+].len();

            const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];

            /// The name as we write it; empty for [`Other`](Self::Other).
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other => "",
                }
            }

            #[inline]
            fn from_compact(letter: u8) -> Self {
                match letter.to_ascii_lowercase() {
                    $($($compact => Self::$variant,)?)+
                    _ => Self::Other,
                }
            }
        }
    };
}

names! {
    Via "Via" or b'v',
    From "From" or b'f',
    To "To" or b't',
    CallId "Call-ID" or b'i',
    CSeq "CSeq",
    Contact "Contact" or b'm',
    MaxForwards "Max-Forwards",
    ContentLength "Content-Length" or b'l',
    ContentType "Content-Type" or b'c',
    Route "Route",
    RecordRoute "Record-Route",
    Require "Require",
    ProxyRequire "Proxy-Require",
    Supported "Supported" or b'k',
    Unsupported "Unsupported",
    Allow "Allow",
    Authorization "Authorization",
    ProxyAuthorization "Proxy-Authorization",
    WwwAuthenticate "WWW-Authenticate",
    ProxyAuthenticate "Proxy-Authenticate",
    AuthenticationInfo "Authentication-Info",
    Expires "Expires",
    RetryAfter "Retry-After",
    Reason "Reason",
    Subject "Subject" or b's',
    UserAgent "User-Agent",
    Server "Server",
    Date "Date",
    Identity "Identity" or b'y',
    SessionExpires "Session-Expires" or b'x',
    MinSe "Min-SE",
    MinExpires "Min-Expires",
    RSeq "RSeq",
    RAck "RAck",
    ReferTo "Refer-To" or b'r',
    ReferredBy "Referred-By" or b'b',
    Replaces "Replaces",
    Event "Event" or b'o',
    AllowEvents "Allow-Events" or b'u',
    SubscriptionState "Subscription-State",
    Accept "Accept",
    AcceptContact "Accept-Contact" or b'a',
    RejectContact "Reject-Contact" or b'j',
    RequestDisposition "Request-Disposition" or b'd',
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    CallInfo "Call-Info",
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" or b'e',
    ContentLanguage "Content-Language",
    ErrorInfo "Error-Info",
    InReplyTo "In-Reply-To",
    MimeVersion "MIME-Version",
    Organization "Organization",
    Priority "Priority",
    ReplyTo "Reply-To",
    Timestamp "Timestamp",
    Warning "Warning",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
    PChargeInfo "P-Charge-Info",
    Privacy "Privacy",
    Diversion "Diversion",
    HistoryInfo "History-Info",
    RemotePartyId "Remote-Party-ID",
    Path "Path",
    ServiceRoute "Service-Route",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
}

/// Length, first, middle and last letter tell the names apart; two that fall together do not compile.
static PLACES: [Name; 256] = places();

const fn place(name: &[u8]) -> u8 {
    let [first, .., last] = name else {
        return 0;
    };
    let (_, half) = name.split_at(name.len() / 2);
    let Some(middle) = half.first() else {
        return 0;
    };
    ((name.len() as u8).wrapping_mul(MIX.0))
        .wrapping_add((*first | 0x20).wrapping_mul(MIX.1))
        .wrapping_add((*middle | 0x20).wrapping_mul(MIX.2))
        .wrapping_add((*last | 0x20).wrapping_mul(MIX.3))
}

/// Found by trial: with these factors no two names fall into one place.
const MIX: (u8, u8, u8, u8) = (151, 245, 111, 115);

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn places() -> [Name; 256] {
    let mut table = [Name::Other; 256];
    let mut index = 0;
    while index < Name::COUNT {
        let name = Name::ALL[index];
        let place = place(name.text().as_bytes()) as usize;
        assert!(
            matches!(table[place], Name::Other),
            "two names in one place: change MIX"
        );
        table[place] = name;
        index += 1;
    }
    table
}

impl Name {
    /// The name that `text` is, in any case or in its compact form.
    #[must_use]
    #[inline]
    pub fn from_text(text: &[u8]) -> Self {
        if let [letter] = text {
            return Self::from_compact(*letter);
        }
        let found = PLACES
            .get(usize::from(place(text)))
            .copied()
            .unwrap_or(Self::Other);
        let known = found.text().as_bytes();
        if known == text || known.eq_ignore_ascii_case(text) {
            found
        } else {
            Self::Other
        }
    }

    /// All that are known.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }

    /// Whether it may stand only once in a message (RFC 3261 §7.3.1) and a reader that took the
    /// other one would see another message.
    #[must_use]
    #[inline]
    pub(crate) fn is_single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_in_any_case() {
        for name in Name::ALL {
            let text = name.text();

            assert_eq!(Name::from_text(text.as_bytes()), name);
            assert_eq!(Name::from_text(text.to_ascii_uppercase().as_bytes()), name);
            assert_eq!(Name::from_text(text.to_ascii_lowercase().as_bytes()), name);
        }
    }

    #[test]
    fn compact_forms_are_the_registered_ones() {
        let registered = "a Accept-Contact, b Referred-By, c Content-Type, d Request-Disposition, e Content-Encoding, \
             f From, i Call-ID, j Reject-Contact, k Supported, l Content-Length, m Contact, o Event, r Refer-To, \
             s Subject, t To, u Allow-Events, v Via, x Session-Expires, y Identity";
        for pair in registered.split(", ") {
            let (letter, text) = pair.split_once(' ').unwrap();

            assert_eq!(Name::from_text(letter.as_bytes()).text(), text);
            assert_eq!(
                Name::from_text(letter.to_ascii_uppercase().as_bytes()).text(),
                text
            );
        }
    }

    #[test]
    fn what_is_only_alike_is_other() {
        for text in [
            "",
            "z",
            "Fron",
            "Vias",
            "X-PH-RetreaverUUID",
            "Call_ID",
            "To\0",
        ] {
            assert_eq!(Name::from_text(text.as_bytes()), Name::Other, "{text:?}");
        }
    }
}
