//! Cores with something else to do.

use std::{
    hint, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// One busy thread for each core, until dropped.
pub(crate) struct Load(Arc<AtomicBool>);

impl Load {
    pub(crate) fn start() -> io::Result<Self> {
        let running = Arc::new(AtomicBool::new(true));
        for _ in 0..thread::available_parallelism()?.get() {
            let running = Arc::clone(&running);
            thread::Builder::new().spawn(move || {
                while running.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })?;
        }
        Ok(Self(running))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
