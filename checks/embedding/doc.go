// Package embedding is a program that embeds the server, as others do: a module of
// its own that knows the server by its exported names alone. Its tests compile
// against each of those names with the signature that such programs rely on, and
// run servers with them.
package embedding
