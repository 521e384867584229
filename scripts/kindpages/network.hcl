resource "network" "back" {
  cidr     = "10.20.0.0/24"
  internal = true
}

resource "container" "cache" {
  image = "redis:7"

  network {
    network      = network.back
    aliases      = ["cache"]
    ipv4_address = "10.20.0.10"
  }
}
