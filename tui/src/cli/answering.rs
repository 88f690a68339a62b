//! The control socket of a node that runs for others.

#[cfg(unix)]
pub(super) use unix::Answering;

#[cfg(not(unix))]
pub(super) use none::Answering;

#[cfg(unix)]
mod unix {
    use std::{
        collections::BTreeSet,
        future::pending,
        path::{Path, PathBuf},
        sync::{Arc, Mutex, PoisonError},
    };

    use peerway::{PeerId, Router};

    use crate::{
        cli::{args::Globals, failure::Failure, node::Node, out, pair, state::StateDir},
        control::{ALPN, Control, ControlError, Host, Place, Socket, Visited},
        kept::Services,
        pairing::{Party, Passing},
    };

    /// Links at a time over which peers ask; one of them has a quarter.
    const VISITORS: usize = 16;
    /// So many who may not are told of.
    const MAX_TOLD: usize = 64;

    /// An open socket; none if it could not be opened, as the user was told. The node runs all the same.
    pub(in crate::cli) struct Answering {
        path: Option<PathBuf>,
        /// Until it is served.
        socket: Mutex<Option<Socket>>,
        control: Control,
    }

    impl Answering {
        /// Fails if another node of this identity has it.
        pub(in crate::cli) async fn open(
            globals: &Globals,
            node: &Node,
            services: Option<&Services>,
        ) -> Result<Self, Failure> {
            let place = StateDir::open(globals)
                .map(|state| Place::of(node.endpoint.id(), state.path()))
                .ok();
            let mut socket = None;
            if let Some(place) = &place {
                match place.open().await {
                    Ok(opened) => socket = Some(opened),
                    Err(error @ ControlError::Taken { .. }) => return Err(error.into()),
                    Err(error) => out::hint(format!(
                        "{error}. No command finds this node meanwhile, so `peerway status` shows another"
                    )),
                }
            }
            let path = place.filter(|_| socket.is_some());
            Ok(Self {
                path: path.map(|place| place.socket().to_owned()),
                socket: Mutex::new(socket),
                control: Control::new(Host {
                    links: node.links(),
                    swarm: node.swarm().clone(),
                    sharing: node.sharing().clone(),
                    search: node.search().clone(),
                    desk: node.desk().clone(),
                    servers: node.servers().clone(),
                    #[cfg(all(feature = "subnet", target_os = "linux"))]
                    linker: node.linker().clone(),
                    party: Party {
                        endpoint: node.endpoint.clone(),
                        book: node.peers().book().clone(),
                        passing: Passing {
                            builder: pair::builder(globals),
                            directory: node.directory(),
                        },
                    },
                    groups: node.groups().cloned(),
                    groups_trouble: node.groups_trouble().map(ToOwned::to_owned),
                    services: services.cloned(),
                    options: globals.start_options(),
                }),
            })
        }

        /// Has a router answer peers too that the address book makes admins. Who is none is told what would make it one, as is the
        /// owner, once for each.
        pub(in crate::cli) fn afar(&self, router: Router) -> Router {
            let control = self.control.clone();
            let told = Arc::new(Mutex::new(BTreeSet::new()));
            router.accept_up_to(VISITORS, ALPN, move |connection| {
                let (control, told) = (control.clone(), Arc::clone(&told));
                async move {
                    let peer = connection.peer();
                    if control.visit(connection).await == Visited::Refused && is_news(&told, peer) {
                        out::hint(format!(
                            "{peer} wanted to look into this node and is no admin: `peerway admin {peer} read` has it see what you see, and `full` do most of what you do"
                        ));
                    }
                }
            })
        }

        /// Where the node is asked.
        pub(in crate::cli) fn socket(&self) -> Option<&Path> {
            self.path.as_deref()
        }

        /// Ends when the node is told to end.
        pub(in crate::cli) async fn serve(&self, node: &Node) {
            let socket = {
                let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
                socket.take()
            };
            let links = node.links();
            let serving = async {
                match socket {
                    Some(socket) => self.control.serve(socket).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = serving => {}
                never = links.heed_book() => match never {},
            }
        }
    }

    /// Whether the owner was not told of this peer yet.
    fn is_news(told: &Mutex<BTreeSet<PeerId>>, peer: PeerId) -> bool {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert(peer)
    }
}

#[cfg(not(unix))]
mod none {
    use crate::{
        cli::{args::Globals, failure::Failure, node::Node},
        kept::Services,
    };

    /// There are no such sockets here.
    pub(in crate::cli) struct Answering;

    impl Answering {
        pub(in crate::cli) async fn open(
            _: &Globals,
            _: &Node,
            _: Option<&Services>,
        ) -> Result<Self, Failure> {
            Ok(Self)
        }

        pub(in crate::cli) fn socket(&self) -> Option<&std::path::Path> {
            None
        }

        pub(in crate::cli) fn afar(&self, router: peerway::Router) -> peerway::Router {
            router
        }

        pub(in crate::cli) async fn serve(&self, _: &Node) {
            std::future::pending().await
        }
    }
}
