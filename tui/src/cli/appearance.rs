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
    dash::{Keys, Mistake, Palette},
    files::{EditedError, EditedFile},
};

/// Far more than all that can be said.
const MAX_LEN: u64 = 1 << 16;

/// Why one of the files is not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppearanceError {
    #[error("{}, {mistake}; until that is mended, move the file away", path.display())]
    Mistake { path: PathBuf, mistake: Mistake },
    #[error(transparent)]
    File(#[from] EditedError),
}

/// The colours that are chosen.
pub(super) fn palette(globals: &Globals) -> Result<Palette, Failure> {
    let folder = StateDir::open(globals)?;
    Ok(read(&theme_file(folder.config()), Palette::parse)?)
}

/// The keys that are chosen.
pub(super) fn keys(globals: &Globals) -> Result<Keys, Failure> {
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
    fn a_mistake_names_the_file_and_its_line_and_no_file_is_no_mistake() {
        let folder = TempDir::new().unwrap();
        let file = keys_file(folder.path());
        assert_eq!(read(&file, Keys::parse).unwrap(), Keys::default());
        std::fs::write(file.path(), "ping = \"o\"\npign = \"p\"\n").unwrap();
        let said = read(&file, Keys::parse).unwrap_err().to_string();
        let path = file.path().display();
        assert_eq!(
            said,
            format!(
                "{path}, line 2: there is no action pign; did you mean ping?; until that is mended, move the file away"
            )
        );
    }
}
