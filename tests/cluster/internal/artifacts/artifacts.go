// Package artifacts makes the files a cluster consists of: the Debian packages
// of the machine, the programs, and the images.
//
// Programs and images are built once and kept in a folder named by a hash of
// what they are built from, outside the repository, so that every checkout and
// every run share them. It starts nothing.
package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/progress"
)

// Set is a folder of built programs and images.
type Set struct {
	dir string
}

// Bin is the folder of the programs. As it has kube-apiserver, etcd and kubectl
// it can be given to envtest.
func (s Set) Bin() string { return filepath.Join(s.dir, "bin") }

// Image is the tar file of an image.
func (s Set) Image(name string) string { return filepath.Join(s.dir, "images", name+".tar") }

// CacheRoot is the folder of all sets. It outlives the cluster.
func CacheRoot() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for the cache folder: %w", err)
	}
	return filepath.Join(cache, "podkeep", "cluster"), nil
}

// Current returns the set that belongs to the sources of this program, which
// may not have been built yet.
func Current() (Set, error) {
	root, err := CacheRoot()
	if err != nil {
		return Set{}, err
	}
	sum, err := sourcesHash()
	if err != nil {
		return Set{}, err
	}
	return Set{dir: filepath.Join(root, sum)}, nil
}

// Ensure builds the current set unless it is there. The caller holds the lock
// of the cache.
func Ensure(ctx context.Context, out *progress.Printer) (Set, error) {
	set, err := Current()
	if err != nil {
		return Set{}, err
	}
	if _, err := os.Stat(set.dir); err == nil {
		out.Printf("using the programs and images in %s", set.dir)
		return set, nil
	}
	if err := build(ctx, set, out); err != nil {
		return Set{}, err
	}
	return set, nil
}

// build makes the set under another name first, so that a set is complete or
// not there.
func build(ctx context.Context, set Set, out *progress.Printer) error {
	unfinished := Set{dir: set.dir + ".unfinished"}
	if err := os.RemoveAll(unfinished.dir); err != nil {
		return fmt.Errorf("removing an unfinished build: %w", err)
	}
	for _, dir := range []string{unfinished.Bin(), filepath.Join(unfinished.dir, "images")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the build folder: %w", err)
		}
	}
	if err := buildPrograms(ctx, unfinished.Bin(), out); err != nil {
		return err
	}
	if err := writeImages(unfinished, out); err != nil {
		return err
	}
	if err := os.Rename(unfinished.dir, set.dir); err != nil {
		return fmt.Errorf("keeping the build: %w", err)
	}
	return nil
}

func sourcesHash() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(cluster.Sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := cluster.Sources.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n", path, len(content))
		hash.Write(content)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hashing the sources: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// errNoSources is returned when the module's folder is not found.
var errNoSources = errors.New("the folder tests/cluster is not here: run this from the repository")

// sourceDir finds the folder of this module from the working directory, which
// is in it or in the repository around it.
func sourceDir() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the sources: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "tests", "cluster")} {
			if _, err := os.Stat(filepath.Join(candidate, "kubernetes", "main.go")); err == nil {
				return candidate, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", errNoSources
		}
	}
}
