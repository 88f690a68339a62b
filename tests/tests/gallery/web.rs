//! A web server and a browser: nginx and curl.

use std::fs;

use peerway_lab as lab;

use super::{
    film::{self, film},
    homes::{BUDGET, Home, Homes, Program, need, until},
};

const LEN: usize = 40 << 20;
/// What comes in a quarter of a second.
const MORE: usize = 256 << 10;
/// Megabytes a second.
const RATE: usize = 1;

/// By commands that end with their terminals; all else here is by daemons.
#[test]
#[ignore = "needs nginx-light and curl"]
fn a_download_from_nginx_goes_on_by_commands_where_the_direct_path_is_cut() {
    need(&[("nginx", "nginx-light"), ("curl", "curl")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let (film, _nginx) = serve(attic);
        let exposed = attic.expose(&["web=8080"]);
        let forward = laptop.forward(&exposed, "web", "8080");
        let mut download = Download::start(laptop);
        homes.cut();
        download.get_on(&film);
        forward.until_path("relay");
        download.get_on(&film);
        homes.assert_carried(2 * MORE as u64);
    });
}

#[test]
#[ignore = "needs nginx-light and curl"]
fn downloads_from_nginx_outlive_cuts_new_addresses_and_relays_and_ranges_a_new_daemon() {
    need(&[("nginx", "nginx-light"), ("curl", "curl")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (film, _nginx) = serve(&homes.attic);
        let mut links = homes.disturbed(&["web=8080"], &[("web", "8080")]);

        let mut downloads = homes.users().map(Download::start);
        let get_on = || {
            for download in &mut downloads {
                download.get_on(&film);
            }
        };
        links.outlive(get_on, || ());
        for download in downloads {
            download.finish(&film);
        }

        links.restart_far(|| {
            for user in homes.users() {
                let range = ["-sSf", "-D", "head", "-r", "1000-4095", "-o", "part"];
                user.output("curl", &[&range[..], &[&url(user)]].concat());
                assert!(fs::read(user.folder.join("part")).unwrap() == film[1000..4096]);
                let head = fs::read_to_string(user.folder.join("head")).unwrap();
                assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
            }
        });
        links.assert_carried(LEN as u64);
        println!("nginx: {links}");
    });
}

/// A film, and who serves it.
fn serve(home: &Home) -> (Vec<u8>, Program) {
    let film = film(LEN);
    home.write("film", &film);
    (film, film::serve(home, RATE))
}

/// What a browser fetches, as fast as the server sends it.
struct Download<'a> {
    user: &'a Home,
    curl: Program,
}

impl<'a> Download<'a> {
    fn start(user: &'a Home) -> Self {
        // There may be one of before.
        let _ = fs::remove_file(user.folder.join("film"));
        let curl = user.start("curl", &["-sSf", "-o", "film", &url(user)]);
        Self { user, curl }
    }

    /// Waits until more is there. What was whole before is compared, and begins anew.
    fn get_on(&mut self, film: &[u8]) {
        if self.size() == LEN {
            self.compare(film);
            *self = Self::start(self.user);
        }
        let before = self.size();
        until("more is there", || {
            self.size() > before + MORE || self.size() == LEN
        });
    }

    fn size(&self) -> usize {
        let there = fs::metadata(self.user.folder.join("film"));
        there.map_or(0, |file| file.len() as usize)
    }

    fn finish(self, film: &[u8]) {
        until("all is there", || self.size() == LEN);
        self.compare(film);
        self.curl.finish();
    }

    fn compare(&self, film: &[u8]) {
        assert!(fs::read(self.user.folder.join("film")).unwrap() == film);
    }
}

fn url(user: &Home) -> String {
    format!("http://{}:8080/film", user.room.gate())
}
