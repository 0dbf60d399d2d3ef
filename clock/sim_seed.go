package clock

import (
	"encoding/binary"
	"math/rand/v2"
)

// seedKey turns a seed and the name of a stream into two words. Streams of
// different names have nothing to do with one another.
func seedKey(seed uint64, name ...string) (a, b uint64) {
	a, b = mix(traceSeed, seed), mix(traceMul, seed)
	for _, part := range name {
		for i := 0; i < len(part); i++ {
			a = mix(a, uint64(part[i]))
			b = mix(b, uint64(part[i])+0x100)
		}
		a, b = mix(a, 0x1ff), mix(b, 0x1fe) // so that "a","bc" is not "ab","c"
	}
	return splitmix(a), splitmix(b)
}

func splitmix(x uint64) uint64 {
	x += traceMul
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func newPCG(seed uint64, name ...string) *rand.PCG {
	return rand.NewPCG(seedKey(seed, name...))
}

func newChaCha(seed uint64, name ...string) *rand.ChaCha8 {
	a, b := seedKey(seed, name...)
	var key [32]byte
	for i, w := range [...]uint64{a, b, splitmix(a ^ b), splitmix(a + b)} {
		binary.LittleEndian.PutUint64(key[8*i:], w)
	}
	return rand.NewChaCha8(key)
}
