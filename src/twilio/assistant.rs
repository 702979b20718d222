//! Calls that an assistant makes, takes or hands on (`ai-voice`, `ivr-ai-outbound`, `ivr-ai-transfer`): there is no assistant
//! here, but a document that connects the caller with one.

use thiserror::Error;

use crate::twilio::front_door::Service;
use crate::twilio::sid::CallSid;
use crate::twilio::twiml::{Response, hangup, redirect, stream};

/// What callers get who are to talk to an assistant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Assistant {
    /// There is none: the call ends.
    #[default]
    Nobody,
    /// It listens and speaks at this WebSocket.
    Stream(Box<str>),
    /// It is elsewhere, and answers with a document of its own.
    Redirect(Box<str>),
}

/// An address where no assistant can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an assistant is at wss:// (a stream) or https:// (a document)")]
pub struct NoAssistant;

impl Assistant {
    /// Reads where it is.
    pub fn parse(url: &str) -> Result<Self, NoAssistant> {
        let is_plain = url.len() <= 2048 && url.bytes().all(|byte| byte.is_ascii_graphic());
        let host = url.split_once("://").map_or("", |(_, rest)| rest);
        if !is_plain || host.is_empty() || host.starts_with('/') {
            return Err(NoAssistant);
        }
        if url.starts_with("wss://") {
            // Twilio drops the query of a stream's address; what it is told stands in parameters.
            let has_query = url.contains('?');
            (!has_query)
                .then(|| Self::Stream(url.into()))
                .ok_or(NoAssistant)
        } else if url.starts_with("https://") {
            Ok(Self::Redirect(url.into()))
        } else {
            Err(NoAssistant)
        }
    }

    /// The document that connects a call with it. A stream is told what it is for, and whose call it is.
    #[must_use]
    pub fn document(&self, service: Service, leg: CallSid, org: &str) -> Response {
        match self {
            Self::Nobody => Response::of(hangup([])),
            Self::Redirect(url) => Response::of(redirect(url)),
            Self::Stream(url) => {
                let leg = leg.to_string();
                let facts = [("service", service.name()), ("call", &*leg), ("orgid", org)];
                Response::of(stream(url, facts)).then(hangup([]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::twilio::tests::tree;

    #[test]
    fn a_caller_is_connected_with_the_assistant() {
        let leg = CallSid::from_bits(1);
        let document = |assistant: &Assistant| {
            let text = assistant
                .document(Service::AiVoice, leg, "acme")
                .write()
                .unwrap();
            tree(&text)[3].clone()
        };

        let stream = Assistant::parse("wss://ai.example.com/voice").unwrap();
        let parameter =
            |name: &str, value: &str| json!(["Parameter", {"name": name, "value": value}, "", []]);
        assert_eq!(
            document(&stream),
            json!([
                ["Connect", {}, "", [["Stream", {"url": "wss://ai.example.com/voice"}, "", [
                    parameter("service", "ai-voice"),
                    parameter("call", "CA00000000000000000000000000000001"),
                    parameter("orgid", "acme"),
                ]]]],
                ["Hangup", {}, "", []],
            ])
        );
        let elsewhere = Assistant::parse("https://ai.example.com/voice?a=1").unwrap();
        assert_eq!(
            document(&elsewhere)[0][2],
            "https://ai.example.com/voice?a=1"
        );
        assert_eq!(
            document(&Assistant::default()),
            json!([["Hangup", {}, "", []]])
        );
    }

    #[test]
    fn an_assistant_is_somewhere() {
        for bad in [
            "",
            "wss://",
            "ws://a",
            "http://a",
            "wss://a/b?c",
            "wss://a b",
            "https:///x",
            "ai.example.com",
        ] {
            assert_eq!(Assistant::parse(bad), Err(NoAssistant), "{bad}");
        }
    }
}
