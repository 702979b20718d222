//! The HTTP service itself: who is let in, within which bounds, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use strowger::net::clock;

use super::client::{Client, READER, WRITER, open, reply};
use super::process::Process;
use super::site::{Site, http_get};
use crate::certificates::Authority;

#[test]
fn every_route_that_is_described_is_served_to_whom_it_says() {
    let site = Site::new(1);
    open(&site, "public_url = \"https://edge.example.com\"");
    let edge = site.start();
    let [address] = *edge.http_addresses() else {
        panic!("one listener");
    };
    let client = |token| Client { address, token };
    let description = client(None).get("/openapi.json").json();

    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["servers"][0]["url"], "https://edge.example.com");
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let ask = |token| {
                let path = path.replace("{kind}", "buyer").replace("{id}", "nobody");
                let path = path.replace("{uuid}", "nobody");
                let method = method.to_uppercase();
                client(token).ask(&method, &path.replace("{name}", "none"), &[], b"")
            };
            let name = operation["operationId"].as_str().unwrap();
            let scope = operation["security"][0]["token"][0].as_str();
            let stranger = ask(None);
            let is_guarded = !operation["security"].as_array().unwrap().is_empty();
            // What has its key in its path is shown one.
            let shows_key = path.ends_with("{key}");
            assert_eq!(stranger.status == 401, is_guarded && !shows_key, "{name}");
            if stranger.status == 401 {
                assert_eq!(
                    stranger.header("www-authenticate"),
                    "Bearer realm=\"strowger\""
                );
            }
            let answer = ask(Some(READER));
            assert_eq!(
                answer.status == 403,
                matches!(scope, Some("write" | "capture")),
                "{name}"
            );
            let statuses = operation["responses"].as_object().unwrap();
            for answer in [&stranger, &answer] {
                let status = answer.status.to_string();
                assert!(statuses.contains_key(&status), "{name}: {status}");
            }
        }
    }
    assert!(operations > 10, "{operations}");
    let wrong = client(Some(READER)).ask("PATCH", "/v1/lists", &[], b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET"));
    assert_eq!(client(Some(READER)).get("/v2/lists").status, 404);
}

#[test]
fn captures_need_a_folder_and_a_token_for_them() {
    const OPERATOR: &str = "operator-0123456789-canary";
    let site = Site::new(1);
    open(&site, "");
    let text = fs::read_to_string(&site.config).unwrap();
    let token = format!(
        "[[http.token]]\nname = \"operator\"\nsecret = \"{OPERATOR}\"\nscopes = [\"capture\"]\n"
    );
    fs::write(&site.config, format!("{text}\n{token}")).unwrap();
    let edge = site.start();
    let client = |token| Client {
        address: edge.http_addresses()[0],
        token: Some(token),
    };

    let refused = client(WRITER).get("/v1/captures");
    assert_eq!(refused.status, 403);
    for (method, path) in [
        ("GET", "/v1/captures"),
        ("POST", "/v1/captures"),
        ("DELETE", "/v1/captures/1"),
    ] {
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let refused = client(OPERATOR).ask(method, path, &[], body);
        assert_eq!(refused.status, 409, "{method}");
        assert_eq!(refused.json()["error"], "no_folder", "{method}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let site = Site::new(1);
    open(&site, "");
    let edge = site.start();
    let client = Client {
        address: edge.http_addresses()[0],
        token: Some(WRITER),
    };
    let long = "x".repeat(20_000);

    let head = client.ask("GET", "/v1/lists", &[("X-Long", &long)], b"");
    let many: Vec<_> = (0..100).map(|_| ("X-Many", "1")).collect();
    let headers = client.ask("GET", "/v1/lists", &many, b"");
    let path = client.get(&format!("/v1/{long}"));
    let body = client.ask("PUT", "/v1/directory/buyer/a", &[], &[b' '; 300_000]);
    let none = client.ask("DELETE", "/v1/directory/buyer/a", &[], b"{}");

    let statuses = [&head, &headers, &path, &body, &none].map(|reply| reply.status);
    assert_eq!(statuses, [431, 431, 431, 413, 413]);
    // Without a length, it is counted as it comes.
    let mut stream = client.connect();
    write!(
        stream,
        "PUT /v1/directory/buyer/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Authorization: Bearer {WRITER}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, " ".repeat(100_000));
    for _ in 0..3 {
        // It may be refused, and closed, by now.
        let _ = stream.write_all(chunk.as_bytes());
    }
    assert_eq!(reply(&mut stream).status, 413);
}

#[test]
fn an_address_has_its_share_of_connections_and_gets_them_back() {
    let site = Site::new(1);
    open(&site, "per_address = 4");
    let edge = site.start();
    let client = Client {
        address: edge.http_addresses()[0],
        token: None,
    };
    let idle: Vec<_> = (0..4).map(|_| client.connect()).collect();

    // Accepted in order, so those before it have their places.
    let mut fifth = client.connect();
    let closed = fifth.read(&mut [0; 1]);
    assert!(!closed.is_ok_and(|length| length > 0));
    drop(idle);

    let deadline = clock::now() + Duration::from_secs(5);
    while client.get("/openapi.json").status != 200 {
        assert!(clock::now() < deadline, "no place is given back");
        thread::sleep(Duration::from_millis(20));
    }
    let metrics = edge.metrics();
    let refused = "strowger_http_refused_total{why=\"share\"} ";
    assert!(metrics.contains(refused), "{metrics}");
    assert!(!metrics.contains(&format!("{refused}0")), "{metrics}");
}

#[test]
fn who_sends_a_head_drop_by_drop_or_nothing_at_all_is_gone_after_ten_seconds() {
    let site = Site::new(1);
    open(&site, "");
    let edge = site.start();
    let client = Client {
        address: edge.http_addresses()[0],
        token: None,
    };
    let began = clock::now();
    let mut silent = client.connect();
    let mut slow = client.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();

    let slow = thread::spawn(move || {
        while slow.write_all(b"X-A: b\r\n").is_ok() {
            assert!(began.elapsed() < Duration::from_secs(15), "it goes on");
            thread::sleep(Duration::from_millis(250));
        }
    });

    // A 408 or nothing: closed in any case.
    let _ = silent.read_to_end(&mut Vec::new());
    slow.join().unwrap();
    let took = began.elapsed();
    let right = Duration::from_secs(9)..Duration::from_secs(14);
    assert!(right.contains(&took), "{took:?}");
}

#[test]
fn wrong_tokens_shut_their_address_out_and_no_other() {
    let site = Site::new(1);
    open(&site, "proxies = [\"127.0.0.1/32\"]");
    let edge = site.start();
    let ask = |from: &str, token: &'static str| {
        let client = Client {
            address: edge.http_addresses()[0],
            token: Some(token),
        };
        let from = [("X-Forwarded-For", from)];
        client.ask("GET", "/v1/generation", &from, b"")
    };

    for _ in 0..10 {
        let wrong = ask("198.51.100.9, 192.0.2.1", "reader-0123456789-canarz");
        let challenge = wrong.header("www-authenticate");
        assert_eq!(
            challenge,
            "Bearer realm=\"strowger\", error=\"invalid_token\""
        );
        assert_eq!(wrong.status, 401);
    }
    let locked = ask("192.0.2.1", READER);
    let elsewhere = ask("192.0.2.2", READER);

    assert_eq!((locked.status, locked.header("retry-after")), (429, "60"));
    assert_eq!(elsewhere.status, 200);
    assert_eq!(elsewhere.json()["generation"], 1);
}

#[test]
fn the_log_tells_who_asked_for_what_but_no_path_no_query_and_no_token() {
    let site = Site::new(1);
    open(&site, "");
    let mut process = Process::start(&site);
    let client = Client::of(&process, READER);

    client.get("/v1/directory/buyer?after=canary-query&limit=2");
    client.get("/canary-path?key=canary-query");
    client.ask("CANARY", "/v1/lists", &[], b"");
    let (_, metrics) = http_get(process.http, "/metrics");
    process.signal(libc::SIGTERM);
    let log = process.read_until("stopping").concat();

    assert!(!log.contains("canary"), "{log}");
    for words in [
        "route=\"list_objects\" status=200",
        "token=\"reader\"",
        "route=\"none\" status=404",
        "method=\"other\" route=\"none\" status=405",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    for line in [
        "strowger_http_requests_total{route=\"list_objects\",status=\"200\"} 1",
        "strowger_http_requests_total{route=\"none\",status=\"404\"} 1",
        "strowger_http_requests_total{route=\"none\",status=\"405\"} 1",
        "strowger_http_request_seconds_count 3",
    ] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }
}

#[test]
fn a_request_under_way_is_answered_when_the_edge_ends_and_no_other_is_taken() {
    let site = Site::new(1);
    open(&site, "");
    let mut process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let body = br#"{ "company": "acme" }"#;
    let request = client.request("PUT", "/v1/directory/publisher/late", &[], body);
    let (first, rest) = request.split_at(request.len() - 5);
    let mut stream = client.connect();
    stream.write_all(first).unwrap();
    let mut idle = client.connect();
    // It was heard when the next one is answered.
    assert_eq!(client.get("/openapi.json").status, 200);

    process.signal(libc::SIGTERM);
    process.read_until("stopping");
    let _ = idle.read_to_end(&mut Vec::new());
    stream.write_all(rest).unwrap();
    let answer = reply(&mut stream);

    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.json()["error"], Value::from("busy"));
    assert_eq!(process.exit_code(), Some(0));
    assert!(std::net::TcpStream::connect(client.address).is_err());
}

#[test]
fn tls_is_spoken_with_our_certificate_and_plain_http_is_not() {
    let site = Site::new(1);
    let folder = site.folder.path();
    let authority = Authority::new(folder, "authority");
    let identity = authority.certify(&["edge.example.com"]);
    open(&site, "");
    let text = fs::read_to_string(&site.config).unwrap();
    let tls = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n[[listen]]",
        identity.certificate, identity.key
    );
    let text = text.replacen("[[listen]]", &tls, 1);
    let text = text.replace("[[http.listen]]", "[[http.listen]]\ntls = true");
    fs::write(&site.config, text).unwrap();
    let edge = site.start();
    let client = Client {
        address: edge.http_addresses()[0],
        token: Some(READER),
    };
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority.file()).unwrap();
    roots.add(certificate).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "edge.example.com".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, client.connect());

    let request = client.request("GET", "/v1/generation", &[], b"");
    stream.write_all(&request).unwrap();
    let answer = reply(&mut stream);

    assert_eq!(
        (answer.status, &answer.json()["generation"]),
        (200, &Value::from(1))
    );
    let mut plain = client.connect();
    plain.write_all(&request).unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}
