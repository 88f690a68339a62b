//! `peerway services`: what a peer exposes to this computer.

use tokio::time::Instant;

use super::{
    args::{Globals, Services},
    failure::Failure,
    node, operate, out,
};
use crate::operations::{self, Ask, ServiceLine, Step};

pub(super) async fn run(
    globals: &Globals,
    args: &Services,
    started_at: Instant,
) -> Result<(), Failure> {
    let ticket = node::meet(globals, &args.peer).await?;
    let ask = Ask::Services(operations::Services { ticket });
    let mut exposed = Vec::new();
    let asked = operate::carry_out(globals, ask, started_at, |step| {
        if let Step::Services { services } = step {
            exposed = services;
        }
        Ok(())
    });
    asked.await?.ok_or(Failure::Interrupted)?;
    print(&exposed, globals.json)
}

fn print(exposed: &[ServiceLine], json: bool) -> Result<(), Failure> {
    if exposed.is_empty() && !json {
        out::hint("the peer exposes nothing to this computer");
    }
    for line in exposed {
        if json {
            out::json(line)?;
        } else {
            out::text(format!("{} {}", line.transport, line.service))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::documented::assert_keys;

    #[test]
    fn the_lines_keep_their_keys() {
        let line = ServiceLine {
            service: "web".to_owned(),
            transport: "tcp".to_owned(),
        };
        assert_keys("services", &line);
    }
}
