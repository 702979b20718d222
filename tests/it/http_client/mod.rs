//! The HTTP client for webhooks against servers on the loopback that do it harm.

mod forbidden;
mod server;
mod tls;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strowger::config::{Dns, HttpClient};
use strowger::hooks::model::Method;
use strowger::hooks::request::Request;
use strowger::hooks::trigger::Trigger;
use strowger::net::clock;
use strowger::net::http_client::{Client, Failure, Fetch, Fetched, Jar, MOST_BODY, may_repeat};
use strowger::telemetry::metrics::Metrics;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time;

use server::{Act, Server, ok, status};

#[test]
fn an_answer_is_fetched_and_the_connection_is_used_again() {
    run(async {
        let server = Server::start("127.0.0.1", |_| Act::Answer(ok("{\"a\":1}"))).await;
        let client = client(|_| {});
        let headers = [("X-Lead".into(), "7".into())];
        let fetch = Fetch {
            method: "POST",
            url: &server.url("/a/b?c=%20d"),
            headers: &headers,
            body: Some("{\"x\":\"ä\"}"),
            ..GET
        };

        for _ in 0..3 {
            let answer = soon(&client, &fetch).await.expect("an answer");
            assert_eq!(
                (answer.status, &*answer.body, answer.hops),
                (200, &b"{\"a\":1}"[..], 0)
            );
        }

        assert_eq!(server.connections(), 1);
        let request = &server.requests()[0];
        assert!(
            request.starts_with("POST /a/b?c=%20d HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\n\r\n{\"x\":\"ä\"}"), "{request}");
        let lower = request.to_ascii_lowercase();
        for line in [
            format!("\r\nhost: {}\r\n", server.address),
            "\r\nx-lead: 7\r\n".to_owned(),
            "\r\nuser-agent: mozilla/5.0 (compatible; strowger)\r\n".to_owned(),
            "\r\ncontent-length: 10\r\n".to_owned(),
        ] {
            assert_eq!(lower.matches(&line).count(), 1, "{line}: {request}");
        }
    });
}

#[test]
fn a_connection_that_was_closed_meanwhile_costs_nothing() {
    run(async {
        let server = Server::start("127.0.0.1", |_| Act::AnswerAndClose(ok("x"))).await;
        let client = client(|_| {});

        for _ in 0..5 {
            let answer = soon(
                &client,
                &Fetch {
                    url: &server.url("/"),
                    ..GET
                },
            )
            .await;
            assert_eq!(answer.expect("an answer").status, 200);
        }

        assert_eq!(server.requests().len(), 5);
    });
}

#[test]
fn a_server_that_hangs_anywhere_has_its_time_and_no_more() {
    run(async {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        let pause = Duration::from_millis(40);
        for act in [
            Act::Stall(String::new()),
            Act::Stall("HTTP/1.1 200 OK\r\nX".to_owned()),
            Act::Stall(format!("{length}abc")),
            Act::Drip(ok("abcdefghijklmnopqrstuvwxyz"), pause),
            Act::Late(Duration::from_millis(700), ok("too late")),
        ] {
            let chosen = act.clone();
            let server = Server::start("127.0.0.1", move |_| chosen.clone()).await;
            let began = clock::now();

            let result = within(
                &client(|_| {}),
                &Fetch {
                    url: &server.url("/"),
                    ..GET
                },
                LIMIT,
            )
            .await;

            assert_eq!(result, Err(Failure::TimedOut), "{act:?}");
            assert_in_time(began, LIMIT, &act);
            assert_eq!(server.requests().len(), 1, "{act:?}: it may have arrived");
        }
    });
}

#[test]
fn an_answer_just_before_the_deadline_counts() {
    run(async {
        let server = Server::start("127.0.0.1", |_| Act::Late(LIMIT * 3 / 4, ok("in time"))).await;

        let result = within(
            &client(|_| {}),
            &Fetch {
                url: &server.url("/"),
                ..GET
            },
            LIMIT,
        )
        .await;

        assert_eq!(result.expect("an answer").body, "in time");
    });
}

#[test]
fn a_server_that_accepts_nothing_has_its_time_and_no_more() {
    run(async {
        // The backlog is full, so that the kernel answers nobody any more.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("a port");
        socket.listen(0).expect("a listener");
        let address = socket
            .local_addr()
            .expect("an address")
            .as_socket()
            .expect("IPv4");
        let mut held = Vec::new();
        for _ in 0..4 {
            let connect = tokio::net::TcpStream::connect(address);
            held.push(time::timeout(Duration::from_millis(50), connect).await);
        }
        assert!(held.iter().any(Result::is_err), "the backlog is full");
        let url = format!("http://{address}/");
        let began = clock::now();

        let result = within(&client(|_| {}), &Fetch { url: &url, ..GET }, LIMIT).await;

        assert_eq!(result, Err(Failure::TimedOutUnsent));
        assert_in_time(began, LIMIT, &url);
    });
}

#[test]
fn nobody_there_is_told_at_once() {
    run(async {
        let gone = Server::start("127.0.0.1", |_| Act::Close).await;
        let url = gone.url("/");
        drop(gone);
        time::sleep(Duration::from_millis(20)).await;

        let result = soon(&client(|_| {}), &Fetch { url: &url, ..GET }).await;

        assert_eq!(result, Err(Failure::Connect));
        assert!(Failure::Connect.is_unsent());
    });
}

#[test]
fn what_may_have_arrived_is_sent_again_only_if_that_does_no_harm() {
    run(async {
        for (is_idempotent, times) in [(false, 1), (true, 2)] {
            let server = Server::start("127.0.0.1", |_| Act::Close).await;
            let fetch = Fetch {
                url: &server.url("/"),
                is_idempotent,
                ..GET
            };

            let result = soon(&client(|_| {}), &fetch).await;

            assert_eq!(result, Err(Failure::Broken));
            assert_eq!(server.requests().len(), times);
        }
    });
}

#[test]
fn an_answer_that_is_too_long_or_no_answer_is_told() {
    run(async {
        let long = "x".repeat(MOST_BODY + 1);
        let chunk = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n{long}\r\n0\r\n\r\n"
        );
        let headers = format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\n\r\n");
        for (answer, failure) in [
            (ok(&long), Failure::TooLong),
            (chunk, Failure::TooLong),
            (headers, Failure::Broken),
            ("SIP/2.0 200 OK\r\n\r\n".to_owned(), Failure::Broken),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
                    .to_owned(),
                Failure::Broken,
            ),
        ] {
            let server = Server::start("127.0.0.1", move |_| Act::Answer(answer.clone())).await;

            let result = soon(
                &client(|_| {}),
                &Fetch {
                    url: &server.url("/"),
                    ..GET
                },
            )
            .await;

            assert_eq!(result, Err(failure));
        }
        let most = "x".repeat(MOST_BODY);
        let server = Server::start("127.0.0.1", move |_| Act::Answer(ok(&most))).await;
        let answer = soon(
            &client(|_| {}),
            &Fetch {
                url: &server.url("/"),
                ..GET
            },
        )
        .await;
        assert_eq!(answer.expect("an answer").body.len(), MOST_BODY);
    });
}

#[test]
fn a_host_has_so_many_requests_at_once_and_other_hosts_do_not_feel_it() {
    run(async {
        let slow = Server::start("127.0.0.1", |_| Act::Late(LIMIT / 2, ok("slow"))).await;
        let other = Server::start("127.0.0.1", |_| Act::Answer(ok("quick"))).await;
        let client = client(|settings| settings.per_host = 3);
        let mut fetches = JoinSet::new();
        for _ in 0..10 {
            let (client, url) = (client.clone(), slow.url("/"));
            fetches.spawn(async move { soon(&client, &Fetch { url: &url, ..GET }).await });
        }
        time::sleep(Duration::from_millis(50)).await;
        let began = clock::now();

        let quick = soon(
            &client,
            &Fetch {
                url: &other.url("/"),
                ..GET
            },
        )
        .await;

        assert_eq!(quick.expect("an answer").body, "quick");
        assert!(began.elapsed() < LIMIT / 4, "{:?}", began.elapsed());
        let results = fetches.join_all().await;
        let busy = results
            .iter()
            .filter(|result| **result == Err(Failure::HostBusy))
            .count();
        let well = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!((well, busy), (3, 7));
        // The places are free again, also those of fetches that nobody waited for.
        let url = slow.url("/");
        drop(
            time::timeout(
                Duration::from_millis(10),
                soon(&client, &Fetch { url: &url, ..GET }),
            )
            .await,
        );
        for _ in 0..3 {
            assert!(soon(&client, &Fetch { url: &url, ..GET }).await.is_ok());
        }
    });
}

#[test]
fn a_host_that_fails_is_left_alone_and_tried_again_after_a_while() {
    run(async {
        let broken = Server::start("127.0.0.1", |request| {
            let is_well = request.starts_with("GET /well");
            Act::Answer(if is_well { ok("well") } else { status(503, "") })
        })
        .await;
        let client = client(|settings| settings.cooldown = Duration::from_millis(200));
        let (ill, well) = (broken.url("/ill"), broken.url("/well"));
        for _ in 0..20 {
            let answer = soon(&client, &Fetch { url: &ill, ..GET }).await;
            assert_eq!(answer.expect("an answer").status, 503);
        }

        for _ in 0..5 {
            let result = soon(&client, &Fetch { url: &well, ..GET }).await;
            assert_eq!(result, Err(Failure::HostDown));
        }
        assert_eq!(broken.requests().len(), 20);
        time::sleep(Duration::from_millis(210)).await;
        assert!(soon(&client, &Fetch { url: &well, ..GET }).await.is_ok());
        assert!(soon(&client, &Fetch { url: &well, ..GET }).await.is_ok());
    });
}

#[test]
fn as_a_browser_it_follows_redirects_and_keeps_the_cookies_of_a_call() {
    run(async {
        let other = Server::start("::1", |_| Act::Answer(ok("there"))).await;
        let there = other.url("/there");
        let server = Server::start("127.0.0.1", move |request| {
            Act::Answer(match request.split(' ').nth(1).expect("a path") {
                "/start" => status(302, "Set-Cookie: id=7; Path=/\r\nLocation: /next\r\n"),
                "/next" => status(303, &format!("Location: {there}\r\n")),
                "/keep" => status(307, "Location: /end\r\n"),
                "/for-ever" => status(301, "Location: /for-ever\r\n"),
                "/odd" => status(302, "Location: ftp://127.0.0.1/\r\n"),
                _ => ok("end"),
            })
        })
        .await;
        let client = client(|_| {});
        let headers = [("Authorization".into(), "Bearer canary".into())];
        let fetch = Fetch {
            method: "POST",
            headers: &headers,
            body: Some("b"),
            redirects: 5,
            ..GET
        };
        let mut jar = Jar::default();
        let mut get = async |path: &str| {
            let url = server.url(path);
            let deadline = clock::now() + PATIENCE;
            client
                .fetch(&Fetch { url: &url, ..fetch }, &mut jar, deadline)
                .await
        };

        let answer = get("/start").await.expect("an answer");
        assert_eq!((&*answer.body, answer.hops), (&b"there"[..], 2));
        let kept = get("/keep").await.expect("an answer");
        assert_eq!((&*kept.body, kept.hops), (&b"end"[..], 1));
        assert_eq!(get("/for-ever").await, Err(Failure::TooManyRedirects));
        assert_eq!(get("/odd").await, Err(Failure::BadUrl));

        let requests = server.requests();
        let has = |place: usize, text: &str| requests[place].to_ascii_lowercase().contains(text);
        assert!(requests[0].starts_with("POST /start ") && !has(0, "cookie"));
        assert!(requests[1].starts_with("GET /next ") && has(1, "\r\ncookie: id=7\r\n"));
        assert!(has(1, "bearer canary") && requests[1].ends_with("\r\n\r\n"));
        assert!(requests[3].starts_with("POST /end ") && requests[3].ends_with("\r\n\r\nb"));
        assert_eq!(requests.len(), 4 + 6 + 1);
        let foreign = other.requests()[0].to_ascii_lowercase();
        assert!(foreign.starts_with("get /there "));
        assert!(
            !foreign.contains("canary") && !foreign.contains("cookie"),
            "{foreign}"
        );
    });
}

#[test]
fn who_wants_no_redirect_sees_it() {
    run(async {
        let server = Server::start("127.0.0.1", |_| {
            Act::Answer(status(302, "Location: /next\r\n"))
        })
        .await;

        let answer = soon(
            &client(|_| {}),
            &Fetch {
                url: &server.url("/"),
                ..GET
            },
        )
        .await;

        assert_eq!(answer.expect("an answer").status, 302);
        assert_eq!(server.requests().len(), 1);
    });
}

#[test]
fn an_answer_that_nobody_wants_is_well_however_long_it_is_or_takes() {
    run(async {
        let long = ok(&"x".repeat(10 * MOST_BODY));
        let never = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_owned();
        for act in [
            Act::Answer(long),
            Act::Stall(never),
            Act::Answer(ok("short")),
        ] {
            let chosen = act.clone();
            let server = Server::start("127.0.0.1", move |_| chosen.clone()).await;
            let fetch = Fetch {
                url: &server.url("/"),
                wants_answer: false,
                ..GET
            };

            let answer = soon(&client(|_| {}), &fetch).await.expect("an answer");

            assert_eq!((answer.status, answer.body.len()), (200, 0));
        }
    });
}

#[test]
fn a_webhook_is_sent_and_counted_by_its_trigger_and_result() {
    run(async {
        let server = Server::start("127.0.0.1", |request| {
            Act::Answer(match request.split(' ').nth(1).expect("a path") {
                "/well" => ok("{}"),
                _ => status(404, ""),
            })
        })
        .await;
        let client = client(|_| {});
        let metrics = Metrics::new();
        let request = |trigger, url: String, timeout| Request {
            webhook: Arc::from("crm"),
            trigger,
            method: Method::Post,
            url: url.into(),
            headers: Vec::new(),
            body: Some("{}".into()),
            timeout,
            redirects: 0,
            is_idempotent: false,
        };
        let mut jar = Jar::default();
        let mut send = async |trigger, path: &str, timeout| {
            let request = request(trigger, server.url(path), timeout);
            client
                .send(&request, &mut jar, clock::now() + PATIENCE, &metrics)
                .await
        };

        let answered = send(Trigger::Start, "/well", PATIENCE)
            .await
            .expect("an answer");
        let refused = send(Trigger::Always, "/gone", PATIENCE)
            .await
            .expect("an answer");
        let late = send(Trigger::Start, "/well", Duration::ZERO).await;

        assert_eq!((&*answered.body, answered.is_success()), (&b"{}"[..], true));
        assert_eq!((refused.status, refused.is_success()), (404, false));
        assert_eq!(late, Err(Failure::TimedOutUnsent));
        let shown = metrics.render();
        for line in [
            "strowger_webhooks_total{trigger=\"start\",result=\"answered\"} 1",
            "strowger_webhooks_total{trigger=\"start\",result=\"timed_out_unsent\"} 1",
            "strowger_webhooks_total{trigger=\"always\",result=\"refused\"} 1",
            "strowger_webhooks_total{trigger=\"timer\",result=\"answered\"} 0",
            "strowger_webhook_seconds_count{trigger=\"start\"} 2",
        ] {
            assert!(shown.lines().any(|one| one == line), "{line}\n{shown}");
        }
    });
}

#[test]
fn what_is_tried_again_has_not_arrived_or_does_no_harm() {
    let with = |status| {
        Ok(Fetched {
            status,
            body: Default::default(),
            hops: 0,
        })
    };
    for (result, once, idempotent) in [
        (with(200), false, false),
        (with(404), false, false),
        (with(500), false, false),
        (with(429), true, true),
        (with(503), true, true),
        (Err(Failure::Connect), true, true),
        (Err(Failure::HostDown), true, true),
        (Err(Failure::TimedOutUnsent), true, true),
        (Err(Failure::TimedOut), false, true),
        (Err(Failure::Broken), false, true),
        (Err(Failure::ForbiddenAddress), false, false),
        (Err(Failure::BadUrl), false, false),
    ] {
        assert_eq!(
            (may_repeat(&result, false), may_repeat(&result, true)),
            (once, idempotent),
            "{result:?}"
        );
    }
    for failure in Failure::ALL {
        assert_eq!(
            Failure::ALL
                .iter()
                .filter(|one| one.label() == failure.label())
                .count(),
            1
        );
    }
}

/// Runs a test on a runtime of its own.
fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// A client that may reach the loopback, but for 127.0.0.2.
fn client(change: impl FnOnce(&mut HttpClient)) -> Client {
    client_with(Vec::new(), change)
}

fn client_with(servers: Vec<std::net::SocketAddr>, change: impl FnOnce(&mut HttpClient)) -> Client {
    let mut settings = HttpClient::default();
    for net in ["127.0.0.1/32", "::1/128"] {
        settings.allow.insert(net.parse().expect("a network"), ());
    }
    change(&mut settings);
    let dns = Dns {
        servers,
        timeout: Duration::from_secs(2),
        stale: Duration::ZERO,
    };
    Client::new(settings, &dns).expect("a client")
}

async fn soon(client: &Client, fetch: &Fetch<'_>) -> Result<Fetched, Failure> {
    within(client, fetch, PATIENCE).await
}

async fn within(client: &Client, fetch: &Fetch<'_>, limit: Duration) -> Result<Fetched, Failure> {
    client
        .fetch(fetch, &mut Jar::default(), clock::now() + limit)
        .await
}

fn assert_in_time(began: Instant, limit: Duration, what: &dyn std::fmt::Debug) {
    let took = began.elapsed();
    let most = limit + Duration::from_millis(300);
    assert!((limit..most).contains(&took), "{what:?}: {took:?}");
}

/// What a fetch is unless a test says otherwise.
const GET: Fetch<'static> = Fetch {
    method: "GET",
    url: "",
    headers: &[],
    body: None,
    redirects: 0,
    is_idempotent: false,
    wants_answer: true,
};

/// The deadline where there is one to be met.
const LIMIT: Duration = Duration::from_millis(400);
/// The deadline where there should be none.
const PATIENCE: Duration = Duration::from_secs(10);
