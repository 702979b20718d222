//! Finding a peer by name: what DNS says is a stranger's word, so whatever it says, the search ends soon, asks nothing twice,
//! and gives only what can be sent to, by the transport that was asked for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RData;
use strowger::net::resolver::answer_of;
use strowger::sip::flow::Transport;
use strowger::sip::locate::{
    Answer, Answers, Located, Naptr, Question, Srv, Step, Target, Wanted, locate,
};
use strowger::sip::uri::Uri;

/// What may be asked about one name: NAPTR, SRV of each service, and both kinds of address of each host of each.
const MOST_QUESTIONS: usize = 1 + 8 + 2 * 8 * 16;
/// NAPTR, SRV, addresses; then the name itself.
const MOST_ROUNDS: usize = 4;
const MOST_TARGETS: usize = 32;

/// Names that answers are made of, so that some of them lead to one another.
const LABELS: [&str; 8] = [
    "example.com",
    "a.example.com",
    "b.example.com",
    "_sip._udp.example.com",
    "_sip._tcp.example.com",
    "_sips._tcp.example.com",
    "",
    "192.0.2.1",
];

/// The first byte says what we can send by, the rest of the first line is a URI; what follows are the answers, as they are
/// asked for.
pub fn find(data: &[u8]) {
    let Some((how, data)) = data.split_first() else {
        return;
    };
    let end = data.iter().position(|byte| *byte == b'\n');
    let (line, rest) = data.split_at(end.unwrap_or(data.len()));
    let Ok(Uri::Sip(uri)) = Uri::parse(line) else {
        return;
    };
    let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let able: Arc<[Transport]> = all
        .into_iter()
        .enumerate()
        .filter(|(place, _)| how >> place & 1 == 1)
        .map(|(_, one)| one)
        .collect();
    let assumed = (how & 8 != 0).then_some(Transport::Tcp);
    let Some(wanted) = Wanted::new(&uri, assumed, Arc::clone(&able)) else {
        return;
    };
    let asked = match uri.params.get("transport").flatten() {
        _ if uri.secure => Some(Transport::Tls),
        None => assumed,
        Some(name) => all
            .into_iter()
            .find(|one| one.name().as_bytes().eq_ignore_ascii_case(name)),
    };
    let may = |transport| able.contains(&transport) && asked.is_none_or(|one| one == transport);

    let mut zone = Zone(rest.get(1..).unwrap_or_default());
    let mut answers = Answers::new();
    for _ in 0..MOST_ROUNDS {
        match locate(&wanted, &answers) {
            Step::Ask(questions) => {
                assert!(!questions.is_empty());
                for question in questions {
                    let answer = zone.answer(&question);
                    let before = answers.insert(question, answer);
                    assert!(before.is_none(), "asked twice");
                }
                assert!(answers.len() <= MOST_QUESTIONS);
            }
            Step::Done(located) => {
                assert!(wanted.is_sendable());
                check(&located, may, uri.port);
                return;
            }
            Step::Nowhere { has_failed } => {
                let is_failed = |answer: &Answer| *answer == Answer::Failed;
                assert!(!has_failed || answers.values().any(is_failed));
                return;
            }
        }
    }
    panic!("there is no end to the questions about {wanted}");
}

fn check(located: &Located, may: impl Fn(Transport) -> bool, port: Option<u16>) {
    let targets = located.order(1);
    assert!(!targets.is_empty() && targets.len() <= MOST_TARGETS);
    assert_eq!(located.order(1), targets, "one seed, one order");
    for Target { transport, address } in &targets {
        assert!(may(*transport), "{transport:?} was not asked for");
        assert!(!address.ip().is_unspecified() && !address.ip().is_multicast());
        assert!(port.is_none_or(|port| port == address.port()));
    }
    if targets.len() < MOST_TARGETS {
        let others = located.order(2);
        assert_eq!(others.len(), targets.len());
        assert!(others.iter().all(|target| targets.contains(target)));
    }
}

/// Answers out of the input: short ones, or packets that a server could have sent.
struct Zone<'a>(&'a [u8]);

impl Zone<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    fn number(&mut self) -> u16 {
        u16::from(self.byte())
    }

    fn label(&mut self) -> Box<str> {
        let which = usize::from(self.byte());
        LABELS
            .get(which % LABELS.len())
            .copied()
            .unwrap_or("")
            .into()
    }

    fn answer(&mut self, question: &Question) -> Answer {
        match self.byte() % 8 {
            0 => Answer::Failed,
            1 => self.packet(question),
            2 => nothing(question),
            _ => self.short(question),
        }
    }

    /// A packet, as its server sent it.
    fn packet(&mut self, question: &Question) -> Answer {
        let length = usize::from(self.number()) * 2;
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        let Ok(message) = Message::from_vec(bytes) else {
            return Answer::Failed;
        };
        let data: Vec<RData> = message
            .answers
            .into_iter()
            .map(|record| record.data)
            .collect();
        let answer = answer_of(question, data.iter());
        let names = match &answer {
            Answer::Naptr(records) => records.iter().map(|one| one.replacement.clone()).collect(),
            Answer::Srv(records) => records.iter().map(|one| one.target.clone()).collect(),
            Answer::Addresses(_) | Answer::Failed => BTreeSet::new(),
        };
        for name in names {
            assert!(name.is_ascii() && !name.ends_with('.'));
            assert!(
                !name
                    .bytes()
                    .any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_control())
            );
        }
        answer
    }

    fn short(&mut self, question: &Question) -> Answer {
        let count = usize::from(self.byte() % 48);
        match question {
            Question::Naptr(_) => {
                const SERVICES: [&str; 5] = ["SIP+D2U", "sip+d2t", "SIPS+D2T", "SIP+D2S", ""];
                let record = |_| Naptr {
                    order: self.number(),
                    preference: self.number(),
                    flags: if self.byte() & 7 == 0 { "u" } else { "S" }.into(),
                    services: SERVICES
                        .get(self.byte() as usize % SERVICES.len())
                        .copied()
                        .unwrap_or("")
                        .into(),
                    replacement: self.label(),
                };
                Answer::Naptr((0..count).map(record).collect())
            }
            Question::Srv(_) => {
                let record = |place| Srv {
                    priority: self.number() % 4,
                    weight: self.number() * 257,
                    port: self.number() * 23,
                    // Most are hosts of their own, so that there are as many as there can be.
                    target: match self.byte() {
                        byte if byte & 1 == 0 => format!("h{place}.example.com").into(),
                        _ => self.label(),
                    },
                };
                Answer::Srv((0..count).map(record).collect())
            }
            Question::A(_) | Question::Aaaa(_) => {
                let address = |_| {
                    let octets = [self.byte(), self.byte(), 0, self.byte()];
                    match octets {
                        [0, ..] => Ipv4Addr::UNSPECIFIED.into(),
                        [octet, ..] if octet & 1 == 0 => Ipv4Addr::from(octets).into(),
                        _ => IpAddr::V6(Ipv4Addr::from(octets).to_ipv6_mapped()),
                    }
                };
                Answer::Addresses((0..count).map(address).collect())
            }
        }
    }
}

fn nothing(question: &Question) -> Answer {
    match question {
        Question::Naptr(_) => Answer::Naptr(Vec::new()),
        Question::Srv(_) => Answer::Srv(Vec::new()),
        Question::A(_) | Question::Aaaa(_) => Answer::Addresses(Vec::new()),
    }
}
