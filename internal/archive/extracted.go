package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/podkeep/podkeep/internal/jsonbound"
)

// Extracted is an archive that lies in a scratch directory. It is safe for
// concurrent use until Close.
type Extracted struct {
	root         *os.Root
	directory    string
	resources    []schema.GroupResource
	maxNameBytes int64
}

// ItemRef is one object of an extracted archive, not yet read.
type ItemRef struct {
	GroupResource schema.GroupResource
	Namespace     string // "" for objects without one
	Name          string

	root *os.Root
}

// Resources returns the resources of which the archive has objects, sorted by
// name. The caller orders them as it needs.
func (e *Extracted) Resources() []schema.GroupResource {
	return slices.Clone(e.resources)
}

// Namespaces returns the namespaces in which the archive has objects of a
// resource, sorted. It returns ErrTooLarge for more than Limits.MaxNameBytes.
func (e *Extracted) Namespaces(resource schema.GroupResource) ([]string, error) {
	names, err := e.names(path.Join(resource.String(), namespacesFolder))
	if err != nil {
		return nil, fmt.Errorf("listing namespaces of %s: %w", resource, err)
	}
	return names, nil
}

// Items yields the objects of a resource: first those without a namespace, then
// by namespace, each sorted by name. After an error, which is ErrTooLarge for a
// folder of more than Limits.MaxNameBytes, it ends.
func (e *Extracted) Items(resource schema.GroupResource) iter.Seq2[ItemRef, error] {
	return func(yield func(ItemRef, error) bool) {
		namespaces, err := e.Namespaces(resource)
		if err != nil {
			yield(ItemRef{}, err)
			return
		}
		for _, namespace := range append([]string{""}, namespaces...) {
			if !e.yieldFolder(resource, namespace, yield) {
				return
			}
		}
	}
}

// ItemsIn yields the objects of a resource in one namespace, sorted by name; "" is
// for those without a namespace. After an error it ends.
func (e *Extracted) ItemsIn(resource schema.GroupResource, namespace string) iter.Seq2[ItemRef, error] {
	return func(yield func(ItemRef, error) bool) { e.yieldFolder(resource, namespace, yield) }
}

func (e *Extracted) yieldFolder(resource schema.GroupResource, namespace string, yield func(ItemRef, error) bool) bool {
	names, err := e.names(path.Join(resource.String(), folderOf(namespace)))
	if err != nil {
		yield(ItemRef{}, fmt.Errorf("listing %s in %q: %w", resource, namespace, err))
		return false
	}
	for _, name := range names {
		if !yield(ItemRef{GroupResource: resource, Namespace: namespace, Name: name, root: e.root}, nil) {
			return false
		}
	}
	return true
}

// Item returns the reference of one object. Reading it fails with
// fs.ErrNotExist when the archive does not have it.
func (e *Extracted) Item(resource schema.GroupResource, namespace, name string) ItemRef {
	return ItemRef{GroupResource: resource, Namespace: namespace, Name: name, root: e.root}
}

// namesAtOnce is how many names are read between two looks at the limit.
const namesAtOnce = 10_000

// names lists a folder, sorted. A folder that does not exist is empty.
func (e *Extracted) names(folder string) ([]string, error) {
	file, err := e.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := e.readNames(file)
	slices.Sort(names)
	return names, errors.Join(err, file.Close())
}

func (e *Extracted) readNames(folder *os.File) ([]string, error) {
	var names []string
	var size int64
	for {
		more, err := folder.Readdirnames(namesAtOnce)
		for _, name := range more {
			size += int64(len(name))
		}
		names = append(names, more...)
		switch {
		case errors.Is(err, io.EOF):
			return names, nil
		case err != nil:
			return nil, err
		case size > e.maxNameBytes:
			return nil, fmt.Errorf("%w: the names in one folder have more than %d bytes", ErrTooLarge, e.maxNameBytes)
		}
	}
}

// Close removes the directory. It is safe to call it twice.
func (e *Extracted) Close() error {
	return errors.Join(e.root.Close(), os.RemoveAll(e.directory))
}

// String names the object for people: "pods shop/db-0".
func (i ItemRef) String() string {
	if i.Namespace == "" {
		return i.GroupResource.String() + " " + i.Name
	}
	return i.GroupResource.String() + " " + i.Namespace + "/" + i.Name
}

// itemLimits bound what is decoded. An object of etcd, which has up to 1.5 MiB,
// may have 500 000 values; the largest of an extension API server has the size
// of an entry.
var itemLimits = jsonbound.Limits{MaxBytes: 32 << 20, MaxStringBytes: 8 << 20, MaxDepth: 1000, MaxMemoryBytes: 128 << 20}

// Read reads the object. It returns ErrCorrupt when the content is not an object
// of that namespace and name, so that a decision made by name holds for what is
// read, and ErrTooLarge for an object that needs too much memory.
func (i ItemRef) Read() (*unstructured.Unstructured, error) {
	if err := i.check(); err != nil {
		return nil, err
	}
	b, err := i.root.ReadFile(path.Join(i.GroupResource.String(), folderOf(i.Namespace), i.Name))
	if err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w", i, err)
	}
	if err := jsonbound.Check(b, itemLimits); err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w: %w", i, ErrTooLarge, err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w: %w", i, ErrCorrupt, err)
	}
	if u.GetNamespace() != i.Namespace || u.GetName() != i.Name {
		return nil, fmt.Errorf("reading %s from the archive: %w: the object is called %q",
			i, ErrCorrupt, shorten(strings.TrimPrefix(u.GetNamespace()+"/"+u.GetName(), "/")))
	}
	return u, nil
}

// check keeps a reference made by Item to one element per field.
func (i ItemRef) check() error {
	return itemPath{resource: i.GroupResource, namespace: i.Namespace, name: i.Name}.check()
}
