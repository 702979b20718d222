//! Addresses that DNS gave for names of the configuration: whoever is there is no stranger, as if the configuration named
//! the address itself.
//!
//! An address stays for as long as a call to it may last, from when DNS last gave it: the name may move meanwhile, and the
//! call is still there. What others have looked up is nothing to this table.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sip::locate::{Located, Wanted};

/// The addresses of one shard.
#[derive(Debug, Default)]
pub struct Found {
    /// The configuration's names.
    names: HashSet<Arc<Wanted>>,
    lasting: Duration,
    until: HashMap<IpAddr, Instant>,
}

impl Found {
    /// Goes by these names from now on; `lasting`: how long an address stays. Those that are here stay until then.
    pub fn set_names<'n>(
        &mut self,
        names: impl Iterator<Item = &'n Arc<Wanted>>,
        lasting: Duration,
    ) {
        self.names = names.cloned().collect();
        self.lasting = lasting.max(LEAST);
    }

    /// Whether this is one of the names.
    #[must_use]
    pub fn is_named(&self, wanted: &Wanted) -> bool {
        self.names.contains(wanted)
    }

    /// Takes in where a name is.
    pub fn note(&mut self, now: Instant, wanted: &Wanted, located: &Located) {
        if !self.is_named(wanted) {
            return;
        }
        let until = now + self.lasting;
        for address in located.addresses() {
            if self.until.len() >= MOST && !self.until.contains_key(&address) {
                self.until.retain(|_, until| *until > now);
                if self.until.len() >= MOST {
                    return;
                }
            }
            self.until.insert(address, until);
        }
    }

    /// Whether one of the names was found at `address`.
    #[must_use]
    pub fn has(&self, now: Instant, address: IpAddr) -> bool {
        !self.until.is_empty() && self.until.get(&address).is_some_and(|until| *until > now)
    }
}

/// Addresses at most: no zone has more than 256, so this is plenty, and less than a megabyte.
const MOST: usize = 16_384;

/// An answer of DNS that has not changed is heard of again within an hour, or two while DNS is down.
const LEAST: Duration = Duration::from_secs(3 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;
    use crate::sip::flow::Transport;
    use crate::sip::locate::{Answer, Answers, Question, Step, locate};
    use crate::sip::uri::Uri;

    #[test]
    fn an_address_of_a_configured_name_is_known_for_as_long_as_a_call_lasts() {
        let (now, mut found) = (clock::now(), Found::default());
        let name = wanted("buyer.example.com");
        found.set_names([&name].into_iter(), Duration::from_secs(4 * 3600));

        found.note(now, &name, &at(&name, &[1, 2]));
        // It has moved.
        let later = now + Duration::from_secs(3600);
        found.note(later, &name, &at(&name, &[3]));

        let ends = now + Duration::from_secs(4 * 3600);
        for (moment, known) in [
            (later, [true, true, true]),
            (ends - Duration::from_secs(1), [true, true, true]),
            (ends, [false, false, true]),
            (later + Duration::from_secs(4 * 3600), [false; 3]),
        ] {
            assert_eq!([1, 2, 3].map(|last| found.has(moment, ip(last))), known);
        }
    }

    #[test]
    fn a_name_that_is_not_in_the_configuration_makes_nobody_known() {
        let (now, mut found) = (clock::now(), Found::default());
        let (name, other) = (wanted("buyer.example.com"), wanted("evil.example.com"));
        found.set_names([&name].into_iter(), Duration::ZERO);

        found.note(now, &other, &at(&other, &[1]));

        assert!(!found.has(now, ip(1)));
    }

    #[test]
    fn there_is_an_end_to_them_and_room_when_their_time_is_over() {
        let (now, mut found) = (clock::now(), Found::default());
        let name = wanted("buyer.example.com");
        found.set_names([&name].into_iter(), Duration::ZERO);
        let many = u32::try_from(MOST).unwrap();
        for number in 0..many {
            found
                .until
                .insert(IpAddr::from(number.to_be_bytes()), now + LEAST);
        }

        found.note(now, &name, &at(&name, &[1]));
        assert!(!found.has(now, ip(1)));
        assert_eq!(found.until.len(), MOST);
        found.note(now + LEAST, &name, &at(&name, &[1]));

        assert!(found.has(now + LEAST, ip(1)));
        assert_eq!(found.until.len(), 1);
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, last])
    }

    fn wanted(host: &str) -> Arc<Wanted> {
        let text = format!("sip:sales@{host}:5060");
        let Ok(Uri::Sip(uri)) = Uri::parse(text.as_bytes()) else {
            panic!("no URI: {text}");
        };
        let able: Arc<[Transport]> = [Transport::Udp].into();
        Arc::new(Wanted::new(&uri, None, able).unwrap())
    }

    fn at(wanted: &Wanted, last: &[u8]) -> Located {
        let addresses = last.iter().map(|last| ip(*last)).collect();
        let name = wanted.name();
        let answers = Answers::from([
            (Question::A(name.into()), Answer::Addresses(addresses)),
            (Question::Aaaa(name.into()), Answer::Addresses(Vec::new())),
        ]);
        match locate(wanted, &answers) {
            Step::Done(located) => located,
            other @ (Step::Ask(_) | Step::Nowhere { .. }) => panic!("{other:?}"),
        }
    }
}
