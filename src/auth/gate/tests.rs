use std::time::Duration;

use super::*;
use crate::auth::digest::FINISHED;
use crate::auth::digest::{Answer, answer, strongest};
use crate::types::secret::Secret;

#[test]
fn challenges_offer_each_algorithm_with_one_nonce() {
    let mut bench = Bench::new();

    let values = bench.challenge(Denial::NoCredentials);

    let nonce = values[0].split('"').nth(3).unwrap().to_owned();
    assert_eq!(nonce.len(), 66);
    assert_eq!(
        values,
        [
            format!(
                r#"Digest realm="example.com", nonce="{nonce}", qop="auth", algorithm=SHA-256"#
            ),
            format!(r#"Digest realm="example.com", nonce="{nonce}", qop="auth", algorithm=MD5"#),
        ]
    );
}

#[test]
fn a_nonce_at_fault_is_said_to_be_stale() {
    let mut bench = Bench::new();
    for (why, want) in [
        (Denial::StaleNonce, true),
        (Denial::ForgedNonce, true),
        (Denial::Replayed, true),
        (Denial::NoCredentials, false),
        (Denial::BadCredentials, false),
        (Denial::WrongPassword, false),
    ] {
        let values = bench.challenge(why);
        assert!(
            values
                .iter()
                .all(|value| value.ends_with(", stale=true") == want),
            "{why}"
        );
    }
}

#[test]
fn a_right_answer_by_either_algorithm_lets_in() {
    let mut bench = Bench::new();

    let sha256 = bench.answered("alice", "canary", 1);
    bench.offer = &[Algorithm::Md5];
    let md5 = bench.answered("alice", "canary", 1);

    assert!(sha256.contains("algorithm=SHA-256"));
    assert!(md5.contains("algorithm=MD5"));
    bench.offer = BOTH;
    assert_eq!(bench.check(&sha256), Ok("alice"));
    assert_eq!(bench.check(&md5), Ok("alice"));
}

#[test]
fn an_algorithm_that_is_not_offered_is_refused() {
    let mut bench = Bench::new();
    bench.offer = &[Algorithm::Md5];
    let md5 = bench.answered("alice", "canary", 1);
    bench.offer = &[Algorithm::Sha256];

    assert_eq!(bench.check(&md5), Err(Denial::BadCredentials));
}

#[test]
fn wrong_passwords_and_unknown_users_are_the_same() {
    let mut bench = Bench::new();
    let wrong = bench.answered("alice", "canarz", 1);
    let unknown = bench.answered("nobody", "canary", 1);
    let mut cost = |value: &str| {
        let before = FINISHED.get();
        let verdict = bench.check(value);
        (verdict, FINISHED.get() - before)
    };

    assert_eq!(cost(&wrong), (Err(Denial::WrongPassword), 2));
    assert_eq!(cost(&unknown), (Err(Denial::WrongPassword), 2));
}

#[test]
fn credentials_for_others_are_none() {
    let mut bench = Bench::new();
    let mine = bench.answered("alice", "canary", 1);
    let other = mine.replace("realm=\"example.com\"", "realm=\"example.net\"");
    let broken = mine.replace("nc=00000001", "nc=1");

    assert_eq!(bench.check_all(&[]), Err(Denial::NoCredentials));
    assert_eq!(bench.check_all(&["Basic YTpi"]), Err(Denial::NoCredentials));
    assert_eq!(bench.check_all(&[&other]), Err(Denial::NoCredentials));
    assert_eq!(
        bench.check_all(&[&other, &broken]),
        Err(Denial::BadCredentials)
    );
    assert_eq!(
        bench.check_all(&["Basic YTpi", &other, &broken, &mine]),
        Ok("alice")
    );
}

#[test]
fn what_our_challenge_did_not_ask_for_is_refused() {
    let mut bench = Bench::new();
    let good = bench.answered("alice", "canary", 1);
    let cut = |value: &str, from: &str, to: &str| {
        let (head, rest) = value.split_once(from).unwrap();
        let tail = rest.split_once(to).map_or("", |(_, tail)| tail);
        format!("{head}{tail}")
    };

    for bad in [
        cut(&good, ", cnonce", "nc=00000001"),
        good.replace("qop=auth", "qop=auth-int"),
        good.replace("SHA-256", "SHA-256-sess"),
        good.replace("SHA-256", "AKAv1-MD5"),
        good.replace("nc=00000001", "nc=1"),
        good.replace("username=", "x="),
        good.replace("nc=00000001", "nc=00000001, nc=00000002"),
    ] {
        assert_ne!(bad, good);
        assert_eq!(bench.check(&bad), Err(Denial::BadCredentials), "{bad}");
    }
    assert_eq!(bench.check(&good), Ok("alice"));
}

#[test]
fn a_request_replayed_ten_thousand_times_is_never_let_in_again() {
    let mut bench = Bench::new();
    let value = bench.answered("alice", "canary", 7);
    assert_eq!(bench.check(&value), Ok("alice"));

    for _ in 0..10_000 {
        assert_eq!(bench.check(&value), Err(Denial::Replayed));
    }
    assert_eq!(bench.gate.nonces(), 1);
}

#[test]
fn a_nonce_serves_while_its_count_goes_up() {
    let mut bench = Bench::new();
    let values = bench.challenge(Denial::NoCredentials);
    let answers: Vec<_> = [3, 4, 900, 2, 4, 837, 836]
        .map(|count| bench.answer_to(&values, "alice", "canary", count))
        .into();

    let verdicts: Vec<_> = answers.iter().map(|value| bench.check(value)).collect();

    let (ok, replayed) = (Ok("alice"), Err(Denial::Replayed));
    assert_eq!(verdicts, [ok, ok, ok, replayed, replayed, ok, replayed]);
}

#[test]
fn a_wrong_password_uses_up_no_count() {
    let mut bench = Bench::new();
    let values = bench.challenge(Denial::NoCredentials);
    let wrong = bench.answer_to(&values, "alice", "canarz", 1);
    let right = bench.answer_to(&values, "alice", "canary", 1);

    assert_eq!(bench.check(&wrong), Err(Denial::WrongPassword));
    assert_eq!(bench.gate.nonces(), 0);
    assert_eq!(bench.check(&right), Ok("alice"));
}

#[test]
fn a_captured_answer_is_good_for_nothing_else() {
    let mut bench = Bench::new();
    let value = bench.answered("alice", "canary", 1);

    bench.method = b"BYE";
    assert_eq!(bench.check(&value), Err(Denial::WrongPassword));
    bench.method = b"INVITE";
    bench.uri = "sip:+15555550101@example.com";
    assert_eq!(bench.check(&value), Err(Denial::BadCredentials));
    bench.uri = URI;
    bench.realm = "example.net";
    let other_realm = value.replace("\"example.com\"", "\"example.net\"");
    assert_eq!(bench.check(&other_realm), Err(Denial::ForgedNonce));
    bench.realm = REALM;
    for secret in [[8; 32], [0; 32]] {
        let mut stranger = Bench::new();
        stranger.gate = Gate::new(&secret, ShardId(1), stranger.now, 8);
        assert_eq!(stranger.check(&value), Err(Denial::ForgedNonce));
    }
    bench.now += Duration::from_secs(61);
    assert_eq!(bench.check(&value), Err(Denial::StaleNonce));
    assert_eq!(bench.gate.nonces(), 0);
}

#[test]
fn the_shard_that_issued_the_nonce_judges() {
    let mut bench = Bench::new();
    let value = bench.answered("alice", "canary", 1);
    let mut sibling = Bench::new();
    sibling.now = bench.now;
    sibling.gate = Gate::new(&SECRET, ShardId(2), bench.now, 8);

    assert_eq!(sibling.check(&value), Err(Denial::Elsewhere(ShardId(1))));
    assert_eq!(bench.check(&value), Ok("alice"));
}

#[test]
fn nonces_are_judged_before_anything_is_hashed() {
    let mut bench = Bench::new();
    let value = bench.answered("alice", "canary", 1);
    let forged = value.replace("nonce=\"", "nonce=\"0");
    let before = FINISHED.get();

    assert_eq!(bench.check(&forged), Err(Denial::ForgedNonce));
    bench.uri = "sip:other@example.com";
    assert_eq!(bench.check(&value), Err(Denial::BadCredentials));
    bench.now += Duration::from_secs(61);
    assert_eq!(bench.check(&value), Err(Denial::StaleNonce));

    assert_eq!(FINISHED.get(), before);
}

#[test]
fn the_uri_is_compared_as_the_domain_wants_it() {
    use DigestUri::{Exact, Host};
    let bad = Err(Denial::BadCredentials);
    let ok = Ok("alice");
    for (rule, answered, verdict) in [
        (Exact, "sip:+15555550100@example.com", ok),
        (Exact, "sip:+%315555550100@EXAMPLE.com", ok),
        // `+` is reserved: escaped it is another character (RFC 3261 §19.1.4).
        (Exact, "sip:%2b15555550100@example.com", bad),
        (Exact, "sip:+15555550101@example.com", bad),
        (Exact, "sip:+15555550100@example.com:5060", bad),
        (Exact, "sip:example.com", bad),
        (Exact, "tel:+15555550100", bad),
        (Exact, "", bad),
        (Host, "sip:example.com", ok),
        (Host, "sip:EXAMPLE.COM:5060", ok),
        (Host, "sip:+15555550101@example.com;transport=udp", ok),
        (Host, "sip:example.com:5070", bad),
        (Host, "sip:example.net", bad),
        (Host, "tel:+15555550100", bad),
        (Host, "nonsense", bad),
    ] {
        let mut bench = Bench::new();
        bench.digest_uri = rule;
        bench.uri = answered;
        let value = bench.answered("alice", "canary", 1);
        bench.uri = URI;
        assert_eq!(bench.check(&value), verdict, "{rule:?} {answered}");
    }
}

#[test]
fn a_user_with_quotes_in_its_name_is_found() {
    let mut bench = Bench::new();
    let value = bench.answered("al\"i\\ce", "canary", 1);

    assert!(value.contains(r#"username="al\"i\\ce""#));
    assert_eq!(bench.check(&value), Ok("al\"i\\ce"));
}

#[test]
fn after_five_wrong_passwords_no_other_is_looked_at_for_a_while() {
    let mut bench = Bench::new();
    let lock = Duration::from_secs(900);
    bench.gate.set_guesses(5, lock);
    for guess in 0..5 {
        let wrong = bench.answered("alice", &format!("guess-{guess}"), 1);
        assert_eq!(bench.check(&wrong), Err(Denial::WrongPassword));
    }

    let before = FINISHED.get();
    for _ in 0..1000 {
        let right = bench.answered("alice", "canary", 1);
        let hashes = FINISHED.get();
        assert_eq!(bench.check(&right), Err(Denial::Locked));
        assert_eq!(FINISHED.get(), hashes, "no digest is computed");
    }
    assert!(FINISHED.get() > before);

    // Neither another user there is locked, nor the same one elsewhere.
    let other = bench.answered("al\"i\\ce", "canary", 1);
    assert_eq!(bench.check(&other), Ok("al\"i\\ce"));
    bench.home = "192.0.2.8".parse().unwrap();
    let elsewhere = bench.answered("alice", "canary", 1);
    assert_eq!(bench.check(&elsewhere), Ok("alice"));
    bench.home = HOME;
    bench.now += lock;
    let later = bench.answered("alice", "canary", 1);
    assert_eq!(bench.check(&later), Ok("alice"));
}

#[test]
fn users_that_nobody_knows_are_locked_like_others() {
    let mut bench = Bench::new();
    bench.gate.set_guesses(5, Duration::from_secs(900));

    let [known, unknown] = ["alice", "nobody"].map(|name| {
        let guesses = (0..8).map(|guess| bench.answered(name, &format!("{guess}"), 1));
        let guesses: Vec<_> = guesses.collect();
        guesses
            .iter()
            .map(|guess| bench.check(guess))
            .collect::<Vec<_>>()
    });

    assert_eq!(known, unknown);
    assert_eq!(known[4], Err(Denial::WrongPassword));
    assert_eq!(known[5], Err(Denial::Locked));
}

#[test]
fn a_right_password_wipes_out_the_wrong_ones() {
    let mut bench = Bench::new();
    bench.gate.set_guesses(2, Duration::from_secs(900));

    for _ in 0..3 {
        let wrong = bench.answered("alice", "oops", 1);
        assert_eq!(bench.check(&wrong), Err(Denial::WrongPassword));
        let right = bench.answered("alice", "canary", 1);
        assert_eq!(bench.check(&right), Ok("alice"));
    }
}

#[test]
fn a_hundred_thousand_challenges_are_not_remembered() {
    let mut bench = Bench::new();
    for _ in 0..100_000 {
        bench.gate.challenge(
            bench.now,
            &mut bench.entropy,
            &terms(REALM, BOTH),
            HOME,
            Denial::NoCredentials,
            |_| {},
        );
    }

    assert_eq!(bench.gate.nonces(), 0);
}

const REALM: &str = "example.com";
const URI: &str = "sip:+15555550100@example.com";
const SECRET: [u8; 32] = [7; 32];
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const BOTH: &[Algorithm] = &[Algorithm::Sha256, Algorithm::Md5];

/// A gate, and a client that knows how to answer.
struct Bench {
    gate: Gate,
    entropy: Entropy,
    now: Instant,
    home: IpAddr,
    realm: &'static str,
    offer: &'static [Algorithm],
    digest_uri: DigestUri,
    method: &'static [u8],
    uri: &'static str,
    users: Vec<(&'static str, Account)>,
}

impl Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "some start is needed; no test reads on"
    )]
    fn new() -> Self {
        let now = Instant::now();
        let user = |name| {
            let password = Secret::new(*b"canary");
            (name, Account::from_password(name, REALM, &password))
        };
        Self {
            gate: Gate::new(&SECRET, ShardId(1), now, 8),
            entropy: Entropy::from_seed([3; 32]),
            now,
            home: HOME,
            realm: REALM,
            offer: BOTH,
            digest_uri: DigestUri::Exact,
            method: b"INVITE",
            uri: URI,
            users: vec![user("alice"), user("al\"i\\ce")],
        }
    }

    fn challenge(&mut self, why: Denial) -> Vec<String> {
        let mut values = Vec::new();
        self.gate.challenge(
            self.now,
            &mut self.entropy,
            &terms(self.realm, self.offer),
            self.home,
            why,
            |value| values.push(String::from_utf8(value.to_vec()).unwrap()),
        );
        values
    }

    fn answer_to(&self, values: &[String], username: &str, password: &str, count: u32) -> String {
        let challenge = strongest(values.iter().map(String::as_bytes), self.realm).unwrap();
        let password = Secret::new(password.as_bytes());
        let with = Answer {
            username,
            password: &password,
            method: self.method,
            uri: self.uri.as_bytes(),
            cnonce: b"0a4f113b",
            count,
        };
        let mut out = Vec::new();
        answer(&challenge, &with, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn answered(&mut self, username: &str, password: &str, count: u32) -> String {
        let values = self.challenge(Denial::NoCredentials);
        self.answer_to(&values, username, password, count)
    }

    fn check(&mut self, value: &str) -> Result<&'static str, Denial> {
        self.check_all(&[value])
    }

    fn check_all(&mut self, values: &[&str]) -> Result<&'static str, Denial> {
        let Self { gate, users, .. } = self;
        gate.check(
            self.now,
            &Terms {
                digest_uri: self.digest_uri,
                ..terms(self.realm, self.offer)
            },
            Asked {
                method: self.method,
                uri: self.uri.as_bytes(),
            },
            values.iter().map(|value| value.as_bytes()),
            |name| {
                let found = users.iter().find(|(user, _)| user.as_bytes() == name);
                // Anybody's account is computed with if nobody has the name.
                let account = found.or_else(|| users.first());
                (
                    account.map(|(_, account)| account),
                    found.map(|(user, _)| *user),
                )
            },
        )
    }
}

fn terms<'a>(realm: &'a str, algorithms: &'a [Algorithm]) -> Terms<'a> {
    Terms {
        realm,
        algorithms,
        digest_uri: DigestUri::Exact,
    }
}
