# Pages in a volume, served by a container whose image holds nothing but the server.

variable "port" {
  description = "Port on this machine"
  type        = number
  default     = 8080
}

resource "image" "base" {
  packages {
    suite   = "bookworm"
    variant = "extract"
    include = ["busybox-static"]
  }
}

resource "image" "server" {
  build {
    context = "./server"
    args    = { BASE = image.base.name }
  }
}

# A seed is what a new volume begins with. Another seed is another volume, and replacing one loses what is in
# it, so that must be allowed; here nothing is ever in it that is not in the folder too.
resource "volume" "site" {
  allow_data_loss = true

  seed {
    source = "./site"
  }
}

resource "container" "web" {
  image     = image.server
  memory    = "16MiB"
  restart   = "unless-stopped"
  read_only = true
  cap_drop  = ["ALL"]

  port {
    container = 8000
    host      = var.port
  }

  mount {
    volume    = volume.site
    target    = "/site"
    read_only = true
  }
}

output "url" {
  value = "http://localhost:${var.port}/"
}
