//! How much time the charts span.

/// The time that charts span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Window {
    HalfMinute,
    #[default]
    TwoMinutes,
    TenMinutes,
}

impl Window {
    pub(super) fn seconds(self) -> usize {
        match self {
            Self::HalfMinute => 30,
            Self::TwoMinutes => 120,
            Self::TenMinutes => 600,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HalfMinute => "30 s",
            Self::TwoMinutes => "2 min",
            Self::TenMinutes => "10 min",
        }
    }

    pub(super) fn shorter(self) -> Self {
        match self {
            Self::HalfMinute | Self::TwoMinutes => Self::HalfMinute,
            Self::TenMinutes => Self::TwoMinutes,
        }
    }

    pub(super) fn longer(self) -> Self {
        match self {
            Self::HalfMinute => Self::TwoMinutes,
            Self::TwoMinutes | Self::TenMinutes => Self::TenMinutes,
        }
    }
}
