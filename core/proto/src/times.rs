//! Times in JSON, where they are numbers: milliseconds, whole or with a fraction, or seconds. In Rust they are [`Duration`]s.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// In whole milliseconds, as it is shown.
pub(crate) fn whole(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64)
}

/// Whole milliseconds.
pub(crate) mod millis {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_millis() as u64)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }

    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(|time| time.as_millis() as u64).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
        }
    }
}

/// Milliseconds with a fraction.
pub(crate) mod fine_millis {
    use super::{Deserialize, Deserializer, Duration, Error, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64() * 1e3)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)? / 1e3).map_err(D::Error::custom)
    }

    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Duration, Error, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(|time| time.as_secs_f64() * 1e3).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            let time = Option::<f64>::deserialize(from)?;
            let time = time.map(|millis| Duration::try_from_secs_f64(millis / 1e3));
            time.transpose().map_err(D::Error::custom)
        }
    }
}

/// Whole seconds, if any.
pub(crate) mod seconds {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_secs))
    }
}
