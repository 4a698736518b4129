package v1_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

// fixture returns the content of a file captured from Velero. The files are not
// part of the repository: the test is skipped where they are missing.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	dir := filepath.Join(sharedDir(t), "fixtures", "velero-1.18")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Skipf("folder %s is missing; set PODKEEP_SHARED to the folder that holds fixtures/velero-1.18", dir)
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return data
}

// sharedDir is PODKEEP_SHARED or the folder "shared" beside the repository.
func sharedDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("PODKEEP_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for !isFile(filepath.Join(dir, "go.mod")) {
		parent := filepath.Dir(dir)
		NewWithT(t).Expect(parent).NotTo(Equal(dir), "no go.mod above the test's folder")
		dir = parent
	}
	return filepath.Join(filepath.Dir(dir), "shared")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// untar returns the regular files of a gzip-compressed archive by their names.
func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	g := NewWithT(t)
	files := map[string][]byte{}
	archive := tar.NewReader(bytes.NewReader(gunzip(t, data)))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		g.Expect(err).NotTo(HaveOccurred())
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(archive)
		g.Expect(err).NotTo(HaveOccurred())
		files[filepath.Clean(header.Name)] = content
	}
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	g := NewWithT(t)
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(zipped)
	g.Expect(err).NotTo(HaveOccurred())
	return content
}
