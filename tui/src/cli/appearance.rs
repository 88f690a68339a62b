//! What the dashboard looks like and its keys: what the files in the config folder say, and `peerway config`, which prints them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    args::{ConfigArgs, Globals, Shown},
    failure::Failure,
    out,
    state::StateDir,
};
use crate::{
    dash::{Keys, Mistake, Palette, Theme},
    files::{EditedError, EditedFile},
};

/// Far more than all that can be said.
const MAX_LEN: u64 = 1 << 16;

/// Why one of the files is not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppearanceError {
    #[error("{}, {mistake}; mend that, or move the file away", path.display())]
    Mistake { path: PathBuf, mistake: Mistake },
    #[error(transparent)]
    File(#[from] EditedError),
}

/// The colours and keys that are chosen, and what is wrong with the files that say so, which change nothing then.
pub(super) fn chosen(globals: &Globals, theme: Option<Theme>) -> Result<Chosen, Failure> {
    let folder = StateDir::open(globals)?;
    let palette = match theme {
        Some(theme) => Ok(theme.into()),
        None => read(&theme_file(folder.config()), Palette::parse),
    };
    Ok(Chosen::of(
        palette,
        read(&keys_file(folder.config()), Keys::parse),
    ))
}

/// What the dashboard goes by.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) palette: Palette,
    pub(super) keys: Keys,
    /// Empty for nothing.
    pub(super) mistake: String,
}

impl Chosen {
    fn of(palette: Result<Palette, AppearanceError>, keys: Result<Keys, AppearanceError>) -> Self {
        let wrong = |error: Option<&AppearanceError>, what| {
            error.map(|error| format!("the default {what}: {error}"))
        };
        let mistakes = [
            wrong(palette.as_ref().err(), "colours"),
            wrong(keys.as_ref().err(), "keys"),
        ];
        Self {
            mistake: mistakes
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(". "),
            palette: palette.unwrap_or_default(),
            keys: keys.unwrap_or_default(),
        }
    }
}

/// The colours that are chosen.
fn palette(globals: &Globals) -> Result<Palette, Failure> {
    let folder = StateDir::open(globals)?;
    Ok(read(&theme_file(folder.config()), Palette::parse)?)
}

/// The keys that are chosen.
fn keys(globals: &Globals) -> Result<Keys, Failure> {
    let folder = StateDir::open(globals)?;
    Ok(read(&keys_file(folder.config()), Keys::parse)?)
}

/// Prints what holds now as the file that says so.
pub(super) fn run(globals: &Globals, args: &ConfigArgs) -> Result<(), Failure> {
    let folder = StateDir::open(globals)?;
    let (file, toml) = match args.what {
        Shown::Theme => (theme_file(folder.config()), palette(globals)?.to_toml()),
        Shown::Keys => (keys_file(folder.config()), keys(globals)?.to_toml()),
    };
    if globals.json {
        let path = file.path();
        out::json(&Config {
            path,
            exists: file.stamp().is_some(),
            toml: &toml,
        })?;
    } else {
        out::text(toml.trim_end())?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Config<'a> {
    path: &'a Path,
    exists: bool,
    toml: &'a str,
}

fn theme_file(folder: &Path) -> EditedFile {
    EditedFile::new(folder.join("theme.toml"), "the colours in", MAX_LEN)
}

fn keys_file(folder: &Path) -> EditedFile {
    EditedFile::new(folder.join("keys.toml"), "the keys in", MAX_LEN)
}

fn read<T>(
    file: &EditedFile,
    parse: impl FnOnce(&str) -> Result<T, Mistake>,
) -> Result<T, AppearanceError> {
    let text = file.read()?;
    parse(&text).map_err(|mistake| AppearanceError::Mistake {
        path: file.path().to_owned(),
        mistake,
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_keys_of_the_line_are_documented() {
        assert_keys(
            "config",
            &Config {
                path: Path::new("/a"),
                exists: false,
                toml: "",
            },
        );
    }

    #[test]
    fn what_cannot_be_understood_changes_nothing_and_is_told_with_the_file_and_line() {
        let folder = TempDir::new().unwrap();
        let (theme, own) = (theme_file(folder.path()), keys_file(folder.path()));
        std::fs::write(theme.path(), "begin = \"mono\"\ngood = \"grren\"\n").unwrap();
        std::fs::write(own.path(), "ping = \"i\"\n").unwrap();
        let chosen = Chosen::of(read(&theme, Palette::parse), read(&own, Keys::parse));
        let path = theme.path().display();
        assert_eq!(
            chosen.mistake,
            format!(
                "the default colours: {path}, line 2: good: there is no colour grren; did you mean green?; mend that, or move the file away"
            )
        );
        assert_eq!(chosen.palette, Palette::default());
        assert_eq!(chosen.keys, Keys::parse("ping = \"i\"\n").unwrap());
    }

    #[test]
    fn a_mistake_names_the_file_and_its_line_and_no_file_is_no_mistake() {
        let folder = TempDir::new().unwrap();
        let file = keys_file(folder.path());
        assert_eq!(read(&file, Keys::parse).unwrap(), Keys::default());
        std::fs::write(file.path(), "ping = \"i\"\npign = \"p\"\n").unwrap();
        let said = read(&file, Keys::parse).unwrap_err().to_string();
        let path = file.path().display();
        assert_eq!(
            said,
            format!(
                "{path}, line 2: there is no action pign; did you mean ping?; mend that, or move the file away"
            )
        );
    }
}
