//! Whether what is set up at Twilio comes to us, and in a form whose signature we can check: asked once at the start, so that a
//! wrong base is found before it refuses every call.
//!
//! ```text
//! address of a number           ours: below `public_url`?   nobody's but meant for us: by its path?
//! ```

use crate::twilio::front_door::PATH;
use crate::twilio::numbers::Remote;
use crate::twilio::public_url::PublicUrl;

/// What is found of one address of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// It comes here, and its signature can be checked.
    Right,
    /// It has the path of our webhooks, but another scheme, host, port or base: its signature is over a URL that we do not know.
    Unverifiable,
    /// The number is one of a campaign, and its calls go to somebody else.
    Elsewhere,
    /// The number is one of a campaign, and nothing is set up for its calls.
    Unset,
    /// The number is one of a campaign, and a trunk or an application stands before its address: there is nothing wrong if
    /// calls come by these.
    Shadowed,
}

impl Finding {
    /// Its name in metrics and in the log.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Unverifiable => "unverifiable",
            Self::Elsewhere => "elsewhere",
            Self::Unset => "unset",
            Self::Shadowed => "shadowed",
        }
    }

    /// Whether somebody should look at it.
    #[must_use]
    pub fn is_wrong(self) -> bool {
        match self {
            Self::Unverifiable | Self::Elsewhere | Self::Unset => true,
            Self::Right | Self::Shadowed => false,
        }
    }
}

/// What is found of a number: of each address that is about us. `is_ours`: calls to it have a campaign here.
#[must_use]
pub fn look(base: &PublicUrl, number: &Remote, is_ours: bool) -> Vec<(&'static str, Finding)> {
    let mut findings = Vec::new();
    let is_shadowed = ["trunk_sid", "voice_application_sid"]
        .iter()
        .any(|field| !number.value(field).is_empty());
    for (field, matters) in [
        (VOICE, is_ours),
        ("status_callback", false),
        ("sms_url", false),
    ] {
        let url = number.value(field);
        let finding = match field {
            VOICE if is_shadowed && is_ours => Some(Finding::Shadowed),
            VOICE if is_shadowed => None,
            _ if url.is_empty() => matters.then_some(Finding::Unset),
            _ if base.is_above(url) => Some(Finding::Right),
            _ if is_webhook(url) => Some(Finding::Unverifiable),
            _ => matters.then_some(Finding::Elsewhere),
        };
        findings.extend(finding.map(|finding| (field, finding)));
    }
    findings
}

/// Whether an address has the path of our webhooks, wherever it leads.
fn is_webhook(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.contains(PATH)
}

const VOICE: &str = "voice_url";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_to_us_is_right_and_what_was_meant_to_is_told() {
        use Finding::{Elsewhere, Right, Shadowed, Unset, Unverifiable};
        let ours = "https://edge.example.com/connect/webhook/twilio/voice?orgid=acme";
        for (voice, status, sid, is_ours, found) in [
            (ours, "", "", true, vec![Right]),
            (ours, ours, "", false, vec![Right, Right]),
            (
                "https://EDGE.example.com/connect/webhook/twilio/voice",
                "",
                "",
                true,
                vec![Unverifiable],
            ),
            (
                "http://edge.example.com/connect/webhook/twilio/voice",
                "",
                "",
                false,
                vec![Unverifiable],
            ),
            (
                "https://edge.example.com:8443/connect/webhook/twilio/voice",
                "",
                "",
                false,
                vec![Unverifiable],
            ),
            (
                "https://demo.example.org/voice",
                "",
                "",
                true,
                vec![Elsewhere],
            ),
            (
                "https://demo.example.org/voice?next=/connect/webhook/",
                "",
                "",
                false,
                vec![],
            ),
            ("", "", "", true, vec![Unset]),
            ("", "", "", false, vec![]),
            (
                ours,
                "https://old.example.com/connect/webhook/twilio/status",
                "",
                true,
                vec![Right, Unverifiable],
            ),
            (
                "",
                ours,
                "TK00000000000000000000000000000001",
                true,
                vec![Shadowed, Right],
            ),
            (
                ours,
                "",
                "TK00000000000000000000000000000001",
                false,
                vec![],
            ),
        ] {
            let number = json!({
                "sid": "PN00000000000000000000000000000001",
                "phone_number": "+18005551234",
                "voice_url": voice,
                "status_callback": status,
                "trunk_sid": sid,
            });
            let number = Remote::read(&number).expect("a number");
            let base = PublicUrl::parse("https://edge.example.com").expect("a URL");

            let findings = look(&base, &number, is_ours);

            let findings: Vec<_> = findings.into_iter().map(|(_, finding)| finding).collect();
            assert_eq!(findings, found, "{voice} {status} {sid} {is_ours}");
        }
    }

    #[test]
    fn only_what_keeps_calls_away_is_wrong() {
        let wrong = [Finding::Unverifiable, Finding::Elsewhere, Finding::Unset];
        assert!(wrong.into_iter().all(Finding::is_wrong));
        assert!(!Finding::Right.is_wrong() && !Finding::Shadowed.is_wrong());
    }
}
