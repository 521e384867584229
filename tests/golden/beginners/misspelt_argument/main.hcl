resource "container" "web" {
  image    = "nginx:1.27"
  comand   = ["nginx", "-g", "daemon off;"]
  memmory  = "64MiB"
}
