//! Text to checked, compiled settings.
