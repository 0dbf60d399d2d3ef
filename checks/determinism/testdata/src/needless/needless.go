//lockstep:exempt it once did // want `the file needs no exemption`

package needless

func add(a, b int) int { return a + b }
