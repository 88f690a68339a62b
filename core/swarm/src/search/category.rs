//! What a name says that content is: [`Category`].

use std::{fmt, str::FromStr};

use crate::share::Kind;

/// A sort of content, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Category {
    /// Any file.
    File,
    /// A folder.
    Folder,
    /// Music and speech.
    Audio,
    /// Films.
    Video,
    /// Pictures.
    Image,
    /// What is read.
    Text,
    /// Packed files and images of disks.
    Archive,
}

const ALL: [(Category, &str, &[&str]); 7] = [
    (Category::File, "file", &[]),
    (Category::Folder, "folder", &[]),
    (
        Category::Audio,
        "audio",
        &[
            "aac", "aif", "aiff", "flac", "m4a", "m4b", "mid", "mp3", "oga", "ogg", "opus", "wav",
            "wma",
        ],
    ),
    (
        Category::Video,
        "video",
        &[
            "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "ogv", "webm", "wmv",
        ],
    ),
    (
        Category::Image,
        "image",
        &[
            "avif", "bmp", "gif", "heic", "jpeg", "jpg", "jxl", "png", "raw", "svg", "tif", "tiff",
            "webp",
        ],
    ),
    (
        Category::Text,
        "text",
        &[
            "csv", "doc", "docx", "epub", "html", "md", "mobi", "odp", "ods", "odt", "pdf", "ppt",
            "pptx", "rtf", "tex", "txt", "xls", "xlsx",
        ],
    ),
    (
        Category::Archive,
        "archive",
        &[
            "7z", "apk", "bz2", "deb", "dmg", "gz", "img", "iso", "jar", "rar", "rpm", "tar",
            "tgz", "xz", "zip", "zst",
        ],
    ),
];

impl Category {
    /// Whether content that is so and called so belongs to it.
    #[must_use]
    pub fn takes(self, kind: Kind, name: &str) -> bool {
        match self {
            Self::Folder => kind == Kind::Folder,
            Self::File => kind == Kind::File,
            Self::Audio | Self::Video | Self::Image | Self::Text | Self::Archive => {
                let end = name
                    .rsplit_once('.')
                    .map(|(_, end)| end.to_ascii_lowercase());
                let ends = ALL
                    .iter()
                    .find(|(it, ..)| *it == self)
                    .map_or(&[][..], |it| it.2);
                kind == Kind::File && end.is_some_and(|end| ends.contains(&&end[..]))
            }
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(it, ..)| it == self);
        f.write_str(name.map_or("", |it| it.1))
    }
}

/// A text is no [`Category`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kind is one of file, folder, audio, video, image, text and archive")]
#[non_exhaustive]
pub struct ParseCategoryError;

impl FromStr for Category {
    type Err = ParseCategoryError;

    fn from_str(text: &str) -> Result<Self, ParseCategoryError> {
        let found = ALL
            .iter()
            .find(|(_, name, _)| name.eq_ignore_ascii_case(text));
        found.map(|it| it.0).ok_or(ParseCategoryError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_told_by_the_end_of_a_name() {
        for (category, name, ends) in ALL {
            assert_eq!(name.to_uppercase().parse(), Ok(category));
            assert_eq!(category.to_string(), name);
            assert!(ends.is_sorted(), "{name}");
            for end in ends {
                assert!(category.takes(Kind::File, &format!("A.b.{}", end.to_uppercase())));
                assert!(!category.takes(Kind::Folder, &format!("a.{end}")));
            }
        }
        assert!(
            Category::Folder.takes(Kind::Folder, "a") && !Category::File.takes(Kind::Folder, "a")
        );
        assert!(!Category::Video.takes(Kind::File, "mp4"));
        assert_eq!("film".parse::<Category>(), Err(ParseCategoryError));
    }
}
