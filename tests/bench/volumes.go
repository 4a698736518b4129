package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Sizes of the small files.
const (
	smallFileBytes  = 1 << 10
	smallFileFolder = 100 // how many folders they lie in
)

// randomSource returns bytes that do not compress and are the same for a seed.
func randomSource(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// writeLargeFile writes one random file into dir.
func writeLargeFile(dir string, bytes int64) error {
	f, err := os.Create(filepath.Join(dir, "large"))
	if err != nil {
		return err
	}
	source := randomSource(1)
	part := make([]byte, 1<<20)
	for left := bytes; left > 0 && err == nil; left -= int64(len(part)) {
		part = part[:min(int64(len(part)), left)]
		_, _ = source.Read(part) // never fails
		_, err = f.Write(part)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeSmallFiles writes n random files into folders of dir.
func writeSmallFiles(dir string, n int) error {
	source := bufio.NewReader(randomSource(2))
	content := make([]byte, smallFileBytes)
	for i := range n {
		folder := filepath.Join(dir, fmt.Sprintf("folder-%03d", i%smallFileFolder))
		if i < smallFileFolder {
			if err := os.Mkdir(folder, 0o755); err != nil {
				return err
			}
		}
		if _, err := source.Read(content); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%06d", i)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// expectEqual compares what was restored with its source: a benchmark must not
// praise a restore that lost data. The marker of a restore does not count.
func expectEqual(ctx context.Context, source, restored string) error {
	out, err := exec.CommandContext(ctx, "diff", "-rq", "--no-dereference", "--exclude=.velero", source, restored).CombinedOutput()
	if err != nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return fmt.Errorf("comparing restored data: %w: %s", err, first)
	}
	return nil
}
