//! Telephone numbers (E.164).
