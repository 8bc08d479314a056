//! The port and its certificate: connects succeed from here on, and nobody
//! answers yet.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use seam::BoxListener;
use tokio::time::sleep;

use super::{Failure, Process};
use crate::environment::{Environment, Event};
use crate::server::certificate::Location;
use crate::server::reload::{Found, ServingCertificate};
use crate::transport::error::errno_text;

/// A port that connects succeed at, and what it will be served with.
pub(super) struct Port {
    pub(super) listener: BoxListener,
    pub(super) address: SocketAddr,
    pub(super) certificate: ServingCertificate,
}

impl Process {
    /// Finds or generates the serving certificate and binds the port; `None`
    /// if there is to be none.
    pub(super) async fn open_port(&self) -> Result<Option<Port>, Failure> {
        let Environment {
            host,
            observer,
            version,
            ..
        } = &self.environment;
        let options = &self.options.serving;
        if options.secure_port <= 0 {
            return Ok(None);
        }
        let location = self.serving_certificate().await?;
        let listener = self.bind().await?;
        let address = listener.local_addr();
        observer.event(Event::PortBound { address });
        let found = Found::now(host, &self.tls, &self.options, &location)?;
        Ok(Some(Port {
            listener,
            address,
            certificate: ServingCertificate {
                host: host.clone(),
                tls: self.tls.clone(),
                options: Rc::clone(&self.options),
                location,
                log: self.log.clone(),
                version: *version,
                found: RefCell::new(found),
            },
        }))
    }

    async fn serving_certificate(&self) -> Result<Location, Failure> {
        let Environment {
            host,
            start_cost,
            server_key,
            observer,
            ..
        } = &self.environment;
        let options = &self.options.serving;
        let failed = |error: String| {
            Failure::Error(format!("error creating self-signed certificates: {error}"))
        };
        let location = Location::of(options);
        let generated = location.must_generate(host).map_err(failed)?;
        if generated {
            sleep(start_cost.certificate).await;
            location
                .generate(host, server_key, options)
                .map_err(failed)?;
            let Location {
                certificate, key, ..
            } = &location;
            let text = format!("Generated self-signed cert ({certificate}, {key})");
            self.log.info("serving.go:386", text);
        }
        observer.event(Event::ServingCertificate { generated });
        Ok(location)
    }

    /// Source: lib: apiserver `pkg/server/options/serving.go: CreateListener`.
    async fn bind(&self) -> Result<BoxListener, Failure> {
        let options = &self.options.serving;
        let port = options.secure_port;
        let wanted = match options.bind_address {
            IpAddr::V4(address) => format!("{address}:{port}"),
            IpAddr::V6(address) => format!("[{address}]:{port}"),
        };
        let failed = |text: String| {
            let text = format!("failed to listen on {wanted}: listen tcp{text}");
            Failure::Error(format!("failed to create listener: {text}"))
        };
        let Ok(number) = u16::try_from(port) else {
            return Err(failed(format!(": address {port}: invalid port")));
        };
        let address = SocketAddr::new(options.bind_address, number);
        let listening = self.environment.host.listen(address).await;
        listening.map_err(|error| failed(format!(" {wanted}: bind: {}", errno_text(&error))))
    }
}
