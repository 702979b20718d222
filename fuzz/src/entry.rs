//! Entries of the journal.

use strowger::store::Entry;

/// Whatever is read as an entry is written and read again as the same, and in no more bytes.
pub fn entry(data: &[u8]) {
    let Ok(entry) = Entry::decode(data) else {
        return;
    };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    assert!(bytes.len() <= data.len(), "it has grown");
    assert_eq!(Entry::decode(&bytes), Ok(entry));
}
