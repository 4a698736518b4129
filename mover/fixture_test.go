package mover_test

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

// Real Velero 1.18 wrote this bucket (../shared/README.md).
const (
	fixtureDir       = "fixtures/velero-1.18"
	fixturePassword  = "static-passw0rd"
	fixtureNamespace = "shop"
	fixtureList      = "backups/shop-1/shop-1-podvolumebackups.json.gz"
)

// sharedDir is the folder of fixtures beside the repository.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PODKEEP_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, fixtureDir)); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("skipping: %s does not have %s; set PODKEEP_SHARED to the folder of fixtures", dir, fixtureDir)
	}
	return dir
}

// unpackFixture writes the bucket as a filesystem location: kopia keeps a blob
// in a file named <blob>.f there.
func unpackFixture(t *testing.T, shared string) (r wire.Repository, bucket string) {
	t.Helper()
	g := NewWithT(t)
	bucket = t.TempDir()
	file, err := os.Open(filepath.Join(shared, fixtureDir, "bucket.tar.gz"))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	g.Expect(err).NotTo(HaveOccurred())
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		g.Expect(err).NotTo(HaveOccurred())
		if header.Typeflag == tar.TypeReg {
			unpack(t, archive, bucket, filepath.Clean(header.Name))
		}
	}
	movertest.WriteFile(t, bucket, "kopia/"+fixtureNamespace+"/.shards", `{"default":[],"maxNonShardedLength":20}`)
	return wire.Repository{
		Location: location.Location{
			Name: "default", Provider: location.ProviderFilesystem,
			Config:   map[string]string{location.ConfigFilesystemPath: bucket},
			ReadOnly: true,
		},
		Namespace:    fixtureNamespace,
		PasswordFile: movertest.WritePassword(t, fixturePassword),
		CacheDir:     t.TempDir(),
	}, bucket
}

func unpack(t *testing.T, from io.Reader, bucket, name string) {
	t.Helper()
	g := NewWithT(t)
	if strings.HasPrefix(name, "kopia/") {
		name += ".f"
	}
	content, err := io.ReadAll(from)
	g.Expect(err).NotTo(HaveOccurred())
	movertest.WriteFile(t, bucket, name, string(content))
}

// fixtureSnapshot finds the snapshot of a volume in the list of the backup.
func fixtureSnapshot(t *testing.T, bucket, pod, volume string) string {
	t.Helper()
	g := NewWithT(t)
	file, err := os.Open(filepath.Join(bucket, fixtureList))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	g.Expect(err).NotTo(HaveOccurred())
	var list []struct {
		Spec struct {
			Pod    struct{ Name string }
			Volume string
		}
		Status struct{ SnapshotID string }
	}
	g.Expect(json.NewDecoder(unzipped).Decode(&list)).To(Succeed())
	for _, b := range list {
		if b.Spec.Pod.Name == pod && b.Spec.Volume == volume {
			return b.Status.SnapshotID
		}
	}
	t.Fatalf("%s has no volume %s of pod %s", fixtureList, volume, pod)
	return ""
}

// expectedEntry is a line of expected-data.jsonl.
type expectedEntry struct {
	Path    string `json:"path"`
	Type    string `json:"type"` // as in ls -l
	Mode    string `json:"mode"` // octal, "0o…"
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	MTimeNS int64  `json:"mtime_ns"` // files only
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Target  string `json:"target"`
}

func TestRestoreOfWhatVeleroWrote(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	shared := sharedDir(t)
	r, bucket := unpackFixture(t, shared)
	before := movertest.ReadTree(t, bucket)
	target := t.TempDir()

	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	report := movertest.Run(t, movertest.RestoreTask(r, fixtureSnapshot(t, bucket, "db-0", "data"), target))

	g.Expect(report.Result.Error).To(BeEmpty())
	g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
	g.Expect(report.Result.TotalBytes).To(BeEquivalentTo(9988644))
	withoutMarker(t, target)
	g.Expect(asLines(movertest.ReadTree(t, target)[1:])).To(ConsistOf(expectedData(t, shared)))
	g.Expect(movertest.ReadTree(t, bucket)).To(Equal(before), "a read-only location stays as it is")
}

func TestBackupIntoWhatVeleroWrote(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	shared := sharedDir(t)
	r, bucket := unpackFixture(t, shared)
	target, again := t.TempDir(), t.TempDir()
	g.Expect(movertest.Run(t, movertest.RestoreTask(r, fixtureSnapshot(t, bucket, "db-0", "data"), target)).ExitCode).To(Equal(wire.ExitOK))
	withoutMarker(t, target)
	r.Location.ReadOnly = false
	task := movertest.BackupTask(r, target)
	task.Backup.SourcePath = "snapshot-pod-volume/kopia/shop/db-0/data-db-0"
	task.Backup.Identity = "claim/data-db-0"

	report := movertest.Run(t, task)

	g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
	g.Expect(report.Result.IncrementalBytes).To(BeZero(), "Velero's snapshot is the parent")
	g.Expect(movertest.Run(t, movertest.RestoreTask(r, report.Result.SnapshotID, again)).ExitCode).To(Equal(wire.ExitOK))
	withoutMarker(t, again)
	g.Expect(movertest.ReadTree(t, again)).To(Equal(movertest.ReadTree(t, target)))
}

// expectedData reads the list of what the volume had, without the fifo, which
// kopia does not carry.
func expectedData(t *testing.T, shared string) []string {
	t.Helper()
	g := NewWithT(t)
	file, err := os.Open(filepath.Join(shared, fixtureDir, "expected-data.jsonl"))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var e expectedEntry
		g.Expect(json.Unmarshal(scanner.Bytes(), &e)).To(Succeed())
		if e.Type == "p" {
			continue
		}
		mode, err := strconv.ParseUint(strings.TrimPrefix(e.Mode, "0o"), 8, 32)
		g.Expect(err).NotTo(HaveOccurred())
		lines = append(lines, fmt.Sprintf("%s %s %04o %d:%d %d %d %s %s", e.Type, e.Path, mode, e.UID, e.GID, e.MTimeNS, e.Size, e.SHA256, e.Target))
	}
	return lines
}

// asLines forms the same lines from a tree.
func asLines(tree []movertest.Entry) []string {
	var lines []string
	for _, e := range tree {
		kind, mtime := "-", e.MTime
		switch e.Mode.Type() {
		case fs.ModeDir:
			kind, mtime = "d", 0 // the list has no times of directories and links
		case fs.ModeSymlink:
			kind, mtime = "l", 0
		}
		lines = append(lines, fmt.Sprintf("%s %s %04o %d:%d %d %d %s %s", kind, e.Path, e.Mode.Perm(), e.UID, e.GID, mtime, e.Size, e.SHA256, e.Target))
	}
	return lines
}
