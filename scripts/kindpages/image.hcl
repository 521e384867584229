# pulled
resource "image" "proxy" {
  name = "nginx:1.27"
}

# made of a distribution's packages
resource "image" "tools" {
  packages {
    suite   = "bookworm"
    include = ["busybox-static"]
  }

  config {
    cmd = ["/bin/busybox", "sh"]
  }
}

resource "container" "proxy" {
  image = image.proxy
}
