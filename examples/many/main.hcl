# A map of services: one block makes them all, each with what its entry says.

variable "services" {
  description = "Services by name. `needs` lists those that must be up before."
  type = map(object({
    page   = string
    port   = optional(number)
    needs  = optional(list(string), [])
    memory = optional(string, "16MiB")
  }))
  default = {
    catalogue = { page = "catalogue" }
    prices    = { page = "prices", memory = "32MiB" }
    accounts  = { page = "accounts" }
    shop      = { page = "shop", port = 8080, needs = ["catalogue", "prices"] }
    admin     = { page = "admin", port = 8081, needs = ["accounts", "catalogue"] }
  }

  validation {
    condition = alltrue(flatten([
      for name, service in var.services : [
        for other in service.needs : try(length(var.services[other].needs) == 0, false)
      ]
    ]))
    error_message = "What a service needs must be a service that needs nothing itself."
  }
}

locals {
  backends  = { for name, service in var.services : name => service if length(service.needs) == 0 }
  frontends = { for name, service in var.services : name => service if length(service.needs) > 0 }
  serve     = ["/bin/busybox", "httpd", "-f", "-p", "8000", "-h", "/www"]
}

resource "image" "base" {
  packages {
    suite   = "bookworm"
    variant = "extract"
    include = ["busybox-static"]
  }
}

resource "network" "inside" {}

resource "container" "backend" {
  for_each = local.backends

  image       = image.base
  command     = local.serve
  memory      = each.value.memory
  stop_signal = "SIGKILL"

  file {
    target  = "/www/index.html"
    content = "<h1>${each.value.page}</h1>\n"
  }

  network {
    network = network.inside
    aliases = [each.key]
  }

  healthcheck {
    test     = ["CMD", "/bin/busybox", "wget", "-q", "-O-", "http://127.0.0.1:8000/"]
    interval = "1s"
    retries  = 5
  }
}

resource "container" "frontend" {
  for_each = local.frontends

  image       = image.base
  command     = local.serve
  memory      = each.value.memory
  stop_signal = "SIGKILL"

  # reading another instance is depending on it, and on no other: admin does not wait for prices
  env = {
    for other in each.value.needs : "${upper(other)}_HOST" => container.backend[other].name
  }

  file {
    target = "/www/index.html"
    content = templatefile("page.html.tftpl", {
      title = each.value.page
      needs = each.value.needs
    })
  }

  network {
    network = network.inside
    aliases = [each.key]
  }

  dynamic "port" {
    for_each = each.value.port[*]

    content {
      container = 8000
      host      = port.value
    }
  }
}

output "urls" {
  value = { for name, service in var.services : name => "http://localhost:${service.port}/" if service.port != null }
}
