package suite

import (
	"os"
	"path/filepath"
	"runtime"
)

// Root is the root of the repository: the nearest folder above the test's own
// that has the Makefile.
func Root() string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "Makefile")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return "."
}

// Binary is the client that make built.
func Binary() string {
	return filepath.Join(Root(), "build", "linux-"+runtime.GOARCH, "podkeep")
}
