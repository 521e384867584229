resource "volume" "records" {
  protected = true
}

resource "volume" "shared" {
  driver_options = {
    type   = "nfs"
    o      = "addr=10.0.0.5,rw"
    device = ":/export/shared"
  }
}
