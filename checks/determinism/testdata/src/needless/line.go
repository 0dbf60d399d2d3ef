package needless

func sub(a, b int) int {
	//lockstep:ordered nothing is ranged over // want `//lockstep:ordered excuses nothing here`
	return a - b
}
