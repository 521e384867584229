locals {
  prefix = container.web.name
}

resource "container" "web" {
  image = "nginx:1.27"
  env   = { DB = container.db.name }
}

resource "container" "db" {
  name  = "${local.prefix}-db"
  image = "postgres:16"
}
