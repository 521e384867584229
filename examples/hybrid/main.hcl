# Two virtual machines and the containers inside them: one configuration, one plan, one apply.

variable "nodes" {
  description = "The machines, by name"
  type        = set(string)
  default     = ["a", "b"]
}

variable "cidr" {
  description = "Addresses of the machines"
  type        = string
  default     = "10.77.20.0/24"
}

# -- machines -----------------------------------------------------------------------------------

resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}

# built once from Debian's packages; each machine's disk is a layer on top
resource "disk_image" "debian" {
  packages {
    suite   = "bookworm"
    include = ["docker.io", "apparmor"]
  }
}

resource "vm" "node" {
  for_each = var.nodes
  image    = disk_image.debian
  cpus     = 1
  memory   = "768MiB"
  engine   = "docker"

  disk { size = "4GiB" }
  interface { network = network.lan }
}

# -- what runs inside them ----------------------------------------------------------------------

# both images are made on this machine and carried to each VM; there is no registry
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

resource "network" "front" {
  for_each = vm.node
  host     = each.value
}

# it outlives the container that uses it
resource "volume" "visits" {
  for_each = vm.node
  host     = each.value
}

resource "container" "web" {
  for_each = vm.node
  host     = each.value
  name     = "web"
  image    = image.web
  memory   = "64MiB"
  restart  = "unless-stopped"
  env      = { NODE = each.key }

  port {
    container = 8000
    host      = 80
  }

  mount {
    volume = volume.visits[each.key]
    target = "/data"
  }

  network {
    network = network.front[each.key]
    aliases = ["web"]
  }

  healthcheck {
    test     = ["CMD", "wget", "-q", "-O-", "http://127.0.0.1:8000/health.txt"]
    interval = "5s"
    retries  = 5
  }
}

# asks its neighbour by name, over the network inside its machine
resource "container" "watch" {
  for_each   = vm.node
  host       = each.value
  name       = "watch"
  image      = image.web
  memory     = "32MiB"
  restart    = "unless-stopped"
  command    = ["sh", "-c", "while sleep 30; do wget -q -O- http://web:8000/health.txt; done"]
  depends_on = [container.web]

  network { network = network.front[each.key] }
}

output "addresses" {
  description = "Addresses of the machines"
  value       = { for name, node in vm.node : name => node.address }
}

output "urls" {
  description = "Where the pages are"
  value       = { for name, node in vm.node : name => "http://${node.address}/cgi-bin/index.cgi" }
}
