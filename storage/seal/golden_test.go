package seal

// Key files of the secret and seed that entropyOf(1) draws, and "hello" sealed with "aad".
const (
	goldenChaChaFile   = "4c4b4559010100000cd87274d67084caaf0e0d36c8496db7fef55fe0e125750aa608d5e20ffc2d126bddc4e5742a92e71b1d6d74d205246a98eaa69cbb3cdb6d23a433646535a99f99810a3ac608636fb406f35dc92ea8b068931de2"
	goldenChaChaSealed = "0e42d4cae8864908e0b8c752000000008d65bcbe5c8d6bde982d85d1f5a00246b450a070b9"
	goldenAESFile      = "4c4b4559010200000cd87274d67084caaf0e0d36c8496db7fef55fe0e125750aa608d5e20ffc2d12f12cdc4cb63dea7003e096e42493ed7948831491e6a661de03e2dc8a87e295dc67d0b77f3b0b038e2314ba6d32d02a43d2eace59"
	goldenAESSealed    = "0e42d4cae8864908e0b8c75200000000229e2cbe1c8ab8743da240015971177e0ec124ebed"
	// goldenS2 is "abcdefgh" sixteen times, compressed.
	goldenS2 = "0180011c61626364656667681108150068"
)
