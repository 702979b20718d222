//! Who may call: allowlists and digest.
