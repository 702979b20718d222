//! Server-side request forgery: however a URL, a redirect or DNS writes it, nothing inside is connected to.

use super::server::{Act, Server, ok, status};
use super::*;
use crate::dns::{DnsServer, Mood};

#[test]
fn no_spelling_of_a_url_leads_inside() {
    run(async {
        let server = Server::start("127.0.0.1", |_| Act::Answer(ok("secret"))).await;
        let port = server.address.port();
        let client = client(|settings| {
            settings.allow = Default::default();
            settings.ports = vec![port, 80];
        });
        let mut urls = Vec::new();
        for host in HOSTS {
            for form in [
                "http://{}:P/",
                "http://{}:P",
                "HTTP://{}:P/x?y#z",
                "http:\\\\{}:P\\",
                "http:/{}:P/",
                "  http://{}:P/\n",
            ] {
                urls.push(form.replace("{}", host).replace('P', &port.to_string()));
            }
        }
        for odd in [
            "file:///etc/passwd",
            "gopher://127.0.0.1:P/",
            "ftp://127.0.0.1:P/",
            "//127.0.0.1:P/",
            "127.0.0.1:P",
            "",
            "http://",
            "http://:P/",
            "unix:/x",
            "http://u:p@127.0.0.1:P/",
            "http://example.com@127.0.0.1:P/",
            "http://127.0.0.1:P#@example.com/",
            "http://127.0.0.1:0P/",
            "http://127.0.0.1:99999/",
        ] {
            urls.push(odd.replace('P', &port.to_string()));
        }
        assert!(urls.len() >= 200, "{}", urls.len());

        for url in &urls {
            let result = within(&client, &Fetch { url, ..GET }, LIMIT).await;

            let failure = result.expect_err(url);
            let expected = [
                Failure::ForbiddenAddress,
                Failure::BadUrl,
                Failure::NoSuchHost,
            ];
            assert!(expected.contains(&failure), "{url}: {failure:?}");
        }

        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_port_that_is_not_listed_is_not_connected_to() {
    run(async {
        let client = client(|settings| settings.allow = Default::default());

        let result = soon(
            &client,
            &Fetch {
                url: "http://8.8.8.8:22/",
                ..GET
            },
        )
        .await;

        assert_eq!(result, Err(Failure::ForbiddenPort));
    });
}

#[test]
fn a_redirect_leads_inside_no_more_than_a_url_does() {
    run(async {
        let inside = Server::start("127.0.0.2", |_| Act::Answer(ok("secret"))).await;
        let target = inside.url("/");
        let server = Server::start("127.0.0.1", move |request| {
            let location = match request.split(' ').nth(1).expect("a path") {
                "/direct" => target.as_str(),
                "/metadata" => "http://169.254.169.254/latest/meta-data/",
                "/twice" => "/direct",
                _ => "http://[::ffff:7f00:2]/",
            };
            Act::Answer(status(302, &format!("Location: {location}\r\n")))
        })
        .await;
        let client = client(|_| {});

        for path in ["/direct", "/metadata", "/twice", "/mapped"] {
            let fetch = Fetch {
                url: &server.url(path),
                redirects: 5,
                ..GET
            };
            assert_eq!(
                soon(&client, &fetch).await,
                Err(Failure::ForbiddenAddress),
                "{path}"
            );
        }

        assert_eq!(inside.connections(), 0);
        assert_eq!(server.requests().len(), 5);
    });
}

#[test]
fn a_name_that_leads_inside_is_not_followed_also_if_it_did_not_a_moment_ago() {
    run(async {
        let inside = Server::start("127.0.0.2", |_| Act::Answer(ok("secret"))).await;
        let port = inside.address.port();
        let zone = "good.test A 127.0.0.1; evil.test A 127.0.0.2; six.test AAAA ::ffff:127.0.0.2; \
                    mixed.test A 127.0.0.2; mixed.test A 127.0.0.1";
        let dns = DnsServer::start(zone, 0);
        let server = Server::start("127.0.0.1", |_| Act::AnswerAndClose(ok("well"))).await;
        let client = client_with(vec![dns.address], |_| {});
        let get = async |name: &str, port: u16| {
            let url = format!("http://{name}:{port}/");
            soon(&client, &Fetch { url: &url, ..GET }).await
        };

        for name in ["evil.test", "six.test", "EVIL.test."] {
            assert_eq!(
                get(name, port).await,
                Err(Failure::ForbiddenAddress),
                "{name}"
            );
        }
        assert_eq!(get("nowhere.test", port).await, Err(Failure::NoSuchHost));
        let outside = server.address.port();
        assert!(get("good.test", outside).await.is_ok());
        assert!(get("mixed.test", outside).await.is_ok());
        let request = server.requests().pop().expect("a request");
        assert!(
            request
                .to_ascii_lowercase()
                .contains(&format!("\r\nhost: mixed.test:{outside}\r\n"))
        );

        // Rebinding: the same name, another answer.
        dns.set_zone("good.test A 127.0.0.2");
        assert_eq!(get("good.test", port).await, Err(Failure::ForbiddenAddress));
        assert_eq!(inside.connections(), 0);
    });
}

#[test]
fn dns_that_does_not_answer_has_the_time_of_the_fetch_and_no_more() {
    run(async {
        let dns = DnsServer::start("", 0);
        dns.set_mood(Mood::Dead);
        let client = client_with(vec![dns.address], |_| {});
        let began = clock::now();

        let result = within(
            &client,
            &Fetch {
                url: "http://slow.test/",
                ..GET
            },
            LIMIT,
        )
        .await;

        assert_eq!(result, Err(Failure::TimedOutUnsent));
        assert_in_time(began, LIMIT, &"DNS");
    });
}

/// Ways to write an address inside.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "017700000001",
    "0177.1",
    "127.0.0.1.",
    "127.000.000.001",
    "127.0.0.0x1",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[ff02::1]",
    "0",
    "0.0.0.0",
    "0x0",
    "[::]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "100.64.0.1",
];
