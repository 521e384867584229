resource "volume" "data" {}

resource "container" "db" {
  image   = "postgres:16"
  memory  = "512MiB"
  restart = "unless-stopped"
  env     = { POSTGRES_HOST_AUTH_METHOD = "trust" }

  port {
    container = 5432
    host      = 5432
    ip        = "127.0.0.1"
  }

  mount {
    volume = volume.data
    target = "/var/lib/postgresql/data"
  }

  healthcheck {
    test     = ["CMD", "pg_isready", "-U", "postgres"]
    interval = "5s"
    retries  = 10
  }

  lifecycle {
    max_disruption = "restart" # a plan that would replace it is refused
  }
}
