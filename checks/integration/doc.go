// Package integration tests the built server binary from outside: real sockets,
// real signals, real files, with the Go client and with raw bytes.
//
// The binary is built once a test run. Each test starts its own processes on ports
// that the kernel picks and writes to its own temporary folder only. Nothing here
// sleeps to wait for something: tests wait for a line of the log, a byte of the
// protocol or the end of a connection, each with a deadline.
//
// testdata/scripts holds conversations with the server, the bytes that each
// connection sends and the lines it gets back. They run as they are, and once more
// with every byte in a write of its own. Three environment variables serve the
// work on them:
//
//   - LOCKSTEP_BINARY names a binary to test instead of building one;
//   - LOCKSTEP_AGAINST names another server, and the scripts run against both and
//     must give the same transcripts;
//   - LOCKSTEP_REWRITE=1 writes what happened into the scripts, to review.
package integration
