resource "container" "web" {
  image  = "nginx:1.27
  memory = "64MiB"
}
