variable "release" {
  default = "1.0"
}

resource "value" "release" {
  input    = var.release
  triggers = var.release
}

resource "container" "app" {
  image = "registry.example.org/app:latest"

  lifecycle {
    replace_triggered_by = [value.release]
  }
}
