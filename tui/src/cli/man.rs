//! `peerway man`: manual pages, made of what the program takes.

use clap::{Command, CommandFactory};
use clap_mangen::{Man, generate_to};

use super::{
    args::{Args, ManArgs},
    failure::Failure,
    out,
};

pub(super) fn run(args: &ManArgs) -> Result<(), Failure> {
    let Some(folder) = &args.folder else {
        return Ok(out::text(page(Args::command())?.trim_end())?);
    };
    let failed = |source| Failure::Man {
        path: folder.clone(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    generate_to(Args::command(), folder).map_err(failed)
}

fn page(command: Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_page_tells_of_every_command_and_every_exit_code() {
        let page = page(Args::command()).unwrap();
        for command in Args::command().get_subcommands() {
            let name = command.get_name().replace('-', "\\-");
            assert!(
                page.contains(&format!("peerway\\-{name}(1)")),
                "{name}: {page}"
            );
        }
        assert!(page.contains("130 interrupted"), "{page}");
    }

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let folder = TempDir::new().unwrap();
        let args = ManArgs {
            folder: Some(folder.path().join("man1")),
        };
        run(&args).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name));
        for command in Args::command().get_subcommands() {
            let page = read(&format!("peerway-{}.1", command.get_name())).unwrap();
            assert!(page.contains(".TH"), "{page}");
        }
        assert!(read("peerway.1").unwrap().contains(".TH"));
    }
}
