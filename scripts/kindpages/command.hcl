resource "command" "swap" {
  check  = "swapon --noheadings --show=NAME | grep -qx /swapfile"
  create = <<-EOT
    set -e
    [ -f /swapfile ] || fallocate -l 1G /swapfile
    chmod 600 /swapfile
    mkswap /swapfile
    swapon /swapfile
  EOT
  delete = "swapoff /swapfile; rm -f /swapfile"
}

resource "command" "migrate" {
  create      = ["./migrate", "--to", "42"]
  directory   = "/srv/shop"
  user        = "shop"
  environment = { LANG = "C.UTF-8" }
  timeout     = "5m"
}
