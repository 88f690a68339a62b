//! Messages between machines: mosquitto and its clients, over MQTT.

use peerway_lab as lab;

use super::homes::{BUDGET, Homes, need, until};

/// So many are published at a time.
const BATCH: usize = 5;

#[test]
#[ignore = "needs mosquitto and mosquitto-clients"]
fn subscribers_of_mosquitto_miss_nothing_whatever_happens_to_their_links() {
    need(&[
        ("mosquitto", "mosquitto"),
        ("mosquitto_sub", "mosquitto-clients"),
        ("mosquitto_pub", "mosquitto-clients"),
    ]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let attic = &homes.attic;
        let own = attic.room.addr().to_string();
        let config = format!("listener 1883 {own}\nallow_anonymous true\nuser root\n");
        let config = attic.write("mosquitto.conf", config);
        let broker = attic.start("mosquitto", &["-c", &config, "-v"]);
        broker.until_said("running");
        let mut links = homes.disturbed(&["mqtt=1883"], &[("mqtt", "1883")]);

        let subscribers = homes.users().map(|user| {
            let (gate, name) = (user.room.gate().to_string(), user.name);
            // What it has not acknowledged is kept for it.
            let who = ["-h", &gate, "-i", name, "-c", "-q", "1"];
            user.start("mosquitto_sub", &[&who[..], &["-t", "attic/#"]].concat())
        });
        let count = |event: &str| broker.said().matches(event).count();
        until("both are there", || count("Sending SUBACK") == 2);
        let mut published = Vec::new();
        let mut publish = || {
            for _ in 0..BATCH {
                let message = format!("reading {}", published.len());
                let line = ["-h", &own, "-t", "attic/roof", "-q", "1", "-m", &message];
                attic.output("mosquitto_pub", &line);
                published.push(message);
            }
            for subscriber in &subscribers {
                let has_last =
                    || subscriber.said().lines().last() == published.last().map(|it| &**it);
                until("the last message is there", has_last);
                assert!(subscriber.said().lines().eq(&published));
            }
        };
        publish();
        links.outlive(&mut publish, || ());
        let connected = count("as laptop") + count("as phone");
        assert_eq!(connected, 2, "{}", broker.said());
        links.restart_far(&mut publish);

        // The other way round, and kept for whoever comes later.
        for user in homes.users() {
            let (gate, topic) = (user.room.gate().to_string(), user.name);
            let keep = ["-h", &gate, "-t", topic, "-q", "1", "-r", "-m", "rain"];
            user.output("mosquitto_pub", &keep);
            let ask = ["-h", &own, "-t", topic, "-C", "1", "-W", "20"];
            assert_eq!(attic.output("mosquitto_sub", &ask), "rain\n");
        }
        links.assert_carried(6 * BATCH as u64 * 60);
        println!("mosquitto: {links}");
    });
}
