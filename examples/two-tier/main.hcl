# A web tier that counts its visitors in a store tier. Only the web tier is published; the two talk over a
# private network, and the count survives in a volume.

variable "port" {
  description = "Port on this machine at which the page is served"
  type        = number
  default     = 8080

  validation {
    condition     = var.port > 0 && var.port < 65536
    error_message = "A port is a number from 1 to 65535."
  }
}

variable "greeting" {
  description = "What the page says"
  type        = string
  default     = "Welcome ashore"
}

# An image needs no registry: this one is made of one Debian package.
resource "image" "base" {
  packages {
    suite   = "bookworm"
    variant = "extract"
    include = ["busybox-static"]
  }
}

resource "image" "web" {
  build {
    context = "./web"
    args    = { BASE = image.base.name }
  }
}

resource "image" "store" {
  build {
    context = "./store"
    args    = { BASE = image.base.name }
  }
}

resource "network" "front" {}

resource "network" "private" {
  internal = true
}

resource "volume" "counter" {}

resource "container" "store" {
  image     = image.store
  memory    = "32MiB"
  restart   = "unless-stopped"
  read_only = true
  cap_drop  = ["ALL"]

  mount {
    volume = volume.counter
    target = "/data"
  }

  network {
    network = network.private
    aliases = ["store"]
  }

  healthcheck {
    test     = ["CMD", "wget", "-q", "-O-", "http://127.0.0.1:8000/cgi-bin/count"]
    interval = "2s"
    retries  = 5
  }
}

resource "container" "web" {
  image      = image.web
  memory     = "32MiB"
  cpus       = 0.5
  restart    = "unless-stopped"
  read_only  = true
  cap_drop   = ["ALL"]
  user       = "65534:65534"
  depends_on = [container.store]

  env = {
    GREETING = var.greeting
    STORE    = "http://store:8000"
  }

  port {
    container = 8000
    host      = var.port
  }

  network { network = network.front }
  network { network = network.private }

  healthcheck {
    test     = ["CMD", "wget", "-q", "-O-", "http://127.0.0.1:8000/health.txt"]
    interval = "2s"
    retries  = 5
  }
}

output "url" {
  description = "Where the page is"
  value       = "http://localhost:${var.port}/"
}

output "containers" {
  value = { web = container.web.name, store = container.store.name }
}
