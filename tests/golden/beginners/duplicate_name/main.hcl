resource "container" "web" {
  image = "nginx:1.27"
}

resource "container" "web" {
  image = "nginx:1.28"
}

variable "size" {}
variable "size" {}
