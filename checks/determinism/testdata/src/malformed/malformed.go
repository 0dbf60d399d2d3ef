//lockstep:exempt  // want `//lockstep:exempt needs a reason`

package malformed

import "os" // want `import of os`

//lockstep:exempt too late // want `must stand above the package clause`

//lockstep:orderly a spelling mistake // want `unknown marker //lockstep:orderly`

var _ = os.Exit

func count(m map[int]int) (n int) {
	//lockstep:ordered // want `//lockstep:ordered needs a reason`
	for k := range m { // want `range over a map`
		n += k
	}
	return n
}
