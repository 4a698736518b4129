package artifacts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/progress"
)

// Images maps the name of an image's tar file to the image's reference.
var Images = map[string]string{
	"pause":     cluster.PauseImage,
	"busybox":   cluster.BusyboxImage,
	"versitygw": cluster.S3Image,
}

const busyboxPath = "/bin/busybox" // of Debian's busybox-static

func writeImages(set Set, out *progress.Printer) error {
	applets, err := exec.Command(busyboxPath, "--list").Output()
	if err != nil {
		return fmt.Errorf("listing the applets of busybox: %w", err)
	}
	layers := map[string]layer{
		"pause":     {file: filepath.Join(set.Bin(), "pause"), path: "pause"},
		"versitygw": {file: filepath.Join(set.Bin(), "versitygw"), path: "versitygw"},
		"busybox":   {file: busyboxPath, path: "bin/busybox", links: strings.Fields(string(applets))},
	}
	entrypoints := map[string][]string{"pause": {"/pause"}, "versitygw": {"/versitygw"}}
	for file, reference := range Images {
		out.Printf("writing image %s", reference)
		config := v1.Config{
			Entrypoint: entrypoints[file],
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		}
		if err := writeImage(set.Image(file), reference, config, layers[file]); err != nil {
			return fmt.Errorf("writing image %s: %w", reference, err)
		}
	}
	return nil
}

func writeImage(path, reference string, config v1.Config, content layer) error {
	var archive bytes.Buffer
	if err := content.writeTo(&archive); err != nil {
		return err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	// Not compressed: nothing is sent anywhere, and inflating costs time at each start.
	only, err := tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return err
	}
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config})
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(base, only)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(path, tag, image)
}

// layer is the only layer of an image: one static program, the folders and
// accounts programs expect, and links to the program.
type layer struct {
	file  string   // on this machine
	path  string   // in the image
	links []string // names beside path
}

func (l layer) writeTo(out io.Writer) error {
	w := tar.NewWriter(out)
	for _, dir := range []struct {
		name string
		mode int64
	}{{"bin/", 0o755}, {"etc/", 0o755}, {"root/", 0o700}, {"tmp/", 0o1777}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir.name, Mode: dir.mode}); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(l.file)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		mode    int64
		content []byte
	}{
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{"etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n")},
		{l.path, 0o755, program},
	} {
		if err := w.WriteHeader(&tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.content))}); err != nil {
			return err
		}
		if _, err := w.Write(file.content); err != nil {
			return err
		}
	}
	for _, link := range l.links {
		if link == filepath.Base(l.path) {
			continue
		}
		target := filepath.Join(filepath.Dir(l.path), link)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: target, Linkname: filepath.Base(l.path)}); err != nil {
			return err
		}
	}
	return w.Close()
}
