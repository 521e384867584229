resource "volume" "data" {}

resource "container" "web" {
  image = var.imge
  env   = { HOME = local.home }
  mount {
    volume = volume.date
    target = "/data"
  }
}

variable "image" {
  default = "nginx:1.27"
}

output "address" {
  value = container.web.ip_adress
}
