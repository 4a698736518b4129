package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
)

// entryMode is the mode of every entry, as Velero writes it.
const entryMode = 0o755

// Item is one object of a backup.
type Item struct {
	GroupResource schema.GroupResource
	Version       string // of the object's apiVersion, without the group

	// Preferred says that Version is the one that discovery prefers for the group.
	// Such an object is written a second time, into a folder that names the
	// version.
	Preferred bool

	Namespace string // "" for objects without one
	Name      string
	Object    []byte // compact JSON, without a newline
}

// Writer writes an archive. It is not safe for concurrent use.
type Writer struct {
	gzip  *gzip.Writer
	tar   *tar.Writer
	clock clock.PassiveClock
}

// NewWriter begins an archive. Close ends it; w stays open.
func NewWriter(w io.Writer, clk clock.PassiveClock) (*Writer, error) {
	zw := gzip.NewWriter(w)
	a := &Writer{gzip: zw, tar: tar.NewWriter(zw), clock: clk}
	if err := a.write(versionEntry, []byte(FormatVersion+"\n")); err != nil {
		return nil, err
	}
	return a, nil
}

// Add writes an object. It returns ErrBadItem, and writes nothing, when the
// item's names cannot be a path. After another error the archive is useless.
func (w *Writer) Add(item Item) error {
	if err := item.check(); err != nil {
		return err
	}
	base := resourcesFolder + "/" + item.GroupResource.String() + "/"
	rest := folderOf(item.Namespace) + "/" + item.Name + itemSuffix
	if err := w.write(base+rest, item.Object); err != nil || !item.Preferred {
		return err
	}
	return w.write(base+item.Version+preferredSuffix+"/"+rest, item.Object)
}

func (i Item) check() error {
	return errors.Join(itemPath{resource: i.GroupResource, namespace: i.Namespace, name: i.Name}.check(), checkElement("version", i.Version))
}

func (w *Writer) write(name string, content []byte) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     int64(len(content)),
		Mode:     entryMode,
		ModTime:  w.clock.Now(),
	}
	if err := w.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("writing %s to the archive: %w", name, err)
	}
	if _, err := w.tar.Write(content); err != nil {
		return fmt.Errorf("writing %s to the archive: %w", name, err)
	}
	return nil
}

// Close ends the archive.
func (w *Writer) Close() error {
	if err := errors.Join(w.tar.Close(), w.gzip.Close()); err != nil {
		return fmt.Errorf("closing the archive: %w", err)
	}
	return nil
}
