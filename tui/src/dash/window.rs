//! How much time the charts span.

/// The time that charts span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Window {
    HalfMinute,
    #[default]
    TwoMinutes,
    TenMinutes,
    Hour,
}

impl Window {
    pub(super) const ALL: [Self; 4] = [
        Self::HalfMinute,
        Self::TwoMinutes,
        Self::TenMinutes,
        Self::Hour,
    ];

    /// As it is written in a command.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::HalfMinute => "30s",
            Self::TwoMinutes => "2min",
            Self::TenMinutes => "10min",
            Self::Hour => "1h",
        }
    }

    pub(super) fn seconds(self) -> usize {
        match self {
            Self::HalfMinute => 30,
            Self::TwoMinutes => 120,
            Self::TenMinutes => 600,
            Self::Hour => 3600,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HalfMinute => "30 s",
            Self::TwoMinutes => "2 min",
            Self::TenMinutes => "10 min",
            Self::Hour => "1 h",
        }
    }

    pub(super) fn shorter(self) -> Self {
        match self {
            Self::HalfMinute | Self::TwoMinutes => Self::HalfMinute,
            Self::TenMinutes => Self::TwoMinutes,
            Self::Hour => Self::TenMinutes,
        }
    }

    pub(super) fn longer(self) -> Self {
        match self {
            Self::HalfMinute => Self::TwoMinutes,
            Self::TwoMinutes => Self::TenMinutes,
            Self::TenMinutes | Self::Hour => Self::Hour,
        }
    }
}
