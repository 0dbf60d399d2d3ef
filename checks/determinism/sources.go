package determinism

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Watch looks at every Go file and go.mod below root. A test that judges the
// module through the go command calls it, since the go command's cache of test
// results knows only what the test itself has looked at. It returns the number
// of files.
func Watch(root string) (int, error) {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") || d.Name() == "go.mod":
			files++
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		return files, fmt.Errorf("look at the sources below %q: %w", root, err)
	}
	return files, nil
}
