//! Who of a group is asked: [`Form`]. Pure.

/// Members of a group who are all asked, whether it has directories or not.
pub const ASK_ALL: usize = 300;

/// Who of a group is asked in a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// All members.
    Members,
    /// All members, and its directories for what those have who are not there.
    Both,
    /// Its directories alone: it is too large to ask everybody.
    Directories,
}

impl Form {
    /// That for a group of so many other members, so many of which are directories.
    #[must_use]
    pub fn of(members: usize, directories: usize) -> Self {
        match (members, directories) {
            (_, 0) => Self::Members,
            (..=ASK_ALL, _) => Self::Both,
            _ => Self::Directories,
        }
    }

    /// Whether all members are asked for what they have.
    #[must_use]
    pub fn asks_members(self) -> bool {
        self != Self::Directories
    }

    /// Whether the directories are asked for what was published there.
    #[must_use]
    pub fn asks_directories(self) -> bool {
        self != Self::Members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_group_is_asked_itself_and_a_large_one_at_its_directories_if_it_has_some() {
        assert_eq!(Form::of(12, 0), Form::Members);
        assert_eq!(Form::of(ASK_ALL, 2), Form::Both);
        assert_eq!(Form::of(ASK_ALL + 1, 2), Form::Directories);
        assert_eq!(Form::of(10_000, 0), Form::Members);
    }
}
