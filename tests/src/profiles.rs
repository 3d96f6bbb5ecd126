//! Tests that run on each profile: a function over the profile, and a name for it under each.

/// Makes the tests `embedded::<name>` and `aws::<name>` of each function.
macro_rules! on_each_profile {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(fhirpool_server::config::Profile::Embedded).await;
                }
            )+
        }

        mod aws {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(fhirpool_server::config::Profile::Aws).await;
                }
            )+
        }
    };
}

pub(crate) use on_each_profile;
