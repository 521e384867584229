resource "tls" "authority_key" {
  type = "private_key"
}

resource "tls" "authority" {
  type     = "self_signed_cert"
  key      = tls.authority_key.private_key_pem
  validity = "87600h"
  is_ca    = true
  uses     = ["cert_signing", "crl_signing"]

  subject { common_name = "Shop authority" }
}

resource "tls" "web_key" {
  type      = "private_key"
  algorithm = "ECDSA"
}

resource "tls" "web_request" {
  type      = "cert_request"
  key       = tls.web_key.private_key_pem
  dns_names = ["shop.example.org"]

  subject { common_name = "shop.example.org" }
}

resource "tls" "web" {
  type          = "locally_signed_cert"
  request       = tls.web_request.cert_request_pem
  ca_key        = tls.authority_key.private_key_pem
  ca_cert       = tls.authority.cert_pem
  validity      = "2160h"
  early_renewal = "720h"
  uses          = ["digital_signature", "server_auth"]
}

resource "container" "web" {
  image = "registry.example.org/web:1"

  file {
    target  = "/etc/tls/cert.pem"
    content = tls.web.cert_pem
  }

  file {
    target  = "/etc/tls/key.pem"
    content = tls.web_key.private_key_pem
    mode    = "0600"
  }
}
