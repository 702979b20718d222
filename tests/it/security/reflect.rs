//! Answers to those who may be somebody else than they say: none has more bytes than what it answers.

use strowger::call::policy::Strangers;

use super::figure;
use crate::sim::desk::{Desk, specs};
use crate::sim::policy::{CARRIER, PolicySpec, STRANGER, addr, number};

/// Every method, to every kind of domain, from the shortest request that can be read up to a usual one, well formed or not: each
/// answer is at most as long as its request, and most requests are answered all the same.
#[test]
fn row_09_no_answer_to_a_stranger_is_longer_than_its_request() {
    let (mut bytes_in, mut bytes_out) = (0, 0);
    let (mut asked, mut answered, mut worst) = (0, 0, 0.0_f64);
    for strangers in [Strangers::Refuse, Strangers::Silent] {
        let mut desk = desk(strangers);
        for request in requests() {
            let said = desk.say_bytes(addr(STRANGER), request.as_bytes());
            let out: usize = said.iter().map(|one| one.bytes.len()).sum();
            assert!(said.iter().all(|one| one.to == addr(STRANGER)));
            assert!(
                out <= request.len(),
                "{out} bytes for {}:\n{request}",
                request.len()
            );
            (bytes_in, bytes_out) = (bytes_in + request.len(), bytes_out + out);
            (asked, answered) = (asked + 1, answered + usize::from(out > 0));
            worst = worst.max(out as f64 / request.len() as f64);
        }
        // Nothing is sent again either.
        assert!(desk.pass_millis(40_000).is_empty());
    }

    assert!(answered * 3 > asked, "{answered} of {asked}");
    figure(
        9,
        &format!(
            "{asked} requests of a stranger, {answered} answered: {bytes_in} bytes in, {bytes_out} out; at most {worst:.2} of a request's own"
        ),
    );
}

/// An answer that would be too long says less, and is still one.
#[test]
fn row_09_what_does_not_fit_is_left_out() {
    let mut desk = desk(Strangers::Refuse);
    let uri = format!("sip:{}@digest.example.com", number(0));
    for (padding, challenges) in [(700, 2), (150, 1)] {
        let request = request("INVITE", &uri, padding);

        let said = desk.say_bytes(addr(STRANGER), request.as_bytes());

        assert_eq!(said[0].message.status(), 401);
        let offered: Vec<_> = said[0].message.all("WWW-Authenticate").collect();
        assert_eq!(offered.len(), challenges, "{request}");
        assert_eq!(offered[0].contains("algorithm=SHA-256"), challenges == 2);
    }
    let mut options = |from, padding| {
        let request = request("OPTIONS", "sip:ip.example.com", padding);
        let said = desk.say_bytes(addr(from), request.as_bytes());
        let allow = said[0].message.first("Allow").map(str::to_owned);
        (said[0].message.status(), allow.is_some())
    };
    assert_eq!(options(STRANGER, 300), (200, true));
    assert_eq!(options(STRANGER, 0), (200, false));
    // Who is listed is told all.
    assert_eq!(options(CARRIER, 0), (200, true));
}

fn desk(strangers: Strangers) -> Desk {
    Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        strangers,
        ..PolicySpec::default()
    })
}

fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    for method in [
        "INVITE",
        "OPTIONS",
        "REGISTER",
        "SUBSCRIBE",
        "MESSAGE",
        "PUBLISH",
        "BYE",
        "CANCEL",
        "UPDATE",
        "INFO",
        "PRACK",
        "REFER",
        "NOTIFY",
        "FETCH",
        "ACK",
    ] {
        for host in [
            "digest.example.com",
            "ip.example.com",
            "both.example.com",
            "nowhere.example.com",
        ] {
            let uri = format!("sip:{}@{host}", number(0));
            for padding in [0, 20, 60, 120, 250, 500] {
                let usual = request(method, &uri, padding);
                requests.push(usual.replace("To: <", "Require: x-none, y-none\r\nTo: <"));
                requests.push(usual.replace("Max-Forwards: 70", "Max-Forwards: 0"));
                requests.push(usual.replace(";tag=a", ""));
                // What cannot be read.
                requests.push(usual.replace("CSeq: 1", "CSeq: x"));
                requests.push(usual.replace("<sip:a@b>", "<sip:a@b"));
                requests.push(usual);
            }
            requests.push(format!(
                "{method} sip:{host} SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bK1\r\nf:<sip:a@b>;tag=1\r\nt:<sip:a@b>\r\ni:1\r\nCSeq:1 {method}\r\n\r\n"
            ));
        }
    }
    requests
}

fn request(method: &str, uri: &str, padding: usize) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bKx{padding};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=a\r\nTo: <{uri}>\r\nCall-ID: reflect\r\nCSeq: 1 {method}\r\nUser-Agent: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(padding)
    )
}
