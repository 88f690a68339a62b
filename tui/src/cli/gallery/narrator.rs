//! Tells what happens, with the time since the beginning, and judges what is claimed.

use std::{
    fmt::Display,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use serde::Serialize;
use tokio::time::Instant;

use super::{super::out, error::GalleryError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
}

#[derive(Debug)]
pub(super) struct Narrator {
    form: Form,
    began: Instant,
    claims: AtomicUsize,
    failed: AtomicUsize,
}

/// A line; in JSON the tag is `event`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    /// Something happened.
    Step { says: String },
    /// Something is claimed of it, and holds or not.
    Claim { says: String, holds: bool },
    /// That was all.
    Summary {
        name: &'static str,
        claims: usize,
        failed: usize,
    },
}

#[derive(Serialize)]
struct Timed<'a> {
    elapsed_ms: u64,
    #[serde(flatten)]
    line: &'a Line,
}

impl Narrator {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            began: Instant::now(),
            claims: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        }
    }

    pub(super) fn say(&self, says: impl Display) -> Result<(), GalleryError> {
        let says = says.to_string();
        self.print(&Line::Step { says })
    }

    pub(super) fn judge(&self, says: impl Display, holds: bool) -> Result<(), GalleryError> {
        self.claims.fetch_add(1, Relaxed);
        self.failed.fetch_add(usize::from(!holds), Relaxed);
        let says = says.to_string();
        self.print(&Line::Claim { says, holds })
    }

    /// Sums up the demonstration of this name.
    ///
    /// # Errors
    /// [`GalleryError::NotShown`] if a claim did not hold, or nothing was claimed.
    pub(super) fn end(&self, name: &'static str) -> Result<(), GalleryError> {
        let (claims, failed) = (self.claims.load(Relaxed), self.failed.load(Relaxed));
        self.print(&Line::Summary {
            name,
            claims,
            failed,
        })?;
        if failed > 0 || claims == 0 {
            return Err(GalleryError::NotShown { failed, claims });
        }
        Ok(())
    }

    fn print(&self, line: &Line) -> Result<(), GalleryError> {
        let elapsed = self.began.elapsed();
        let printed = match self.form {
            Form::Json => out::json(&Timed {
                elapsed_ms: elapsed.as_millis() as u64,
                line,
            }),
            Form::Text => out::text(format!("{:7.3} s  {}", elapsed.as_secs_f64(), line.text())),
        };
        printed.map_err(GalleryError::Output)
    }
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Step { says } => says.clone(),
            Self::Claim { says, holds: true } => format!("shown: {says}"),
            Self::Claim { says, holds: false } => format!("NOT SHOWN: {says}"),
            Self::Summary {
                name,
                claims,
                failed,
            } => format!("{name}: {} of {claims} claims hold", claims - failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let says = "a".to_owned();
        for line in [
            Line::Step { says: says.clone() },
            Line::Claim { says, holds: true },
            Line::Summary {
                name: "a",
                claims: 2,
                failed: 1,
            },
        ] {
            let timed = Timed {
                elapsed_ms: 1,
                line: &line,
            };
            assert_keys("gallery", &timed);
        }
    }
}
