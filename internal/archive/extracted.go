package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Extracted is an archive that lies in a scratch directory. It is safe for
// concurrent use until Close.
type Extracted struct {
	root      *os.Root
	directory string
	resources []schema.GroupResource
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
// resource, sorted.
func (e *Extracted) Namespaces(resource schema.GroupResource) ([]string, error) {
	names, err := e.names(path.Join(resource.String(), namespacesFolder))
	if err != nil {
		return nil, fmt.Errorf("listing namespaces of %s: %w", resource, err)
	}
	return names, nil
}

// Items yields the objects of a resource: first those without a namespace, then
// by namespace, each sorted by name. After an error it ends.
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

// names lists a folder, sorted. A folder that does not exist is empty.
func (e *Extracted) names(folder string) ([]string, error) {
	file, err := e.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, file.Close())
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

// Read reads the object. It returns ErrCorrupt when the content is not an object
// of that namespace and name, so that a decision made by name holds for what is
// read.
func (i ItemRef) Read() (*unstructured.Unstructured, error) {
	if err := i.check(); err != nil {
		return nil, err
	}
	b, err := i.root.ReadFile(path.Join(i.GroupResource.String(), folderOf(i.Namespace), i.Name))
	if err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w", i, err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w: %w", i, ErrCorrupt, err)
	}
	if u.GetNamespace() != i.Namespace || u.GetName() != i.Name {
		return nil, fmt.Errorf("reading %s from the archive: %w: the object is called %q",
			i, ErrCorrupt, strings.TrimPrefix(u.GetNamespace()+"/"+u.GetName(), "/"))
	}
	return u, nil
}

// check keeps a reference made by Item to one element per field.
func (i ItemRef) check() error {
	err := errors.Join(checkElement("resource", i.GroupResource.String()), checkElement("name", i.Name))
	if i.Namespace != "" {
		err = errors.Join(err, checkElement("namespace", i.Namespace))
	}
	return err
}
