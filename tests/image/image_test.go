// Package image runs the programs of a built image, of this machine's
// architecture or, in an emulator, of another one.
//
// It is for the image that no cluster here ever runs: make test-arm64.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
	"github.com/podkeep/podkeep/tests/suite"
)

// emulators are qemu's programs, in Debian's package qemu-user-static. They are
// static, so they run below the image's root as well.
var emulators = map[string]string{"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}

const emulatorInRoot = "/emulator"

// container is an unpacked image. Programs see it as their root, and nothing else
// of this machine's files.
type container struct {
	root     string
	emulator string // "" when none is needed
}

// unpackImage unpacks the image that PODKEEP_IMAGE names, or skips the test.
func unpackImage(t *testing.T) container {
	t.Helper()
	g := NewWithT(t)
	archive := os.Getenv("PODKEEP_IMAGE")
	if archive == "" {
		t.Skip("needs a built image: run make test-arm64, or PODKEEP_IMAGE=build/podkeep-linux-arm64.tar go test after make images")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to change the root folder")
	}
	c := container{root: t.TempDir()}
	arch := c.unpack(t, archive)
	if arch == runtime.GOARCH {
		return c
	}
	emulator, err := exec.LookPath(emulators[arch])
	if err != nil {
		t.Skipf("the image is for %s, and %q is not there to run it: apt-get install qemu-user-static", arch, emulators[arch])
	}
	program, err := os.ReadFile(emulator)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(c.root, emulatorInRoot), program, 0o755)).To(Succeed())
	c.emulator = emulatorInRoot
	return c
}

// unpack writes the image's only layer and returns its architecture.
func (c container) unpack(t *testing.T, archive string) string {
	t.Helper()
	g := NewWithT(t)
	var manifest []struct {
		Config string
		Layers []string
	}
	g.Expect(json.Unmarshal(member(t, archive, "manifest.json"), &manifest)).To(Succeed())
	g.Expect(manifest).To(HaveLen(1))
	g.Expect(manifest[0].Layers).To(HaveLen(1))
	var config struct{ Architecture string }
	g.Expect(json.Unmarshal(member(t, archive, manifest[0].Config), &config)).To(Succeed())

	layer, err := gzip.NewReader(bytes.NewReader(member(t, archive, manifest[0].Layers[0])))
	g.Expect(err).NotTo(HaveOccurred())
	for entries := tar.NewReader(layer); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		g.Expect(err).NotTo(HaveOccurred())
		file := filepath.Join(c.root, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeSymlink {
			g.Expect(os.Symlink(h.Linkname, file)).To(Succeed())
			continue
		}
		content, err := io.ReadAll(entries)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(file, content, h.FileInfo().Mode())).To(Succeed())
	}
	for _, dir := range []string{"dev", "tmp"} {
		g.Expect(os.Mkdir(filepath.Join(c.root, dir), 0o777)).To(Succeed())
	}
	return config.Architecture
}

// member is one file of a tar archive.
func member(t *testing.T, archive, name string) []byte {
	t.Helper()
	g := NewWithT(t)
	f, err := os.Open(archive)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = f.Close() }()
	for entries := tar.NewReader(f); ; {
		h, err := entries.Next()
		g.Expect(err).NotTo(HaveOccurred(), "%s in %s", name, archive)
		if h.Name == name {
			content, err := io.ReadAll(entries)
			g.Expect(err).NotTo(HaveOccurred())
			return content
		}
	}
}

// command is a program of the image.
func (c container) command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	line := append([]string{program}, args...)
	if c.emulator != "" {
		line = append([]string{c.emulator}, line...)
	}
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root}
	return cmd
}

func (c container) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := c.command(t, program, args...).CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%s: %s", program, out)
	return string(out)
}

func TestProgramsOfTheImageStart(t *testing.T) {
	c := unpackImage(t)
	g := NewWithT(t)

	g.Expect(c.run(t, "/podkeep", "version", "--client-only")).To(ContainSubstring("Version: "))
	g.Expect(c.run(t, "/podkeep", "install", "--help")).To(ContainSubstring("--backup-location-config"))
	out, err := c.command(t, "/restore-wait").CombinedOutput()
	g.Expect(err).To(HaveOccurred())
	g.Expect(string(out)).To(ContainSubstring("usage: restore-wait"))
	link, err := os.Readlink(filepath.Join(c.root, "velero-restore-helper"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(link).To(Equal("/restore-wait"))
}

// TestGateOfTheImageWaits has restore-wait, under Velero's name, wait for two
// volumes.
func TestGateOfTheImageWaits(t *testing.T) {
	c := unpackImage(t)
	g := NewWithT(t)
	const uid = "4a5b"
	marker := func(volume string) string { return filepath.Join(c.root, "restores", volume, ".velero", uid) }
	for _, volume := range []string{"data", "scratch"} {
		g.Expect(os.MkdirAll(filepath.Dir(marker(volume)), 0o755)).To(Succeed())
	}
	gate := c.command(t, "/velero-restore-helper", uid)
	var out strings.Builder
	gate.Stdout, gate.Stderr = &out, &out
	g.Expect(gate.Start()).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- gate.Wait() }()

	g.Expect(os.WriteFile(marker("data"), nil, 0o644)).To(Succeed())
	g.Consistently(ended, "1s").ShouldNot(Receive(), "one volume is not there")
	g.Expect(os.WriteFile(marker("scratch"), nil, 0o644)).To(Succeed())

	var err error
	g.Eventually(ended, "20s").Should(Receive(&err))
	g.Expect(err).NotTo(HaveOccurred(), out.String())
	g.Expect(filepath.Dir(marker("data"))).NotTo(BeADirectory())
	g.Expect(filepath.Dir(marker("scratch"))).NotTo(BeADirectory())
}

// TestMoverOfTheImageMoves backs a folder up and restores it, both by the image's
// mover, and the repository is one that this machine's has made.
func TestMoverOfTheImageMoves(t *testing.T) {
	c := unpackImage(t)
	g := NewWithT(t)
	source, target := filepath.Join(c.root, "source"), filepath.Join(c.root, "target")
	for _, dir := range []string{source, target, filepath.Join(c.root, "backups")} {
		g.Expect(os.Mkdir(dir, 0o755)).To(Succeed())
	}
	suite.Populate(t, source)
	want, err := suite.ReadTree(source)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(c.root, "password"), []byte("a password"), 0o600)).To(Succeed())
	g.Expect(repository.Ensure(t.Context(), repositoryIn(c.root, t.TempDir()))).To(Succeed())
	inside := repositoryIn("/", "/tmp/cache")

	saved := c.move(t, movertest.BackupTask(inside, "/source"))
	g.Expect(saved.SkippedFiles).To(BeEquivalentTo(suite.SkippedByPopulate))
	restored := c.move(t, movertest.RestoreTask(inside, saved.SnapshotID, "/target"))

	g.Expect(restored.LostAttributes).To(BeZero(), "%v", restored.Lost)
	g.Expect(movertest.Marker(target)).To(BeARegularFile())
	at := time.Unix(0, want[0].MtimeNS)
	g.Expect(os.RemoveAll(filepath.Join(target, ".velero"))).To(Succeed())
	g.Expect(os.Chtimes(target, at, at)).To(Succeed()) // which the removal has changed
	g.Expect(suite.ReadTree(target)).To(Equal(want))
}

// repositoryIn is the repository as seen with that folder as root.
func repositoryIn(root, cache string) wire.Repository {
	return wire.Repository{
		Location: location.Location{
			Name: "default", Provider: location.ProviderFilesystem,
			Config: map[string]string{location.ConfigFilesystemPath: filepath.Join(root, "backups")},
		},
		Namespace: "shop", PasswordFile: filepath.Join(root, "password"), CacheDir: cache,
	}
}

// move runs a mover and returns the result that it left for the kubelet.
func (c container) move(t *testing.T, task wire.Task) wire.Result {
	t.Helper()
	g := NewWithT(t)
	argument, err := task.Argument()
	g.Expect(err).NotTo(HaveOccurred())
	c.run(t, "/podkeep", "mover", argument)
	message, err := os.ReadFile(filepath.Join(c.root, "dev", "termination-log"))
	g.Expect(err).NotTo(HaveOccurred())
	result, err := wire.ParseResult(string(message))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.Error).To(BeEmpty())
	return result
}
