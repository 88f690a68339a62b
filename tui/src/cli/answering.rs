//! The control socket of a node that runs for others.

#[cfg(unix)]
pub(super) use unix::Answering;

#[cfg(not(unix))]
pub(super) use none::Answering;

#[cfg(unix)]
mod unix {
    use std::{fs, future::pending, io, os::unix::net::UnixListener, path::Path};

    use crate::{
        cli::{args::Globals, node::Node, out, state::StateDir},
        control::{self, ControlError, Host, Place, StartOptions},
    };

    /// An open socket; none if it could not be opened, as the user was told. The node runs all the same.
    pub(in crate::cli) struct Answering {
        opened: Option<(UnixListener, Place)>,
        options: StartOptions,
    }

    impl Answering {
        pub(in crate::cli) fn open(globals: &Globals, node: &Node) -> Self {
            let open = || {
                let state = StateDir::open(globals).ok()?;
                let place = Place::of(node.endpoint.id(), state.path());
                Some(listen(&place).map(|listener| (listener, place)))
            };
            let opened = open().and_then(|opened| {
                let say = |error: &ControlError| {
                    out::hint(format!(
                        "{error}. No command finds this node meanwhile, so `peerway status` shows another"
                    ));
                };
                opened.inspect_err(say).ok()
            });
            Self {
                opened,
                options: globals.start_options(),
            }
        }

        /// Where the node is asked.
        pub(in crate::cli) fn socket(&self) -> Option<&Path> {
            self.opened.as_ref().map(|(_, place)| place.socket())
        }

        /// Ends when the node is told to end.
        pub(in crate::cli) async fn serve(&self, node: &Node) {
            let listener = self.opened.as_ref().map(|(listener, _)| share(listener));
            match listener {
                Some(Ok(listener)) => {
                    let links = node.links();
                    let host = Host {
                        links: links.clone(),
                        swarm: node.swarm().clone(),
                        options: self.options.clone(),
                    };
                    tokio::select! {
                        () = control::serve(listener, host) => {}
                        never = links.heed_book() => match never {},
                    }
                }
                Some(Err(error)) => {
                    out::hint(format!("no command reaches this node: {error}"));
                    pending().await
                }
                None => pending().await,
            }
        }
    }

    impl Drop for Answering {
        fn drop(&mut self) {
            if let Some((_, place)) = &self.opened {
                // What is left of it would be replaced by the next node.
                let _ = fs::remove_file(place.socket());
            }
        }
    }

    fn listen(place: &Place) -> Result<UnixListener, ControlError> {
        let opened = place.open()?.into_std();
        opened.map_err(|source| ControlError::Open {
            path: place.socket().to_owned(),
            source,
        })
    }

    fn share(listener: &UnixListener) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(listener.try_clone()?)
    }
}

#[cfg(not(unix))]
mod none {
    use crate::cli::{args::Globals, node::Node};

    /// There are no such sockets here.
    pub(in crate::cli) struct Answering;

    impl Answering {
        pub(in crate::cli) fn open(_: &Globals, _: &Node) -> Self {
            Self
        }

        pub(in crate::cli) fn socket(&self) -> Option<&std::path::Path> {
            None
        }

        pub(in crate::cli) async fn serve(&self, _: &Node) {
            std::future::pending().await
        }
    }
}
