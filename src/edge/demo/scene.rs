//! The three calls of the demo: what everyone does, and what must come of it.
//!
//! Names, numbers and passwords are those of `conf/demo.toml`.

use std::time::Duration;

use crate::call::record::{AttemptResult, Outcome, Side};
use crate::edge::demo::buyer;
use crate::edge::demo::carrier;
use crate::edge::demo::phone::Login;

/// One call.
pub(super) struct Scene {
    pub(super) title: &'static str,
    pub(super) carrier: carrier::Plan,
    pub(super) buyers: [buyer::Plan; 2],
    pub(super) expected: Expected,
}

/// What must come of it.
pub(super) struct Expected {
    /// What the carrier says (`>`) and hears (`<`), in order.
    pub(super) carrier: &'static [&'static str],
    /// What each buyer says (`>`) and hears (`<`), in order.
    pub(super) buyers: [&'static [&'static str]; 2],
    pub(super) record: Record,
}

/// What the call record must say.
pub(super) struct Record {
    pub(super) trunk: &'static str,
    pub(super) user: Option<&'static str>,
    pub(super) dialled: &'static str,
    pub(super) campaign: Option<&'static str>,
    pub(super) afid: Option<&'static str>,
    pub(super) sid: Option<&'static str>,
    pub(super) attempts: &'static [(&'static str, Option<u16>, AttemptResult)],
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) hung_up_by: Side,
}

/// All of them, in order.
pub(super) const SCENES: [&Scene; 3] = [&BY_ADDRESS, &BY_DIGEST, &UNKNOWN];

static BY_ADDRESS: Scene = Scene {
    title: "Let in by address, answered by the first buyer, ended by the caller",
    carrier: carrier::Plan {
        uri: "sip:+18885550100@ip.example.com",
        login: None,
        forged: None,
        talks: Some(TALKS),
    },
    buyers: [
        buyer::Plan::Answer {
            login: None,
            rings: RINGS,
            talks: None,
        },
        buyer::Plan::Busy,
    ],
    expected: Expected {
        carrier: &[
            "> INVITE",
            "< 100 Trying",
            "< 180 Ringing",
            "< 200 OK",
            "> ACK",
            "> BYE",
            "< 200 OK (BYE)",
        ],
        buyers: [
            &[
                "< INVITE",
                "> 180 Ringing",
                "> 200 OK",
                "< ACK",
                "< BYE",
                "> 200 OK (BYE)",
            ],
            &[],
        ],
        record: Record {
            trunk: "carrier-by-address",
            user: None,
            dialled: "+18885550100",
            campaign: Some("roofing"),
            afid: Some("1001"),
            sid: None,
            attempts: &[("buyer-1", Some(200), AttemptResult::Answered)],
            outcome: Outcome::Completed,
            status: 200,
            hung_up_by: Side::Caller,
        },
    },
};

static BY_DIGEST: Scene = Scene {
    title: "Let in by digest, first buyer busy, second one asks for credentials and ends the call",
    carrier: carrier::Plan {
        uri: "sip:8885550101@sip.example.com",
        login: Some(Login {
            username: "carrier",
            password: "demo-only-carrier",
            realm: "sip.example.com",
        }),
        forged: Some(("x-ph-retreaverafid", "6666")),
        talks: None,
    },
    buyers: [
        buyer::Plan::Busy,
        buyer::Plan::Answer {
            login: Some(Login {
                username: "strowger",
                password: "demo-only-buyer",
                realm: "buyer-2.example.com",
            }),
            rings: RINGS,
            talks: Some(TALKS),
        },
    ],
    expected: Expected {
        carrier: &[
            "> INVITE",
            "< 401 Unauthorized",
            "> ACK",
            "> INVITE with credentials",
            "< 100 Trying",
            "< 180 Ringing",
            "< 200 OK",
            "> ACK",
            "< BYE",
            "> 200 OK (BYE)",
        ],
        buyers: [
            &["< INVITE", "> 486 Busy Here", "< ACK"],
            &[
                "< INVITE",
                "> 407 Proxy Authentication Required",
                "< ACK",
                "< INVITE with credentials",
                "> 180 Ringing",
                "> 200 OK",
                "< ACK",
                "> BYE",
                "< 200 OK (BYE)",
            ],
        ],
        record: Record {
            trunk: "carrier-by-digest",
            user: Some("carrier"),
            dialled: "+18885550101",
            campaign: Some("roofing"),
            afid: Some("1002"),
            sid: Some("summer-7"),
            attempts: &[
                ("buyer-1", Some(486), AttemptResult::Busy),
                ("buyer-2", Some(200), AttemptResult::Answered),
            ],
            outcome: Outcome::Completed,
            status: 200,
            hung_up_by: Side::Buyer,
        },
    },
};

static UNKNOWN: Scene = Scene {
    title: "A number that nobody has",
    carrier: carrier::Plan {
        uri: "sip:+18885550199@ip.example.com",
        login: None,
        forged: None,
        talks: None,
    },
    buyers: [buyer::Plan::Busy, buyer::Plan::Busy],
    expected: Expected {
        carrier: &["> INVITE", "< 100 Trying", "< 404 Not Found", "> ACK"],
        buyers: [&[], &[]],
        record: Record {
            trunk: "carrier-by-address",
            user: None,
            dialled: "+18885550199",
            campaign: None,
            afid: None,
            sid: None,
            attempts: &[],
            outcome: Outcome::NumberUnknown,
            status: 404,
            hung_up_by: Side::Edge,
        },
    },
};

/// How long a buyer rings: long enough to be seen.
const RINGS: Duration = Duration::from_millis(80);

/// How long a call is talked on.
const TALKS: Duration = Duration::from_millis(120);
