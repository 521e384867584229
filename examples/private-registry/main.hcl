# Build on an image of a private registry, and push the result there.

variable "registry" {
  description = "Registry, with its port unless it is 443"
  type        = string
  default     = "registry.example.org"
}

variable "username" {
  description = "Account at the registry"
  type        = string
  default     = "deploy"
}

variable "password" {
  description = "Password or token of the account; in no plan, no state and no output"
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.password != ""
    error_message = "The password is empty."
  }
}

variable "release" {
  description = "Tag of the image that is pushed"
  type        = string
  default     = "1.0"
}

# The tag is resolved once: hythe.lock.hcl remembers the digest, until `hythe init --upgrade`.
resource "image" "base" {
  name = "${var.registry}/base/web:12"

  auth {
    username = var.username
    password = var.password
  }
}

resource "image" "app" {
  name = "shop/app:${var.release}"
  tags = ["latest"]

  build {
    context = "./app"
    args    = { BASE = image.base.name }
    labels  = { "org.opencontainers.image.version" = var.release }
  }

  push {
    registry = var.registry

    auth {
      username = var.username
      password = var.password
    }
  }
}

output "image" {
  description = "What others pull"
  value       = "${var.registry}/${image.app.name}@${image.app.digest}"
}
