# The smallest virtual machine: a disk built from Debian's packages, and a network to reach it.

resource "network" "lan" {
  mode = "nat"
  cidr = "10.77.21.0/24"
}

resource "disk_image" "debian" {
  packages { suite = "bookworm" }
}

resource "vm" "small" {
  image  = disk_image.debian
  memory = "512MiB"
  interface { network = network.lan }
}

output "address" { value = vm.small.address }
