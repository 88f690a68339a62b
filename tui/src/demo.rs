//! `peerway demo`: two homes, a relay and the internet between them on this one computer, linked before one's eyes.
//!
//! On Linux the homes are network namespaces behind real NATs (see the module `lab`). Where those are not to be had, all
//! nodes live on the loopback interface, and the demo says so. Nothing of it outlives the process.

mod error;
mod homes;
mod payload;
#[cfg(target_os = "linux")]
mod situation;
mod timeline;
mod world;

use std::collections::BTreeMap;

use peerway::{Endpoint, PeerId};

pub use self::error::DemoError;
#[cfg(unix)]
pub(crate) use self::payload::random;
#[cfg(target_os = "linux")]
pub use self::situation::{Situation, try_out};

use self::{
    homes::Homes,
    payload::Payload,
    timeline::{Form, Timeline},
    world::World,
};

/// What each exchange carries, each way.
const PAYLOAD: usize = 8 << 20;

/// Runs the demo once and prints what happens, as text or as one JSON object per line.
///
/// On Linux this may replace the process by itself in new namespaces: call it before anything that should not happen twice,
/// and outside of any async runtime.
///
/// # Errors
/// What kept the homes from being linked directly, or the data from arriving intact.
pub fn print(json: bool) -> Result<(), DemoError> {
    let world = World::build()?;
    let timeline = Timeline::new(if json { Form::Json } else { Form::Text });
    world.run(async {
        let (homes, payload) =
            tokio::try_join!(Homes::start(&world, timeline), Payload::random(1, PAYLOAD))?;
        homes.register().await?;
        homes.link(&payload).await
    })
}

/// What there is to see of the demo from its first home.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// The first home's node.
    pub node: Endpoint,
    /// What the homes are called.
    pub names: BTreeMap<PeerId, String>,
    /// Where the homes are, in one line.
    pub setting: String,
}

/// Runs the demo under a dashboard of the first home's node until the dashboard ends.
///
/// As [`print()`], this may replace the process. The node dials a little later, so that the dashboard shows it from the
/// start.
///
/// # Errors
/// What kept the world or its nodes from starting.
pub fn show<D, F>(dashboard: D) -> Result<F::Output, DemoError>
where
    D: FnOnce(View) -> F + Send,
    F: Future<Output: Send> + Send,
{
    let world = World::build()?;
    world.run(async {
        let homes = Homes::start(&world, Timeline::new(Form::Silent)).await?;
        homes.register().await?;
        let view = View {
            node: homes.node(),
            names: homes
                .nodes()
                .map(|(home, node)| (node.id(), format!("home {home}")))
                .into(),
            setting: world.setting(),
        };
        let shown = tokio::select! {
            shown = dashboard(view) => shown,
            never = homes.keep_busy() => match never {},
        };
        homes.close().await;
        Ok(shown)
    })
}
