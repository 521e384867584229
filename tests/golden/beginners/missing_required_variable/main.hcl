variable "token" {
  type        = string
  description = "What the service logs in with"
}

resource "container" "web" {
  name = "web-${var.token}"
}
