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
        uri: "sip:+12125550101@ip.demo.example",
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
            dialled: "+12125550101",
            campaign: Some("solar"),
            afid: Some("bright-leads"),
            sid: Some("tv-spot"),
            attempts: &[("first", Some(200), AttemptResult::Answered)],
            outcome: Outcome::Completed,
            status: 200,
            hung_up_by: Side::Caller,
        },
    },
};

static BY_DIGEST: Scene = Scene {
    title: "Let in by digest, first buyer busy, second one asks for credentials and ends the call",
    carrier: carrier::Plan {
        uri: "sip:2125550102@digest.demo.example",
        login: Some(Login {
            username: "carrier",
            password: "demo-carrier-password",
            realm: "digest.demo.example",
        }),
        forged: Some(("x-ph-retreaverafid", "6666")),
        talks: None,
    },
    buyers: [
        buyer::Plan::Busy,
        buyer::Plan::Answer {
            login: Some(Login {
                username: "acme",
                password: "demo-buyer-password",
                realm: "second.buyer.example",
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
            "> INVITE + credentials",
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
                "< INVITE + credentials",
                "> 180 Ringing",
                "> 200 OK",
                "< ACK",
                "> BYE",
                "< 200 OK (BYE)",
            ],
        ],
        record: Record {
            trunk: "carrier-by-password",
            user: Some("carrier"),
            dialled: "+12125550102",
            campaign: Some("roofing"),
            afid: Some("bright-leads"),
            sid: None,
            attempts: &[
                ("first", Some(486), AttemptResult::Busy),
                ("second", Some(200), AttemptResult::Answered),
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
        uri: "sip:+12125550199@ip.demo.example",
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
            dialled: "+12125550199",
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
