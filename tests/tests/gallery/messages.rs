//! Messages between machines: mosquitto and its clients, over MQTT.

use peerway_lab as lab;

use super::homes::{BUDGET, Homes, need, until};

const COUNT: usize = 40;

#[test]
#[ignore = "needs mosquitto and mosquitto-clients"]
fn a_subscriber_of_mosquitto_misses_nothing_where_the_direct_path_is_cut() {
    need(&[
        ("mosquitto", "mosquitto"),
        ("mosquitto_sub", "mosquitto-clients"),
        ("mosquitto_pub", "mosquitto-clients"),
    ]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let own = attic.room.addr().to_string();
        let config = format!("listener 1883 {own}\nallow_anonymous true\nuser root\n");
        let config = attic.write("mosquitto.conf", config);
        let broker = attic.start("mosquitto", &["-c", &config, "-v"]);
        broker.until_said("running");
        let exposed = attic.expose(&["mqtt=1883"]);
        let forward = laptop.forward(&exposed, "mqtt", "1883");

        let gate = laptop.room.gate().to_string();
        let count = COUNT.to_string();
        let listen = ["-h", &gate, "-t", "attic/#", "-q", "1", "-C", &count];
        let subscriber = laptop.start("mosquitto_sub", &listen);
        broker.until_said("Sending SUBACK");
        let messages: Vec<_> = (0..COUNT).map(|at| format!("reading {at}")).collect();
        let publish = |message: &str| {
            let line = ["-h", &own, "-t", "attic/roof", "-q", "1", "-m", message];
            attic.output("mosquitto_pub", &line);
        };
        for (at, message) in messages.iter().enumerate() {
            if at == COUNT / 2 {
                until("some came", || subscriber.said().contains("reading 5\n"));
                homes.cut();
            }
            publish(message);
        }
        forward.until_path("relay");
        let heard = subscriber.finish();
        assert_eq!(heard.lines().collect::<Vec<_>>(), messages);
        // The other way round, and kept for whoever comes later.
        let keep = ["-h", &gate, "-t", "garden", "-q", "1", "-r", "-m", "rain"];
        laptop.output("mosquitto_pub", &keep);
        let ask = ["-h", &own, "-t", "garden", "-C", "1", "-W", "20"];
        assert_eq!(attic.output("mosquitto_sub", &ask), "rain\n");
        homes.assert_carried(COUNT as u64 * 60);
    });
}
