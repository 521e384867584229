resource "file" "motd" {
  path    = "/etc/motd"
  content = "Kept by Hythe.\n"
  mode    = "0644"
}
