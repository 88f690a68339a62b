//! How the dashboard is shown.

use std::path::PathBuf;

use clap::{builder::FalseyValueParser, value_parser};

use super::{appearance, args::Globals, failure::Failure};
use crate::dash::{ColorChoice, Columns, Options, Theme};

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Screen {
    /// When the dashboard has colours; unless NO_COLOR is set by default
    #[arg(
        long,
        value_name = "WHEN",
        env = "PEERWAY_COLOR",
        default_value = "auto"
    )]
    pub(super) color: ColorChoice,

    /// Its colours [default: those of theme.toml in the folder of the address book, if it is there]
    #[arg(long, value_name = "THEME", env = "PEERWAY_THEME")]
    pub(super) theme: Option<Theme>,

    /// Draw it with ASCII only, as where the locale is not UTF-8
    #[arg(long, env = "PEERWAY_ASCII", value_parser = FalseyValueParser::new())]
    pub(super) ascii: bool,

    /// Leave the mouse to the terminal
    #[arg(long, env = "PEERWAY_NO_MOUSE", value_parser = FalseyValueParser::new())]
    pub(super) no_mouse: bool,

    /// The columns of its table of peers, in this order, as 'name path rtt why' [default: as many as fit]
    #[arg(long, value_name = "COLUMNS", env = "PEERWAY_COLUMNS")]
    pub(super) columns: Option<Columns>,

    /// Have the dashboard at the bottom of the terminal alone, in so many lines
    #[arg(long, value_name = "LINES", env = "PEERWAY_INLINE", value_parser = value_parser!(u16).range(10..))]
    pub(super) inline: Option<u16>,

    /// Write what the dashboard shows into a new file, with addresses only where they are not hidden
    #[arg(long, value_name = "FILE", env = "PEERWAY_RECORD")]
    pub(super) record: Option<PathBuf>,

    /// Show what was recorded, without a node
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERWAY_REPLAY",
        conflicts_with = "record"
    )]
    pub(super) replay: Option<PathBuf>,

    /// The dashboard changes nothing: neither links nor the address book
    #[arg(long, env = "PEERWAY_READ_ONLY", value_parser = FalseyValueParser::new())]
    pub(super) read_only: bool,
}

impl Screen {
    /// The dashboard's options that are no matter of the node.
    pub(super) fn options(&self, globals: &Globals) -> Result<Options, Failure> {
        let chosen = appearance::chosen(globals, self.theme)?;
        Ok(Options {
            color: self.color,
            palette: chosen.palette,
            keys: chosen.keys,
            mistake: chosen.mistake,
            ascii: self.ascii,
            no_mouse: self.no_mouse,
            read_only: self.read_only,
            inline: self.inline,
            columns: self.columns.clone(),
            record: self.record.clone(),
            ..Options::default()
        })
    }
}
