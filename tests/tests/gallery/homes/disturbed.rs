//! What happens to links while programs use them.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use peerway_lab::Fault;

use super::{Home, Homes, daemon::Daemon};

/// A server in the attic, and who uses it from two homes that are behind NATs of different kinds, all by daemons.
pub(in super::super) struct Disturbed<'a> {
    homes: &'a Homes,
    far: Option<Daemon<'a>>,
    near: [Daemon<'a>; 2],
    began: Instant,
    /// What happened, how long it took until all had got on, and until the first user's link was as it was to be.
    told: Vec<(&'static str, Duration, Duration)>,
}

impl Homes {
    /// Who uses the attic's server.
    pub(in super::super) fn users(&self) -> [&Home; 2] {
        [&self.laptop, &self.phone]
    }

    /// Has what listens in the attic's room be reached by all users, each service at a port of their gates; waits until the
    /// first of them is linked directly. The other's NAT is one whose ports have to be guessed, which may take several rounds.
    pub(in super::super) fn disturbed(
        &self,
        exposed: &[&str],
        forwarded: &[(&str, &str)],
    ) -> Disturbed<'_> {
        let began = (Instant::now(), SystemTime::now());
        let far = Daemon::exposing(&self.attic, exposed);
        let near = self
            .users()
            .map(|home| Daemon::forwarding(home, &far, forwarded));
        near[0].until_path("direct", began.1);
        Disturbed {
            homes: self,
            far: Some(far),
            near,
            began: began.0,
            told: Vec::new(),
        }
    }
}

impl Disturbed<'_> {
    /// Lets all happen that connections outlive, one after the other. Each time `get_on` waits until all users have got on by
    /// what they have open; `rested` is called when the link of the first is as it stays for a while, direct or by the relay.
    pub(in super::super) fn outlive(&mut self, mut get_on: impl FnMut(), mut rested: impl FnMut()) {
        let (homes, lab) = (self.homes, &self.homes.lab);
        let attic = &homes.attic.computer.home;
        let cuts = homes
            .users()
            .map(|user| Fault::Cut(attic, &user.computer.home));
        let renumber = || lab.renumber(attic).unwrap();
        let cut = || cuts.iter().for_each(|cut| lab.begin(*cut).unwrap());
        let mend = || cuts.iter().for_each(|cut| lab.end(*cut).unwrap());
        let restart = || {
            let mut relay = homes.relay.borrow_mut();
            relay.kill();
            *relay = homes.place.relay(lab);
        };
        let all: [(_, &dyn Fn(), _); 4] = [
            ("new address", &renumber, Some("direct")),
            ("path cut", &cut, Some("relay")),
            ("relay restarted", &restart, None),
            ("path mended", &mend, Some("direct")),
        ];
        for (what, act, path) in all {
            self.happens(what, act, &mut get_on, path);
            rested();
        }
    }

    /// Lets the attic's daemon die and begin anew. `reach` has all users reach the server again, by new connections.
    pub(in super::super) fn restart_far(&mut self, mut reach: impl FnMut()) {
        let far = self.far.take().map(Daemon::restart);
        self.happens("far daemon back", &|| (), &mut reach, None);
        if let Some(far) = &far {
            far.until_met(self.near.len());
        }
        self.far = far;
    }

    /// That the programs said at least so many bytes in each user's home, and tried to reach nobody else.
    pub(in super::super) fn assert_carried(&self, bytes: u64) {
        self.homes.attic.assert_carried(2 * bytes);
        let [laptop, phone] = self.homes.users();
        self.homes.assert_reached_by(laptop, bytes);
        phone.assert_carried(bytes);
    }

    fn happens(
        &mut self,
        what: &'static str,
        act: &dyn Fn(),
        get_on: &mut impl FnMut(),
        path: Option<&str>,
    ) {
        let before = SystemTime::now();
        act();
        let began = Instant::now();
        get_on();
        let got_on = began.elapsed();
        if let Some(path) = path {
            self.near[0].until_path(path, before);
        }
        self.told.push((what, got_on, began.elapsed()));
    }
}

impl fmt::Display for Disturbed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, got_on, rested) in &self.told {
            let [got_on, rested] = [got_on, rested].map(Duration::as_secs_f64);
            write!(f, "{what}: {got_on:.1} s, {rested:.1} s; ")?;
        }
        write!(f, "all in {:.0} s", self.began.elapsed().as_secs_f64())
    }
}
