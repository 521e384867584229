variable "names" {
  default = ["a", "b", "b"]
}

resource "container" "each" {
  for_each = var.names
  image    = "nginx:1.27"
}

resource "container" "counted" {
  count = "two"
  image = "nginx:1.27"
}

output "c" {
  value = container.single["c"].name
}

resource "container" "single" {
  for_each = toset(["a", "b"])
  image    = "nginx:1.27"
}
