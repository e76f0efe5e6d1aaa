# What Puma makes of a request: notes it, and answers with its path.
require "json"

run(lambda do |env|
  line = {
    method: env["REQUEST_METHOD"],
    path: env["REQUEST_URI"],
    body: env["rack.input"].read.dup.force_encoding("ISO-8859-1").encode("UTF-8"),
    connection: env["puma.socket"].peeraddr[1].to_s,
    headers: {
      "content-length" => env["CONTENT_LENGTH"].to_s,
      "transfer-encoding" => env["HTTP_TRANSFER_ENCODING"].to_s,
      "host" => env["HTTP_HOST"].to_s,
      "x-request-id" => env["HTTP_X_REQUEST_ID"].to_s,
    },
  }
  File.write(ENV.fetch("SEEN"), "#{JSON.generate(line, ascii_only: true)}\n", mode: "a")
  [200, { "content-type" => "text/plain" }, [env["REQUEST_URI"]]]
end)
