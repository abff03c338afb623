//! One request to one server.
//!
//! A server may be slow, lie, send without end or not at all: whatever it does, a request ends after [`Settings::timeout`] without
//! 100 KiB of progress, and writes no more than it may. Content codings are not asked for and not unpacked, so that what is
//! counted is what is kept. Redirects are followed within the server that the user named only, and never from HTTPS to HTTP.

use std::fs::File;

use super::report::Failure;
use super::settings::Settings;

#[cfg(feature = "debuginfod")]
pub(super) use http::Client;

#[cfg(not(feature = "debuginfod"))]
pub(super) use nothing::Client;

/// How far a transfer is: bytes so far, and of how many if that is known. Says whether it may go on.
pub(super) type OnWay<'a> = dyn FnMut(u64, Option<u64>) -> Result<(), Failure> + 'a;

/// Without HTTP there are no requests; [`Settings::from_environment`] has said so before.
#[cfg(not(feature = "debuginfod"))]
mod nothing {
    use super::{Failure, File, OnWay, Settings};

    #[derive(Clone, Debug)]
    pub struct Client;

    impl Client {
        pub fn new(_: &Settings) -> Client {
            Client
        }

        pub fn get(&self, _: &str, _: &str, _: &mut OnWay<'_>, _: &mut File) -> Result<u64, Failure> {
            Err(Failure::Unreachable("built without HTTP".into()))
        }

        pub fn shut_down(&self) {}
    }
}

#[cfg(feature = "debuginfod")]
mod http {
    use std::io::{self, Read, Write};
    use std::time::{Duration, Instant};

    use ureq::http::{Response, Uri, header};
    use ureq::tls::{RootCerts, TlsConfig};
    use ureq::{Agent, Body, Timeout};

    use super::{Failure, File, OnWay, Settings};

    /// Asks servers; clones share their connections.
    #[derive(Clone, Debug)]
    pub struct Client {
        agent: Agent,
        timeout: Option<Duration>,
        max_size: Option<u64>,
    }

    /// Redirects that are followed.
    const MOST_REDIRECTS: u32 = 5;
    /// Less than so much within the time-out is no progress (`CURLOPT_LOW_SPEED_LIMIT` in elfutils' debuginfod-client.c).
    const LEAST_PROGRESS: u64 = 100 << 10;
    /// The answer of a server that knows that a file is larger than `X-DEBUGINFOD-MAXSIZE` (debuginfod(8)).
    const NOT_ACCEPTABLE: u16 = 406;

    impl Client {
        pub fn new(settings: &Settings) -> Client {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .accept_encoding("identity")
                .user_agent(concat!("flameprofile/", env!("CARGO_PKG_VERSION")))
                .timeout_resolve(settings.timeout)
                .timeout_connect(settings.timeout)
                .timeout_send_request(settings.timeout)
                .timeout_recv_response(settings.timeout)
                .timeout_per_read(settings.timeout)
                .timeout_per_write(settings.timeout)
                .timeout_global(settings.max_time)
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
            Client { agent: config.build().into(), timeout: settings.timeout, max_size: settings.max_size }
        }

        /// Fetches `path` of `server` into a file; returns how many bytes it has.
        pub fn get(&self, server: &str, path: &str, on_way: &mut OnWay<'_>, file: &mut File) -> Result<u64, Failure> {
            let bad = |what: &dyn std::fmt::Display| Failure::Unreachable(what.to_string());
            let mut address: Uri = format!("{server}/{path}").parse().map_err(|error| bad(&error))?;
            for _ in 0..=MOST_REDIRECTS {
                let mut request = self.agent.get(&address);
                if let Some(most) = self.max_size {
                    request = request.header("X-DEBUGINFOD-MAXSIZE", most.to_string());
                }
                let response = request.call().map_err(failure)?;
                match response.status().as_u16() {
                    200 => return self.receive(response, on_way, file),
                    301 | 302 | 303 | 307 | 308 => {
                        address = elsewhere(&address, &response).ok_or(Failure::Redirected)?
                    }
                    404 => return Err(Failure::NotFound),
                    status => {
                        let too_large = self.max_size.filter(|_| status == NOT_ACCEPTABLE).map(Failure::TooLarge);
                        return Err(too_large.unwrap_or(Failure::Status(status)));
                    }
                }
            }
            Err(Failure::Redirected)
        }

        fn receive(&self, response: Response<Body>, on_way: &mut OnWay<'_>, file: &mut File) -> Result<u64, Failure> {
            // Archives are unpacked while they are sent; the server tells how much that will be.
            let told = response.headers().get("X-DEBUGINFOD-SIZE").and_then(|size| size.to_str().ok()?.parse().ok());
            let of = response.body().content_length().or(told);
            let fits = |bytes: u64| {
                let most = self.max_size.filter(|most| bytes > *most);
                most.map_or(Ok(()), |most| Err(Failure::TooLarge(most)))
            };
            fits(of.unwrap_or(0))?;
            on_way(0, of)?;
            let mut reader = response.into_body().into_reader();
            let mut buffer = vec![0; 64 << 10];
            let (mut bytes, mut window, mut since) = (0, 0, Instant::now());
            loop {
                let read = match reader.read(&mut buffer) {
                    Ok(0) => return Ok(bytes),
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        return Err(match failure(error.into()) {
                            Failure::Unreachable(_) | Failure::BrokeOff(_) => {
                                let of = of.map_or(String::new(), |of| format!(" of {of}"));
                                Failure::BrokeOff(format!("after {bytes}{of} bytes"))
                            }
                            other => other,
                        });
                    }
                };
                bytes += read as u64;
                window += read as u64;
                fits(bytes)?;
                file.write_all(&buffer[..read]).map_err(|error| Failure::Cache(error.to_string()))?;
                on_way(bytes, of)?;
                if self.timeout.is_some_and(|timeout| since.elapsed() >= timeout) {
                    if window < LEAST_PROGRESS {
                        return Err(Failure::TooSlow);
                    }
                    (window, since) = (0, Instant::now());
                }
            }
        }

        /// Has requests that are under way fail, and all later ones.
        pub fn shut_down(&self) {
            self.agent.clone().shutdown();
        }
    }

    fn failure(error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(Timeout::Global | Timeout::PerCall) => Failure::TooLong,
            ureq::Error::Timeout(_) => Failure::TooSlow,
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Failure::TooSlow,
            ureq::Error::Io(error) if is_end(error.kind()) => Failure::BrokeOff(error.to_string()),
            ureq::Error::Protocol(error) => Failure::NoHttp(error.to_string()),
            error => Failure::Unreachable(error.to_string()),
        }
    }

    /// Whether an error is that the other side has ended the connection.
    fn is_end(kind: io::ErrorKind) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(kind, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
    }

    /// Where a redirect leads to, if that is a place of the same host that is as safe.
    fn elsewhere(from: &Uri, response: &Response<Body>) -> Option<Uri> {
        let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
        if location.starts_with('/') && !location.starts_with("//") {
            return Uri::builder()
                .scheme(from.scheme()?.clone())
                .authority(from.authority()?.clone())
                .path_and_query(location)
                .build()
                .ok();
        }
        let to: Uri = location.parse().ok()?;
        let schemes = (from.scheme_str()?, to.scheme_str()?);
        let is_safe = matches!(schemes, ("http" | "https", "https") | ("http", "http"));
        (is_safe && from.host() == to.host()).then_some(to)
    }
}
