package forbidden

import "os"

func helper() { go os.Exit(1) }
