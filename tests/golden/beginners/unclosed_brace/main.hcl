resource "container" "web" {
  image = "nginx:1.27"
  port {
    container = 80
    host      = 8080

output "name" {
  value = container.web.name
}
