variable "ports" {
  type    = map(object({ container = number, host = optional(number) }))
  default = { web = { container = "eighty" } }
}

resource "container" "web" {
  image   = "nginx:1.27"
  command = "nginx"
  memory  = "64 apples"
}
