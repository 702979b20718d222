//! The front door, `/connect/webhook/{vendor}/{service}`: which services there are, how each is answered, and the addresses
//! under which we hand them out.
//!
//! ```text
//!   asked for a document:  answer 200 text/xml      what happens to the caller next
//!   told something:        answer 204               as soon as it is written down; never 4xx for what is signed
//! ```
//!
//! A known service is never 404: Twilio would play an error to the caller. The sender's signature is the only authentication
//! there is, so it is checked on each of them.

use crate::twilio::form::{Form, encode_into};
use crate::twilio::public_url::PublicUrl;

/// Who sends webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// Twilio.
    Twilio,
}

/// What a webhook is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// A call came in: from a telephone, a soft phone, or another application.
    Voice,
    /// A leg that we had called has ended.
    DialAction,
    /// How a leg gets on.
    Status,
    /// A message came in.
    Sms,
    /// How a recording gets on.
    RecordingStatus,
    /// How a transcription gets on.
    TranscriptionStatus,
    /// A call came in to a number with a menu.
    IvrMenu,
    /// A key of a menu was pressed.
    IvrMenuInput,
    /// Digits were entered, or words spoken.
    IvrInput,
    /// A flow goes on.
    IvrContinue,
    /// A caller's words were recorded.
    IvrRecording,
    /// A caller waits in a queue.
    IvrQueueMusic,
    /// A payment gets on.
    IvrPaymentStatus,
    /// A call that an assistant makes.
    IvrAiOutbound,
    /// A call that an assistant hands on.
    IvrAiTransfer,
    /// A call that an assistant takes.
    AiVoice,
}

/// How a service is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// With a document: the caller waits for it.
    Document,
    /// With an empty document: nothing is said, nobody waits.
    Acknowledgement,
    /// With nothing (204).
    Nothing,
}

/// How a request is answered if nothing better can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is no request for us: 404.
    NoSuchPlace,
    /// It is not signed as it should be: 403, without a word.
    Unsigned,
    /// It cannot be read: 400.
    Unreadable,
    /// We could not write it down: 503, and it is sent again.
    NotKept,
}

impl Vendor {
    /// The vendor of a segment of the path.
    #[must_use]
    pub fn parse(segment: &str) -> Option<Self> {
        (segment == "twilio").then_some(Self::Twilio)
    }

    /// Its segment of the path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
        }
    }
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Voice,
        Self::DialAction,
        Self::Status,
        Self::Sms,
        Self::RecordingStatus,
        Self::TranscriptionStatus,
        Self::IvrMenu,
        Self::IvrMenuInput,
        Self::IvrInput,
        Self::IvrContinue,
        Self::IvrRecording,
        Self::IvrQueueMusic,
        Self::IvrPaymentStatus,
        Self::IvrAiOutbound,
        Self::IvrAiTransfer,
        Self::AiVoice,
    ];

    /// The service of a segment of the path; a path without one is about voice.
    #[must_use]
    pub fn parse(segment: Option<&str>) -> Option<Self> {
        let Some(segment) = segment.filter(|segment| !segment.is_empty()) else {
            return Some(Self::Voice);
        };
        Self::ALL
            .into_iter()
            .find(|service| service.name() == segment)
    }

    /// Its segment of the path, also its name in records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::DialAction => "dial-action",
            Self::Status => "status",
            Self::Sms => "sms",
            Self::RecordingStatus => "recording-status",
            Self::TranscriptionStatus => "transcription-status",
            Self::IvrMenu => "ivr-menu",
            Self::IvrMenuInput => "ivr-menu-input",
            Self::IvrInput => "ivr-input",
            Self::IvrContinue => "ivr-continue",
            Self::IvrRecording => "ivr-recording",
            Self::IvrQueueMusic => "ivr-queue-music",
            Self::IvrPaymentStatus => "ivr-payment-status",
            Self::IvrAiOutbound => "ivr-ai-outbound",
            Self::IvrAiTransfer => "ivr-ai-transfer",
            Self::AiVoice => "ai-voice",
        }
    }

    /// How it is answered. A payment's result asks what is next; its progress is only told, and is known by `PaymentSid`.
    #[must_use]
    pub fn reply(self, form: &Form) -> Reply {
        match self {
            Self::Voice
            | Self::DialAction
            | Self::IvrMenu
            | Self::IvrMenuInput
            | Self::IvrInput
            | Self::IvrContinue
            | Self::IvrRecording
            | Self::IvrQueueMusic
            | Self::IvrAiOutbound
            | Self::IvrAiTransfer
            | Self::AiVoice => Reply::Document,
            Self::IvrPaymentStatus if form.first("Result").is_some() => Reply::Document,
            Self::Sms => Reply::Acknowledgement,
            Self::Status
            | Self::RecordingStatus
            | Self::TranscriptionStatus
            | Self::IvrPaymentStatus => Reply::Nothing,
        }
    }

    /// The address that we hand out for it: `BASE/connect/webhook/twilio/SERVICE?orgid=ORG`, and what else it is to remember.
    #[must_use]
    pub fn url(self, base: &PublicUrl, org: &str, more: &[(&str, &str)]) -> String {
        let mut url = format!(
            "{base}{PATH}{}/{}?orgid=",
            Vendor::Twilio.name(),
            self.name()
        );
        encode_into(org, &mut url);
        for (name, value) in more {
            url.push('&');
            encode_into(name, &mut url);
            url.push('=');
            encode_into(value, &mut url);
        }
        url
    }
}

impl Reply {
    /// Status, type and body of it, where there is nothing to say.
    #[must_use]
    pub fn plain(self) -> (u16, Option<&'static str>, &'static str) {
        match self {
            Self::Document | Self::Acknowledgement => (200, Some(DOCUMENT), EMPTY),
            Self::Nothing => (204, None, ""),
        }
    }
}

impl Failure {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NoSuchPlace => 404,
            Self::Unsigned => 403,
            Self::Unreadable => 400,
            Self::NotKept => 503,
        }
    }
}

/// Reads what stands behind the front door: vendor and service of a path, without the query.
#[must_use]
pub fn find(path: &str) -> Option<(Vendor, Service)> {
    let mut segments = path.strip_prefix(PATH)?.splitn(2, '/');
    let vendor = Vendor::parse(segments.next()?)?;
    let service = Service::parse(segments.next())?;
    Some((vendor, service))
}

/// Where the front door is.
pub const PATH: &str = "/connect/webhook/";
/// The type of a document.
pub const DOCUMENT: &str = "text/xml; charset=utf-8";
/// A document that says nothing.
pub const EMPTY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_a_place_of_its_own() {
        for service in Service::ALL {
            let path = format!("/connect/webhook/twilio/{}", service.name());
            assert_eq!(find(&path), Some((Vendor::Twilio, service)), "{path}");
        }
        assert_eq!(
            find("/connect/webhook/twilio"),
            Some((Vendor::Twilio, Service::Voice))
        );
        assert_eq!(
            find("/connect/webhook/twilio/"),
            Some((Vendor::Twilio, Service::Voice))
        );
        for nowhere in [
            "",
            "/",
            "/connect/webhook/",
            "/connect/webhook/acme/voice",
            "/connect/webhook/Twilio/voice",
            "/connect/webhook/twilio/Voice",
            "/connect/webhook/twilio/voice/",
            "/connect/webhook/twilio/ivr",
            "/connect/webhook//voice",
        ] {
            assert_eq!(find(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn who_waits_for_a_document_gets_one() {
        let none = Form::default();
        let replies: Vec<_> = Service::ALL
            .into_iter()
            .filter(|service| service.reply(&none) != Reply::Document)
            .map(Service::name)
            .collect();

        assert_eq!(
            replies,
            [
                "status",
                "sms",
                "recording-status",
                "transcription-status",
                "ivr-payment-status"
            ]
        );
        let paid: Form = [("Result", "success")].into_iter().collect();
        assert_eq!(Service::IvrPaymentStatus.reply(&paid), Reply::Document);
        assert_eq!(Reply::Acknowledgement.plain(), (200, Some(DOCUMENT), EMPTY));
        assert_eq!(Reply::Nothing.plain(), (204, None, ""));
    }

    #[test]
    fn an_address_says_whose_it_is() {
        let base = PublicUrl::parse("https://edge.example.com").unwrap();

        let url = Service::DialAction.url(&base, "my org&co", &[("a", "2"), ("u", "8f14")]);

        assert_eq!(
            url,
            "https://edge.example.com/connect/webhook/twilio/dial-action?orgid=my%20org%26co&a=2&u=8f14"
        );
    }
}
