//! `tcp`, `tcp:add`, `tcp:remove`: ports and names whose bytes go to an app's dynos as they are.

use std::process::ExitCode;

use ropewalk_client::types::TcpRoute;
use ropewalk_client::types::tcp_route::{ProxyProtocol, TcpRouteCreate, TcpRouteStatus};
use ropewalk_model::dyno::PORT;

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::json;
use crate::ui::table::Table;

/// For the help of `tcp:add`.
pub(crate) const NOTES: &str = "\
Without --port and --sni the lowest port is taken that is free among those that the server opens.
Dynos listen on $PORT, on every address; --dyno-port is for a program that has a port of its own.";

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Process type whose dynos have the connections
    #[arg(value_name = "PROCESS_TYPE", default_value = "web")]
    process_type: String,
    /// Port of the server
    #[arg(long, value_name = "PORT", conflicts_with = "sni")]
    port: Option<u16>,
    /// Name by which clients of TLS come; the dynos have its certificate
    #[arg(long, value_name = "HOSTNAME")]
    sni: Option<String>,
    /// Port on which the dynos listen, if it is not $PORT
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    dyno_port: Option<u16>,
    /// Seconds after which a connection ends that is silent both ways: 10 to 86400, an hour if it is not said
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u32>,
    /// Tell the dynos who the client is, by a header of the PROXY protocol before its first byte: v2 (binary) or v1 (a
    /// line). Their program must expect it
    #[arg(long, value_name = "VERSION", value_enum)]
    proxy_protocol: Option<Version>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Version {
    V1,
    V2,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Its port or host name
    #[arg(value_name = "PORT|HOSTNAME")]
    route: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut routes = cx.client()?.tcp_routes(&app).await?;
    routes.sort_by(|a, b| (&a.hostname, a.port).cmp(&(&b.hostname, b.port)));
    if args.json.json {
        json::print(&cx.out, &routes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    if routes.is_empty() {
        let line = format!("{} has no TCP routes.", paint.app(&app));
        cx.out.line(&line)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading(&format!("{} TCP Routes", paint.app(&app)))?;
    let mut table = Table::with_headings(&[
        "Address",
        "Protocol",
        "Process Type",
        "Dyno Port",
        "Idle Timeout",
        "Status",
    ]);
    for route in &routes {
        table.row([
            route.address.clone(),
            protocol(route),
            route.process_type.clone(),
            route.dyno_port.to_string(),
            format!("{} s", route.idle_timeout),
            status(route),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let entrance = match (&args.sni, args.port) {
        (Some(name), _) => paint.key(name),
        (None, Some(port)) => format!("port {}", paint.key(&port.to_string())),
        (None, None) => "a port".to_owned(),
    };
    let action = cx.out.action(&format!(
        "Leading {entrance} to {} dynos of {}",
        args.process_type,
        paint.app(&app)
    ));
    let wanted = TcpRouteCreate {
        process_type: Some(args.process_type),
        port: args.port,
        hostname: args.sni,
        dyno_port: args.dyno_port,
        idle_timeout: args.idle_timeout,
        proxy_protocol: args.proxy_protocol.map(|version| match version {
            Version::V1 => ProxyProtocol::V1,
            Version::V2 => ProxyProtocol::V2,
        }),
    };
    let route = client.add_tcp_route(&app, &wanted).await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &route)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    cx.out.line(&format!(
        "Clients connect to {}.",
        paint.key(&route.address)
    ))?;
    if route.hostname.is_some() {
        cx.out.line(
            "Its DNS record must lead to this server, and the dynos must have its certificate: TLS is theirs to end.",
        )?;
    }
    if route.status == TcpRouteStatus::Failed {
        cx.out
            .line(&format!("It is not open: {}", reason(&route)))?;
    }
    if route.process_type != "web" && route.dyno_port == PORT {
        let restart = paint.command(&format!("ropewalk ps:restart {}", route.process_type));
        cx.out.line(&format!(
            "Dynos of {} that run already find no $PORT; {restart} gives them one.",
            route.process_type
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Removing TCP route {} from {}",
        paint.key(&args.route),
        paint.app(&app)
    ));
    let removed = cx.client()?.remove_tcp_route(&app, &args.route).await?;
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

fn protocol(route: &TcpRoute) -> String {
    let protocol = match route.hostname {
        Some(_) => "tls",
        None => "tcp",
    };
    match route.proxy_protocol {
        None => protocol.to_owned(),
        Some(ProxyProtocol::V1) => format!("{protocol}, PROXY v1"),
        Some(ProxyProtocol::V2) => format!("{protocol}, PROXY v2"),
    }
}

fn status(route: &TcpRoute) -> String {
    match &route.status_reason {
        Some(reason) => format!("{}: {reason}", route.status),
        None => route.status.to_string(),
    }
}

fn reason(route: &TcpRoute) -> &str {
    let reason = route.status_reason.as_deref();
    reason.unwrap_or("the server does not say why")
}
