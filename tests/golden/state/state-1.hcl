variable "token" {
  default   = "hunter2hunter2"
  sensitive = true
}

resource "random" "id" {
  type   = "string"
  length = 8
}

resource "value" "a" {
  for_each = toset(["x", "y"])
  input    = { name = each.key, size = 1.5, big = 123456789012345678901234567890 }
}

resource "value" "b" {
  input      = { from = value.a["x"].output, token = var.token }
  depends_on = [random.id]
}

output "names" {
  value = [for v in value.a : v.output.name]
}

output "token" {
  value     = var.token
  sensitive = true
}

resource "value" "c" {
  input = "made before the kill"
}

resource "command" "slow" {
  create     = ["sh", "-c", "echo begun > begun; sleep 60"]
  depends_on = [value.c]
}
