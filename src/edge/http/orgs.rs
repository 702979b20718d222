//! The table of routes for orgs: their programs, their users and their soft phones. They are served where vendors are.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};

use crate::edge::http::answer;
use crate::edge::http::member::{Kind, Member};
use crate::edge::http::table::{Access, Asked, Reads, Route, Run, SHORT};
use crate::edge::http::{phone, phones, purchase, upstream};

const PROGRAM: Access = Access::Member(Kind::Program);
const USER: Access = Access::Member(Kind::User);
const PHONE: Access = Access::Member(Kind::Phone);

/// For what is asked of a vendor, perhaps page by page.
const LONG: Duration = Duration::from_secs(120);

/// How long is waited for what such a change comes to: less, so that whoever waits is told that nobody knows.
const PATIENCE: Duration = Duration::from_secs(110);

const OBJECT: Reads = Reads {
    kinds: &["application/json"],
    is_needed: true,
    schema: "object",
    most: 64 * 1_024,
};

/// Without it, nothing is said besides.
const PERHAPS: Reads = Reads {
    is_needed: false,
    ..OBJECT
};

const ORG: &[(&str, &str)] = &[("orgid", "The org that has signed the token.")];

const ORG_OR_PHONE: &[(&str, &str)] = &[(
    "orgid",
    "The org that has signed the token; without it, the token is a voice token.",
)];

const SOCKET: &[(&str, &str)] = &[
    (
        "orgid",
        "The org that has signed the token; without it, the token is a voice token.",
    ),
    (
        "Sec-WebSocket-Protocol",
        "`strowger.calls`, and for a browser `bearer.TOKEN`.",
    ),
];

const NUMBERS: &[(StatusCode, &str)] = &[
    (StatusCode::CREATED, "It is the org's, and set up."),
    (StatusCode::OK, "It is set up."),
    (StatusCode::NOT_FOUND, "There is no such number."),
    REFUSED,
    UNCONNECTED,
    GONE_DARK,
    UNKEPT,
    SHUT,
];

const REFUSED: (StatusCode, &str) = (
    StatusCode::UNPROCESSABLE_ENTITY,
    "The vendor refuses it; the answer has its error.",
);
const UNCONNECTED: (StatusCode, &str) = (
    StatusCode::CONFLICT,
    "The org is not connected, the vendor refuses its credentials, or the number is being bought.",
);
const GONE_DARK: (StatusCode, &str) = (
    StatusCode::BAD_GATEWAY,
    "The vendor gives no answer, or none that can be read.",
);
const UNKEPT: (StatusCode, &str) = (
    StatusCode::INSUFFICIENT_STORAGE,
    "It cannot be written to the disk, or there are too many.",
);
const SHUT: (StatusCode, &str) = (
    StatusCode::SERVICE_UNAVAILABLE,
    "There is no data_dir, no key to seal with, or too much at once.",
);

/// Who asks; no route is asked that far without somebody.
fn member(asked: &Asked) -> Result<&Member, StatusCode> {
    asked.member.as_ref().ok_or(StatusCode::UNAUTHORIZED)
}

/// Has a room answer somebody of an org: at once, when it has asked a vendor, or when what it changes there has come to its end,
/// whoever hangs up.
macro_rules! room {
    ($room:path) => {
        |office, asked| {
            Box::pin(async move {
                match member(&asked) {
                    Ok(member) => $room(&office, member, &asked),
                    Err(status) => answer::empty(status),
                }
            })
        }
    };
    (asks $room:path) => {
        |office, asked| {
            Box::pin(async move {
                match member(&asked) {
                    Ok(member) => $room(&office, member, &asked).await,
                    Err(status) => answer::empty(status),
                }
            })
        }
    };
    (changes $room:path) => {
        |office, asked| {
            Box::pin(async move {
                let run: Run = room!(asks $room);
                let errand = run(Arc::clone(&office), asked);
                office.errands.run(PATIENCE, errand).await
            })
        }
    };
}

/// Every route there is.
pub(super) const ORGS: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/upstream/save-integration",
        name: "save_integration",
        summary: "Saves the credentials of an org's account if the vendor takes them; they are sealed, and never shown.",
        access: PROGRAM,
        body: Some(OBJECT),
        query: &[],
        headers: ORG,
        time: LONG,
        answers: &[
            (StatusCode::OK, "What is saved, without its secrets."),
            (
                StatusCode::NOT_FOUND,
                "The vendor does not know the account.",
            ),
            (
                StatusCode::CONFLICT,
                "The account is another org's, or the vendor refuses its credentials.",
            ),
            REFUSED,
            GONE_DARK,
            UNKEPT,
            SHUT,
        ],
        run: room!(asks upstream::save),
    },
    Route {
        method: Method::GET,
        path: "/upstream/integrations",
        name: "integrations",
        summary: "Shows how an org is connected, without secrets.",
        access: PROGRAM,
        body: None,
        query: &[],
        headers: ORG,
        time: SHORT,
        answers: &[(StatusCode::OK, "Its connection, if it has one.")],
        run: room!(upstream::show),
    },
    Route {
        method: Method::POST,
        path: "/upstream/test/{integration}/{operation}",
        name: "test_integration",
        summary: "Tries a connection out: listPhoneNumbers of TwilioProvider.",
        access: PROGRAM,
        body: Some(PERHAPS),
        query: &[],
        headers: ORG,
        time: LONG,
        answers: &[
            (
                StatusCode::OK,
                "Numbers, perhaps none: the credentials are good.",
            ),
            (StatusCode::NOT_FOUND, "There is no such operation."),
            REFUSED,
            UNCONNECTED,
            GONE_DARK,
            SHUT,
        ],
        run: room!(asks upstream::test),
    },
    Route {
        method: Method::POST,
        path: "/phone/token",
        name: "voice_token",
        summary: "Makes a voice token for a soft phone.",
        access: USER,
        body: Some(PERHAPS),
        query: &[],
        headers: ORG,
        time: SHORT,
        answers: &[(StatusCode::OK, "The token."), UNCONNECTED],
        run: room!(phone::token),
    },
    Route {
        method: Method::POST,
        path: "/phone/voice/register-device",
        name: "register_device",
        summary: "Makes a voice token for a soft phone, and says which numbers are its user's.",
        access: USER,
        body: Some(PERHAPS),
        query: &[],
        headers: ORG,
        time: SHORT,
        answers: &[(StatusCode::OK, "The token, and numbers."), UNCONNECTED],
        run: room!(phone::register_device),
    },
    Route {
        method: Method::GET,
        path: "/phone/numbers",
        name: "phone_numbers",
        summary: "Lists the numbers of an org, as they are written down here, and purchases whose end is not known.",
        access: PROGRAM,
        body: None,
        query: &[],
        headers: ORG,
        time: SHORT,
        answers: &[(StatusCode::OK, "The numbers.")],
        run: room!(phone::list),
    },
    Route {
        method: Method::POST,
        path: "/phone/numbers",
        name: "buy_number",
        summary: "Buys a number, and sets its webhooks up.",
        access: PROGRAM,
        body: Some(OBJECT),
        query: &[],
        headers: ORG,
        time: LONG,
        answers: NUMBERS,
        run: room!(changes purchase::buy),
    },
    Route {
        method: Method::POST,
        path: "/phone/numbers/add",
        name: "add_number",
        summary: "Takes over a number that the account has, and sets its webhooks up.",
        access: PROGRAM,
        body: Some(OBJECT),
        query: &[],
        headers: ORG,
        time: LONG,
        answers: NUMBERS,
        run: room!(changes phone::add),
    },
    Route {
        method: Method::POST,
        path: "/phone/numbers/{number}/routing",
        name: "push_number",
        summary: "Brings what is written down here of a number to the vendor.",
        access: PROGRAM,
        body: Some(PERHAPS),
        query: &[],
        headers: ORG,
        time: LONG,
        answers: NUMBERS,
        run: room!(changes phone::route),
    },
    Route {
        method: Method::POST,
        path: "/phone/verify",
        name: "verify_numbers",
        summary: "Compares what the vendor has of every number with what is written down here.",
        access: PROGRAM,
        body: Some(PERHAPS),
        query: &[],
        headers: ORG,
        time: LONG,
        answers: &[
            (StatusCode::OK, "How they differ."),
            (
                StatusCode::NOT_FOUND,
                "The vendor does not know the account.",
            ),
            REFUSED,
            UNCONNECTED,
            GONE_DARK,
            UNKEPT,
            SHUT,
        ],
        run: room!(asks phone::verify),
    },
    Route {
        method: Method::GET,
        path: "/calls/bindings",
        name: "bindings",
        summary: "Lists soft phones that push services reach: those of a user, or of the org.",
        access: PHONE,
        body: None,
        query: &[
            ("identity", "The user."),
            ("after", "The id after which the page begins."),
            ("limit", "Soft phones of a page, 1 to 1000; 100 by default."),
        ],
        headers: ORG_OR_PHONE,
        time: SHORT,
        answers: &[(StatusCode::OK, "A page, without addresses."), UNCONNECTED],
        run: room!(phones::list),
    },
    Route {
        method: Method::POST,
        path: "/calls/bindings",
        name: "register_binding",
        summary: "Registers a soft phone that a push service reaches, until some time.",
        access: PHONE,
        body: Some(OBJECT),
        query: &[],
        headers: ORG_OR_PHONE,
        time: SHORT,
        answers: &[
            (StatusCode::CREATED, "It is there, under this id."),
            (
                StatusCode::CONFLICT,
                "The user has too many, the push service is not configured, or the org is not connected.",
            ),
            UNKEPT,
            SHUT,
        ],
        run: room!(phones::register),
    },
    Route {
        method: Method::DELETE,
        path: "/calls/bindings/{id}",
        name: "unregister_binding",
        summary: "Forgets a soft phone.",
        access: PHONE,
        body: None,
        query: &[],
        headers: ORG_OR_PHONE,
        time: SHORT,
        answers: &[
            (StatusCode::NO_CONTENT, "It is gone."),
            (StatusCode::NOT_FOUND, "There is none of this id."),
            UNCONNECTED,
            UNKEPT,
            SHUT,
        ],
        run: room!(phones::unregister),
    },
    Route {
        method: Method::GET,
        path: "/calls/socket",
        name: "phone_socket",
        summary: "Opens a WebSocket on which a soft phone is told of calls, each a text as it came.",
        access: PHONE,
        body: None,
        query: &[],
        headers: SOCKET,
        time: SHORT,
        answers: &[
            (StatusCode::SWITCHING_PROTOCOLS, "It is open."),
            (StatusCode::UPGRADE_REQUIRED, "No WebSocket is asked for."),
            (StatusCode::BAD_REQUEST, "It cannot be opened."),
            UNCONNECTED,
            SHUT,
        ],
        run: |office, mut asked| {
            Box::pin(async move {
                match asked.member.take() {
                    Some(member) => phones::socket(&office, &member, &mut asked),
                    None => answer::empty(StatusCode::UNAUTHORIZED),
                }
            })
        },
    },
];
