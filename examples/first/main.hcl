resource "volume" "pages" {}

resource "container" "web" {
  name    = "web"
  image   = "nginx:1.27"
  memory  = "128MiB"
  restart = "unless-stopped"

  port {
    container = 80
    host      = 8080
  }

  mount {
    volume = volume.pages
    target = "/usr/share/nginx/html"
  }
}

output "url" { value = "http://localhost:8080/" }
