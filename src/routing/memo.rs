//! What is known of a call, each name of it worked out once: a route's buyers ask for the same few over and over.

use smallvec::SmallVec;

use crate::types::tag::Lookup;

/// Remembers what `facts` answered. For as long as they do not change.
pub(super) struct Memo<'f> {
    facts: &'f dyn Lookup,
    known: SmallVec<[Known; 4]>,
}

/// The values of one name.
struct Known {
    name: SmallVec<[u8; 32]>,
    values: String,
    /// Where each of them ends.
    ends: SmallVec<[usize; 4]>,
}

impl<'f> Memo<'f> {
    pub(super) fn new(facts: &'f dyn Lookup) -> Self {
        Self {
            facts,
            known: SmallVec::new(),
        }
    }

    /// Works this name out, so that it need not be when it is looked up.
    pub(super) fn learn(&mut self, name: &str) {
        if self.of(name).is_none() {
            self.known.push(Known::of(name, self.facts));
        }
    }

    fn of(&self, name: &str) -> Option<&Known> {
        self.known
            .iter()
            .find(|known| *known.name == *name.as_bytes())
    }
}

impl Lookup for Memo<'_> {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        match self.of(name) {
            Some(known) => known.each(found),
            None => self.facts.look_up(name, found),
        }
    }
}

impl Known {
    fn of(name: &str, facts: &dyn Lookup) -> Self {
        let mut values = String::new();
        let mut ends = SmallVec::new();
        facts.look_up(name, &mut |value| {
            values.push_str(value);
            ends.push(values.len());
        });
        Self {
            name: name.as_bytes().into(),
            values,
            ends,
        }
    }

    fn each(&self, found: &mut dyn FnMut(&str)) {
        let mut start = 0;
        for end in &self.ends {
            found(self.values.get(start..*end).unwrap_or_default());
            start = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Asked(Cell<u32>);

    impl Lookup for Asked {
        fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
            self.0.set(self.0.get() + 1);
            if name == "geo" {
                found("us-ny");
                found("");
                found("212");
            }
        }
    }

    #[test]
    fn each_name_is_worked_out_once_and_answered_alike() {
        let asked = Asked(Cell::new(0));
        let mut memo = Memo::new(&asked);
        for _ in 0..3 {
            memo.learn("geo");
            memo.learn("age");
            let mut values = Vec::new();
            memo.look_up("geo", &mut |value| values.push(value.to_owned()));
            memo.look_up("age", &mut |_| panic!("it has none"));
            assert_eq!(values, ["us-ny", "", "212"]);
        }
        assert_eq!(asked.0.get(), 2);
        memo.look_up("zip", &mut |_| panic!("it has none"));
        assert_eq!(asked.0.get(), 3, "what was not learnt is asked for");
    }
}
