// Package edges holds the direction of imports between the project's packages.
//
// It has a table and a test: imports point down the layers only, so that the
// server never depends on what simulates or checks it, codecs and matching
// depend on nothing, and a reader can learn a package without those above it.
// Test files are free, since they bring no dependency into the product.
package edges
