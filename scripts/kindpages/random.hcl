resource "random" "db" {
  type    = "password"
  length  = 24
  special = false

  # another one with each major version
  keepers = { version = "15" }
}

resource "random" "name" {
  type   = "pet"
  prefix = "shop"
}

resource "container" "db" {
  name  = random.name.result
  image = "registry.example.org/postgres:15"
  env   = { POSTGRES_PASSWORD = random.db.password }
}
