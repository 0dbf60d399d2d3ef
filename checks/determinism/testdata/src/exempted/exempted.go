//lockstep:exempt it reads a file for the sake of this test

package exempted

import "os"

func read() ([]byte, error) {
	c := make(chan int)
	go close(c)
	<-c
	return os.ReadFile("x")
}
