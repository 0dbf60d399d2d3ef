package exempted

import "os" // want `import of os`

var _ = os.Exit
