//! `fhirpool serve`

use std::process::ExitCode;

use fhirpool_authz::{TenantId, TokenRequest};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Settings};
use crate::config::Profile;
use crate::{Server, telemetry};

/// The tenants of a server that was given none.
const DEMO_TENANTS: [&str; 2] = ["demo", "acme"];
const DEMO_TOKEN_SECONDS: u32 = 12 * 3_600;

pub(super) fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let mut config = settings.resolve()?;
    // Elsewhere the tenants are those that the store knows already.
    let demo = config.tenant.is_empty() && config.profile == Profile::Embedded && config.local_issuer;
    if demo {
        config.tenant = DEMO_TENANTS.map(str::to_owned).to_vec();
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let telemetry = telemetry::install(&config)?;
        let tenants = config.tenant.clone();
        let server = Server::start(config).await?;
        println!("listening on {}", server.url());
        if demo {
            print_curl_lines(&server, &tenants)?;
        }
        wait_for_signal().await?;
        tracing::info!("stopping");
        server.stop().await;
        telemetry.finish().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn print_curl_lines(server: &Server, tenants: &[String]) -> Result<(), Failure> {
    for tenant in tenants.iter().filter_map(|tenant| TenantId::parse(tenant)) {
        let request = TokenRequest {
            tenant: tenant.clone(),
            subject: "demo".to_owned(),
            groups: vec!["practitioner".to_owned()],
            scopes: Vec::new(),
            ttl_s: DEMO_TOKEN_SECONDS,
        };
        let Some(token) = server.token(&request).transpose()? else { continue };
        println!("\n# {tenant}\ncurl -H 'Authorization: Bearer {token}' {}/tenant/{tenant}/Patient", server.url());
    }
    Ok(())
}

pub(super) async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
