// Command image writes podkeep's container image as an archive that containerd,
// docker and skopeo read, without a container engine.
//
// The image has no base: the binaries are static. The same binaries give the
// same bytes on every machine: files are sorted, owned by root and dated at the
// Unix epoch.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// nonRoot is the user of the image; movers override it in their pod spec.
const nonRoot = "65532:65532"

// links are files of the image that point to another. Velero's gate command is
// kept, so that a ConfigMap which names it works with either image.
var links = map[string]string{"velero-restore-helper": "/restore-wait"}

// contentTagLength digits of the digest tell images of one machine apart.
const contentTagLength = 12

type options struct {
	arch, tag, out string
	files          []string
}

func main() {
	var o options
	flag.StringVar(&o.arch, "arch", "amd64", "architecture of the binaries")
	flag.StringVar(&o.tag, "tag", "", "name of the image; without a tag, for example localhost/podkeep, the content gives one")
	flag.StringVar(&o.out, "out", "", "archive to write; the image's name is written beside it, with the ending .name")
	flag.Parse()
	o.files = flag.Args()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	img, err := build(o)
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	if !strings.Contains(o.tag, ":") {
		o.tag += ":" + digest.Hex[:contentTagLength]
	}
	tag, err := name.NewTag(o.tag, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("parsing --tag %q: %w", o.tag, err)
	}
	if err := tarball.WriteToFile(o.out, tag, img); err != nil {
		return fmt.Errorf("writing %s: %w", o.out, err)
	}
	if err := os.WriteFile(o.out+".name", []byte(o.tag+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the image's name: %w", err)
	}
	fmt.Printf("%s %s %s\n", o.out, tag, digest)
	return nil
}

func build(o options) (v1.Image, error) {
	var content bytes.Buffer
	if err := writeLayer(&content, o.files); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	})
	if err != nil {
		return nil, fmt.Errorf("building the layer: %w", err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("appending the layer: %w", err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", o.arch
	cfg.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	cfg.Config.Entrypoint = []string{"/podkeep"}
	cfg.Config.User = nonRoot
	return mutate.ConfigFile(img, cfg)
}

// writeLayer writes the binaries and links, sorted by name.
func writeLayer(w io.Writer, files []string) error {
	tw := tar.NewWriter(w)
	slices.SortFunc(files, func(a, b string) int { return bytes.Compare([]byte(filepath.Base(a)), []byte(filepath.Base(b))) })
	for _, f := range files {
		if err := writeFile(tw, f); err != nil {
			return err
		}
	}
	var errs error
	for link, target := range links {
		h := &tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: target, Mode: 0o777, ModTime: time.Unix(0, 0)}
		errs = errors.Join(errs, tw.WriteHeader(h))
	}
	return errors.Join(errs, tw.Close())
}

func writeFile(tw *tar.Writer, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading binary: %w", err)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.Base(file), Size: int64(len(data)), Mode: 0o755, ModTime: time.Unix(0, 0)}
	if err := tw.WriteHeader(h); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if _, err := tw.Write(data); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
