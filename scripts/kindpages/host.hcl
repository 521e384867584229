resource "host" "here" {
  engine {
    type = "podman"
  }
}

resource "host" "build" {
  engine {
    endpoint = "tcp://build.example.org:2376"
    ca       = "tls/ca.pem"
    cert     = "tls/cert.pem"
    key      = "tls/key.pem"
  }
}

resource "volume" "cache" {
  host = host.build
}
