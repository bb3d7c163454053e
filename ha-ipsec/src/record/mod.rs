//! Records of IKE and IPsec SAs and their codecs.
