# Debian machines with a container engine, on a network of their own.

variable "nodes" {
  description = "The machines, by name"
  type        = set(string)

  validation {
    condition     = length(var.nodes) > 0
    error_message = "At least one machine is needed."
  }
}

variable "cidr" {
  description = "Addresses of the machines"
  type        = string
  default     = "10.77.30.0/24"

  validation {
    condition     = can(cidrhost(var.cidr, 2))
    error_message = "This must be a network like 10.77.30.0/24."
  }
}

variable "cpus" {
  description = "Processors of each machine"
  type        = number
  default     = 1
}

variable "memory" {
  description = "Memory of each machine"
  type        = string
  default     = "1GiB"
}

variable "disk" {
  description = "Size of each machine's disk"
  type        = string
  default     = "8GiB"
}

variable "suite" {
  description = "The Debian release"
  type        = string
  default     = "bookworm"
}

variable "engine" {
  description = "docker or podman"
  type        = string
  default     = "docker"

  validation {
    condition     = contains(["docker", "podman"], var.engine)
    error_message = "The engine is docker or podman, and not ${var.engine}."
  }
}

variable "packages" {
  description = "More Debian packages"
  type        = list(string)
  default     = []
}

variable "user_data" {
  description = "What cloud-init does on each machine (#cloud-config)"
  type        = string
  default     = null
}

resource "network" "lan" {
  mode = "nat"
  cidr = var.cidr
}

# built once; each machine's disk is a layer on top
resource "disk_image" "debian" {
  packages {
    suite   = var.suite
    include = concat([var.engine == "docker" ? "docker.io" : "podman", "apparmor"], var.packages)
  }
}

resource "vm" "node" {
  for_each  = var.nodes
  image     = disk_image.debian
  cpus      = var.cpus
  memory    = var.memory
  engine    = var.engine
  user_data = var.user_data

  disk { size = var.disk }
  interface { network = network.lan }
}

output "nodes" {
  description = "The machines, by name: what `host` and `for_each` of containers take"
  value       = vm.node
}

output "addresses" {
  description = "Their addresses, by name"
  value       = { for name, node in vm.node : name => node.address }
}

output "network" {
  description = "The network that they are on"
  value       = network.lan
}
