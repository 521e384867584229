# One machine, two engines: the same container on Docker and on Podman, in one plan.

resource "host" "docker" {
  engine {
    type = "docker"
  }
}

resource "host" "podman" {
  engine {
    type = "podman"
  }
}

locals {
  engines = {
    docker = host.docker
    podman = host.podman
  }
}

# Made once on each engine. An image that names no host would be made on the local one and carried to the other.
resource "image" "tools" {
  for_each = local.engines
  host     = each.value

  packages {
    suite   = "bookworm"
    variant = "extract"
    include = ["busybox-static"]
  }
}

resource "volume" "notes" {
  for_each = local.engines
  host     = each.value
}

resource "container" "clock" {
  for_each = local.engines
  host     = each.value
  image    = image.tools[each.key]
  command  = ["/bin/busybox", "sh", "-c", "while :; do /bin/busybox date >> /notes/log; /bin/busybox sleep 5; done"]
  memory   = "16MiB"

  # as the first process of a container a shell takes no other signal
  stop_signal = "SIGKILL"

  mount {
    volume = volume.notes[each.key]
    target = "/notes"
  }
}

output "engines" {
  value = { for name, host in local.engines : name => "${host.engine_name} ${host.engine_version}" }
}
