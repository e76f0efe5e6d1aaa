//! The registry over real HTTP: by hand, and by a real engine's pull where one answers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says why it skips"
)]

use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use ropewalk_registry::image::{config, manifest};
use ropewalk_registry::{
    BlobStore, Catalog, Credentials, Digest, Form, Layer, Manifest, Refusal, Settings, routes,
};
use ropewalk_slug::archive::{Archive, Meta};
use tower::ServiceExt;

/// One repository with one image; `secret` is the password, if there is one.
struct One {
    name: String,
    manifest: Manifest,
    blobs: Vec<Digest>,
    secret: Option<&'static str>,
}

impl Catalog for One {
    fn authorise<'a>(
        &'a self,
        repository: &'a str,
        credentials: Option<Credentials>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            if repository == "forbidden" {
                return Err(Refusal::Denied("not yours".into()));
            }
            match (self.secret, credentials) {
                (None, _) => Ok(()),
                (Some(secret), Some((_, password))) if secret == password => Ok(()),
                _ => Err(Refusal::Unauthenticated),
            }
        })
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a str,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<Manifest>, Refusal>> {
        let known = reference == "v1" || reference == self.manifest.digest.to_string();
        let found = (repository == self.name && known).then(|| self.manifest.clone());
        Box::pin(async move { Ok(found) })
    }

    fn has_blob<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, Refusal>> {
        let found = repository == self.name && self.blobs.contains(digest);
        Box::pin(async move { Ok(found) })
    }

    fn tags<'a>(
        &'a self,
        repository: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<String>>, Refusal>> {
        let tags = (repository == self.name).then(|| vec!["v1".to_owned()]);
        Box::pin(async move { Ok(tags) })
    }
}

struct Rig {
    _folder: tempfile::TempDir,
    blobs: Arc<BlobStore>,
    name: String,
    layer: Layer,
    config: Digest,
    manifest: Manifest,
}

impl Rig {
    /// An image of one file, whose content no other test's image has: engines keep what they have seen.
    fn new(form: Form) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(folder.path()).unwrap();
        let unique = format!("{:?}", folder.path());
        let meta = Meta {
            uid: 20_000,
            gid: 20_000,
            mode: 0o644,
            mtime: 1,
        };
        let mut tar = Archive::new(Vec::new());
        tar.directory(
            b"./app/",
            Meta {
                mode: 0o755,
                ..meta
            },
        )
        .unwrap();
        tar.file(
            b"./app/hello",
            unique.len() as u64,
            &mut unique.as_bytes(),
            meta,
        )
        .unwrap();
        let tar = tar.finish().unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).unwrap();
        let gzip = gzip.finish().unwrap();
        let layer = Layer {
            digest: blobs.put_bytes(&gzip).unwrap(),
            diff_id: Digest::of(&tar),
            size: gzip.len() as u64,
        };
        let settings = Settings {
            architecture: "amd64".into(),
            command: vec!["/app/hello".into()],
            ..Settings::default()
        };
        let config = config(&settings, &[layer]).unwrap();
        let name = format!("rwslug-{}", &layer.diff_id.hex()[..8]);
        Self {
            manifest: manifest(form, &config, &[layer]).unwrap(),
            config: blobs.put_bytes(&config).unwrap(),
            blobs: Arc::new(blobs),
            _folder: folder,
            name,
            layer,
        }
    }

    fn routes(&self, secret: Option<&'static str>) -> axum::Router {
        let catalog = One {
            name: self.name.clone(),
            manifest: self.manifest.clone(),
            blobs: vec![self.layer.digest, self.config],
            secret,
        };
        routes(self.blobs.clone(), Arc::new(catalog))
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.routes(Some("token")).oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.ask(Method::GET, path, &[AUTH]).await
    }
}

/// `any:token`
const AUTH: (&str, &str) = ("authorization", "Basic YW55OnRva2Vu");

async fn body(response: Response<Body>) -> Vec<u8> {
    response
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .to_vec()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn without_credentials_the_client_is_asked_for_them() {
    let rig = Rig::new(Form::Oci);
    for path in ["/v2/", &format!("/v2/{}/manifests/v1", rig.name)] {
        let response = rig.ask(Method::GET, path, &[]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            header(&response, "www-authenticate"),
            "Basic realm=\"Ropewalk\""
        );
        let text = String::from_utf8(body(response).await).unwrap();
        assert!(
            text.starts_with(r#"{"errors":[{"code":"UNAUTHORIZED","#),
            "{text}"
        );
    }
    assert_eq!(rig.get("/v2/").await.status(), StatusCode::OK);
    let denied = rig.get("/v2/forbidden/tags/list").await;
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn manifests_and_blobs_are_as_announced() {
    let rig = Rig::new(Form::Oci);
    let by_digest = rig.manifest.digest.to_string();
    for reference in ["v1", &by_digest] {
        let path = format!("/v2/{}/manifests/{reference}", rig.name);
        let response = rig.get(&path).await;
        assert_eq!(header(&response, "content-type"), Form::Oci.manifest_type());
        assert_eq!(header(&response, "docker-content-digest"), by_digest);
        assert_eq!(body(response).await, rig.manifest.bytes);
        let head = rig.ask(Method::HEAD, &path, &[AUTH]).await;
        assert_eq!(
            header(&head, "content-length"),
            rig.manifest.bytes.len().to_string()
        );
        assert_eq!(body(head).await, b"");
    }
    let path = format!("/v2/{}/blobs/{}", rig.name, rig.layer.digest);
    let response = rig.get(&path).await;
    assert_eq!(
        header(&response, "content-length"),
        rig.layer.size.to_string()
    );
    let whole = body(response).await;
    assert_eq!(Digest::of(&whole), rig.layer.digest);
    let head = rig.ask(Method::HEAD, &path, &[AUTH]).await;
    assert_eq!(header(&head, "content-length"), rig.layer.size.to_string());
    assert_eq!(body(head).await, b"");

    let part = rig
        .ask(Method::GET, &path, &[AUTH, ("range", "bytes=5-9")])
        .await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let said = format!("bytes 5-9/{}", whole.len());
    assert_eq!(header(&part, "content-range"), said);
    assert_eq!(body(part).await, &whole[5..10]);
    let outside = rig
        .ask(Method::GET, &path, &[AUTH, ("range", "bytes=99999-")])
        .await;
    assert_eq!(outside.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    let tags = rig.get(&format!("/v2/{}/tags/list", rig.name)).await;
    let expected = format!(r#"{{"name":"{}","tags":["v1"]}}"#, rig.name);
    assert_eq!(String::from_utf8(body(tags).await).unwrap(), expected);
}

#[tokio::test]
async fn what_is_not_there_or_not_done_is_said_in_the_apis_words() {
    let rig = Rig::new(Form::Oci);
    // In the store, but not of this repository.
    let other = rig.blobs.put_bytes(b"other").unwrap();
    let name = &rig.name;
    for (method, path, status, code) in [
        (
            Method::GET,
            format!("/v2/{name}/manifests/v2"),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{name}/blobs/{other}"),
            404,
            "BLOB_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{name}/blobs/sha256:..%2f"),
            400,
            "DIGEST_INVALID",
        ),
        (
            Method::GET,
            "/v2/none/tags/list".into(),
            404,
            "NAME_UNKNOWN",
        ),
        (Method::GET, "/v2/_catalog".into(), 404, "NAME_UNKNOWN"),
        (
            Method::POST,
            format!("/v2/{name}/blobs/uploads/"),
            405,
            "UNSUPPORTED",
        ),
        (
            Method::PUT,
            format!("/v2/{name}/manifests/v1"),
            405,
            "UNSUPPORTED",
        ),
        (
            Method::DELETE,
            format!("/v2/{name}/manifests/v1"),
            405,
            "UNSUPPORTED",
        ),
    ] {
        let response = rig.ask(method, &path, &[AUTH]).await;
        assert_eq!(response.status(), status, "{path}");
        let text = String::from_utf8(body(response).await).unwrap();
        assert!(
            text.contains(&format!(r#""code":"{code}""#)),
            "{path}: {text}"
        );
    }
    rig.blobs.remove(&rig.layer.digest).unwrap();
    let gone = rig
        .get(&format!("/v2/{name}/blobs/{}", rig.layer.digest))
        .await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

/// An image in the engine, removed at the end.
struct Pulled(String);

impl Drop for Pulled {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_pulls_both_forms() {
    let engine = Command::new("docker").arg("info").output();
    if !engine.is_ok_and(|output| output.status.success()) {
        println!("skipped: no engine answers");
        return;
    }
    for form in [Form::Oci, Form::Docker] {
        let rig = Rig::new(form);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(serve(listener, rig.routes(None)));
        let image = Pulled(format!("127.0.0.1:{port}/{}:v1", rig.name));
        let docker = |arguments: [&str; 3]| {
            let mut command = tokio::process::Command::new("docker");
            command.args(arguments);
            async move { command.output().await.unwrap() }
        };
        let output = docker(["pull", "--quiet", &image.0]).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let output = docker(["inspect", "--format={{.Id}}", &image.0]).await;
        let id = String::from_utf8(output.stdout).unwrap();
        let ids = [rig.config.to_string(), rig.manifest.digest.to_string()];
        assert!(ids.contains(&id.trim().to_owned()), "{id}");
        served.abort();
    }
}

/// A server as small as can be: the product's own is elsewhere.
async fn serve(listener: tokio::net::TcpListener, routes: axum::Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let routes = routes.clone();
        tokio::spawn(async move {
            let service = hyper_util::service::TowerToHyperService::new(routes);
            let stream = hyper_util::rt::TokioIo::new(stream);
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
            let _ = connection.await;
        });
    }
}
