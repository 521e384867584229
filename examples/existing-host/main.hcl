# A machine that exists, reached over SSH: its engine is installed, and a container runs on it.

variable "address" {
  description = "Address or name of the machine"
  type        = string
  default     = "203.0.113.10"
}

variable "host_key" {
  description = "Its public host key, as `ssh-keyscan -t ed25519 ADDRESS` shows it. Without it ~/.ssh/known_hosts decides"
  type        = string
  default     = null
}

resource "host" "rack1" {
  connection = "ssh"

  ssh {
    address  = var.address
    user     = "root"
    host_key = var.host_key
  }

  install {
    engine   = "docker"
    packages = ["curl"]
  }
}

resource "file" "motd" {
  host    = host.rack1
  path    = "/etc/motd"
  content = "Looked after by Hythe.\n"
  mode    = "0644"
}

resource "command" "timezone" {
  host   = host.rack1
  check  = "test \"$(cat /etc/timezone)\" = Etc/UTC"
  create = "echo Etc/UTC > /etc/timezone"
}

resource "container" "web" {
  host    = host.rack1
  name    = "web"
  image   = "nginx:1.27"
  restart = "unless-stopped"

  port {
    container = 80
    host      = 80
  }
}

output "machine" {
  value = "${host.rack1.hostname}: ${host.rack1.distribution} ${host.rack1.distribution_version}"
}
