module "shop" {
  source = "../shop"
}
