//! The cookies of one call (RFC 6265): what a host sets when the first of the call's webhooks is fetched, the later ones show
//! again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Cookies, the oldest first.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jar(Vec<Cookie>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cookie {
    name: Box<str>,
    value: Box<str>,
    host: Box<str>,
    path: Box<str>,
    /// Whether hosts below `host` get it, too.
    with_below: bool,
    is_secure: bool,
}

impl Jar {
    /// Takes what `url` answered under Set-Cookie; what is wrong, or for another host, is left out.
    pub fn take(&mut self, url: &Url, set_cookie: &str, now: Timestamp) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let pair = parts.next().and_then(|pair| pair.split_once('='));
        let (Some((name, value)), Some(host)) = (pair, url.host()) else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        let is_odd = |b: u8| !matches!(b, b'!'..=b'~') || matches!(b, b';' | b',');
        let is_long = name.len() + value.len() > MOST_BYTES;
        if name.is_empty() || is_long || name.bytes().chain(value.bytes()).any(is_odd) {
            return;
        }
        let mut cookie = Cookie {
            name: name.into(),
            value: value.into(),
            host: host.to_string().into(),
            path: default_path(url.path()).into(),
            with_below: false,
            is_secure: false,
        };
        let mut is_over = false;
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            match attribute.trim().to_ascii_lowercase().as_str() {
                "domain" => {
                    let domain = value.trim().trim_start_matches('.').to_ascii_lowercase();
                    if !domain.is_empty() && !cookie.widen(&host, &domain) {
                        return;
                    }
                }
                "path" if value.starts_with('/') && value.len() <= MOST_BYTES => {
                    cookie.path = value.into();
                }
                "secure" => cookie.is_secure = true,
                // Whatever its time is, the call's is over before; but some are to be forgotten at once.
                "max-age" => is_over = value.trim().parse::<i64>().is_ok_and(|age| age <= 0),
                "expires" => is_over |= has_passed(value.trim(), now),
                _ => {}
            }
        }
        self.0.retain(|other| !other.is_same(&cookie));
        if is_over {
            return;
        }
        if self.0.len() >= MOST_COOKIES {
            self.0.remove(0);
        }
        self.0.push(cookie);
    }

    /// The value of Cookie for a request to `url`; `None`: there is none for it.
    #[must_use]
    pub fn header(&self, url: &Url) -> Option<String> {
        let host = url.host()?;
        let mut fitting: Vec<&Cookie> = self.0.iter().filter(|one| one.fits(&host, url)).collect();
        // The longer path first, then the older one (RFC 6265 §5.4).
        fitting.sort_by_key(|one| std::cmp::Reverse(one.path.len()));
        let pairs = fitting
            .iter()
            .map(|one| format!("{}={}", one.name, one.value));
        let text = pairs.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then_some(text)
    }
}

impl Cookie {
    /// Lets hosts below `domain` see it; `false`: the host that sets it is not one of them, or the domain is a whole suffix.
    fn widen(&mut self, host: &Host<&str>, domain: &str) -> bool {
        let Host::Domain(name) = host else {
            return *domain == *self.host;
        };
        if !is_at_or_below(name, domain) || !domain.contains('.') {
            return false;
        }
        self.host = domain.into();
        self.with_below = true;
        true
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.host, &self.path) == (&other.name, &other.host, &other.path)
    }

    fn fits(&self, host: &Host<&str>, url: &Url) -> bool {
        let is_here = match host {
            Host::Domain(name) if self.with_below => is_at_or_below(name, &self.host),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => host.to_string() == *self.host,
        };
        let rest = url.path().strip_prefix(&*self.path);
        let is_path = rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/')
        });
        is_here && is_path && (!self.is_secure || url.scheme() == "https")
    }
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    let above = name.strip_suffix(domain);
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// The folder of what was asked for (RFC 6265 §5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(end) => path.get(..end).unwrap_or("/"),
    }
}

fn has_passed(date: &str, now: Timestamp) -> bool {
    let date = jiff::fmt::rfc2822::parse(date);
    date.is_ok_and(|date| date.timestamp() <= now)
}

/// Bytes of a name and its value.
const MOST_BYTES: usize = 4096;
const MOST_COOKIES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_sets_it_gets_again() {
        let mut jar = Jar::default();
        take(
            &mut jar,
            "https://a.example.com/x/start?b",
            "id=7; Path=/; HttpOnly",
        );
        take(&mut jar, "https://a.example.com/x/start", "deep=1");
        take(&mut jar, "https://a.example.com/", "id=8; path=/");

        assert_eq!(shown(&jar, "https://a.example.com/"), "id=8");
        assert_eq!(shown(&jar, "https://a.example.com/x/y"), "deep=1; id=8");
        assert_eq!(shown(&jar, "https://a.example.com/xy"), "id=8");
        assert_eq!(shown(&jar, "https://b.example.com/"), "");
        assert_eq!(shown(&jar, "https://sub.a.example.com/"), "");
    }

    #[test]
    fn a_cookie_of_a_domain_goes_to_all_hosts_below_it_and_to_no_others() {
        let mut jar = Jar::default();
        take(
            &mut jar,
            "https://a.example.com/",
            "d=1; Domain=.Example.com",
        );
        take(
            &mut jar,
            "https://a.example.com/",
            "evil=1; Domain=other.example",
        );
        take(&mut jar, "https://a.example.com/", "suffix=1; Domain=com");
        take(&mut jar, "https://192.0.2.1/", "ip=1; Domain=0.2.1");
        take(&mut jar, "https://192.0.2.1/", "own=1; Domain=192.0.2.1");

        for url in ["https://example.com/", "https://b.c.example.com/"] {
            assert_eq!(shown(&jar, url), "d=1");
        }
        for url in [
            "https://badexample.com/",
            "https://other.example/",
            "https://com/",
        ] {
            assert_eq!(shown(&jar, url), "", "{url}");
        }
        assert_eq!(shown(&jar, "https://192.0.2.1/"), "own=1");
    }

    #[test]
    fn a_secure_cookie_is_not_sent_in_the_clear() {
        let mut jar = Jar::default();
        take(&mut jar, "https://example.com/", "s=1; Secure");

        assert_eq!(shown(&jar, "https://example.com/"), "s=1");
        assert_eq!(shown(&jar, "http://example.com/"), "");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        for over in [
            "id=; Max-Age=0",
            "id=x; Max-Age=-1",
            "id=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            let mut jar = Jar::default();
            take(
                &mut jar,
                "https://example.com/",
                "id=7; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Max-Age=60",
            );
            assert_eq!(shown(&jar, "https://example.com/"), "id=7");

            take(&mut jar, "https://example.com/", over);

            assert_eq!(shown(&jar, "https://example.com/"), "", "{over}");
        }
    }

    #[test]
    fn what_is_no_cookie_or_too_much_is_left_out() {
        let mut jar = Jar::default();
        for text in [
            "",
            "x",
            "=1",
            "a=b c",
            "a=\u{7f}",
            "ä=1",
            &format!("a={}", "x".repeat(MOST_BYTES)),
        ] {
            take(&mut jar, "https://example.com/", text);
        }
        assert!(jar == Jar::default());

        for place in 0..MOST_COOKIES + 5 {
            take(&mut jar, "https://example.com/", &format!("c{place}=1"));
        }
        let text = shown(&jar, "https://example.com/");
        assert_eq!(text.split("; ").count(), MOST_COOKIES);
        assert!(text.starts_with("c5=1"));
        let json = serde_json::to_string(&jar).expect("JSON");
        assert!(serde_json::from_str::<Jar>(&json).is_ok_and(|again| again == jar));
    }

    fn take(jar: &mut Jar, url: &str, text: &str) {
        let now = "2026-01-01T00:00:00Z".parse().expect("a moment");
        jar.take(&url.parse().expect("a URL"), text, now);
    }

    fn shown(jar: &Jar, url: &str) -> String {
        jar.header(&url.parse().expect("a URL")).unwrap_or_default()
    }
}
